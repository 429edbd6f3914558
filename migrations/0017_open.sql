-- 0010_deployment.sql took a service that had lost its last user for one that never had any. Where the
-- audit trail tells of a user there were users, and access stays closed. Uploads and creatives tell no
-- more: their owners are users that are still there.

UPDATE deployment SET access = 'users'
WHERE access = 'open' AND (
    EXISTS (SELECT 1 FROM users)
    OR EXISTS (SELECT 1 FROM audit WHERE principal <> 'anonymous')
    OR EXISTS (SELECT 1 FROM audit WHERE action IN ('user_added', 'user_removed'))
);
