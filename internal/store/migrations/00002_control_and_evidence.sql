-- +goose Up
-- Control over live sessions, and evidence. As in the first: times are BIGINT microseconds, JSON is TEXT that only Go reads,
-- booleans are BIGINT 0 or 1.

-- people: names that organisations had. No other organisation gets them.
CREATE TABLE org_former_name (
    org        TEXT NOT NULL REFERENCES org (id),
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL, -- when it was given up
    PRIMARY KEY (org, name)
);
CREATE INDEX org_former_name_name ON org_former_name (name);

-- Who is or was in a session beside the client that started it. num is the participant of the stream protocol; 0 is the owner.
CREATE TABLE participant (
    org           TEXT NOT NULL,
    session       TEXT NOT NULL,
    num           BIGINT NOT NULL,
    role          TEXT NOT NULL, -- owner, peer, observer, moderator
    user_id       TEXT NOT NULL,
    user_name     TEXT NOT NULL,
    credential    TEXT NOT NULL, -- login, api_key
    credential_id TEXT NOT NULL,
    client_addr   TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    joined_at     BIGINT, -- first connected
    left_at       BIGINT, -- gone for good
    left_reason   TEXT NOT NULL DEFAULT '',
    client_key    TEXT NOT NULL DEFAULT '',    -- base64 point: whose signature joins and resumes
    mfa_at        BIGINT NOT NULL DEFAULT 0,   -- when the login last showed a second factor; 0: never
    idp           TEXT NOT NULL DEFAULT '',    -- of the login
    minted        BIGINT NOT NULL DEFAULT 0,   -- generations of tickets, as those of a session
    redeemed      BIGINT NOT NULL DEFAULT 0,
    asked_at      BIGINT, -- the owner was asked to let them in
    answered_at   BIGINT, -- and did
    here_at       BIGINT, -- connected since; none: not connected
    away_at       BIGINT, -- not connected since
    PRIMARY KEY (org, session, num),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);
CREATE INDEX participant_of_user ON participant (org, user_id, created_at);
CREATE INDEX participant_here ON participant (org, session) WHERE left_at IS NULL;

-- Sharing: tickets of participants, and with whom the owner of a session shares it.
ALTER TABLE ticket ADD COLUMN participant BIGINT NOT NULL DEFAULT 0; -- 0: the owner, or the agent
-- Of a session that stands still for want of moderators: when it ends unless enough come.
ALTER TABLE session ADD COLUMN unmoderated_until BIGINT;

CREATE TABLE session_share (
    org        TEXT NOT NULL,
    id         TEXT NOT NULL,
    session    TEXT NOT NULL,
    role       TEXT NOT NULL, -- peer, observer, moderator
    user_id    TEXT NOT NULL, -- with whom; empty: nobody has opened the link yet
    user_name  TEXT NOT NULL,
    hash       TEXT NOT NULL, -- of the link's token; empty: shared by name
    created_by TEXT NOT NULL, -- a name
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    opened_at  BIGINT,        -- the link was, once
    revoked_at BIGINT,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);
CREATE UNIQUE INDEX session_share_hash ON session_share (hash) WHERE hash <> '';
CREATE INDEX session_share_of ON session_share (org, session);
CREATE INDEX session_share_with ON session_share (org, user_id);

-- Connections of participants to relays, while they are. A node forgets its own when it begins.
CREATE TABLE connection (
    org     TEXT NOT NULL,
    session TEXT NOT NULL,
    num     BIGINT NOT NULL, -- of the participant
    node    TEXT NOT NULL,
    user_id TEXT NOT NULL,
    gen     BIGINT NOT NULL, -- of the ticket it came with
    since   BIGINT NOT NULL,
    PRIMARY KEY (org, session, num),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);
CREATE INDEX connection_of_user ON connection (org, user_id);
CREATE INDEX connection_of_node ON connection (node);

