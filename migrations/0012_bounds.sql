-- Indexes and counts by which no statement reads many more rows than it gives, however many there are.

-- Probes by hand: the newest with this identifier, or name, in a state.
DROP INDEX uploads_by_identifier;
DROP INDEX uploads_by_filename;
CREATE INDEX uploads_by_identifier ON uploads (principal, identifier, state, id);
CREATE INDEX uploads_by_filename ON uploads (principal, filename, state, id);
-- The newest upload with an identity: each entry of an index ends with the number of its row.
DROP INDEX uploads_by_identity;
CREATE INDEX uploads_by_identity ON uploads (identity);
-- What is to be stitched, page by page.
CREATE INDEX uploads_stitching ON uploads (id) WHERE state = 'stitching';
-- Codes that are to be sent after a restart.
CREATE INDEX codes_unsent ON codes (expires_at) WHERE sent = 0;

-- How much of a running upload is here, for lists. Of one that has ended they mean nothing.
ALTER TABLE uploads ADD COLUMN received_ranges INTEGER NOT NULL DEFAULT 0;
ALTER TABLE uploads ADD COLUMN received_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE uploads SET
    received_ranges = (SELECT count(*) FROM ranges WHERE upload = uploads.id),
    received_bytes = (SELECT coalesce(sum(len), 0) FROM ranges WHERE upload = uploads.id)
WHERE ended_at IS NULL;

-- How many uploads are in each state, kept by triggers.
CREATE TABLE tally (
    state   TEXT PRIMARY KEY NOT NULL,
    uploads INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO tally (state, uploads) SELECT state, count(*) FROM uploads GROUP BY state;

CREATE TRIGGER tally_upload_comes AFTER INSERT ON uploads BEGIN
    INSERT INTO tally (state, uploads) VALUES (NEW.state, 1)
    ON CONFLICT (state) DO UPDATE SET uploads = uploads + 1;
END;

CREATE TRIGGER tally_upload_changes AFTER UPDATE OF state ON uploads WHEN OLD.state <> NEW.state BEGIN
    UPDATE tally SET uploads = uploads - 1 WHERE state = OLD.state;
    INSERT INTO tally (state, uploads) VALUES (NEW.state, 1)
    ON CONFLICT (state) DO UPDATE SET uploads = uploads + 1;
END;

CREATE TRIGGER tally_upload_goes AFTER DELETE ON uploads BEGIN
    UPDATE tally SET uploads = uploads - 1 WHERE state = OLD.state;
END;
