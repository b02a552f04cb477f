-- Pages of sessions, newest first, below a cursor. There is one statement for each way in, each with an index that has its rows
-- in this very order, so that a page costs what is on it and not what is behind it; all take the same arguments. An empty filter
-- matches everything. What the reader may see is everything, a list of projects (",prj_a,prj_b,"), or what is their own.

-- name: PageSessions :many
-- Of an org. The key is empty.
SELECT session.* FROM session
WHERE session.org = sqlc.arg(org) AND CAST(sqlc.arg(key) AS TEXT) = '' AND CAST(sqlc.arg(value) AS TEXT) = ''
  AND (session.created_at, session.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND session.created_at >= CAST(sqlc.arg(since) AS BIGINT)
  AND (CAST(sqlc.arg(state) AS TEXT) = 'all'
       OR (CAST(sqlc.arg(state) AS TEXT) = 'ended' AND session.state = 'ended')
       OR (CAST(sqlc.arg(state) AS TEXT) = 'live' AND session.state <> 'ended'))
  AND (CAST(sqlc.arg(of_kind) AS TEXT) = '' OR session.kind = CAST(sqlc.arg(of_kind) AS TEXT))
  AND (CAST(sqlc.arg(of_project) AS TEXT) = '' OR session.project = CAST(sqlc.arg(of_project) AS TEXT))
  AND session.id LIKE CAST(sqlc.arg(pattern) AS TEXT)
  AND (CAST(sqlc.arg(started_only) AS BIGINT) = 0 OR session.started_at IS NOT NULL)
  AND (CAST(sqlc.arg(see_all) AS BIGINT) = 1
       OR (session.project <> '' AND CAST(sqlc.arg(see_projects) AS TEXT) LIKE '%,' || session.project || ',%')
       OR (CAST(sqlc.arg(see_of) AS TEXT) <> '' AND session.user_id = CAST(sqlc.arg(see_of) AS TEXT)))
ORDER BY session.created_at DESC, session.id DESC
LIMIT sqlc.arg(page);

-- name: PageLiveSessions :many
-- What lives in an org. The key is empty.
SELECT session.* FROM session
WHERE session.org = sqlc.arg(org) AND session.state <> 'ended' AND CAST(sqlc.arg(key) AS TEXT) = '' AND CAST(sqlc.arg(value) AS TEXT) = ''
  AND (session.created_at, session.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND session.created_at >= CAST(sqlc.arg(since) AS BIGINT)
  AND (CAST(sqlc.arg(state) AS TEXT) = 'all'
       OR (CAST(sqlc.arg(state) AS TEXT) = 'ended' AND session.state = 'ended')
       OR (CAST(sqlc.arg(state) AS TEXT) = 'live' AND session.state <> 'ended'))
  AND (CAST(sqlc.arg(of_kind) AS TEXT) = '' OR session.kind = CAST(sqlc.arg(of_kind) AS TEXT))
  AND (CAST(sqlc.arg(of_project) AS TEXT) = '' OR session.project = CAST(sqlc.arg(of_project) AS TEXT))
  AND session.id LIKE CAST(sqlc.arg(pattern) AS TEXT)
  AND (CAST(sqlc.arg(started_only) AS BIGINT) = 0 OR session.started_at IS NOT NULL)
  AND (CAST(sqlc.arg(see_all) AS BIGINT) = 1
       OR (session.project <> '' AND CAST(sqlc.arg(see_projects) AS TEXT) LIKE '%,' || session.project || ',%')
       OR (CAST(sqlc.arg(see_of) AS TEXT) <> '' AND session.user_id = CAST(sqlc.arg(see_of) AS TEXT)))
ORDER BY session.created_at DESC, session.id DESC
LIMIT sqlc.arg(page);

-- name: PageSessionsOfProject :many
-- The key is the project.
SELECT session.* FROM session
WHERE session.org = sqlc.arg(org) AND session.project = CAST(sqlc.arg(key) AS TEXT) AND CAST(sqlc.arg(value) AS TEXT) = ''
  AND (session.created_at, session.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND session.created_at >= CAST(sqlc.arg(since) AS BIGINT)
  AND (CAST(sqlc.arg(state) AS TEXT) = 'all'
       OR (CAST(sqlc.arg(state) AS TEXT) = 'ended' AND session.state = 'ended')
       OR (CAST(sqlc.arg(state) AS TEXT) = 'live' AND session.state <> 'ended'))
  AND (CAST(sqlc.arg(of_kind) AS TEXT) = '' OR session.kind = CAST(sqlc.arg(of_kind) AS TEXT))
  AND (CAST(sqlc.arg(of_project) AS TEXT) = '' OR session.project = CAST(sqlc.arg(of_project) AS TEXT))
  AND session.id LIKE CAST(sqlc.arg(pattern) AS TEXT)
  AND (CAST(sqlc.arg(started_only) AS BIGINT) = 0 OR session.started_at IS NOT NULL)
  AND (CAST(sqlc.arg(see_all) AS BIGINT) = 1
       OR (session.project <> '' AND CAST(sqlc.arg(see_projects) AS TEXT) LIKE '%,' || session.project || ',%')
       OR (CAST(sqlc.arg(see_of) AS TEXT) <> '' AND session.user_id = CAST(sqlc.arg(see_of) AS TEXT)))
ORDER BY session.created_at DESC, session.id DESC
LIMIT sqlc.arg(page);

-- name: PageSessionsOfUser :many
-- The key is the user.
SELECT session.* FROM session
WHERE session.org = sqlc.arg(org) AND session.user_id = CAST(sqlc.arg(key) AS TEXT) AND CAST(sqlc.arg(value) AS TEXT) = ''
  AND (session.created_at, session.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND session.created_at >= CAST(sqlc.arg(since) AS BIGINT)
  AND (CAST(sqlc.arg(state) AS TEXT) = 'all'
       OR (CAST(sqlc.arg(state) AS TEXT) = 'ended' AND session.state = 'ended')
       OR (CAST(sqlc.arg(state) AS TEXT) = 'live' AND session.state <> 'ended'))
  AND (CAST(sqlc.arg(of_kind) AS TEXT) = '' OR session.kind = CAST(sqlc.arg(of_kind) AS TEXT))
  AND (CAST(sqlc.arg(of_project) AS TEXT) = '' OR session.project = CAST(sqlc.arg(of_project) AS TEXT))
  AND session.id LIKE CAST(sqlc.arg(pattern) AS TEXT)
  AND (CAST(sqlc.arg(started_only) AS BIGINT) = 0 OR session.started_at IS NOT NULL)
  AND (CAST(sqlc.arg(see_all) AS BIGINT) = 1
       OR (session.project <> '' AND CAST(sqlc.arg(see_projects) AS TEXT) LIKE '%,' || session.project || ',%')
       OR (CAST(sqlc.arg(see_of) AS TEXT) <> '' AND session.user_id = CAST(sqlc.arg(see_of) AS TEXT)))
ORDER BY session.created_at DESC, session.id DESC
LIMIT sqlc.arg(page);

-- name: PageSessionsOfInstance :many
-- The key is the instance.
SELECT session.* FROM session
WHERE session.org = sqlc.arg(org) AND session.instance = CAST(sqlc.arg(key) AS TEXT) AND CAST(sqlc.arg(value) AS TEXT) = ''
  AND (session.created_at, session.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND session.created_at >= CAST(sqlc.arg(since) AS BIGINT)
  AND (CAST(sqlc.arg(state) AS TEXT) = 'all'
       OR (CAST(sqlc.arg(state) AS TEXT) = 'ended' AND session.state = 'ended')
       OR (CAST(sqlc.arg(state) AS TEXT) = 'live' AND session.state <> 'ended'))
  AND (CAST(sqlc.arg(of_kind) AS TEXT) = '' OR session.kind = CAST(sqlc.arg(of_kind) AS TEXT))
  AND (CAST(sqlc.arg(of_project) AS TEXT) = '' OR session.project = CAST(sqlc.arg(of_project) AS TEXT))
  AND session.id LIKE CAST(sqlc.arg(pattern) AS TEXT)
  AND (CAST(sqlc.arg(started_only) AS BIGINT) = 0 OR session.started_at IS NOT NULL)
  AND (CAST(sqlc.arg(see_all) AS BIGINT) = 1
       OR (session.project <> '' AND CAST(sqlc.arg(see_projects) AS TEXT) LIKE '%,' || session.project || ',%')
       OR (CAST(sqlc.arg(see_of) AS TEXT) <> '' AND session.user_id = CAST(sqlc.arg(see_of) AS TEXT)))
ORDER BY session.created_at DESC, session.id DESC
LIMIT sqlc.arg(page);

-- name: PageSessionsOfTag :many
-- The key and the value are the tag.
SELECT session.* FROM session_tag tag JOIN session ON session.org = tag.org AND session.id = tag.session
WHERE tag.org = sqlc.arg(org) AND session.org = tag.org AND tag.name = CAST(sqlc.arg(key) AS TEXT) AND tag.value = CAST(sqlc.arg(value) AS TEXT)
  AND (tag.created_at, tag.session) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND tag.created_at >= CAST(sqlc.arg(since) AS BIGINT)
  AND (CAST(sqlc.arg(state) AS TEXT) = 'all'
       OR (CAST(sqlc.arg(state) AS TEXT) = 'ended' AND session.state = 'ended')
       OR (CAST(sqlc.arg(state) AS TEXT) = 'live' AND session.state <> 'ended'))
  AND (CAST(sqlc.arg(of_kind) AS TEXT) = '' OR session.kind = CAST(sqlc.arg(of_kind) AS TEXT))
  AND (CAST(sqlc.arg(of_project) AS TEXT) = '' OR session.project = CAST(sqlc.arg(of_project) AS TEXT))
  AND session.id LIKE CAST(sqlc.arg(pattern) AS TEXT)
  AND (CAST(sqlc.arg(started_only) AS BIGINT) = 0 OR session.started_at IS NOT NULL)
  AND (CAST(sqlc.arg(see_all) AS BIGINT) = 1
       OR (session.project <> '' AND CAST(sqlc.arg(see_projects) AS TEXT) LIKE '%,' || session.project || ',%')
       OR (CAST(sqlc.arg(see_of) AS TEXT) <> '' AND session.user_id = CAST(sqlc.arg(see_of) AS TEXT)))
ORDER BY tag.created_at DESC, tag.session DESC
LIMIT sqlc.arg(page);

-- name: PageSharedSessions :many
-- Live ones that are shared with a user now.
SELECT session.* FROM session
WHERE session.org = sqlc.arg(org) AND session.state <> 'ended'
  AND (session.created_at, session.id) < (CAST(sqlc.arg(before_at) AS BIGINT), CAST(sqlc.arg(before_id) AS TEXT))
  AND session.created_at >= CAST(sqlc.arg(since) AS BIGINT)
  AND (CAST(sqlc.arg(of_kind) AS TEXT) = '' OR session.kind = CAST(sqlc.arg(of_kind) AS TEXT))
  AND (CAST(sqlc.arg(of_project) AS TEXT) = '' OR session.project = CAST(sqlc.arg(of_project) AS TEXT))
  AND session.id LIKE CAST(sqlc.arg(pattern) AS TEXT)
  AND session.id IN (SELECT session_share.session FROM session_share
    WHERE session_share.org = sqlc.arg(org) AND session_share.user_id = sqlc.arg(with_user) AND revoked_at IS NULL AND expires_at > sqlc.arg(now))
ORDER BY session.created_at DESC, session.id DESC
LIMIT sqlc.arg(page);

-- name: ListUsersCalled :many
-- Of this id or name, deleted ones too.
SELECT user_id FROM member WHERE org = sqlc.arg(org) AND (user_id = CAST(sqlc.arg(ref) AS TEXT) OR name = CAST(sqlc.arg(ref) AS TEXT)) ORDER BY user_id;

-- name: ListInstancesCalled :many
-- Of this id or name, removed ones too.
SELECT id FROM instance WHERE org = sqlc.arg(org) AND (id = CAST(sqlc.arg(ref) AS TEXT) OR name = CAST(sqlc.arg(ref) AS TEXT)) ORDER BY id;

-- name: ListInstancesLabelled :many
SELECT instance FROM instance_label WHERE org = sqlc.arg(org) AND name = sqlc.arg(name) AND value = sqlc.arg(value) ORDER BY instance;

-- name: CountConnected :many
-- How many are connected to each session of an org.
SELECT session, COUNT(*) AS connected FROM connection WHERE org = $1 GROUP BY session;
