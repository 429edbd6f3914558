-- Which digests of a creative's file are known: what the setting `digest` asked for, and the
-- SHA-256 if its client named one. None may be.

ALTER TABLE creatives ALTER COLUMN sha256 DROP NOT NULL;
ALTER TABLE creatives ADD COLUMN blake3 BLOB CHECK (length(blake3) = 32);
