-- The audit trail. A log is an org's id, or "box"; everything here takes the log by name.

-- name: AppendAuditEvent :exec
-- In the transaction of what it reports; it gets its place in the tree later.
INSERT INTO audit_event (log, id, created_at, action, outcome, who, session, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: ListUnplacedAuditLogs :many
-- The logs that have events without a place.
SELECT DISTINCT log FROM audit_event WHERE idx IS NULL ORDER BY log LIMIT CAST(sqlc.arg(page) AS BIGINT);

-- name: ListUnplacedAuditEvents :many
-- The events of a log that have no place yet, in the order they get one.
SELECT * FROM audit_event WHERE log = $1 AND idx IS NULL ORDER BY created_at, id LIMIT CAST(sqlc.arg(page) AS BIGINT);

-- name: PlaceAuditEvent :execrows
-- Gives an event its place, once: 0 rows means that somebody else did.
UPDATE audit_event SET idx = $3 WHERE log = $1 AND id = $2 AND idx IS NULL;

-- name: GetAuditSize :one
-- How many events of a log have a place; places are 0 to size-1.
SELECT CAST(COALESCE(MAX(idx) + 1, 0) AS BIGINT) AS size FROM audit_event WHERE log = $1 AND idx IS NOT NULL;

-- name: CountUnplacedAuditEvents :one
SELECT COUNT(*) FROM audit_event WHERE log = $1 AND idx IS NULL;

-- name: ListAuditRange :many
-- The placed events first <= idx < last, in order.
SELECT * FROM audit_event
WHERE log = $1 AND idx >= CAST(sqlc.arg(first) AS BIGINT) AND idx < CAST(sqlc.arg(last) AS BIGINT)
ORDER BY idx;

-- name: GetAuditEvent :one
SELECT * FROM audit_event WHERE log = $1 AND id = $2;

-- name: ListAuditEvents :many
-- A page, newest first, below the cursor (created_at, id); an empty filter matches everything.
SELECT * FROM audit_event
WHERE log = sqlc.arg(log)
  AND (created_at, id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND (CAST(sqlc.arg(action) AS TEXT) = '' OR action = CAST(sqlc.arg(action) AS TEXT))
  AND (CAST(sqlc.arg(who) AS TEXT) = '' OR who = CAST(sqlc.arg(who) AS TEXT))
  AND (CAST(sqlc.arg(session) AS TEXT) = '' OR session = CAST(sqlc.arg(session) AS TEXT))
  AND (CAST(sqlc.arg(outcome) AS TEXT) = '' OR outcome = CAST(sqlc.arg(outcome) AS TEXT))
ORDER BY created_at DESC, id DESC
LIMIT CAST(sqlc.arg(page) AS BIGINT);

-- name: PutAuditHash :exec
INSERT INTO audit_hash (log, idx, hash) VALUES ($1, $2, $3);

-- name: GetAuditHash :one
-- A stored hash of the tree; Tx.AuditHashes reads several.
SELECT hash FROM audit_hash WHERE log = $1 AND idx = $2;

-- name: ListAuditHashRange :many
SELECT * FROM audit_hash
WHERE log = $1 AND idx >= CAST(sqlc.arg(first) AS BIGINT) AND idx < CAST(sqlc.arg(last) AS BIGINT)
ORDER BY idx;

-- name: PutAuditCheckpoint :exec
-- Signing the same size twice keeps the first note.
INSERT INTO audit_checkpoint (log, size, note, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (log, size) DO NOTHING;

-- name: GetAuditCheckpoint :one
-- The newest checkpoint of a log.
SELECT * FROM audit_checkpoint WHERE log = $1 ORDER BY size DESC LIMIT 1;

-- name: GetAuditCheckpointFrom :one
-- The first checkpoint over at least this many events.
SELECT * FROM audit_checkpoint WHERE log = $1 AND size >= $2 ORDER BY size LIMIT 1;

-- name: ListAuditFrom :many
-- A page of the placed events first <= idx < last, in order; how far last is does not matter.
SELECT * FROM audit_event
WHERE log = sqlc.arg(log) AND idx >= CAST(sqlc.arg(first) AS BIGINT) AND idx < CAST(sqlc.arg(last) AS BIGINT)
ORDER BY idx
LIMIT sqlc.arg(page);

-- name: ListAuditLogs :many
-- The logs that were ever signed, for the owner of the box, who checks all of them.
SELECT DISTINCT log FROM audit_checkpoint ORDER BY log;
