-- Identity providers, whom they sent, and logins under way in a browser.

-- name: CreateIDP :execrows
-- 0 rows: the name is taken.
INSERT INTO idp (org, id, name, kind, settings, secret, valid_seconds, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (org, name) DO NOTHING;

-- name: GetIDP :one
SELECT * FROM idp WHERE org = $1 AND id = $2;

-- name: GetIDPByName :one
SELECT * FROM idp WHERE org = $1 AND name = $2;

-- name: FindIDP :one
-- By the id in a URL that is registered at the provider.
SELECT * FROM idp WHERE id = $1;

-- name: ListIDPs :many
-- A page, newest first; there are few.
SELECT i.*, (SELECT COUNT(*) FROM idp_account a WHERE a.org = i.org AND a.idp = i.id) AS accounts
FROM idp i WHERE i.org = $1
ORDER BY i.created_at DESC, i.id DESC LIMIT $2;

-- name: FirstOrgs :many
-- Whether there is more than one org.
SELECT id FROM org LIMIT 2;

-- name: AnyIDP :many
-- One row when there is any provider on this server.
SELECT id FROM idp LIMIT 1;

-- name: UpdateIDP :execrows
UPDATE idp SET settings = $3, secret = $4, valid_seconds = $5, updated_at = $6 WHERE org = $1 AND id = $2;

-- name: DeleteIDP :execrows
DELETE FROM idp WHERE org = $1 AND id = $2;

-- name: GetIDPAccount :one
SELECT * FROM idp_account WHERE org = $1 AND idp = $2 AND issuer = $3 AND subject = $4;

-- name: GetIDPAccountOfUser :one
-- What a provider calls a member, and the groups that it named last.
SELECT a.*, i.name AS idp_name FROM idp_account a
JOIN idp i ON i.org = a.org AND i.id = a.idp
WHERE a.org = $1 AND a.user_id = $2
ORDER BY a.last_login_at DESC LIMIT 1;

-- name: CreateIDPAccount :exec
INSERT INTO idp_account (org, idp, issuer, subject, user_id, created_at, last_login_at, said)
VALUES ($1, $2, $3, $4, $5, $6, $6, $7);

-- name: TouchIDPAccount :execrows
UPDATE idp_account SET last_login_at = $5, said = $6 WHERE org = $1 AND idp = $2 AND issuer = $3 AND subject = $4;

-- name: DeleteIDPAccounts :execrows
DELETE FROM idp_account WHERE org = $1 AND idp = $2;

-- name: CreateIDPMember :execrows
-- 0 rows: the name is taken.
INSERT INTO member (org, user_id, kind, name, active, created_at, idp) VALUES ($1, $2, 'idp', $3, 1, $4, $5) ON CONFLICT DO NOTHING;

-- name: DeactivateMembersOfIDP :many
UPDATE member SET active = 0 WHERE org = $1 AND idp = $2 AND active = 1 AND deleted_at IS NULL RETURNING user_id;

-- name: RevokeLoginsOfIDP :many
UPDATE login SET revoked_at = sqlc.arg(now)
WHERE org = $1 AND idp = $2 AND revoked_at IS NULL AND expires_at > sqlc.arg(now)
RETURNING id;

-- name: FindTeamForIDP :one
SELECT id FROM team WHERE org = $1 AND name = $2;

-- name: ListTeamsByIDP :many
-- The groups that a user is in because the provider says so.
SELECT team FROM team_member WHERE org = $1 AND user_id = $2 AND source = 'idp' ORDER BY team;

-- name: AddTeamByIDP :exec
INSERT INTO team_member (org, team, user_id, source) VALUES ($1, $2, $3, 'idp') ON CONFLICT DO NOTHING;

-- name: RemoveTeamByIDP :exec
DELETE FROM team_member WHERE org = $1 AND team = $2 AND user_id = $3 AND source = 'idp';

-- name: CreateLoginFlow :exec
INSERT INTO login_flow (id, kind, created_at, expires_at, client, address, browser, org, idp, idp_name, redirect_uri, challenge, client_state,
    user_code, poll_seconds, state, request, handle, person, user_id, password, token)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $10, $11, $12, $13, $14, '', '', '', '', '', '', $15);

