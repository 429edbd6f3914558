-- How much of its quotas each principal uses.
--
-- The numbers follow from `uploads` and `creatives`, and are kept by triggers: to add them up whenever
-- an upload begins would take longer the more somebody has.

CREATE TABLE usage (
    principal    TEXT PRIMARY KEY NOT NULL,
    -- Running uploads, and the bytes of their files as declared.
    uploads      INTEGER NOT NULL DEFAULT 0 CHECK (0 <= uploads),
    upload_bytes INTEGER NOT NULL DEFAULT 0 CHECK (0 <= upload_bytes),
    -- Bytes of creatives.
    stored_bytes INTEGER NOT NULL DEFAULT 0 CHECK (0 <= stored_bytes)
) STRICT, WITHOUT ROWID;

-- A sum that no column holds stops at the largest number instead of refusing the upload.
CREATE TRIGGER usage_upload_begins AFTER INSERT ON uploads WHEN NEW.ended_at IS NULL BEGIN
    INSERT INTO usage (principal, uploads, upload_bytes) VALUES (NEW.principal, 1, NEW.total)
    ON CONFLICT (principal) DO UPDATE SET uploads = uploads + 1,
        upload_bytes = min(upload_bytes + excluded.upload_bytes, 9223372036854775807);
END;

CREATE TRIGGER usage_upload_ends AFTER UPDATE OF ended_at ON uploads
WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL BEGIN
    UPDATE usage SET uploads = max(uploads - 1, 0), upload_bytes = max(upload_bytes - OLD.total, 0)
    WHERE principal = OLD.principal;
END;

CREATE TRIGGER usage_creative_comes AFTER INSERT ON creatives BEGIN
    INSERT INTO usage (principal, stored_bytes) VALUES (NEW.principal, NEW.size)
    ON CONFLICT (principal) DO UPDATE SET
        stored_bytes = min(stored_bytes + excluded.stored_bytes, 9223372036854775807);
END;

CREATE TRIGGER usage_creative_goes AFTER DELETE ON creatives BEGIN
    UPDATE usage SET stored_bytes = max(stored_bytes - OLD.size, 0) WHERE principal = OLD.principal;
END;

CREATE TRIGGER usage_user_goes AFTER DELETE ON users BEGIN
    DELETE FROM usage WHERE principal = OLD.name;
END;

-- What there is already.
INSERT INTO usage (principal, uploads, upload_bytes)
SELECT principal, count(*), sum(total) FROM uploads WHERE ended_at IS NULL GROUP BY principal;
INSERT INTO usage (principal, stored_bytes)
SELECT principal, sum(size) FROM creatives WHERE true GROUP BY principal
ON CONFLICT (principal) DO UPDATE SET stored_bytes = excluded.stored_bytes;
