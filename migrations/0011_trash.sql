-- What the trash is to know of a doomed file, as JSON. Without it the file goes for good: its owner
-- deleted the creative. With it the file is set aside, for whoever doomed it may have been wrong.

ALTER TABLE doomed ADD COLUMN note TEXT;
