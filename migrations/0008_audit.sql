-- The audit trail: who did what to which upload or creative, and from where.
--
-- Lines are added, each in the transaction of what it tells, and never changed. They refer to
-- nothing: they outlive uploads, creatives, tokens and users.

CREATE TABLE audit (
    -- In the order of their writing, whatever the clock said. No number comes twice.
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    action     TEXT NOT NULL,
    -- Whose it is that it was done to.
    principal  TEXT NOT NULL,
    -- What it was done to: the id of an upload, a creative, a token, a ticket, or a user's name.
    subject    TEXT NOT NULL,
    -- The upload, also where the subject is the creative that it became.
    upload     BLOB CHECK (length(upload) = 16),
    detail     TEXT,
    -- What was shown to be let in, from which address, and the id of the request.
    means      TEXT NOT NULL,
    address    TEXT,
    request_id TEXT
) STRICT;

CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_principal ON audit (principal, number);
CREATE INDEX audit_by_upload ON audit (upload, number) WHERE upload IS NOT NULL;

-- At most one row: what is older may go. It only ever moves on.
CREATE TABLE audit_horizon (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    at        INTEGER NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;

-- As by `INSERT OR REPLACE`, of which the trigger below hears nothing.
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number) BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
WHEN NOT EXISTS (SELECT 1 FROM audit_horizon WHERE OLD.at < at) BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;
