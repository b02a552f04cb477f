-- Recordings: shares, holds, and what expires.

-- name: InsertRecordingShare :exec
INSERT INTO recording_share (org, id, session, with_kind, with_id, with_name, made_by, made_name, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: CountRecordingShares :one
SELECT COUNT(*) FROM recording_share WHERE org = $1 AND session = $2;

-- name: GetRecordingShare :one
SELECT * FROM recording_share WHERE org = $1 AND id = $2;

-- name: FindRecordingShare :one
-- A share that holds for somebody: not run out, meant for them, and made by one who is still active.
SELECT s.* FROM recording_share s JOIN member m ON m.org = s.org AND m.user_id = s.made_by
WHERE s.org = sqlc.arg(org) AND s.id = sqlc.arg(id) AND s.expires_at > sqlc.arg(now) AND m.active = 1 AND m.deleted_at IS NULL
  AND (s.with_kind = 'org'
    OR (s.with_kind = 'user' AND s.with_id = CAST(sqlc.arg(reader) AS TEXT))
    OR (s.with_kind = 'group' AND EXISTS (SELECT 1 FROM team_member t
      WHERE t.org = s.org AND t.team = s.with_id AND t.user_id = CAST(sqlc.arg(reader) AS TEXT)))
    OR s.made_by = CAST(sqlc.arg(reader) AS TEXT));

-- name: ListRecordingShares :many
-- Newest first, those that have not run out.
SELECT * FROM recording_share
WHERE org = sqlc.arg(org) AND expires_at > sqlc.arg(now)
  AND (CAST(sqlc.arg(session) AS TEXT) = '' OR session = CAST(sqlc.arg(session) AS TEXT))
  AND (created_at, id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
ORDER BY created_at DESC, id DESC
LIMIT sqlc.arg(page);

-- name: DeleteRecordingShare :execrows
DELETE FROM recording_share WHERE org = $1 AND id = $2;

-- name: PurgeRecordingShares :execrows
-- Of all organisations.
DELETE FROM recording_share WHERE expires_at <= $1;

-- name: HoldRecording :execrows
UPDATE session SET rec_held_at = $3, rec_held_by = $4, rec_held_why = $5 WHERE org = $1 AND id = $2;

-- name: ListOrgSettings :many
-- Of all organisations that say how long recordings are kept.
SELECT id, settings FROM org WHERE settings LIKE '%recording_%' ORDER BY id;

-- name: ListOldRecordings :many
-- The oldest of a node's that may be deleted.
SELECT * FROM session
WHERE org = sqlc.arg(org) AND recording IN ('complete', 'incomplete') AND ended_at IS NOT NULL AND ended_at < sqlc.arg(before)
  AND rec_held_at IS NULL AND started_at IS NOT NULL AND node = sqlc.arg(node)
ORDER BY ended_at, id LIMIT sqlc.arg(page);

-- name: SumRecordings :one
SELECT CAST(COALESCE(SUM(rec_stored), 0) AS BIGINT) FROM session
WHERE org = $1 AND recording IN ('complete', 'incomplete') AND ended_at IS NOT NULL;

-- name: ExpireRecording :execrows
UPDATE session SET recording = 'expired', rec_problem = $3
WHERE org = $1 AND id = $2 AND recording IN ('complete', 'incomplete') AND rec_held_at IS NULL;

-- name: ListExpiredRecordings :many
-- Of a node, of all organisations: those whose files may still be there.
SELECT org, id FROM session WHERE node = $1 AND recording = 'expired' AND rec_stored > 0 LIMIT 200;

-- name: ForgetRecording :execrows
UPDATE session SET rec_stored = 0 WHERE org = $1 AND id = $2 AND recording = 'expired';