-- Usage: what is known of a session beside its life, and what it took. The rest of the session's columns are in the first file.
ALTER TABLE session ADD COLUMN host TEXT NOT NULL DEFAULT '{}'; -- JSON wire.Host: the instance as its agent saw it at the start
ALTER TABLE session ADD COLUMN agent_version TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN idp_name TEXT NOT NULL DEFAULT ''; -- name of that provider at the start
ALTER TABLE session ADD COLUMN ran_as TEXT NOT NULL DEFAULT ''; -- the user on the instance that it ran as, in the agent's words
ALTER TABLE session ADD COLUMN tags TEXT NOT NULL DEFAULT '{}'; -- JSON object, as in session_tag
ALTER TABLE session ADD COLUMN bytes_in BIGINT NOT NULL DEFAULT 0; -- these three: from the record, when it is closed
ALTER TABLE session ADD COLUMN bytes_out BIGINT NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN bytes_err BIGINT NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN cpu_us BIGINT NOT NULL DEFAULT 0; -- of all its processes, in the agent's words
ALTER TABLE session ADD COLUMN mem_peak BIGINT NOT NULL DEFAULT 0; -- bytes
-- What usage sums up, without reading whole rows.
CREATE INDEX session_usage ON session (org, ended_at, user_id, user_name, project, instance, instance_name, kind, started_at,
    cpu_us, mem_peak, bytes_in, bytes_out, bytes_err, rec_stored, id) WHERE ended_at IS NOT NULL;

-- What who started a session calls it by: a pipeline's run, a ticket.
CREATE TABLE session_tag (
    org     TEXT NOT NULL,
    session TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    created_at BIGINT NOT NULL, -- of the session: lists by tag are in its order
    PRIMARY KEY (org, session, name),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);
CREATE INDEX session_tag_value ON session_tag (org, name, value, created_at, session);

-- Alerts: webhooks that are told of what is unusual, how far the audit log was looked at for them, and what was found.
CREATE TABLE alert_hook (
    org          TEXT NOT NULL REFERENCES org (id),
    id           TEXT NOT NULL,
    url          TEXT NOT NULL,
    kinds        TEXT NOT NULL, -- with spaces around each, or all
    secret       TEXT NOT NULL, -- sealed
    ca           TEXT NOT NULL DEFAULT '', -- PEM
    created_at   BIGINT NOT NULL,
    created_by   TEXT NOT NULL,
    next_num     BIGINT NOT NULL, -- the first alert that it was not told of
    delivered_at BIGINT, -- last
    failures     BIGINT NOT NULL, -- in a row
    problem      TEXT NOT NULL, -- of the last one
    failed_at    BIGINT,
    retry_at     BIGINT NOT NULL, -- nobody tries before; also while a node does
    PRIMARY KEY (org, id)
);
CREATE TABLE alert_watch (
    org        TEXT PRIMARY KEY REFERENCES org (id),
    next_idx   BIGINT NOT NULL, -- the first event of the log that was not looked at
    learn_idx  BIGINT NOT NULL, -- events before it only teach
    next_num   BIGINT NOT NULL -- of alerts
);
CREATE TABLE alert (
    org        TEXT NOT NULL REFERENCES org (id),
    num        BIGINT NOT NULL,
    id         TEXT NOT NULL,
    kind       TEXT NOT NULL,
    created_at BIGINT NOT NULL, -- of the event
    body       TEXT NOT NULL, -- JSON, as it is sent
    PRIMARY KEY (org, num)
);
-- What rules remember of what they saw, in the transactions that move the watch: so it always follows from the log.
CREATE TABLE alert_seen (
    org      TEXT NOT NULL REFERENCES org (id),
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    value    TEXT NOT NULL,
    n        BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (org, kind, subject, value)
);

-- The tickets with which a session was joined, the first ones of each side; all are in the audit log.
CREATE TABLE session_join (
    org         TEXT NOT NULL,
    session     TEXT NOT NULL,
    side        TEXT NOT NULL, -- client, agent
    gen         BIGINT NOT NULL, -- of the ticket
    minted_at   BIGINT NOT NULL,
    redeemed_at BIGINT NOT NULL,
    address     TEXT NOT NULL, -- it came from
    PRIMARY KEY (org, session, side, gen),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);

-- Controls: those that hold for a session, frozen when it starts, made stricter by what changes later.
ALTER TABLE session ADD COLUMN controls TEXT NOT NULL DEFAULT '{}'; -- JSON sess.Effective
ALTER TABLE session ADD COLUMN lease_ms BIGINT NOT NULL DEFAULT 0; -- how long it lives on, on its instance, without word from a server
CREATE INDEX session_live_of_user ON session (org, user_id, created_at) WHERE state <> 'ended';

