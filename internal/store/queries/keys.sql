-- API keys and machine users, beside what identity.sql has.

-- name: ShortenAPIKey :execrows
-- Has a key run out earlier than it would.
UPDATE api_key SET expires_at = sqlc.arg(at) WHERE org = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > sqlc.arg(at);

-- name: ListSessionsOfDeadKeys :many
-- The live sessions that a node relays, of all organisations, whose API key ran out or was deleted.
SELECT s.* FROM session s
JOIN api_key k ON k.org = s.org AND k.id = s.credential_id
WHERE s.node = sqlc.arg(node) AND s.state <> 'ended' AND s.credential = 'api_key'
  AND (k.expires_at <= CAST(sqlc.arg(now) AS BIGINT) OR k.revoked_at IS NOT NULL)
ORDER BY s.id;
