-- Where logs are streamed to.

-- name: CreateAuditSink :execrows
-- 0 rows: the name is taken.
INSERT INTO audit_sink (log, id, name, kind, url, format, ca, secret, local, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (log, name) DO NOTHING;

-- name: ListAuditSinks :many
-- There are few.
SELECT * FROM audit_sink WHERE log = $1 ORDER BY created_at DESC, id DESC LIMIT $2;

-- name: GetAuditSink :one
SELECT * FROM audit_sink WHERE log = $1 AND id = $2;

-- name: GetAuditSinkByName :one
SELECT * FROM audit_sink WHERE log = $1 AND name = $2;

-- name: DeleteAuditSink :execrows
DELETE FROM audit_sink WHERE log = $1 AND id = $2;

-- name: ListFreeAuditSinks :many
-- Those that no node streams now.
SELECT * FROM audit_sink WHERE leased_until < sqlc.arg(now) ORDER BY leased_until LIMIT CAST(sqlc.arg(page) AS BIGINT);

-- name: LeaseAuditSink :execrows
-- Takes a sink, or goes on with it: 0 rows means that another node has it, or that it is gone.
UPDATE audit_sink SET node = sqlc.arg(node), leased_until = sqlc.arg(until)
WHERE log = sqlc.arg(log) AND id = sqlc.arg(id) AND (node = sqlc.arg(node) OR leased_until < CAST(sqlc.arg(now) AS BIGINT));

-- name: AdvanceAuditSink :execrows
-- 0 rows: another node has it, or it is gone.
UPDATE audit_sink SET delivered_at = $4, failures = 0, problem = '', failed_at = NULL WHERE log = $1 AND id = $2 AND node = $3;

-- name: FailAuditSink :execrows
UPDATE audit_sink SET failures = failures + 1, problem = $4, failed_at = $5 WHERE log = $1 AND id = $2 AND node = $3;

-- name: ReleaseAuditSinks :exec
-- When a node stops, or begins and finds what it had.
UPDATE audit_sink SET leased_until = 0 WHERE node = $1;

-- name: PutAuditCursor :exec
INSERT INTO audit_sink_cursor (log, sink, next_idx) VALUES ($1, $2, $3) ON CONFLICT (sink, log) DO NOTHING;

-- name: MoveAuditCursor :exec
UPDATE audit_sink_cursor SET next_idx = $3 WHERE log = $1 AND sink = $2;

-- name: DeleteAuditCursors :exec
-- Of a sink, in all logs.
DELETE FROM audit_sink_cursor WHERE sink = $1;

-- name: ListDueAuditCursors :many
-- The logs behind one, in order, that have something for a sink.
SELECT c.* FROM audit_sink_cursor c
WHERE c.sink = sqlc.arg(sink) AND c.log > CAST(sqlc.arg(after) AS TEXT)
  AND EXISTS (SELECT 1 FROM audit_event e WHERE e.log = c.log AND e.idx = c.next_idx)
ORDER BY c.log LIMIT CAST(sqlc.arg(page) AS BIGINT);

-- name: ListLogsNewToSink :many
-- The organisations whose log a sink of the box's owner does not have yet: they were made after it.
SELECT o.id FROM org o WHERE NOT EXISTS (SELECT 1 FROM audit_sink_cursor c WHERE c.log = o.id AND c.sink = $1) LIMIT CAST(sqlc.arg(page) AS BIGINT);

-- name: SumAuditCursors :one
-- How far a sink is, over its logs: events taken or passed over, those that wait, and when the first of them was written (0: none waits).
SELECT CAST(COALESCE(SUM(c.next_idx), 0) AS BIGINT) AS next,
    CAST(COALESCE(SUM((SELECT COALESCE(MAX(e.idx) + 1, 0) FROM audit_event e WHERE e.log = c.log AND e.idx IS NOT NULL) - c.next_idx), 0) AS BIGINT) AS waiting,
    CAST(COALESCE(MIN((SELECT e.created_at FROM audit_event e WHERE e.log = c.log AND e.idx = c.next_idx)), 0) AS BIGINT) AS waiting_from
FROM audit_sink_cursor c WHERE c.sink = $1;
