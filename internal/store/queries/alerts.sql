-- Alerts: webhooks, how far the audit log was looked at for them, and what was found.

-- name: CreateAlertHook :exec
INSERT INTO alert_hook (org, id, url, kinds, secret, ca, created_at, created_by, next_num, failures, problem, retry_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '', 0);

-- name: ListAlertHooks :many
SELECT * FROM alert_hook WHERE org = $1 ORDER BY created_at DESC, id DESC LIMIT $2;

-- name: GetAlertHook :one
SELECT * FROM alert_hook WHERE org = $1 AND id = $2;

-- name: DeleteAlertHook :execrows
DELETE FROM alert_hook WHERE org = $1 AND id = $2;

-- name: PutAlertWatch :one
-- Begins to look at a log, or to look at it again after nobody was told for some time: what is in it until then only teaches.
INSERT INTO alert_watch (org, next_idx, learn_idx, next_num) VALUES ($1, 0, $2, 1)
ON CONFLICT (org) DO UPDATE SET learn_idx = excluded.learn_idx RETURNING *;

-- name: LockAlertWatch :one
-- The row as it is now, held against other writers until the end of the transaction.
UPDATE alert_watch SET next_idx = next_idx WHERE org = $1 RETURNING *;

-- name: MoveAlertWatch :exec
UPDATE alert_watch SET next_idx = $2, next_num = $3 WHERE org = $1;

-- name: ListAlertsDue :many
-- The organisations whose log has something to look at for somebody who wants to be told.
SELECT w.org FROM alert_watch w
WHERE EXISTS (SELECT 1 FROM audit_event e WHERE e.log = w.org AND e.idx = w.next_idx)
  AND EXISTS (SELECT 1 FROM alert_hook h WHERE h.org = w.org)
ORDER BY w.org LIMIT $1;

-- name: AddAlert :exec
INSERT INTO alert (org, num, id, kind, created_at, body) VALUES ($1, $2, $3, $4, $5, $6);

-- name: ListAlerts :many
SELECT * FROM alert WHERE org = $1 AND num >= $2 ORDER BY num LIMIT $3;

-- name: ListLatestAlerts :many
SELECT * FROM alert WHERE org = $1 ORDER BY num DESC LIMIT $2;

-- name: CountAlertsFrom :one
SELECT COUNT(*) FROM alert WHERE org = $1 AND num >= $2;

-- name: ListAlertHooksDue :many
-- The webhooks of all organisations that wait to be told something, and may be tried: first those that were tried longest ago.
SELECT h.* FROM alert_hook h
WHERE h.retry_at <= CAST(sqlc.arg(now) AS BIGINT) AND EXISTS (SELECT 1 FROM alert a WHERE a.org = h.org AND a.num >= h.next_num)
ORDER BY CASE WHEN COALESCE(h.delivered_at, 0) > COALESCE(h.failed_at, 0) THEN COALESCE(h.delivered_at, 0) ELSE COALESCE(h.failed_at, 0) END,
    h.org, h.id LIMIT sqlc.arg(page);

-- name: ClaimAlertHook :execrows
-- 0 rows: another node has it.
UPDATE alert_hook SET retry_at = sqlc.arg(until) WHERE org = $1 AND id = $2 AND retry_at = sqlc.arg(was);

-- name: AdvanceAlertHook :execrows
UPDATE alert_hook SET next_num = sqlc.arg(next_num), delivered_at = sqlc.arg(now), failures = 0, problem = '', retry_at = sqlc.arg(retry_at)
WHERE org = $1 AND id = $2;

-- name: FailAlertHook :execrows
UPDATE alert_hook SET failures = sqlc.arg(failures), problem = sqlc.arg(problem), failed_at = sqlc.arg(now), retry_at = sqlc.arg(retry_at)
WHERE org = $1 AND id = $2;

-- name: PurgeAlerts :execrows
-- Old ones, of all organisations, whether or not anybody could be told.
DELETE FROM alert WHERE created_at < $1;

-- name: GetAlertSeen :one
SELECT * FROM alert_seen WHERE org = $1 AND kind = $2 AND subject = $3 AND value = $4;

-- name: ListAlertSeen :many
SELECT * FROM alert_seen WHERE org = $1 AND kind = $2 AND subject = $3 ORDER BY value LIMIT $4;

-- name: PutAlertSeen :exec
INSERT INTO alert_seen (org, kind, subject, value, n, first_at, last_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (org, kind, subject, value) DO UPDATE SET n = excluded.n, first_at = excluded.first_at, last_at = excluded.last_at;

-- name: PurgeAlertSeen :execrows
-- Of a kind, what was not seen for long, in all organisations.
DELETE FROM alert_seen WHERE kind = $1 AND last_at < $2;
