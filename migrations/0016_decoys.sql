-- Signing in writes as much for an address that nobody has as for one that a user has: whoever measures
-- how busy the disk is must not learn which is which. Where there is nothing to write, this is.

CREATE TABLE decoys (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    written   INTEGER NOT NULL
) STRICT;

INSERT INTO decoys (singleton, written) VALUES (1, 0);