-- Audit: what lists of events are filtered by, beside what the first migration has. area is what stands before the colon of
-- the action; it is empty in events of before, until the server has filled them in.
ALTER TABLE audit_event ADD COLUMN area TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_event ADD COLUMN who_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_event ADD COLUMN on_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_event ADD COLUMN on_name TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_event ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_event ADD COLUMN address TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_event_area ON audit_event (log, area, created_at, id);
CREATE INDEX audit_event_action ON audit_event (log, action, created_at, id);
CREATE INDEX audit_event_who ON audit_event (log, who, created_at, id);
CREATE INDEX audit_event_who_id ON audit_event (log, who_id, created_at, id) WHERE who_id <> '';
CREATE INDEX audit_event_outcome ON audit_event (log, outcome, created_at, id) WHERE outcome <> 'allowed';
CREATE INDEX audit_event_of_session ON audit_event (log, session, created_at, id) WHERE session <> '';
-- Of what has no index already: most events are about a session, an instance or the organisation.
CREATE INDEX audit_event_on_id ON audit_event (log, on_id, created_at, id) WHERE on_id <> '' AND on_id <> session AND on_id <> instance AND on_id <> log;
CREATE INDEX audit_event_on_name ON audit_event (log, on_name, created_at, id) WHERE on_name <> '';
CREATE INDEX audit_event_instance ON audit_event (log, instance, created_at, id) WHERE instance <> '';
CREATE INDEX audit_event_address ON audit_event (log, address, created_at, id) WHERE address <> '';
CREATE INDEX audit_event_unfilled ON audit_event (log) WHERE area = '';
DROP INDEX audit_event_session;

-- Locks: what is barred, whatever rules allow, until the lock is removed or runs out.
CREATE TABLE lock (
    org        TEXT NOT NULL REFERENCES org (id),
    id         TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL, -- user, group, instance, project, key, address, org
    target     TEXT NOT NULL, -- id of what is locked; of an address the network
    name       TEXT NOT NULL, -- of what is locked, as it was called then, for people
    project    TEXT NOT NULL, -- of an instance or a project; else empty
    org_wide   BIGINT NOT NULL, -- 1: made by somebody who may lock anything in the org; the admin of a project does not lift it
    reason     TEXT NOT NULL,
    made_by    TEXT NOT NULL, -- name, for people
    created_at BIGINT NOT NULL,
    expires_at BIGINT, -- null: until it is removed
    PRIMARY KEY (org, id)
);
CREATE INDEX lock_list ON lock (org, created_at, id);
CREATE INDEX lock_expiry ON lock (expires_at) WHERE expires_at IS NOT NULL;

