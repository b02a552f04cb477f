-- Controls of sessions, and what is counted for them.

-- name: SetSessionControls :exec
-- The caller holds the row by LockSession, or has just inserted it.
UPDATE session SET controls = $3, grace_ms = $4 WHERE org = $1 AND id = $2;

-- name: CountLiveSessionsOfUser :one
SELECT COUNT(*) FROM session WHERE org = $1 AND user_id = $2 AND state <> 'ended';

-- name: ListHeldSessions :many
-- The live sessions of a user, oldest first, for those who have to end one.
SELECT * FROM session WHERE org = $1 AND user_id = $2 AND state <> 'ended' ORDER BY created_at, id LIMIT $3;

-- name: PutConnection :exec
-- A participant has one: a newer takes the place of an older.
INSERT INTO connection (org, session, num, node, user_id, gen, since) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (org, session, num) DO UPDATE SET node = excluded.node, user_id = excluded.user_id, gen = excluded.gen, since = excluded.since;

-- name: DropConnection :execrows
-- Of that generation alone: a newer one stays.
DELETE FROM connection WHERE org = $1 AND session = $2 AND num = $3 AND gen = $4;

-- name: DropConnectionsOfSession :execrows
DELETE FROM connection WHERE org = $1 AND session = $2;

-- name: ForgetConnectionsOfNode :execrows
-- Of a node that begins, or is gone: of all organisations.
DELETE FROM connection WHERE node = $1;

-- name: ListConnectionsOfNode :many
-- Of all organisations, those made before a time.
SELECT org, session, num, gen FROM connection WHERE node = $1 AND since < $2;

-- name: CountConnectionsOfUser :one
-- Beside that of one participant of one session, which is about to be made anew.
SELECT COUNT(*) FROM connection
WHERE org = sqlc.arg(org) AND user_id = sqlc.arg(user_id) AND NOT (session = sqlc.arg(session) AND num = sqlc.arg(num));

-- name: ListHeldConnections :many
-- The sessions that a user is connected to, for those who have to leave one.
SELECT s.id, s.kind, s.instance_name, s.user_name, c.num, c.since FROM connection c JOIN session s ON s.org = c.org AND s.id = c.session
WHERE c.org = $1 AND c.user_id = $2 ORDER BY c.since, c.session LIMIT $3;

-- name: ListOtherNodes :many
-- The nodes that hold connections, but one.
SELECT n.id, n.counter FROM node n WHERE n.id <> $1 AND EXISTS (SELECT 1 FROM connection c WHERE c.node = n.id);

-- name: BeatNode :exec
-- A node whose counter stands still is gone.
UPDATE node SET counter = counter + 1 WHERE id = $1;

-- name: ListCredentialsOfNode :many
-- Until when the login or key is valid that each live session on a node was started with, of all organisations.
SELECT s.id, s.credential, m.valid_seconds, o.settings,
    CAST(COALESCE(l.expires_at, k.expires_at, 0) AS BIGINT) AS expires_at,
    CAST(COALESCE(l.created_at, k.created_at, 0) AS BIGINT) AS created_at,
    CAST(COALESCE(l.revoked_at, k.revoked_at, 0) AS BIGINT) AS revoked_at
FROM session s
JOIN member m ON m.org = s.org AND m.user_id = s.user_id
JOIN org o ON o.id = s.org
LEFT JOIN login l ON s.credential = 'login' AND l.org = s.org AND l.id = s.credential_id
LEFT JOIN api_key k ON s.credential = 'api_key' AND k.org = s.org AND k.id = s.credential_id
WHERE s.node = $1 AND s.state <> 'ended';

-- name: UseLogin :execrows
-- Notes a use, when the last noted one is older than older, of a login that was used after a moment: what is over stays over.
UPDATE login SET last_used_at = sqlc.arg(now)
WHERE org = sqlc.arg(org) AND id = sqlc.arg(id) AND revoked_at IS NULL AND last_used_at < sqlc.arg(older) AND last_used_at > sqlc.arg(after);
