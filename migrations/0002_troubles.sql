-- What holds up the completion of an upload that is full: it is tried again, and whoever asks is told
-- why it is not complete yet, also by the next process.

-- Why the last attempt failed; NULL if nothing is in the way. Only ever set in the state 'stitching'.
ALTER TABLE uploads ADD COLUMN trouble TEXT;
-- How many attempts failed in a row.
ALTER TABLE uploads ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0 CHECK (0 <= attempts);
