-- People as members, their groups, projects and what they were given.

-- name: LoginRevoked :one
-- Whether there is such a login, and whether it was revoked.
SELECT COUNT(*) AS known, COUNT(revoked_at) AS revoked FROM login WHERE org = $1 AND id = $2;

-- name: APIKeyRevoked :one
-- Whether there is such a key, and whether it was revoked.
SELECT COUNT(*) AS known, COUNT(revoked_at) AS revoked FROM api_key WHERE org = $1 AND id = $2;

-- name: CountOrgAdmins :one
-- The people who can log in now and are org-admin of the whole organisation, by themselves or by a group.
SELECT COUNT(*) FROM member m
WHERE m.org = sqlc.arg(org) AND m.kind <> 'machine' AND m.active = 1 AND m.pending = 0 AND m.deleted_at IS NULL
  AND (m.kind = 'idp' OR EXISTS (SELECT 1 FROM person p WHERE p.id = m.user_id AND p.password_hash <> ''))
  AND EXISTS (SELECT 1 FROM role_grant g WHERE g.org = m.org AND g.role = 'org-admin' AND g.project = ''
    AND (g.user_id = m.user_id OR g.team IN (SELECT tm.team FROM team_member tm WHERE tm.org = g.org AND tm.user_id = m.user_id)));

-- name: IsOrgAdmin :one
-- How many grants make a user org-admin of the whole organisation.
SELECT COUNT(*) FROM role_grant g
WHERE g.org = sqlc.arg(org) AND g.role = 'org-admin' AND g.project = ''
  AND (g.user_id = sqlc.arg(user_id) OR g.team IN (SELECT tm.team FROM team_member tm WHERE tm.org = g.org AND tm.user_id = sqlc.arg(user_id)));

