-- What the gate reads to decide.

-- name: GetMember :one
SELECT * FROM member WHERE org = $1 AND user_id = $2;

-- name: ListGrantsOfUser :many
-- The roles a user holds, oldest first.
SELECT * FROM role_grant WHERE org = $1 AND user_id = $2 ORDER BY created_at, id;

-- name: GetOrg :one
SELECT * FROM org WHERE id = $1;

-- name: GetProject :one
SELECT * FROM project WHERE org = $1 AND id = $2;

-- name: GetProjectByName :one
SELECT * FROM project WHERE org = $1 AND name = $2;
