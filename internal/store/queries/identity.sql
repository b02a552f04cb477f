-- People, machine users and what they prove who they are with; enrolment tokens and the instances they make.
-- Queries that look a secret up by its hash have no org to take: they are how the org becomes known.

-- name: GetOrgByName :one
SELECT * FROM org WHERE name = $1;

-- name: CreateOrg :execrows
-- 0 rows: the name is taken.
INSERT INTO org (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING;

-- name: CreateProject :exec
INSERT INTO project (org, id, name, created_at) VALUES ($1, $2, $3, $4);

-- name: ListProjects :many
-- At most a page; there are few.
SELECT * FROM project WHERE org = $1 ORDER BY created_at, id LIMIT $2;

-- name: GetPersonByEmail :one
SELECT * FROM person WHERE email = $1;

-- name: GetPerson :one
SELECT * FROM person WHERE id = $1;

-- name: CreatePerson :execrows
-- 0 rows: somebody has the e-mail address.
INSERT INTO person (id, email, password_hash, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (email) DO NOTHING;

-- name: SetPersonPassword :execrows
UPDATE person SET password_hash = $2 WHERE id = $1;

-- name: CreateMember :execrows
-- 0 rows: the name is taken, or the user is a member.
INSERT INTO member (org, user_id, kind, name, active, created_at) VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT DO NOTHING;

-- name: GetMemberByName :one
SELECT * FROM member WHERE org = $1 AND name = $2 AND deleted_at IS NULL;

-- name: RenameMember :execrows
UPDATE member SET name = $3 WHERE org = $1 AND user_id = $2;

-- name: SetMemberActive :execrows
UPDATE member SET active = $3 WHERE org = $1 AND user_id = $2;

-- name: CreateGrant :execrows
-- 0 rows: the user has it already.
INSERT INTO role_grant (org, id, user_id, role, project, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (org, user_id, team, role, project) DO NOTHING;

-- name: ListOrgAdmins :many
-- The people with the role org-admin on the whole organisation, oldest first, active or not; has_password says whether
-- they ever accepted their invitation.
SELECT m.user_id, m.name, m.active, CAST(CASE WHEN COALESCE(p.password_hash, '') = '' THEN 0 ELSE 1 END AS BIGINT) AS has_password
FROM member m
JOIN role_grant g ON g.org = m.org AND g.user_id = m.user_id
LEFT JOIN person p ON p.id = m.user_id
WHERE m.org = $1 AND m.kind = 'local' AND g.role = 'org-admin' AND g.project = ''
ORDER BY m.created_at, m.user_id
LIMIT $2;

-- name: CreateInvite :exec
INSERT INTO invite (org, id, hash, user_id, created_at, expires_at, kind, mail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: VoidInvites :exec
-- Ends the unused invitations of a user.
UPDATE invite SET expires_at = sqlc.arg(now)
WHERE org = $1 AND user_id = $2 AND used_at IS NULL AND expires_at > sqlc.arg(now);

-- name: GetInviteByHash :one
-- The e-mail address is empty when the person is to give it.
SELECT i.org, i.id, i.hash, i.user_id, i.expires_at, i.used_at, i.kind, m.active, m.name, m.pending, m.deleted_at, o.name AS org_name,
       CAST(COALESCE(p.email, '') AS TEXT) AS email, CAST(COALESCE(p.password_hash, '') AS TEXT) AS password_hash
FROM invite i
JOIN member m ON m.org = i.org AND m.user_id = i.user_id
JOIN org o ON o.id = i.org
LEFT JOIN person p ON p.id = i.user_id
WHERE i.hash = $1;

-- name: UseInvite :execrows
-- Once: 0 rows means that it is used, void or too old.
UPDATE invite SET used_at = sqlc.arg(now)
WHERE org = $1 AND id = $2 AND used_at IS NULL AND expires_at > sqlc.arg(now);

-- name: CreateLogin :exec
INSERT INTO login (org, id, hash, user_id, created_at, expires_at, last_used_at, address, client, mfa_at, stage, idp)
VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $8, $9, $10, $11);

-- name: GetLoginByHash :one
SELECT l.org, l.id, l.hash, l.user_id, l.created_at, l.expires_at, l.last_used_at, l.revoked_at, l.mfa_at, l.stage, l.idp,
       m.kind, m.name, m.active, m.pending, m.valid_seconds, o.settings
FROM login l
JOIN member m ON m.org = l.org AND m.user_id = l.user_id
JOIN org o ON o.id = l.org
WHERE l.hash = $1;

-- name: GetLogin :one
SELECT * FROM login WHERE org = $1 AND id = $2;

-- name: TouchLogin :execrows
-- Notes a use, when the last noted one is older than older.
UPDATE login SET last_used_at = sqlc.arg(now)
WHERE org = $1 AND id = $2 AND last_used_at < sqlc.arg(older);

-- name: RevokeLogin :execrows
UPDATE login SET revoked_at = sqlc.arg(now) WHERE org = $1 AND id = $2 AND revoked_at IS NULL;

-- name: RevokeLoginsOfUser :many
UPDATE login SET revoked_at = sqlc.arg(now)
WHERE org = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > sqlc.arg(now)
RETURNING id;

-- name: CreateAPIKey :exec
INSERT INTO api_key (org, id, hash, user_id, name, created_at, expires_at, last_used_from, addresses, hint)
VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9);

-- name: GetAPIKeyByHash :one
SELECT k.org, k.id, k.hash, k.user_id, k.created_at, k.expires_at, k.last_used_at, k.last_used_from, k.revoked_at, k.addresses,
       m.kind, m.name, m.active, m.pending, m.valid_seconds, m.active_login, o.settings, f.confirmed_at AS factor_at
FROM api_key k
JOIN member m ON m.org = k.org AND m.user_id = k.user_id
JOIN org o ON o.id = k.org
LEFT JOIN factor f ON f.org = k.org AND f.user_id = k.user_id AND f.kind = 'totp'
WHERE k.hash = $1;

-- name: TouchAPIKey :execrows
-- Notes a use, when the last noted one is older than older.
UPDATE api_key SET last_used_at = sqlc.arg(now), last_used_from = sqlc.arg(address)
WHERE org = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < sqlc.arg(older));

-- name: GetAPIKey :one
-- A key that is not deleted.
SELECT k.*, m.name AS user_name, m.kind AS user_kind
FROM api_key k
JOIN member m ON m.org = k.org AND m.user_id = k.user_id
WHERE k.org = $1 AND k.id = $2 AND k.revoked_at IS NULL;

-- name: CountAPIKeysOfUser :one
-- Those that work.
SELECT COUNT(*) FROM api_key WHERE org = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3;

-- name: ListAPIKeys :many
-- A page, newest first, of those not deleted; an empty user means everyone's.
SELECT k.*, m.name AS user_name, m.kind AS user_kind
FROM api_key k
JOIN member m ON m.org = k.org AND m.user_id = k.user_id
WHERE k.org = sqlc.arg(org)
  AND (k.created_at, k.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND (CAST(sqlc.arg(owner) AS TEXT) = '' OR k.user_id = CAST(sqlc.arg(owner) AS TEXT))
  AND k.revoked_at IS NULL
ORDER BY k.created_at DESC, k.id DESC
LIMIT sqlc.arg(page);

-- name: RevokeAPIKey :execrows
UPDATE api_key SET revoked_at = sqlc.arg(now) WHERE org = $1 AND id = $2 AND revoked_at IS NULL;

-- name: CreateEnrolToken :exec
INSERT INTO enrol_token (org, id, hash, project, region, labels, uses, used, created_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10);

-- name: GetEnrolTokenByHash :one
SELECT * FROM enrol_token WHERE hash = $1;

-- name: GetEnrolToken :one
-- A token that is not deleted.
SELECT * FROM enrol_token WHERE org = $1 AND id = $2 AND revoked_at IS NULL;

-- name: ListEnrolTokens :many
-- A page, newest first, of those not deleted.
SELECT t.*, p.name AS project_name
FROM enrol_token t
JOIN project p ON p.org = t.org AND p.id = t.project
WHERE t.org = sqlc.arg(org)
  AND (t.created_at, t.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND (CAST(sqlc.arg(every_project) AS BIGINT) = 1 OR CAST(sqlc.arg(projects) AS TEXT) LIKE '%,' || t.project || ',%')
  AND t.revoked_at IS NULL
ORDER BY t.created_at DESC, t.id DESC
LIMIT sqlc.arg(page);

-- name: UseEnrolToken :execrows
-- Takes one use of a token: 0 rows means that none is left, or that it is deleted or too old.
UPDATE enrol_token SET used = used + 1
WHERE org = $1 AND id = $2 AND used < uses AND revoked_at IS NULL AND expires_at > sqlc.arg(now);

-- name: RevokeEnrolToken :execrows
UPDATE enrol_token SET revoked_at = sqlc.arg(now) WHERE org = $1 AND id = $2 AND revoked_at IS NULL;

-- name: CreateInstance :exec
INSERT INTO instance (org, id, project, name, region, public_key, token, hostname, os, arch, version, host, load, address, node, link, boot, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '{}', '{}', $12, '', 0, '', $13);

-- name: GetEnrolledInstance :one
-- The instance that came by this token with this key, for an agent that did not hear the answer.
SELECT * FROM instance WHERE org = $1 AND token = $2 AND public_key = $3 AND removed_at IS NULL;

-- name: GetAgent :one
-- What the control link needs of an instance that says its id; removed ones, too.
SELECT org, id, name, project, public_key, removed_at FROM instance WHERE id = $1;

-- name: ListInstanceNames :many
-- The names in use that are base or begin with it and a dash. base is an instance's name: it holds no wildcard.
SELECT name FROM instance
WHERE org = sqlc.arg(org) AND removed_at IS NULL
  AND (name = sqlc.arg(base) OR name LIKE CAST(sqlc.arg(base) AS TEXT) || '-%');

-- name: GetInstanceByName :one
SELECT * FROM instance WHERE org = $1 AND name = $2 AND removed_at IS NULL;

-- name: GetLiveInstance :one
SELECT * FROM instance WHERE org = $1 AND id = $2 AND removed_at IS NULL;

-- name: ListInstancesByPrefix :many
-- Those whose name or id begins with prefix, in order of name. prefix holds no wildcard but '_' (of an id).
SELECT * FROM instance
WHERE org = sqlc.arg(org) AND removed_at IS NULL
  AND (CAST(sqlc.arg(every_project) AS BIGINT) = 1 OR CAST(sqlc.arg(projects) AS TEXT) LIKE '%,' || project || ',%')
  AND (name LIKE CAST(sqlc.arg(prefix) AS TEXT) || '%' OR id LIKE CAST(sqlc.arg(prefix) AS TEXT) || '%')
ORDER BY name
LIMIT sqlc.arg(page);

-- name: ListInstances :many
-- A page, newest first. Empty prefix, empty label name: everything. The prefix holds no wildcard.
SELECT i.* FROM instance i
WHERE i.org = sqlc.arg(org)
  AND (i.created_at, i.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND i.removed_at IS NULL
  AND (CAST(sqlc.arg(every_project) AS BIGINT) = 1 OR CAST(sqlc.arg(projects) AS TEXT) LIKE '%,' || i.project || ',%')
  AND (CAST(sqlc.arg(prefix) AS TEXT) = '' OR i.name LIKE CAST(sqlc.arg(prefix) AS TEXT) || '%')
  AND (CAST(sqlc.arg(label_name) AS TEXT) = '' OR EXISTS (
    SELECT 1 FROM instance_label l
    WHERE l.org = i.org AND l.instance = i.id
      AND l.name = CAST(sqlc.arg(label_name) AS TEXT) AND l.value = CAST(sqlc.arg(label_value) AS TEXT)))
ORDER BY i.created_at DESC, i.id DESC
LIMIT sqlc.arg(page);

-- name: ListLabelsOfInstances :many
-- The labels of the instances from (first_at, first_id) down to (last_at, last_id) of a list.
SELECT l.* FROM instance_label l
JOIN instance i ON i.org = l.org AND i.id = l.instance
WHERE i.org = sqlc.arg(org)
  AND (i.created_at, i.id) <= (CAST(sqlc.arg(first_at) AS BIGINT), CAST(sqlc.arg(first_id) AS TEXT))
  AND (i.created_at, i.id) >= (CAST(sqlc.arg(last_at) AS BIGINT), CAST(sqlc.arg(last_id) AS TEXT))
  AND i.removed_at IS NULL;

-- name: CountSessionsOfInstances :many
-- How many live sessions the instances from (first_at, first_id) down to (last_at, last_id) of a list have.
SELECT s.instance, COUNT(*) AS sessions FROM session s
JOIN instance i ON i.org = s.org AND i.id = s.instance
WHERE i.org = sqlc.arg(org)
  AND (i.created_at, i.id) <= (CAST(sqlc.arg(first_at) AS BIGINT), CAST(sqlc.arg(first_id) AS TEXT))
  AND (i.created_at, i.id) >= (CAST(sqlc.arg(last_at) AS BIGINT), CAST(sqlc.arg(last_id) AS TEXT))
  AND i.removed_at IS NULL AND s.state <> 'ended'
GROUP BY s.instance;

-- name: ListLabels :many
SELECT * FROM instance_label WHERE org = $1 AND instance = $2 ORDER BY name;

-- name: PutLabel :exec
INSERT INTO instance_label (org, instance, name, value) VALUES ($1, $2, $3, $4)
ON CONFLICT (org, instance, name) DO UPDATE SET value = excluded.value;

-- name: DeleteLabel :exec
DELETE FROM instance_label WHERE org = $1 AND instance = $2 AND name = $3;

-- name: RenameInstance :execrows
UPDATE instance SET name = $3 WHERE org = $1 AND id = $2 AND removed_at IS NULL;

-- name: RemoveInstance :execrows
-- Its name is free again; its row stays for the sessions that speak of it. The agent is not let in any more.
UPDATE instance SET removed_at = sqlc.arg(now), node = '', link = link + 1 WHERE org = $1 AND id = $2 AND removed_at IS NULL;

-- name: AddLoginFailure :exec
INSERT INTO login_failure (subject, created_at, id) VALUES ($1, $2, $3);

-- name: ListLoginFailures :many
-- The newest of a subject since a time.
SELECT created_at FROM login_failure WHERE subject = $1 AND created_at > $2 ORDER BY created_at DESC LIMIT $3;

-- name: DeleteLoginFailure :exec
DELETE FROM login_failure WHERE subject = $1 AND id = $2;

-- name: DeleteLoginFailures :exec
DELETE FROM login_failure WHERE subject = $1;

-- name: PurgeLoginFailures :exec
DELETE FROM login_failure WHERE created_at < $1;
