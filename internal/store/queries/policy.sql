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

-- name: GetStanding :one
-- The state of a member, and what decides in their org beside it: the version of its rules and its settings.
SELECT m.kind, m.name, m.active, m.pending, m.deleted_at, o.rules, o.settings FROM member m
JOIN org o ON o.id = m.org WHERE m.org = $1 AND m.user_id = $2;

-- name: ListRoles :many
-- An org's own roles, by name.
SELECT * FROM role WHERE org = $1 ORDER BY name;

-- name: GetRole :one
SELECT * FROM role WHERE org = $1 AND name = $2;

-- name: CreateRole :execrows
INSERT INTO role (org, name, summary, actions, controls, created_at, updated_at)
VALUES ($1, sqlc.arg(name), sqlc.arg(summary), sqlc.arg(actions), sqlc.arg(controls), sqlc.arg(created_at), sqlc.arg(created_at))
ON CONFLICT (org, name) DO NOTHING;

-- name: SetRole :execrows
UPDATE role SET summary = sqlc.arg(summary), actions = sqlc.arg(actions), controls = sqlc.arg(controls), updated_at = sqlc.arg(updated_at)
WHERE org = sqlc.arg(org) AND name = sqlc.arg(name);

-- name: DeleteRole :execrows
DELETE FROM role WHERE org = $1 AND name = $2;

-- name: CountGrantsOfRole :one
SELECT count(*) FROM role_grant WHERE org = $1 AND role = $2;

-- name: ListPolicies :many
-- An org's policies, by name.
SELECT * FROM policy WHERE org = $1 ORDER BY name;

-- name: GetPolicy :one
SELECT * FROM policy WHERE org = $1 AND name = $2;

-- name: PutPolicy :exec
INSERT INTO policy (org, name, body, created_at, updated_at, updated_by)
VALUES ($1, sqlc.arg(name), sqlc.arg(body), sqlc.arg(updated_at), sqlc.arg(updated_at), sqlc.arg(updated_by))
ON CONFLICT (org, name) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at, updated_by = excluded.updated_by;

-- name: DeletePolicy :execrows
DELETE FROM policy WHERE org = $1 AND name = $2;

-- name: GetStartEvent :one
-- The event of the start of a session that was allowed.
SELECT * FROM audit_event WHERE log = $1 AND session = $2 AND action = 'session:start' AND outcome = 'allowed';

-- name: ListRulesOfNode :many
-- Of each org that has sessions on a node, the version of its rules.
SELECT o.id, o.rules FROM org o WHERE o.id IN (SELECT s.org FROM session s WHERE s.node = sqlc.arg(node) AND s.state <> 'ended');

-- name: ListLiveSessionsOfOrg :many
-- What a node looks after of one org.
SELECT * FROM session WHERE org = $1 AND node = $2 AND state <> 'ended' ORDER BY created_at, id;

-- name: ListProjectNames :many
-- What rules call the projects of an org.
SELECT id, name FROM project WHERE org = $1;

-- name: GetRegion :one
-- Of an instance, removed ones too.
SELECT region FROM instance WHERE org = $1 AND id = $2;

-- name: ListInstancesOfOrg :many
-- What rules ask of all instances of an org, by name.
SELECT id, name, project, region, node FROM instance WHERE org = $1 AND removed_at IS NULL ORDER BY name LIMIT $2;

-- name: ListLabelsOfOrg :many
-- The labels of all instances of an org, removed ones too.
SELECT instance, name, value FROM instance_label WHERE org = $1;

-- name: ListIDPNames :many
-- What rules call the identity providers of an org.
SELECT id, name FROM idp WHERE org = $1;
