-- Who is in a session beside its owner, and with whom it is shared.

-- name: InsertParticipant :exec
INSERT INTO participant (org, session, num, role, user_id, user_name, credential, credential_id, client_addr, created_at,
    client_key, mfa_at, idp, asked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: GetParticipant :one
SELECT * FROM participant WHERE org = $1 AND session = $2 AND num = $3;

-- name: SaveParticipant :exec
-- Writes what may change; the caller holds the session's row.
UPDATE participant SET joined_at = $4, left_at = $5, left_reason = $6, minted = $7, redeemed = $8, answered_at = $9, here_at = $10, away_at = $11,
    client_addr = $12
WHERE org = $1 AND session = $2 AND num = $3;

-- name: ListParticipants :many
-- Of a session, all there were, in the order in which they came.
SELECT * FROM participant WHERE org = $1 AND session = $2 ORDER BY num;

-- name: LastParticipant :one
-- The highest number in a session; 0: there was none.
SELECT CAST(COALESCE(MAX(num), 0) AS BIGINT) FROM participant WHERE org = $1 AND session = $2;

-- name: CountGuests :one
-- Who is in a session, or may come with a ticket or an answer, and has not left.
SELECT COUNT(*) FROM participant WHERE org = $1 AND session = $2 AND left_at IS NULL;

-- name: ListGuestsOfSessions :many
-- Who is in the sessions of a list (",ses_a,ses_b,") now.
SELECT * FROM participant
WHERE participant.org = sqlc.arg(org) AND left_at IS NULL AND joined_at IS NOT NULL
  AND CAST(sqlc.arg(sessions) AS TEXT) LIKE '%,' || participant.session || ',%'
ORDER BY participant.session, num;

-- name: ListGuestsOfOrg :many
-- Participants of live sessions of an organisation that a node looks after, who have not left.
SELECT participant.* FROM participant JOIN session ON session.org = participant.org AND session.id = participant.session
WHERE participant.org = sqlc.arg(org) AND session.node = sqlc.arg(node) AND session.state <> 'ended' AND left_at IS NULL
ORDER BY participant.session, num;

-- name: ListGuestsOfNode :many
-- Participants that a node looks after, of all organisations, who have not left: those of sessions that ended, too.
SELECT participant.* FROM participant JOIN session ON session.org = participant.org AND session.id = participant.session
WHERE session.node = $1 AND left_at IS NULL ORDER BY participant.session, num;

-- name: ListGuestsOfUser :many
SELECT * FROM participant WHERE org = $1 AND user_id = $2 AND left_at IS NULL ORDER BY session, num;

-- name: ListGuestsOfCredential :many
SELECT * FROM participant WHERE org = $1 AND credential_id = $2 AND left_at IS NULL ORDER BY session, num;

-- name: InsertGuestTicket :exec
INSERT INTO ticket (org, hash, session, side, gen, node, owner_key, attach, user_id, credential, credential_id, created_at, expires_at, participant)
VALUES ($1, $2, $3, 'client', $4, $5, $6, 0, $7, $8, $9, $10, $11, $12);

-- name: InsertShare :exec
INSERT INTO session_share (org, id, session, role, user_id, user_name, hash, created_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: GetShareByHash :one
-- By the link's token, for a member of the organisation.
SELECT * FROM session_share WHERE org = $1 AND hash = $2;

-- name: OpenShare :execrows
-- Once: 0 rows means that it was opened before.
UPDATE session_share SET user_id = $3, user_name = $4, opened_at = sqlc.arg(now)
WHERE org = $1 AND id = $2 AND user_id = '' AND opened_at IS NULL AND revoked_at IS NULL;

-- name: ListSharesOfSession :many
SELECT * FROM session_share WHERE org = $1 AND session = $2 AND revoked_at IS NULL AND expires_at > sqlc.arg(now) ORDER BY created_at, id;

-- name: ListSharesWithUser :many
-- Of live sessions.
SELECT session_share.* FROM session_share JOIN session ON session.org = session_share.org AND session.id = session_share.session
WHERE session_share.org = sqlc.arg(org) AND session_share.user_id = sqlc.arg(user_id) AND revoked_at IS NULL AND expires_at > sqlc.arg(now)
  AND session.state <> 'ended'
ORDER BY session_share.created_at, session_share.id;

-- name: ListOrgsOfSharesOver :many
-- Organisations with somebody in a session of a node that was shared with them until a moment ago: after one time, up to another.
SELECT DISTINCT participant.org FROM participant
JOIN session ON session.org = participant.org AND session.id = participant.session
JOIN session_share ON session_share.org = participant.org AND session_share.session = participant.session
  AND session_share.user_id = participant.user_id
WHERE session.node = sqlc.arg(node) AND participant.left_at IS NULL
  AND session_share.expires_at > sqlc.arg(after) AND session_share.expires_at <= sqlc.arg(upto);

-- name: SetUnmoderated :exec
-- The caller holds the row by LockSession.
UPDATE session SET unmoderated_until = $3 WHERE org = $1 AND id = $2;

-- name: RevokeShares :execrows
-- Of a session with a user; with nobody named, all of them, links not opened included.
UPDATE session_share SET revoked_at = sqlc.arg(now)
WHERE session_share.org = sqlc.arg(org) AND session = sqlc.arg(session) AND revoked_at IS NULL
  AND (CAST(sqlc.arg(person) AS TEXT) = '' OR user_id = CAST(sqlc.arg(person) AS TEXT));
