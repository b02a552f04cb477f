-- What ends with a member's credentials, and how many logins one member may have.

-- name: VoidLoginFlowsOf :execrows
-- Logins in a browser of somebody who proved who they are, and whose client has not fetched its login yet.
UPDATE login_flow SET expires_at = sqlc.arg(now) WHERE org = sqlc.arg(org) AND user_id = sqlc.arg(user_id) AND used_at IS NULL AND expires_at > sqlc.arg(now);

-- name: VoidLoginChallengesOf :execrows
-- Logins that wait for a second factor.
UPDATE login_challenge SET used_at = sqlc.arg(now) WHERE org = sqlc.arg(org) AND user_id = sqlc.arg(user_id) AND used_at IS NULL;

-- name: EndLoginsBeyond :many
-- Ends the logins of a member that were used longest ago, but the newest of them by use.
UPDATE login SET revoked_at = sqlc.arg(now)
WHERE login.org = sqlc.arg(org) AND login.user_id = sqlc.arg(user_id) AND login.revoked_at IS NULL AND login.expires_at > sqlc.arg(now)
  AND login.id NOT IN (
    SELECT l.id FROM login l
    WHERE l.org = sqlc.arg(org) AND l.user_id = sqlc.arg(user_id) AND l.revoked_at IS NULL AND l.expires_at > sqlc.arg(now)
    ORDER BY l.last_used_at DESC, l.created_at DESC, l.id DESC LIMIT sqlc.arg(most))
RETURNING login.id;

-- name: KeepOrgName :exec
-- A name that an organisation gives up stays its own.
INSERT INTO org_former_name (org, name, created_at) VALUES ($1, $2, $3)
ON CONFLICT (org, name) DO UPDATE SET created_at = excluded.created_at;

-- name: FormerOrgsOfName :many
-- The organisation that had a name.
SELECT org FROM org_former_name WHERE name = $1 ORDER BY org LIMIT 2;

-- name: HoldLoginFlowForCode :execrows
-- Somebody proved who they are by a first factor: the browser is asked for the second.
UPDATE login_flow SET org = sqlc.arg(chosen), idp = sqlc.arg(idp), user_id = sqlc.arg(user_id), password = sqlc.arg(password), state = '', handle = '', person = ''
WHERE id = sqlc.arg(id) AND browser = sqlc.arg(browser) AND done_at IS NULL AND denied_at IS NULL;

-- name: RestartLoginFlow :execrows
-- Somebody else goes on in the browser: what was proved there is void.
UPDATE login_flow SET user_id = '', password = '', idp_name = '' WHERE id = sqlc.arg(id) AND browser = sqlc.arg(browser) AND done_at IS NULL AND denied_at IS NULL;
