-- Who may use the service: users, and the tokens with which they show who they are.

CREATE TABLE users (
    -- What uploads and creatives call the principal. 'anonymous' is no user.
    name        TEXT PRIMARY KEY NOT NULL CHECK (name <> 'anonymous' AND 1 <= length(name)),
    -- Where a code to sign in is sent; compared without regard to case.
    email       TEXT UNIQUE COLLATE NOCASE,
    created_at  INTEGER NOT NULL,
    -- Since when nothing is allowed any more.
    disabled_at INTEGER
) STRICT, WITHOUT ROWID;

-- Whose they are. The columns are no copies: they are what lets a user go only after all that is
-- his has gone, files too, which no cascade of the database could remove.
ALTER TABLE uploads ADD COLUMN owner TEXT
    GENERATED ALWAYS AS (nullif(principal, 'anonymous')) VIRTUAL REFERENCES users (name);
ALTER TABLE creatives ADD COLUMN owner TEXT
    GENERATED ALWAYS AS (nullif(principal, 'anonymous')) VIRTUAL REFERENCES users (name);
CREATE INDEX uploads_by_owner ON uploads (owner) WHERE owner IS NOT NULL;
CREATE INDEX creatives_by_owner ON creatives (owner) WHERE owner IS NOT NULL;

-- A token's secret part is nowhere: only its hash.
CREATE TABLE tokens (
    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    user       TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    label      TEXT NOT NULL,
    hash       BLOB NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the secret part
    scopes     TEXT NOT NULL, -- words with commas between them
    kind       TEXT NOT NULL CHECK (kind IN ('key', 'session')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at    INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_user ON tokens (user, kind, id);
CREATE INDEX tokens_by_kind ON tokens (kind, id);
-- Sessions go when they have expired.
CREATE INDEX tokens_by_expiry ON tokens (kind, expires_at);
