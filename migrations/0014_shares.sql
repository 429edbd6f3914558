-- What a principal has, besides: how many bytes of its running uploads have arrived, and how many
-- files it has stored. What is declared and has not arrived is what its uploads keep reserved.
ALTER TABLE usage ADD COLUMN received_bytes INTEGER NOT NULL DEFAULT 0
    CHECK (0 <= received_bytes);
ALTER TABLE usage ADD COLUMN stored_files INTEGER NOT NULL DEFAULT 0 CHECK (0 <= stored_files);

CREATE TRIGGER usage_upload_receives AFTER UPDATE OF received_bytes ON uploads
WHEN NEW.ended_at IS NULL BEGIN
    UPDATE usage SET received_bytes =
        min(max(received_bytes + (NEW.received_bytes - OLD.received_bytes), 0), 9223372036854775807)
    WHERE principal = NEW.principal;
END;

DROP TRIGGER usage_upload_ends;
CREATE TRIGGER usage_upload_ends AFTER UPDATE OF ended_at ON uploads
WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL BEGIN
    UPDATE usage SET uploads = max(uploads - 1, 0), upload_bytes = max(upload_bytes - OLD.total, 0),
        received_bytes = max(received_bytes - OLD.received_bytes, 0)
    WHERE principal = OLD.principal;
END;

DROP TRIGGER usage_creative_comes;
CREATE TRIGGER usage_creative_comes AFTER INSERT ON creatives BEGIN
    INSERT INTO usage (principal, stored_bytes, stored_files) VALUES (NEW.principal, NEW.size, 1)
    ON CONFLICT (principal) DO UPDATE SET stored_files = stored_files + 1,
        stored_bytes = min(stored_bytes + excluded.stored_bytes, 9223372036854775807);
END;

DROP TRIGGER usage_creative_goes;
CREATE TRIGGER usage_creative_goes AFTER DELETE ON creatives BEGIN
    UPDATE usage SET stored_bytes = max(stored_bytes - OLD.size, 0),
        stored_files = max(stored_files - 1, 0)
    WHERE principal = OLD.principal;
END;

UPDATE usage SET
    received_bytes = coalesce((SELECT sum(received_bytes) FROM uploads
        WHERE uploads.principal = usage.principal AND ended_at IS NULL), 0),
    stored_files = (SELECT count(*) FROM creatives WHERE creatives.principal = usage.principal);
