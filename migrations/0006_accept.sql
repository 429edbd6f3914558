-- What kinds of file the ticket takes with which an upload was begun: looked at again before the file
-- is published. Kinds as in the setting `accept`, separated by commas; empty for all.
ALTER TABLE uploads ADD COLUMN accept TEXT NOT NULL DEFAULT '';
