-- Controls of sessions, and what is counted for them.

-- name: SetSessionControls :exec
-- The caller holds the row by LockSession, or has just inserted it.
UPDATE session SET controls = $3, grace_ms = $4 WHERE org = $1 AND id = $2;
