-- Which stored bytes must be read back after the machine stopped uncleanly. Sessions are numbered; each range has the
-- number of the session in which its bytes were stored or last verified, and each upload that of the
-- session in which all its ranges were known to be good. A range is unverified if both are below
-- `believed_from`. So a start changes one row, however many uploads are running.

ALTER TABLE session ADD COLUMN number INTEGER NOT NULL DEFAULT 1;
ALTER TABLE session ADD COLUMN believed_from INTEGER NOT NULL DEFAULT 1;

ALTER TABLE uploads ADD COLUMN session INTEGER NOT NULL DEFAULT 1;
UPDATE uploads SET session = 0 WHERE suspect = 1;
ALTER TABLE uploads DROP COLUMN suspect;

ALTER TABLE ranges ADD COLUMN session INTEGER NOT NULL DEFAULT 0;
