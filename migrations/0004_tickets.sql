-- How many uploads were begun with each ticket that allows only so many.

CREATE TABLE tickets (
    -- SHA-256 of the user's name and the ticket's own id: it outlives the user, who may be made
    -- anew while the ticket is still good.
    key        BLOB PRIMARY KEY NOT NULL CHECK (length(key) = 32),
    begun      INTEGER NOT NULL CHECK (0 < begun),
    -- When the ticket is of no more use, and need not be counted.
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tickets_by_expiry ON tickets (expires_at);
