-- API keys and machine users, beside what identity.sql has.

-- name: ShortenAPIKey :execrows
-- Has a key run out earlier than it would.
UPDATE api_key SET expires_at = sqlc.arg(at) WHERE org = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > sqlc.arg(at);

-- name: ListSessionsOfDeadKeys :many
-- The live sessions that a node relays, of all organisations, whose API key ran out or was deleted, is older than its
-- user's may be, or needs a login that lives when none does.
SELECT s.* FROM session s
JOIN api_key k ON k.org = s.org AND k.id = s.credential_id
JOIN member m ON m.org = k.org AND m.user_id = k.user_id
WHERE s.node = sqlc.arg(node) AND s.state <> 'ended' AND s.credential = 'api_key'
  AND (k.expires_at <= CAST(sqlc.arg(now) AS BIGINT) OR k.revoked_at IS NOT NULL
    OR (m.valid_seconds > 0 AND k.created_at + m.valid_seconds * 1000000 <= CAST(sqlc.arg(now) AS BIGINT))
    OR (m.active_login = 1 AND NOT EXISTS (SELECT 1 FROM login l
      WHERE l.org = m.org AND l.user_id = m.user_id AND l.revoked_at IS NULL AND (l.stage = '' OR l.stage = 'mfa' AND l.mfa_at IS NOT NULL) AND l.expires_at > CAST(sqlc.arg(now) AS BIGINT)
        AND (m.valid_seconds = 0 OR l.created_at + m.valid_seconds * 1000000 > CAST(sqlc.arg(now) AS BIGINT)))))
ORDER BY s.id;
