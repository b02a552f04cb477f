-- Second factors, the limits on logins, and what organisations set for all of theirs.

-- name: GetFactor :one
SELECT * FROM factor WHERE org = $1 AND user_id = $2 AND kind = $3;

-- name: BeginFactor :execrows
-- Begins an enrolment, or begins it anew; 0 rows: the member has such a factor, confirmed.
INSERT INTO factor (org, user_id, kind, secret, last_counter, created_at) VALUES ($1, $2, $3, $4, 0, $5)
ON CONFLICT (org, user_id, kind) DO UPDATE SET secret = excluded.secret, last_counter = 0, created_at = excluded.created_at
WHERE factor.confirmed_at IS NULL;

-- name: ConfirmFactor :execrows
-- Ends an enrolment with the first code that was right for the secret; 0 rows: it is confirmed, or another one was begun.
UPDATE factor SET confirmed_at = sqlc.arg(now), last_counter = sqlc.arg(counter)
WHERE org = $1 AND user_id = $2 AND kind = $3 AND secret = $4 AND confirmed_at IS NULL;

-- name: UseFactor :execrows
-- Uses the code of a time step up: 0 rows means that it, or a later one, was used before.
UPDATE factor SET last_counter = sqlc.arg(counter)
WHERE org = $1 AND user_id = $2 AND kind = $3 AND last_counter < sqlc.arg(counter) AND confirmed_at IS NOT NULL;

-- name: DeleteFactors :execrows
DELETE FROM factor WHERE org = $1 AND user_id = $2;

-- name: CreateRecoveryCode :exec
INSERT INTO recovery_code (org, user_id, hash) VALUES ($1, $2, $3);

-- name: UseRecoveryCode :execrows
UPDATE recovery_code SET used_at = sqlc.arg(now) WHERE org = $1 AND user_id = $2 AND hash = $3 AND used_at IS NULL;

-- name: CountRecoveryCodes :one
-- Those not used yet.
SELECT COUNT(*) FROM recovery_code WHERE org = $1 AND user_id = $2 AND used_at IS NULL;

-- name: DeleteRecoveryCodes :exec
DELETE FROM recovery_code WHERE org = $1 AND user_id = $2;

-- name: SetLoginMFA :execrows
-- The login showed a second factor now.
UPDATE login SET mfa_at = sqlc.arg(mfa_at) WHERE org = $1 AND id = $2;

-- name: ClearLoginMFA :exec
-- A factor that is gone stands for nothing any more.
UPDATE login SET mfa_at = NULL WHERE org = $1 AND user_id = $2 AND mfa_at IS NOT NULL;

-- name: CreateLoginChallenge :exec
INSERT INTO login_challenge (org, hash, user_id, password, client, idp, until, guesses, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9);

-- name: GetLoginChallengeByHash :one
SELECT c.*, m.name, m.kind, o.name AS org_name
FROM login_challenge c
JOIN member m ON m.org = c.org AND m.user_id = c.user_id
JOIN org o ON o.id = c.org
WHERE c.hash = $1;

-- name: GuessLoginChallenge :execrows
-- Takes one guess: 0 rows means that none is left, or that it is used or too old.
UPDATE login_challenge SET guesses = guesses + 1
WHERE org = $1 AND hash = $2 AND guesses < sqlc.arg(most) AND used_at IS NULL AND expires_at > sqlc.arg(now);

-- name: UseLoginChallenge :execrows
UPDATE login_challenge SET used_at = sqlc.arg(now) WHERE org = $1 AND hash = $2 AND used_at IS NULL;

-- name: PurgeLoginChallenges :exec
DELETE FROM login_challenge WHERE expires_at < $1;

-- name: ListAccounts :many
-- What a login by e-mail address needs: the person, and the orgs they are a member of, oldest first.
SELECT p.id AS user_id, p.password_hash, m.org, m.active, o.name AS org_name, o.settings, f.confirmed_at AS factor_at
FROM person p
JOIN member m ON m.user_id = p.id
JOIN org o ON o.id = m.org
LEFT JOIN factor f ON f.org = m.org AND f.user_id = m.user_id AND f.kind = 'totp'
WHERE p.email = $1 AND m.deleted_at IS NULL AND m.pending = 0
ORDER BY m.created_at, m.org
LIMIT 1000;

-- name: GetOrgFrom :one
-- The first org at or behind an id.
SELECT * FROM org WHERE id >= sqlc.arg(id) ORDER BY id LIMIT 1;

-- name: GetLoginPlace :one
SELECT * FROM login_place WHERE account = $1 AND address = $2;

-- name: ListLoginPlaces :many
-- The last ones used.
SELECT * FROM login_place WHERE account = $1 ORDER BY used_at DESC LIMIT 1000;

-- name: PutLoginPlace :exec
INSERT INTO login_place (account, address, used_at) VALUES ($1, $2, $3)
ON CONFLICT (account, address) DO UPDATE SET used_at = excluded.used_at;

-- name: PurgeLoginPlaces :exec
DELETE FROM login_place WHERE used_at < $1;

-- name: GetLoginBlock :one
SELECT * FROM login_block WHERE address = $1;

-- name: PutLoginBlock :exec
INSERT INTO login_block (address, strikes, blocked_until) VALUES ($1, $2, $3)
ON CONFLICT (address) DO UPDATE SET strikes = excluded.strikes, blocked_until = excluded.blocked_until;

-- name: PurgeLoginBlocks :exec
DELETE FROM login_block WHERE blocked_until < $1;
