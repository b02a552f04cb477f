-- +goose Up
-- Control over live sessions, and evidence. As in the first: times are BIGINT microseconds, JSON is TEXT that only Go reads,
-- booleans are BIGINT 0 or 1.

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
    PRIMARY KEY (org, session, num),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);
CREATE INDEX participant_of_user ON participant (org, user_id, created_at);

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

-- Controls: those that hold for a session, frozen when it starts, made stricter by what changes later.
ALTER TABLE session ADD COLUMN controls TEXT NOT NULL DEFAULT '{}'; -- JSON sess.Effective

-- +goose Down
ALTER TABLE session DROP COLUMN controls;
DROP TABLE connection;
DROP TABLE participant;
