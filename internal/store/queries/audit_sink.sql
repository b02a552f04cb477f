-- Where logs are streamed to.

-- name: CreateAuditSink :execrows
-- 0 rows: the name is taken.
INSERT INTO audit_sink (log, id, name, kind, url, format, ca, secret, local, created_at, created_by, next_idx)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (log, name) DO NOTHING;

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
UPDATE audit_sink SET next_idx = $4, delivered_at = $5, failures = 0, problem = '', failed_at = NULL WHERE log = $1 AND id = $2 AND node = $3;

-- name: FailAuditSink :execrows
UPDATE audit_sink SET failures = failures + 1, problem = $4, failed_at = $5 WHERE log = $1 AND id = $2 AND node = $3;

-- name: ReleaseAuditSinks :exec
-- When a node stops, or begins and finds what it had.
UPDATE audit_sink SET leased_until = 0 WHERE node = $1;

-- name: FirstAuditTimeFrom :many
-- When the first event from a place on was written; none when there is no such event.
SELECT created_at FROM audit_event WHERE log = $1 AND idx >= $2 ORDER BY idx LIMIT 1;
