-- The catalog: what is known of uploads, of their ranges, and of the creatives that came of them.
--
-- The first file to read after the README: every fact the service keeps stands in one of these
-- five tables. What is not here did not happen, whatever lies on the disk.
--
-- How values are written:
--   ids       the 16 bytes of a UUIDv7, so that the order of ids is the order of their making
--   times     milliseconds since 1970-01-01T00:00:00Z
--   days      'YYYY-MM-DD', so that the order of texts is the order of days
--   sizes     bytes; a file's offsets are signed 64-bit numbers everywhere, so they fit
--   texts of clients (identifier, relative_path, filename) exactly as they came, hostile or not
--
-- A migration that was released is never edited: a change is a new file with the next number.
-- Each file is one transaction together with its number in `PRAGMA user_version`.

-- 'flst': tells a catalog from any other program's SQLite file.
PRAGMA application_id = 1718383476;

-- One row for each upload, running or ended. An ended one is a tombstone: it answers late requests
-- until the sweep purges it.
CREATE TABLE uploads (
    id              BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),

    -- The identity: what requests must share to belong to this upload.
    principal       TEXT NOT NULL,
    identifier      TEXT NOT NULL,
    relative_path   TEXT NOT NULL,
    total           INTEGER NOT NULL CHECK (0 <= total),
    stride          INTEGER NOT NULL CHECK (1 <= stride),
    pieces          INTEGER NOT NULL CHECK (1 <= pieces),
    identity        BLOB NOT NULL CHECK (length(identity) = 32), -- SHA-256 of the six above

    -- What the client said of the file.
    filename        TEXT NOT NULL,
    scheduled       TEXT,
    declared_sha256 BLOB CHECK (length(declared_sha256) = 32),

    -- The id of the creative it will become, fixed from the start.
    creative_id     BLOB NOT NULL CHECK (length(creative_id) = 16),

    -- receiving ⇄ stitching → complete; to failed and cancelled from both, to expired from receiving.
    state           TEXT NOT NULL CHECK (state IN
                    ('receiving', 'stitching', 'complete', 'failed', 'cancelled', 'expired')),
    reason          TEXT,
    -- 1: its ranges must be read back before they are believed.
    suspect         INTEGER NOT NULL CHECK (suspect IN (0, 1)),
    -- 1: it ended without a file and its identity is free again at once.
    released        INTEGER NOT NULL CHECK (released IN (0, 1)),

    created_at      INTEGER NOT NULL,
    touched_at      INTEGER NOT NULL,
    ended_at        INTEGER,

    -- "Running" is written `ended_at IS NULL` below.
    CHECK ((ended_at IS NULL) = (state IN ('receiving', 'stitching')))
) STRICT;

-- At most one running upload for each identity: two first chunks that race cannot both open one.
CREATE UNIQUE INDEX uploads_running ON uploads (identity) WHERE ended_at IS NULL;
-- The newest upload with an identity.
CREATE INDEX uploads_by_identity ON uploads (identity, id);
-- Lists of one principal, newest first.
CREATE INDEX uploads_by_principal ON uploads (principal, id);
CREATE INDEX uploads_by_principal_and_state ON uploads (principal, state, id);
-- Probes by hand name the one or the other.
CREATE INDEX uploads_by_identifier ON uploads (principal, identifier, id);
CREATE INDEX uploads_by_filename ON uploads (principal, filename, id);
-- What to stitch, what is idle, and how many there are.
CREATE INDEX uploads_by_state ON uploads (state, touched_at);
-- What to purge.
CREATE INDEX uploads_by_end ON uploads (ended_at) WHERE ended_at IS NOT NULL;

-- The ranges that are safely stored, each with the CRC-32 of its bytes as they arrived.
CREATE TABLE ranges (
    upload   BLOB NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    offset   INTEGER NOT NULL CHECK (0 <= offset),
    len      INTEGER NOT NULL CHECK (0 <= len),
    checksum INTEGER NOT NULL,
    PRIMARY KEY (upload, offset)
) STRICT, WITHOUT ROWID;

-- One row for each published file. It outlives its upload: `upload_id` refers to nothing after the
-- purge, and is unique because one upload becomes one creative.
CREATE TABLE creatives (
    id           BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    principal    TEXT NOT NULL,
    filename     TEXT NOT NULL,
    size         INTEGER NOT NULL CHECK (0 <= size),
    sha256       BLOB NOT NULL CHECK (length(sha256) = 32),
    content_type TEXT NOT NULL,
    scheduled    TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    upload_id    BLOB NOT NULL UNIQUE CHECK (length(upload_id) = 16)
) STRICT;

-- What is scheduled from one day to another.
CREATE INDEX creatives_by_day ON creatives (principal, scheduled, id);

-- Creatives that were deleted and whose files are not known to be gone. The row is written in the
-- transaction that deletes the creative, so that a crash between the two cannot leave a file that
-- nobody remembers.
CREATE TABLE doomed (
    id       BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    filename TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- At most one row: the session that is running or ran last. Not closed and of another epoch means
-- that the machine may have lost power in between.
CREATE TABLE session (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    epoch     TEXT NOT NULL,
    closed    INTEGER NOT NULL CHECK (closed IN (0, 1))
) STRICT;
