-- Locks.

-- name: InsertLock :exec
INSERT INTO lock (org, id, kind, target, name, project, org_wide, reason, made_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: GetLock :one
SELECT * FROM lock WHERE org = $1 AND id = $2;

-- name: DeleteLock :execrows
DELETE FROM lock WHERE org = $1 AND id = $2;

-- name: CountLocks :one
SELECT COUNT(*) FROM lock WHERE org = $1;

-- name: ListLocks :many
-- A page, newest first: of everything, or of what lies in projects (",prj_a,prj_b,").
SELECT * FROM lock
WHERE org = sqlc.arg(org)
  AND (created_at, id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND (CAST(sqlc.arg(kind) AS TEXT) = '' OR kind = CAST(sqlc.arg(kind) AS TEXT))
  AND (CAST(sqlc.arg(every_project) AS BIGINT) = 1 OR (project <> '' AND CAST(sqlc.arg(projects) AS TEXT) LIKE '%,' || project || ',%'))
ORDER BY created_at DESC, id DESC
LIMIT sqlc.arg(page);

-- name: ListLocksOfOrg :many
-- What decides, with the names of groups as they are now; empty: there is no such group.
SELECT l.*, CAST(COALESCE(t.name, '') AS TEXT) AS team_name
FROM lock l LEFT JOIN team t ON t.org = l.org AND t.id = l.target
WHERE l.org = $1 ORDER BY l.created_at, l.id;

-- name: ListExpiredLocks :many
-- Of all organisations.
SELECT * FROM lock WHERE expires_at IS NOT NULL AND expires_at <= $1 ORDER BY expires_at LIMIT 100;

-- name: ListLocksOfBox :many
-- Of all organisations, for the box's owner.
SELECT l.*, o.name AS org_name FROM lock l JOIN org o ON o.id = l.org ORDER BY l.created_at DESC, l.id DESC LIMIT $1;

-- name: GetLockByID :one
-- The box's owner names a lock of any organisation.
SELECT * FROM lock WHERE id = $1;

-- name: InsertBoxLock :exec
INSERT INTO box_lock (id, kind, target, name, reason, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: ListBoxLocks :many
SELECT * FROM box_lock ORDER BY created_at DESC, id DESC;

-- name: DeleteBoxLock :execrows
DELETE FROM box_lock WHERE id = $1;

-- name: ChangeAllRules :execrows
-- Says that what decides changed in every organisation.
UPDATE org SET rules = rules + 1;

-- name: ListAdminsByID :many
-- The people who can log in now and are org-admin of the whole organisation, as CountOrgAdmins counts them.
SELECT m.user_id FROM member m
WHERE m.org = sqlc.arg(org) AND m.kind <> 'machine' AND m.active = 1 AND m.pending = 0 AND m.deleted_at IS NULL
  AND (m.kind = 'idp' OR EXISTS (SELECT 1 FROM person p WHERE p.id = m.user_id AND p.password_hash <> ''))
  AND EXISTS (SELECT 1 FROM role_grant g WHERE g.org = m.org AND g.role = 'org-admin' AND g.project = ''
    AND (g.user_id = m.user_id OR g.team IN (SELECT tm.team FROM team_member tm WHERE tm.org = g.org AND tm.user_id = m.user_id)))
LIMIT 1000;