-- Locks that the box's owner put: on an address for every org, or on an org.
CREATE TABLE box_lock (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL, -- address, org
    target     TEXT NOT NULL, -- the network, or the org's id
    name       TEXT NOT NULL, -- for people
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

-- Lists of sessions: each way in has its rows in the order of the list.
CREATE INDEX session_list_live ON session (org, created_at, id) WHERE state <> 'ended';
CREATE INDEX session_of_project ON session (org, project, created_at, id);
CREATE INDEX session_of_user ON session (org, user_id, created_at, id);
CREATE INDEX session_of_instance ON session (org, instance, created_at, id);
DROP INDEX session_by_user;

-- Where logs are streamed to: a sink of an organisation gets its log, one of the box's owner (log: box) all of them.
CREATE TABLE audit_sink (
    log          TEXT NOT NULL,
    id           TEXT NOT NULL,
    name         TEXT NOT NULL,
    kind         TEXT NOT NULL, -- webhook, syslog
    url          TEXT NOT NULL,
    format       TEXT NOT NULL, -- json, ocsf
    ca           TEXT NOT NULL, -- PEM
    secret       TEXT NOT NULL, -- sealed
    local        BIGINT NOT NULL, -- 1: the box's owner made it, and it may go to this machine
    created_at   BIGINT NOT NULL,
    created_by   TEXT NOT NULL,
    delivered_at BIGINT, -- last
    failures     BIGINT NOT NULL DEFAULT 0, -- in a row
    problem      TEXT NOT NULL DEFAULT '', -- of the last one
    failed_at    BIGINT,
    node         TEXT NOT NULL DEFAULT '', -- that streams it
    leased_until BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (log, id),
    UNIQUE (log, name)
);
CREATE INDEX audit_sink_free ON audit_sink (leased_until);
CREATE INDEX audit_sink_of_node ON audit_sink (node);
-- How far a sink is in a log that it gets.
CREATE TABLE audit_sink_cursor (
    log      TEXT NOT NULL,
    sink     TEXT NOT NULL, -- id
    next_idx BIGINT NOT NULL, -- the place of the first event that was not taken yet
    PRIMARY KEY (sink, log)
);

-- Recordings: with whom they are shared, and which are kept whatever their age.
CREATE TABLE recording_share (
    org        TEXT NOT NULL,
    id         TEXT NOT NULL,
    session    TEXT NOT NULL,
    with_kind  TEXT NOT NULL, -- user, group, org
    with_id    TEXT NOT NULL, -- of the user or group; empty: everybody in the organisation
    with_name  TEXT NOT NULL, -- when it was shared
    made_by    TEXT NOT NULL, -- id of the user
    made_name  TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);
CREATE INDEX recording_share_of_session ON recording_share (org, session, created_at);
CREATE INDEX recording_share_expires ON recording_share (expires_at);
ALTER TABLE session ADD COLUMN rec_held_at BIGINT; -- held since; its recording is not deleted
ALTER TABLE session ADD COLUMN rec_held_by TEXT NOT NULL DEFAULT ''; -- name of the user
ALTER TABLE session ADD COLUMN rec_held_why TEXT NOT NULL DEFAULT '';
CREATE INDEX session_recorded ON session (org, ended_at, id, rec_stored) WHERE recording IN ('complete', 'incomplete');
CREATE INDEX session_rec_expired ON session (node) WHERE recording = 'expired' AND rec_stored > 0; -- files that may still be there

-- Logins that ran out long ago are deleted.
CREATE INDEX login_expiry ON login (expires_at);

-- +goose Down
DROP INDEX login_expiry;
DROP INDEX session_rec_expired;
DROP INDEX session_recorded;
ALTER TABLE session DROP COLUMN rec_held_why;
ALTER TABLE session DROP COLUMN rec_held_by;
ALTER TABLE session DROP COLUMN rec_held_at;
DROP TABLE recording_share;
DROP TABLE audit_sink_cursor;
DROP TABLE audit_sink;
CREATE INDEX session_by_user ON session (org, user_id, created_at);
DROP INDEX session_of_instance;
DROP INDEX session_of_user;
DROP INDEX session_of_project;
DROP INDEX session_list_live;
DROP TABLE box_lock;
DROP TABLE lock;
DROP INDEX audit_event_area;
DROP INDEX audit_event_action;
DROP INDEX audit_event_who;
DROP INDEX audit_event_who_id;
DROP INDEX audit_event_outcome;
DROP INDEX audit_event_of_session;
DROP INDEX audit_event_on_id;
DROP INDEX audit_event_on_name;
DROP INDEX audit_event_instance;
DROP INDEX audit_event_address;
DROP INDEX audit_event_unfilled;
CREATE INDEX audit_event_session ON audit_event (log, session) WHERE session <> '';
ALTER TABLE audit_event DROP COLUMN area;
ALTER TABLE audit_event DROP COLUMN who_id;
ALTER TABLE audit_event DROP COLUMN on_id;
ALTER TABLE audit_event DROP COLUMN on_name;
ALTER TABLE audit_event DROP COLUMN instance;
ALTER TABLE audit_event DROP COLUMN address;
DROP INDEX session_live_of_user;
ALTER TABLE session DROP COLUMN lease_ms;
ALTER TABLE session DROP COLUMN controls;
DROP TABLE alert_seen;
DROP TABLE alert;
DROP TABLE alert_watch;
DROP TABLE alert_hook;
DROP TABLE session_join;
DROP TABLE session_tag;
DROP INDEX session_usage;
ALTER TABLE session DROP COLUMN mem_peak;
ALTER TABLE session DROP COLUMN cpu_us;
ALTER TABLE session DROP COLUMN bytes_err;
ALTER TABLE session DROP COLUMN bytes_out;
ALTER TABLE session DROP COLUMN bytes_in;
ALTER TABLE session DROP COLUMN tags;
ALTER TABLE session DROP COLUMN ran_as;
ALTER TABLE session DROP COLUMN idp_name;
ALTER TABLE session DROP COLUMN agent_version;
ALTER TABLE session DROP COLUMN host;
DROP TABLE connection;
DROP TABLE participant;
DROP TABLE org_former_name;
DROP TABLE session_share;
ALTER TABLE session DROP COLUMN unmoderated_until;
ALTER TABLE ticket DROP COLUMN participant;
