-- Organisations, and who goes from one to another.

-- name: OldestOrg :many
-- The one that the first start made, whatever it is called now.
SELECT * FROM org ORDER BY created_at, id LIMIT 1;

-- name: ListAllOrgs :many
-- For the box's owner, oldest first.
SELECT o.id, o.name, o.created_at,
    (SELECT COUNT(*) FROM member m WHERE m.org = o.id AND m.active = 1 AND m.pending = 0 AND m.deleted_at IS NULL) AS members,
    (SELECT COUNT(*) FROM instance i WHERE i.org = o.id AND i.removed_at IS NULL) AS instances
FROM org o ORDER BY o.created_at, o.id LIMIT $1;

-- name: RenameOrg :execrows
-- 0 rows: the name is taken.
UPDATE org SET name = sqlc.arg(name) WHERE org.id = sqlc.arg(id) AND NOT EXISTS (SELECT 1 FROM org x WHERE x.name = sqlc.arg(name) AND x.id <> sqlc.arg(id));

-- name: ListMyOrgs :many
-- The organisations that a person is in, by name.
SELECT o.id, o.name FROM member m
JOIN org o ON o.id = m.org
WHERE m.user_id = $1 AND m.active = 1 AND m.pending = 0 AND m.deleted_at IS NULL
ORDER BY o.name LIMIT $2;

-- name: FindMembership :one
-- Of a person, in the organisation of a name or an id.
SELECT m.org, m.name, m.kind, o.name AS org_name FROM member m
JOIN org o ON o.id = m.org
WHERE m.user_id = sqlc.arg(user_id) AND (o.id = CAST(sqlc.arg(ref) AS TEXT) OR o.name = CAST(sqlc.arg(ref) AS TEXT))
    AND m.pending = 0 AND m.deleted_at IS NULL
LIMIT 1;

-- name: HasFactor :one
-- How many second factors a member has that count.
SELECT COUNT(*) FROM factor WHERE org = $1 AND user_id = $2 AND confirmed_at IS NOT NULL;