-- name: AddTeam :execrows
-- 0 rows: there is a group of that name.
INSERT INTO team (org, id, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (org, name) DO NOTHING;

-- name: GetTeam :one
SELECT * FROM team WHERE org = $1 AND id = $2;

-- name: GetTeamByName :one
SELECT * FROM team WHERE org = $1 AND name = $2;

-- name: ListTeams :many
-- A page, newest first, with how many are in each.
SELECT t.*, (SELECT COUNT(DISTINCT tm.user_id) FROM team_member tm WHERE tm.org = t.org AND tm.team = t.id) AS members
FROM team t
WHERE t.org = sqlc.arg(org)
  AND (t.created_at, t.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
ORDER BY t.created_at DESC, t.id DESC
LIMIT sqlc.arg(page);

-- name: DeleteTeam :execrows
-- After its members and grants.
DELETE FROM team WHERE org = $1 AND id = $2;

-- name: PutTeamMember :execrows
-- 0 rows: they are in it already, by the same source.
INSERT INTO team_member (org, team, user_id, source) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: DropTeamMember :execrows
DELETE FROM team_member WHERE org = $1 AND team = $2 AND user_id = $3 AND source = $4;

-- name: EmptyTeam :execrows
DELETE FROM team_member WHERE org = $1 AND team = $2;

-- name: LeaveTeams :execrows
DELETE FROM team_member WHERE org = $1 AND user_id = $2;

-- name: ListTeamMembers :many
-- Who is in a group and by what, by name.
SELECT m.user_id, m.name, m.kind, m.active, tm.source FROM team_member tm
JOIN member m ON m.org = tm.org AND m.user_id = tm.user_id
WHERE tm.org = $1 AND tm.team = $2 ORDER BY m.name, tm.source LIMIT $3;

-- name: AddProject :execrows
-- 0 rows: there is a project of that name.
INSERT INTO project (org, id, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (org, name) DO NOTHING;

-- name: PageProjects :many
-- A page, newest first, with the instances of each.
SELECT p.*, (SELECT COUNT(*) FROM instance i WHERE i.org = p.org AND i.project = p.id AND i.removed_at IS NULL) AS instances
FROM project p
WHERE p.org = sqlc.arg(org)
  AND (p.created_at, p.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
ORDER BY p.created_at DESC, p.id DESC
LIMIT sqlc.arg(page);

-- name: RenameProject :execrows
UPDATE project SET name = $3 WHERE org = $1 AND id = $2;

-- name: CountInProject :one
-- The instances of a project, and the tokens by which more may come.
SELECT
    (SELECT COUNT(*) FROM instance i WHERE i.org = p.org AND i.project = p.id AND i.removed_at IS NULL) AS instances,
    (SELECT COUNT(*) FROM enrol_token t WHERE t.org = p.org AND t.project = p.id AND t.revoked_at IS NULL
        AND t.used < t.uses AND t.expires_at > CAST(sqlc.arg(now) AS BIGINT)) AS tokens
FROM project p WHERE p.org = sqlc.arg(org) AND p.id = sqlc.arg(id);

-- name: DeleteProject :execrows
DELETE FROM project WHERE org = $1 AND id = $2;

-- name: MoveInstance :execrows
UPDATE instance SET project = $3 WHERE org = $1 AND id = $2 AND removed_at IS NULL;

-- name: MoveLiveSessions :execrows
-- What runs on an instance goes with it; what is over stays with the project it ran in.
UPDATE session SET project = $3 WHERE org = $1 AND instance = $2 AND state <> 'ended';

-- name: GiveRole :execrows
-- 0 rows: they have it already. One of user_id and team is empty.
INSERT INTO role_grant (org, id, user_id, team, role, project, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (org, user_id, team, role, project) DO NOTHING;

-- name: GetGrant :one
SELECT g.*, CAST(COALESCE(m.name, '') AS TEXT) AS user_name, CAST(COALESCE(t.name, '') AS TEXT) AS team_name,
       CAST(COALESCE(p.name, '') AS TEXT) AS project_name
FROM role_grant g
LEFT JOIN member m ON m.org = g.org AND m.user_id = g.user_id
LEFT JOIN team t ON t.org = g.org AND t.id = g.team
LEFT JOIN project p ON p.org = g.org AND p.id = g.project
WHERE g.org = $1 AND g.id = $2;

-- name: FindGrant :one
SELECT id FROM role_grant WHERE org = $1 AND user_id = $2 AND team = $3 AND role = $4 AND project = $5;

-- name: ListGrants :many
-- A page, newest first. Empty owner, empty of_team: everybody's.
SELECT g.*, CAST(COALESCE(m.name, '') AS TEXT) AS user_name, CAST(COALESCE(t.name, '') AS TEXT) AS team_name,
       CAST(COALESCE(p.name, '') AS TEXT) AS project_name
FROM role_grant g
LEFT JOIN member m ON m.org = g.org AND m.user_id = g.user_id
LEFT JOIN team t ON t.org = g.org AND t.id = g.team
LEFT JOIN project p ON p.org = g.org AND p.id = g.project
WHERE g.org = sqlc.arg(org)
  AND (g.created_at, g.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND (CAST(sqlc.arg(every_project) AS BIGINT) = 1 OR CAST(sqlc.arg(projects) AS TEXT) LIKE '%,' || g.project || ',%')
  AND (CAST(sqlc.arg(owner) AS TEXT) = '' OR g.user_id = CAST(sqlc.arg(owner) AS TEXT))
  AND (CAST(sqlc.arg(of_team) AS TEXT) = '' OR g.team = CAST(sqlc.arg(of_team) AS TEXT))
  AND (CAST(sqlc.arg(of_project) AS TEXT) = '' OR g.project = CAST(sqlc.arg(of_project) AS TEXT))
ORDER BY g.created_at DESC, g.id DESC
LIMIT sqlc.arg(page);

-- name: ListGrantsOfTeam :many
SELECT * FROM role_grant WHERE org = $1 AND team = $2 ORDER BY created_at, id;

-- name: TakeRole :execrows
DELETE FROM role_grant WHERE org = $1 AND id = $2;

-- name: TakeRolesOfUser :execrows
DELETE FROM role_grant WHERE org = $1 AND user_id = $2;

-- name: TakeRolesOfTeam :execrows
DELETE FROM role_grant WHERE org = $1 AND team = $2;

-- name: TakeRolesOnProject :execrows
DELETE FROM role_grant WHERE org = $1 AND project = $2;

-- name: CountRoles :one
-- Whether the organisation has a role of its own of this name.
SELECT COUNT(*) FROM role WHERE org = $1 AND name = $2;

-- name: ListOwnRoles :many
SELECT name FROM role WHERE org = $1 ORDER BY name LIMIT $2;

-- name: ListMembers :many
-- A page of users, newest first.
SELECT m.*, CAST(COALESCE(p.name, '') AS TEXT) AS full_name, p.password_expires_at,
       CAST(COALESCE((SELECT MIN(f.kind) FROM factor f WHERE f.org = m.org AND f.user_id = m.user_id AND f.confirmed_at IS NOT NULL), '') AS TEXT) AS factor
FROM member m
LEFT JOIN person p ON p.id = m.user_id
WHERE m.org = sqlc.arg(org)
  AND (m.created_at, m.user_id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND (CAST(sqlc.arg(deleted) AS BIGINT) = 1 OR m.deleted_at IS NULL)
  AND (CAST(sqlc.arg(kind) AS TEXT) = '' OR m.kind = CAST(sqlc.arg(kind) AS TEXT))
ORDER BY m.created_at DESC, m.user_id DESC
LIMIT sqlc.arg(page);

-- name: ShowMember :one
-- One row of ListMembers.
SELECT m.*, CAST(COALESCE(p.name, '') AS TEXT) AS full_name, p.password_expires_at,
       CAST(COALESCE((SELECT MIN(f.kind) FROM factor f WHERE f.org = m.org AND f.user_id = m.user_id AND f.confirmed_at IS NOT NULL), '') AS TEXT) AS factor
FROM member m
LEFT JOIN person p ON p.id = m.user_id
WHERE m.org = $1 AND m.user_id = $2;

-- name: ListRolesOfMembers :many
-- What the users from (first_at, first_id) down to (last_at, last_id) of a list hold, directly and by groups.
SELECT m.user_id AS member_id, g.role, CAST(COALESCE(p.name, '') AS TEXT) AS project_name, CAST(COALESCE(t.name, '') AS TEXT) AS team_name
FROM member m
JOIN role_grant g ON g.org = m.org AND (g.user_id = m.user_id
    OR g.team IN (SELECT tm.team FROM team_member tm WHERE tm.org = m.org AND tm.user_id = m.user_id))
LEFT JOIN project p ON p.org = g.org AND p.id = g.project
LEFT JOIN team t ON t.org = g.org AND t.id = g.team
WHERE m.org = sqlc.arg(org)
  AND (m.created_at, m.user_id) <= (CAST(sqlc.arg(first_at) AS BIGINT), CAST(sqlc.arg(first_id) AS TEXT))
  AND (m.created_at, m.user_id) >= (CAST(sqlc.arg(last_at) AS BIGINT), CAST(sqlc.arg(last_id) AS TEXT))
ORDER BY g.created_at, g.id;

-- name: ListTeamsOfMembers :many
-- The groups of the users from (first_at, first_id) down to (last_at, last_id) of a list.
SELECT m.user_id AS member_id, t.name, tm.source
FROM member m
JOIN team_member tm ON tm.org = m.org AND tm.user_id = m.user_id
JOIN team t ON t.org = tm.org AND t.id = tm.team
WHERE m.org = sqlc.arg(org)
  AND (m.created_at, m.user_id) <= (CAST(sqlc.arg(first_at) AS BIGINT), CAST(sqlc.arg(first_id) AS TEXT))
  AND (m.created_at, m.user_id) >= (CAST(sqlc.arg(last_at) AS BIGINT), CAST(sqlc.arg(last_id) AS TEXT))
ORDER BY t.name;

-- name: InviteMember :execrows
-- 0 rows: the name is taken, or the person is or was a member.
INSERT INTO member (org, user_id, kind, name, active, created_at, pending) VALUES ($1, $2, 'local', $3, 1, $4, $5) ON CONFLICT DO NOTHING;

-- name: ReviveMember :execrows
-- Somebody who was deleted is invited again: of what they had nothing is left.
UPDATE member SET deleted_at = NULL, active = 1, pending = sqlc.arg(pending), created_at = sqlc.arg(created_at), name = sqlc.arg(name),
    last_seen_at = NULL, valid_seconds = 0, active_login = 0, idp = ''
WHERE org = sqlc.arg(org) AND user_id = sqlc.arg(user_id) AND kind = 'local' AND deleted_at IS NOT NULL;

-- name: JoinMember :execrows
UPDATE member SET pending = 0 WHERE org = $1 AND user_id = $2 AND pending = 1;

-- name: EntombMember :execrows
UPDATE member SET deleted_at = sqlc.arg(now), active = 0, pending = 0 WHERE org = $1 AND user_id = $2 AND deleted_at IS NULL;

-- name: SetMemberLimits :execrows
UPDATE member SET valid_seconds = $3, active_login = $4 WHERE org = $1 AND user_id = $2;

-- name: SeenMember :execrows
-- Notes the last access, at most once in a while.
UPDATE member SET last_seen_at = sqlc.arg(now)
WHERE org = $1 AND user_id = $2 AND (last_seen_at IS NULL OR last_seen_at < sqlc.arg(older));

-- name: SetPersonName :execrows
UPDATE person SET name = $2 WHERE id = $1;

-- name: ListOrgsOfPerson :many
-- Where somebody is a member, invited or deactivated ones, too.
SELECT m.org, m.user_id, m.active, m.pending FROM member m WHERE m.user_id = $1 AND m.deleted_at IS NULL ORDER BY m.created_at, m.org LIMIT $2;

-- name: RevokeOtherLogins :many
-- Those of a user, but one.
UPDATE login SET revoked_at = sqlc.arg(now) WHERE org = $1 AND user_id = $2 AND revoked_at IS NULL AND id <> sqlc.arg(keep)
RETURNING id;

-- name: RevokeAPIKeysOfUser :many
UPDATE api_key SET revoked_at = sqlc.arg(now) WHERE org = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING id;

-- name: PurgeLogins :execrows
-- Some of those that ran out long ago, in all organisations; one by which a session was started that still lives is kept.
DELETE FROM login WHERE hash IN (
    SELECT l.hash FROM login l
    WHERE l.expires_at < $1 AND NOT EXISTS (
        SELECT 1 FROM session s WHERE s.org = l.org AND s.user_id = l.user_id AND s.credential_id = l.id AND s.state <> 'ended')
    ORDER BY l.expires_at LIMIT CAST(sqlc.arg(page) AS BIGINT));

-- name: ListLoginsSince :many
-- The logins of a user that began up to a time and were not ended.
SELECT id FROM login WHERE org = $1 AND user_id = $2 AND revoked_at IS NULL AND created_at <= $3;

-- name: ListAPIKeysSince :many
-- The keys of a user that were made up to a time and not deleted.
SELECT id FROM api_key WHERE org = $1 AND user_id = $2 AND revoked_at IS NULL AND created_at <= $3;

-- name: CountLiveLogins :one
-- The logins of a user that are good for something: used since a time, begun after another, with nothing left to do first.
SELECT COUNT(*) FROM login
WHERE org = sqlc.arg(org) AND user_id = sqlc.arg(user_id) AND revoked_at IS NULL AND expires_at > sqlc.arg(now) AND (stage = '' OR stage = 'mfa' AND mfa_at IS NOT NULL)
  AND last_used_at > sqlc.arg(used_since) AND created_at > sqlc.arg(begun_since);

-- name: SetLoginStage :execrows
UPDATE login SET stage = $3 WHERE org = $1 AND id = $2;

-- name: SetTemporaryPassword :execrows
-- Of somebody who has no password.
UPDATE person SET password_hash = $2, password_set_at = $3, password_expires_at = $4 WHERE id = $1
    AND (password_hash = '' OR password_expires_at IS NOT NULL);

-- name: ReplacePassword :execrows
-- 0 rows: it is not the one it was.
UPDATE person SET password_hash = sqlc.arg(hash), password_set_at = sqlc.arg(now), password_expires_at = NULL
WHERE id = sqlc.arg(id) AND password_hash = sqlc.arg(was);

-- name: ErasePerson :execrows
UPDATE person SET password_hash = '', password_expires_at = NULL, name = '' WHERE id = $1;

-- name: KeepFormerPassword :exec
INSERT INTO password_history (user_id, created_at, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: ListFormerPasswords :many
SELECT hash, created_at FROM password_history WHERE user_id = $1 ORDER BY created_at DESC, hash LIMIT $2;

-- name: ForgetFormerPasswords :execrows
-- Those up to a time.
DELETE FROM password_history WHERE user_id = $1 AND created_at <= $2;

-- name: SetInviteMail :execrows
UPDATE invite SET mail = $3 WHERE org = $1 AND id = $2;

-- name: GetLastInvite :one
SELECT * FROM invite WHERE org = $1 AND user_id = $2 ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: CreateResetLink :exec
INSERT INTO reset_link (hash, user_id, created_at, expires_at, made_by, mail) VALUES ($1, $2, $3, $4, $5, $6);

-- name: GetResetLink :one
SELECT r.*, p.email FROM reset_link r JOIN person p ON p.id = r.user_id WHERE r.hash = $1;

-- name: UseResetLink :execrows
-- Once: 0 rows means that it is used, void or too old.
UPDATE reset_link SET used_at = sqlc.arg(now) WHERE hash = $1 AND used_at IS NULL AND expires_at > sqlc.arg(now);

-- name: VoidResetLinks :execrows
-- Ends the unused links of a person.
UPDATE reset_link SET expires_at = sqlc.arg(now) WHERE user_id = $1 AND used_at IS NULL AND expires_at > sqlc.arg(now);

-- name: ListResetLinks :many
-- When the links of a person were made that are younger than a time.
SELECT created_at FROM reset_link WHERE user_id = $1 AND created_at > $2 LIMIT $3;

-- name: ForgetResetLinks :execrows
DELETE FROM reset_link WHERE user_id = $1;

-- name: SetResetMail :execrows
UPDATE reset_link SET mail = $2 WHERE hash = $1;

-- name: ForgetFactors :execrows
DELETE FROM factor WHERE org = $1 AND user_id = $2;

-- name: ForgetRecoveryCodes :execrows
DELETE FROM recovery_code WHERE org = $1 AND user_id = $2;
