-- The audit trail. A log is an org's id, or "box"; everything here takes the log by name.

-- name: AppendAuditEvent :exec
-- In the transaction of what it reports; it gets its place in the tree later.
INSERT INTO audit_event (log, id, created_at, action, outcome, who, session, body, area, who_id, on_id, on_name, instance, address)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

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

-- name: FillAuditEvent :execrows
-- Writes down what an event of an older version says, for lists.
UPDATE audit_event SET area = $3, who_id = $4, on_id = $5, on_name = $6, instance = $7, address = $8 WHERE log = $1 AND id = $2 AND area = '';

-- name: ListUnfilledAuditEvents :many
-- Events of an older version.
SELECT * FROM audit_event WHERE area = '' LIMIT $1;

-- name: FirstAuditIdxSince :one
-- The lowest place of an event written then or later; -1: there is none.
SELECT CAST(COALESCE(MIN(idx), -1) AS BIGINT) AS idx FROM audit_event WHERE log = $1 AND created_at >= sqlc.arg(since) AND idx IS NOT NULL;

-- name: LastAuditIdxBetween :one
-- The highest place of an event written from then to before until; -1: there is none.
SELECT CAST(COALESCE(MAX(idx), -1) AS BIGINT) AS idx FROM audit_event
WHERE log = $1 AND created_at >= sqlc.arg(since) AND created_at < sqlc.arg(older) AND idx IS NOT NULL;

-- name: GetAuditCheckpointOf :one
-- The checkpoint over exactly this many events.
SELECT * FROM audit_checkpoint WHERE log = $1 AND size = $2;

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
