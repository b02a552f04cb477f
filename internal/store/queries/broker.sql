-- The life of sessions, and the control links of agents.

-- name: InsertSession :exec
INSERT INTO session (
    org, id, kind, state, instance, instance_name, project, hostname, instance_addr, user_id, user_name, credential,
    credential_id, client_addr, os_user, reason, command, tty, owner_key, node, epoch, client_minted, client_redeemed,
    agent_minted, agent_redeemed, grace_ms, created_at, end_reason, ended_by, end_message, exit, recording, rec_bytes,
    rec_stored, rec_digest, rec_problem, former_keys, mfa_at, idp, lease_ms
) VALUES (
    $1, $2, $3, 'pending', $4, $5, $6, $7, $8, $9, $10, $11,
    $12, $13, $14, $15, $16, $17, $18, $19, 0, 1, 0,
    1, 0, $20, $21, '', '', '', '', 'recording', 0,
    0, '', '', '', $22, $23, $24
);

-- name: GetSession :one
SELECT * FROM session WHERE org = $1 AND id = $2;

-- name: GetSessionByID :one
-- Whoever resumes by the session's key is known by nothing else yet; its signature is checked against the row.
SELECT * FROM session WHERE id = $1;

-- name: LockSession :one
-- The row as it is now, held against other writers until the end of the transaction. Every change of a session begins
-- with it and ends with SaveSession.
UPDATE session SET state = state WHERE org = $1 AND id = $2 RETURNING *;

-- name: SaveSession :exec
-- Writes what may change in a session's life; the caller holds it by LockSession.
UPDATE session SET
    state = $3, credential = $4, credential_id = $5, owner_key = $6, node = $7, epoch = $8, client_minted = $9,
    client_redeemed = $10, agent_minted = $11, agent_redeemed = $12, started_at = $13, owner_at = $14, detached_at = $15,
    ended_at = $16, end_reason = $17, ended_by = $18, end_message = $19, exit = $20, delivered_at = $21, recording = $22,
    former_keys = $23
WHERE org = $1 AND id = $2;

-- name: SaveRecording :execrows
UPDATE session SET recording = $3, rec_bytes = $4, rec_stored = $5, rec_digest = $6, rec_problem = $7
WHERE org = $1 AND id = $2;

-- name: ListSessionsByPrefix :many
-- Sessions whose id begins so, newest first; for names that people shorten.
SELECT * FROM session WHERE org = sqlc.arg(org) AND id LIKE CAST(sqlc.arg(pattern) AS TEXT) ORDER BY created_at DESC, id DESC LIMIT 20;

-- name: ListLiveSessionsOfInstance :many
SELECT * FROM session WHERE org = $1 AND instance = $2 AND state <> 'ended' ORDER BY id;

-- name: ListLiveSessionsOfCredential :many
SELECT * FROM session WHERE org = $1 AND credential_id = $2 AND state <> 'ended' ORDER BY id;

-- name: ListLiveSessionsOfUser :many
SELECT * FROM session WHERE org = $1 AND user_id = $2 AND state <> 'ended' ORDER BY id;

-- name: ListLiveSessionsOfNode :many
-- Of all organisations: what this server looks after.
SELECT * FROM session WHERE node = $1 AND state <> 'ended' ORDER BY id;

-- name: ListLingeringSessionsOfNode :many
-- Ended by exit and not delivered yet, of all organisations.
SELECT * FROM session WHERE node = $1 AND state = 'ended' AND end_reason = 'exit' AND delivered_at IS NULL AND ended_at > $2 ORDER BY id;

-- name: ListUnclosedRecordingsOfNode :many
-- Ended, with a recording that was never completed, of all organisations.
SELECT * FROM session WHERE node = $1 AND state = 'ended' AND recording = 'recording' ORDER BY id;

-- name: ListExpiredSessionsOfNode :many
-- Pending, detached or without moderators, and for too long by the clock alone, of all organisations; the caller looks again.
SELECT * FROM session
WHERE node = sqlc.arg(node) AND state <> 'ended'
  AND ((state = 'pending' AND created_at <= CAST(sqlc.arg(pending_since) AS BIGINT))
       OR (state = 'detached' AND detached_at + grace_ms * 1000 <= CAST(sqlc.arg(now) AS BIGINT))
       OR unmoderated_until <= CAST(sqlc.arg(now) AS BIGINT))