-- name: GetLoginFlow :one
SELECT * FROM login_flow WHERE id = $1;

-- name: GetLoginFlowByState :one
SELECT * FROM login_flow WHERE state = $1 AND state <> '';

-- name: GetLoginFlowByUserCode :one
SELECT * FROM login_flow WHERE user_code = $1 AND user_code <> '' AND done_at IS NULL AND denied_at IS NULL AND expires_at > sqlc.arg(now)
ORDER BY created_at LIMIT 1;

-- name: GetLoginFlowByToken :one
SELECT * FROM login_flow WHERE token = $1 AND token <> '';

-- name: BindLoginFlow :execrows
-- The browser in which the code of a device was typed has it from now on, from the beginning.
UPDATE login_flow SET browser = $2, confirmed_at = NULL, state = '', handle = '', person = '', request = '', user_id = '', password = ''
WHERE id = $1 AND done_at IS NULL AND denied_at IS NULL;

-- name: ConfirmLoginFlow :execrows
UPDATE login_flow SET confirmed_at = sqlc.arg(now) WHERE id = $1 AND browser = $2 AND done_at IS NULL AND denied_at IS NULL;

-- name: ChooseLoginFlowOrg :execrows
UPDATE login_flow SET org = sqlc.arg(chosen), idp_name = '', user_id = '', password = '' WHERE id = $1 AND browser = $2 AND done_at IS NULL AND denied_at IS NULL;

-- name: SendLoginFlow :execrows
-- Notes what is expected back from a provider.
UPDATE login_flow SET idp = sqlc.arg(idp), state = sqlc.arg(state), request = sqlc.arg(request), handle = '', person = '', user_id = '', password = ''
WHERE id = $1 AND browser = $2 AND done_at IS NULL AND denied_at IS NULL;

-- name: TakeLoginFlowState :execrows
-- Once: 0 rows means that somebody came back with this state before.
UPDATE login_flow SET state = '' WHERE id = $1 AND state = $2 AND state <> '';

-- name: HoldLoginFlow :execrows
-- Keeps whom a SAML response was about until the browser shows the handle.
UPDATE login_flow SET handle = sqlc.arg(handle), person = sqlc.arg(person) WHERE id = $1 AND done_at IS NULL AND denied_at IS NULL;

-- name: TakeLoginFlowPerson :execrows
-- Once, as TakeLoginFlowState.
UPDATE login_flow SET handle = '', person = '' WHERE id = $1 AND handle = $2 AND handle <> '';

-- name: EndLoginFlow :execrows
-- Somebody proved who they are: 0 rows means that the flow was over.
UPDATE login_flow SET org = sqlc.arg(chosen), idp = sqlc.arg(idp), user_id = sqlc.arg(user_id), mfa_at = sqlc.arg(mfa_at), password = sqlc.arg(password), token = sqlc.arg(token),
    expires_at = sqlc.arg(until), done_at = sqlc.arg(now), state = '', handle = '', person = '', user_code = ''
WHERE id = $1 AND browser = $2 AND done_at IS NULL AND denied_at IS NULL AND expires_at > sqlc.arg(now);

-- name: DenyLoginFlow :execrows
UPDATE login_flow SET denied_at = sqlc.arg(now), user_code = '' WHERE id = $1 AND browser = $2 AND done_at IS NULL AND denied_at IS NULL;

-- name: PollLoginFlow :exec
UPDATE login_flow SET polled_at = sqlc.arg(now), poll_seconds = sqlc.arg(poll_seconds) WHERE id = $1;

-- name: UseLoginFlow :execrows
-- Once: 0 rows means that the client has its login already, or came too late.
UPDATE login_flow SET used_at = sqlc.arg(now) WHERE id = $1 AND used_at IS NULL AND done_at IS NOT NULL AND expires_at > sqlc.arg(now);

-- name: PurgeLoginFlows :exec
DELETE FROM login_flow WHERE expires_at < $1;
