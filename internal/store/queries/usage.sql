-- What is known of a session beside its life, and what sessions took.

-- name: DescribeSession :exec
-- Of a session that was just inserted.
UPDATE session SET host = $3, agent_version = $4, idp_name = $5, tags = $6 WHERE org = $1 AND id = $2;

-- name: InsertSessionTag :exec
INSERT INTO session_tag (org, session, name, value, created_at) VALUES ($1, $2, $3, $4, $5);

-- name: SetSessionRanAs :exec
UPDATE session SET ran_as = $3, lease_ms = $4 WHERE org = $1 AND id = $2;

-- name: SetSessionSpent :exec
UPDATE session SET cpu_us = $3, mem_peak = $4 WHERE org = $1 AND id = $2;

-- name: SetSessionMoved :exec
UPDATE session SET bytes_in = $3, bytes_out = $4, bytes_err = $5 WHERE org = $1 AND id = $2;

-- name: InsertSessionJoin :exec
INSERT INTO session_join (org, session, side, gen, minted_at, redeemed_at, address) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (org, session, side, gen) DO NOTHING;

-- name: ListSessionJoins :many
SELECT * FROM session_join WHERE org = $1 AND session = $2 ORDER BY redeemed_at, gen, side DESC;

-- name: SumUsage :many
-- What the sessions took that ended from since up to until, put together by what they have in common; the empty word puts all
-- together. Who sees everything sees all but the hidden projects (",prj_a,prj_b,"); everyone sees the projects listed and their own.
SELECT CAST(CASE CAST(sqlc.arg(by) AS TEXT)
        WHEN 'user' THEN user_id WHEN 'project' THEN project WHEN 'instance' THEN instance WHEN 'kind' THEN kind ELSE '' END AS TEXT) AS bucket,
    CAST(MAX(CASE CAST(sqlc.arg(by) AS TEXT) WHEN 'user' THEN user_name WHEN 'instance' THEN instance_name ELSE '' END) AS TEXT) AS bucket_name,
    COUNT(*) AS sessions,
    CAST(SUM(CASE WHEN ended_at > started_at THEN ended_at - started_at ELSE 0 END) AS BIGINT) AS wall_us,
    CAST(SUM(CASE WHEN cpu_us = 0 AND mem_peak = 0 THEN 1 ELSE 0 END) AS BIGINT) AS unmeasured,
    CAST(SUM(cpu_us) AS BIGINT) AS cpu_us, CAST(MAX(mem_peak) AS BIGINT) AS mem_peak,
    CAST(SUM(bytes_in) AS BIGINT) AS bytes_in, CAST(SUM(bytes_out) AS BIGINT) AS bytes_out, CAST(SUM(bytes_err) AS BIGINT) AS bytes_err,
    CAST(SUM(rec_stored) AS BIGINT) AS stored
FROM session
WHERE org = sqlc.arg(org) AND ended_at >= CAST(sqlc.arg(since) AS BIGINT) AND ended_at < CAST(sqlc.arg(until) AS BIGINT)
  AND started_at IS NOT NULL
  AND ((CAST(sqlc.arg(see_all) AS BIGINT) = 1 AND (CAST(sqlc.arg(hidden) AS TEXT) = ',' OR project = '' OR CAST(sqlc.arg(hidden) AS TEXT) NOT LIKE '%,' || project || ',%'))
       OR (project <> '' AND CAST(sqlc.arg(see_projects) AS TEXT) LIKE '%,' || project || ',%')
       OR user_id = CAST(sqlc.arg(see_of) AS TEXT))
GROUP BY bucket
ORDER BY wall_us DESC, bucket
LIMIT sqlc.arg(page);

-- name: SumUsageByTag :many
-- As SumUsage, by the value of one tag; the empty value: sessions without it.
SELECT CAST(COALESCE(t.value, '') AS TEXT) AS bucket,
    CAST('' AS TEXT) AS bucket_name,
    COUNT(*) AS sessions,
    CAST(SUM(CASE WHEN s.ended_at > s.started_at THEN s.ended_at - s.started_at ELSE 0 END) AS BIGINT) AS wall_us,
    CAST(SUM(CASE WHEN s.cpu_us = 0 AND s.mem_peak = 0 THEN 1 ELSE 0 END) AS BIGINT) AS unmeasured,
    CAST(SUM(s.cpu_us) AS BIGINT) AS cpu_us, CAST(MAX(s.mem_peak) AS BIGINT) AS mem_peak,
    CAST(SUM(s.bytes_in) AS BIGINT) AS bytes_in, CAST(SUM(s.bytes_out) AS BIGINT) AS bytes_out, CAST(SUM(s.bytes_err) AS BIGINT) AS bytes_err,
    CAST(SUM(s.rec_stored) AS BIGINT) AS stored
FROM session s LEFT JOIN session_tag t ON t.org = s.org AND t.session = s.id AND t.name = CAST(sqlc.arg(tag) AS TEXT)
WHERE s.org = sqlc.arg(org) AND s.ended_at >= CAST(sqlc.arg(since) AS BIGINT) AND s.ended_at < CAST(sqlc.arg(until) AS BIGINT)
  AND s.started_at IS NOT NULL
  AND ((CAST(sqlc.arg(see_all) AS BIGINT) = 1 AND (CAST(sqlc.arg(hidden) AS TEXT) = ',' OR s.project = '' OR CAST(sqlc.arg(hidden) AS TEXT) NOT LIKE '%,' || s.project || ',%'))
       OR (s.project <> '' AND CAST(sqlc.arg(see_projects) AS TEXT) LIKE '%,' || s.project || ',%')
       OR s.user_id = CAST(sqlc.arg(see_of) AS TEXT))
GROUP BY bucket
ORDER BY wall_us DESC, bucket
LIMIT sqlc.arg(page);

-- name: SumUsageOfOrgs :many
-- For the owner of the box: of all organisations, by organisation, or, with another word, all together.
SELECT CAST(CASE CAST(sqlc.arg(by) AS TEXT) WHEN 'org' THEN s.org ELSE '' END AS TEXT) AS bucket,
    CAST(MAX(CASE CAST(sqlc.arg(by) AS TEXT) WHEN 'org' THEN o.name ELSE '' END) AS TEXT) AS bucket_name,
    COUNT(*) AS sessions,
    CAST(SUM(CASE WHEN s.ended_at > s.started_at THEN s.ended_at - s.started_at ELSE 0 END) AS BIGINT) AS wall_us,
    CAST(SUM(CASE WHEN s.cpu_us = 0 AND s.mem_peak = 0 THEN 1 ELSE 0 END) AS BIGINT) AS unmeasured,
    CAST(SUM(s.cpu_us) AS BIGINT) AS cpu_us, CAST(MAX(s.mem_peak) AS BIGINT) AS mem_peak,
    CAST(SUM(s.bytes_in) AS BIGINT) AS bytes_in, CAST(SUM(s.bytes_out) AS BIGINT) AS bytes_out, CAST(SUM(s.bytes_err) AS BIGINT) AS bytes_err,
    CAST(SUM(s.rec_stored) AS BIGINT) AS stored
FROM org o JOIN session s ON s.org = o.id
WHERE s.ended_at >= CAST(sqlc.arg(since) AS BIGINT) AND s.ended_at < CAST(sqlc.arg(until) AS BIGINT) AND s.started_at IS NOT NULL
GROUP BY bucket
ORDER BY wall_us DESC, bucket
LIMIT sqlc.arg(page);
