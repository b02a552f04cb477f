-- What the gate reads to decide.

-- name: GetMember :one
SELECT * FROM member WHERE org = $1 AND user_id = $2;

-- name: ListGrantsOfUser :many
-- The roles a user holds, directly or by a group, oldest first.
SELECT g.* FROM role_grant g
WHERE g.org = sqlc.arg(org) AND (g.user_id = sqlc.arg(user_id)
    OR g.team IN (SELECT tm.team FROM team_member tm WHERE tm.org = g.org AND tm.user_id = sqlc.arg(user_id)))
ORDER BY g.created_at, g.id;

-- name: ListTeamsOfUser :many
-- The groups a user is in, by hand or by the identity provider, by name.
SELECT DISTINCT t.id, t.name FROM team_member tm
JOIN team t ON t.org = tm.org AND t.id = tm.team
WHERE tm.org = $1 AND tm.user_id = $2 ORDER BY t.name;

-- name: ChangeRules :execrows
-- Says that what decides in an org changed: whoever keeps compiled rules or live sessions looks again.
UPDATE org SET rules = rules + 1 WHERE id = sqlc.arg(org);

-- name: SetOrgSettings :execrows
UPDATE org SET settings = sqlc.arg(settings), rules = rules + 1 WHERE id = sqlc.arg(org);

-- name: GetOrg :one
SELECT * FROM org WHERE id = $1;

-- name: GetProject :one
SELECT * FROM project WHERE org = $1 AND id = $2;

-- name: GetProjectByName :one
SELECT * FROM project WHERE org = $1 AND name = $2;
