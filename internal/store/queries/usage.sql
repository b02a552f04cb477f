-- What is known of a session beside its life, and what sessions took.

-- name: DescribeSession :exec
-- Of a session that was just inserted.
UPDATE session SET host = $3, agent_version = $4, idp_name = $5, tags = $6 WHERE org = $1 AND id = $2;

-- name: InsertSessionTag :exec
INSERT INTO session_tag (org, session, name, value) VALUES ($1, $2, $3, $4);

-- name: SetSessionRanAs :exec
UPDATE session SET ran_as = $3 WHERE org = $1 AND id = $2;

-- name: SetSessionSpent :exec
UPDATE session SET cpu_us = $3, mem_peak = $4 WHERE org = $1 AND id = $2;

-- name: SetSessionMoved :exec
UPDATE session SET bytes_in = $3, bytes_out = $4, bytes_err = $5 WHERE org = $1 AND id = $2;

-- name: InsertSessionJoin :exec
INSERT INTO session_join (org, session, side, gen, minted_at, redeemed_at, address) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (org, session, side, gen) DO NOTHING;

-- name: ListSessionJoins :many
SELECT * FROM session_join WHERE org = $1 AND session = $2 ORDER BY redeemed_at, gen, side DESC;

-- name: ListParticipantsOfSession :many
SELECT * FROM participant WHERE org = $1 AND session = $2 ORDER BY num;
