-- One row: which deployment this catalog belongs to, and who may use it.

CREATE TABLE deployment (
    singleton  INTEGER PRIMARY KEY CHECK (singleton = 1),
    -- Random. The marker file in each data folder has the same id.
    id         BLOB NOT NULL CHECK (length(id) = 16),
    -- Each start and each stop makes it larger, here first and then in the marker files.
    generation INTEGER NOT NULL CHECK (0 <= generation),
    -- 'open': everybody who reaches the service may use it. 'users': credentials are required, for
    -- good. NULL: no server has started yet.
    access     TEXT CHECK (access IN ('open', 'users'))
) STRICT;

-- Until now a service without users was open.
INSERT INTO deployment (singleton, id, generation, access)
SELECT 1, randomblob(16), 0,
       CASE WHEN EXISTS (SELECT 1 FROM users) THEN 'users'
            WHEN EXISTS (SELECT 1 FROM session) THEN 'open' END;