ORDER BY id;

-- name: InsertSessionParams :exec
INSERT INTO session_params (org, session, params) VALUES ($1, $2, $3);

-- name: GetSessionParams :one
SELECT params FROM session_params WHERE org = $1 AND session = $2;

-- name: PurgeSessionParams :execrows
-- Of sessions that ended before $1, in all organisations.
DELETE FROM session_params WHERE EXISTS (
    SELECT 1 FROM session WHERE session.org = session_params.org AND session.id = session_params.session AND session.ended_at < $1);

-- name: InsertTicket :exec
INSERT INTO ticket (org, hash, session, side, gen, node, owner_key, attach, user_id, credential, credential_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: GetTicketByHash :one
-- The ticket tells the org: whoever holds it is known by nothing else yet.
SELECT * FROM ticket WHERE hash = $1;

-- name: UseTicket :execrows
-- Once: 0 rows means that it is used.
UPDATE ticket SET used_at = sqlc.arg(now) WHERE org = $1 AND hash = $2 AND used_at IS NULL;

-- name: PurgeTickets :execrows
DELETE FROM ticket WHERE expires_at < $1;

-- name: InsertResumeNonce :execrows
-- 0 rows: it was used before.
INSERT INTO resume_nonce (org, session, nonce, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (org, session, nonce) DO NOTHING;

-- name: PurgeResumeNonces :execrows
-- Of sessions that ended before $1: as long as a session lives, a signature for it serves once.
DELETE FROM resume_nonce WHERE EXISTS (
    SELECT 1 FROM session WHERE session.org = resume_nonce.org AND session.id = resume_nonce.session AND session.ended_at < $1);

-- name: GetSessionOwner :one
-- Who owns a session, how many logins and keys that count have the id of the credential it was started by, and the
-- addresses that key is limited to.
SELECT member.*,
    (SELECT COUNT(*) FROM login WHERE login.org = member.org AND login.user_id = member.user_id
        AND login.id = CAST(sqlc.arg(credential_id) AS TEXT) AND login.revoked_at IS NULL) AS logins,
    (SELECT COUNT(*) FROM api_key WHERE api_key.org = member.org AND api_key.user_id = member.user_id
        AND api_key.id = CAST(sqlc.arg(credential_id) AS TEXT) AND api_key.revoked_at IS NULL
        AND api_key.expires_at > CAST(sqlc.arg(now) AS BIGINT)) AS api_keys,
    CAST(COALESCE((SELECT api_key.addresses FROM api_key WHERE api_key.org = member.org AND api_key.user_id = member.user_id
        AND api_key.id = CAST(sqlc.arg(credential_id) AS TEXT)), '') AS TEXT) AS addresses
FROM member WHERE member.org = sqlc.arg(org) AND member.user_id = sqlc.arg(user_id);

-- name: ConnectInstance :one
-- A new control link, which fences the ones before it.
UPDATE instance SET link = link + 1, node = $3, boot = $4, hostname = $5, os = $6, arch = $7, version = $8, host = $9, address = $10, last_seen = $11
WHERE org = $1 AND id = $2 AND removed_at IS NULL
RETURNING *;

-- name: TouchInstance :execrows
UPDATE instance SET last_seen = $4, load = $5 WHERE org = $1 AND id = $2 AND link = $3;

-- name: DisconnectInstance :execrows
UPDATE instance SET node = '', last_seen = $4 WHERE org = $1 AND id = $2 AND link = $3;

-- name: ForgetLinksOfNode :execrows
-- A server that starts holds no links yet.
UPDATE instance SET node = '' WHERE node = $1;

-- name: PutNode :exec
INSERT INTO node (id, url, counter, started_at) VALUES ($1, $2, 1, $3)
ON CONFLICT (id) DO UPDATE SET url = excluded.url, counter = node.counter + 1, started_at = excluded.started_at;

-- name: GetNode :one
SELECT * FROM node WHERE id = $1;
