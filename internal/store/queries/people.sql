-- People as members, their groups, projects and what they were given.

-- name: LoginRevoked :one
-- Whether there is such a login, and whether it was revoked.
SELECT COUNT(*) AS known, COUNT(revoked_at) AS revoked FROM login WHERE org = $1 AND id = $2;

-- name: APIKeyRevoked :one
-- Whether there is such a key, and whether it was revoked.
SELECT COUNT(*) AS known, COUNT(revoked_at) AS revoked FROM api_key WHERE org = $1 AND id = $2;
