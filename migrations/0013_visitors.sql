-- Callers without credentials share one principal, and are told apart by a visitor: the SHA-256 of a
-- cookie of ours or, where none comes, of an address and a user agent. It is part of the identity of
-- an upload. NULL for users, and for uploads of the public from before this migration.

ALTER TABLE uploads ADD COLUMN visitor BLOB CHECK (length(visitor) = 32);
