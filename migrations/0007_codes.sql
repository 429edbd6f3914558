-- One-time codes, sent by e-mail, with which users sign in to the page. One for each user at most.

CREATE TABLE codes (
    user       TEXT PRIMARY KEY NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    -- The code itself is nowhere: only the SHA-256 of the salt and its digits.
    salt       BLOB NOT NULL CHECK (length(salt) = 16),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    expires_at INTEGER NOT NULL,
    tries_left INTEGER NOT NULL CHECK (0 <= tries_left),
    -- Whether a mail server took it: what was not sent before a restart is sent after it, anew.
    sent       INTEGER NOT NULL CHECK (sent IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX codes_by_expiry ON codes (expires_at);
