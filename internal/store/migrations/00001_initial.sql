-- +goose Up
-- One schema for SQLite and PostgreSQL. Times are BIGINT microseconds since 1970 (UTC), JSON is TEXT that only Go reads,
-- booleans are BIGINT 0 or 1, and whatever is queried by is a column. Every table but those of the box carries its org.

CREATE TABLE org (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    settings   TEXT NOT NULL DEFAULT '{}', -- JSON sess.Settings
    -- Moved on by every change of what decides: roles, policies, groups, grants, labels, projects, settings, members. Compiled
    -- rules are cached by it, and live sessions are looked at again.
    rules      BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE project (
    org        TEXT NOT NULL REFERENCES org (id),
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org, id),
    UNIQUE (org, name)
);

-- A person on this server: one e-mail address, many orgs. Machine users are members only.
CREATE TABLE person (
    id                  TEXT PRIMARY KEY,
    email               TEXT NOT NULL UNIQUE, -- lower case
    password_hash       TEXT NOT NULL,        -- argon2id in PHC form; empty until set
    created_at          BIGINT NOT NULL,
    name                TEXT NOT NULL DEFAULT '', -- for people; empty: only the address is known
    password_set_at     BIGINT NOT NULL DEFAULT 0,
    password_expires_at BIGINT -- a temporary password: it must be changed at the next login, and serves until this time
);

-- The hashes of former passwords; only as many are kept as must not be used again.
CREATE TABLE password_history (
    user_id    TEXT NOT NULL REFERENCES person (id),
    created_at BIGINT NOT NULL,
    hash       TEXT NOT NULL,
    PRIMARY KEY (user_id, created_at, hash)
);

-- Links that set a new password. A person's, and so of no org.
CREATE TABLE reset_link (
    hash       TEXT PRIMARY KEY, -- hex SHA-256 of the token
    user_id    TEXT NOT NULL REFERENCES person (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    made_by    TEXT NOT NULL DEFAULT '', -- id of the org whose admin made it; empty: the person asked for it
    mail       TEXT NOT NULL DEFAULT ''  -- as of invite
);
CREATE INDEX reset_link_of_user ON reset_link (user_id, created_at);

-- Whom a deletion leaves as a tombstone keeps its row, so that the audit log's ids still have a name; its name may be
-- given again.
CREATE TABLE member (
    org           TEXT NOT NULL REFERENCES org (id),
    user_id       TEXT NOT NULL,
    kind          TEXT NOT NULL, -- local, idp, machine
    name          TEXT NOT NULL, -- e-mail address, or the machine user's name
    active        BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    idp           TEXT NOT NULL DEFAULT '', -- id of the provider that sends them; empty: none
    last_seen_at  BIGINT, -- last access, to the minute
    valid_seconds BIGINT NOT NULL DEFAULT 0, -- how long their logins and keys are valid; 0: as the org says
    active_login  BIGINT NOT NULL DEFAULT 0, -- 1: keys work only while a login lives
    deleted_at    BIGINT,
    pending       BIGINT NOT NULL DEFAULT 0, -- 1: invited; no member, for whatever is decided, until they accept
    PRIMARY KEY (org, user_id)
);
CREATE UNIQUE INDEX member_name ON member (org, name) WHERE deleted_at IS NULL;
CREATE INDEX member_list ON member (org, created_at, user_id);
CREATE INDEX member_of_user ON member (user_id);

-- Groups. "group" is a word of SQL.
CREATE TABLE team (
    org        TEXT NOT NULL REFERENCES org (id),
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org, id),
    UNIQUE (org, name)
);

CREATE TABLE team_member (
    org     TEXT NOT NULL,
    team    TEXT NOT NULL,
    user_id TEXT NOT NULL,
    source  TEXT NOT NULL, -- hand, idp: both may hold at once
    PRIMARY KEY (org, team, user_id, source),
    FOREIGN KEY (org, team) REFERENCES team (org, id),
    FOREIGN KEY (org, user_id) REFERENCES member (org, user_id)
);
CREATE INDEX team_of_user ON team_member (org, user_id);

-- A role given to a user or to a group: exactly one of user_id and team is not empty.
CREATE TABLE role_grant (
    org        TEXT NOT NULL REFERENCES org (id),
    id         TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    team       TEXT NOT NULL DEFAULT '',
    role       TEXT NOT NULL,
    project    TEXT NOT NULL, -- empty: the whole organisation
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org, id),
    UNIQUE (org, user_id, team, role, project),
    CHECK ((user_id = '') <> (team = ''))
);
CREATE INDEX role_grant_of_team ON role_grant (org, team);

-- Custom roles.
CREATE TABLE role (
    org        TEXT NOT NULL REFERENCES org (id),
    name       TEXT NOT NULL,
    summary    TEXT NOT NULL,
    actions    TEXT NOT NULL, -- JSON array of policy.Action
    controls   TEXT NOT NULL, -- JSON sess.Controls
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org, name)
);

-- Policies that admins write.
CREATE TABLE policy (
    org        TEXT NOT NULL REFERENCES org (id),
    name       TEXT NOT NULL,
    body       TEXT NOT NULL, -- Cedar
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL, -- name, for people
    PRIMARY KEY (org, name)
);

-- Second factors, one of a kind for each member: what one org demands or resets is nothing to another.
CREATE TABLE factor (
    org          TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    kind         TEXT NOT NULL, -- totp
    secret       TEXT NOT NULL, -- sealed
    last_counter BIGINT NOT NULL, -- the last time step used, so that a code serves once
    created_at   BIGINT NOT NULL,
    confirmed_at BIGINT, -- null until a first code was right: it counts for nothing
    PRIMARY KEY (org, user_id, kind),
    FOREIGN KEY (org, user_id) REFERENCES member (org, user_id)
);

CREATE TABLE recovery_code (
    org     TEXT NOT NULL,
    user_id TEXT NOT NULL,
    hash    TEXT NOT NULL, -- hex SHA-256
    used_at BIGINT,
    PRIMARY KEY (org, user_id, hash),
    FOREIGN KEY (org, user_id) REFERENCES member (org, user_id)
);

-- Whoever gave the right password and has a second factor gets one of these for its code: once, for a short time, for a
-- few guesses.
CREATE TABLE login_challenge (
    org        TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE, -- hex SHA-256 of the token
    user_id    TEXT NOT NULL,
    password   TEXT NOT NULL, -- hex SHA-256 of the password's hash: a password changed meanwhile voids it; empty: a provider vouched
    client     TEXT NOT NULL,
    idp        TEXT NOT NULL, -- id of that provider
    until      BIGINT NOT NULL, -- the login is valid no longer than that; 0: as organisation and member say
    guesses    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    PRIMARY KEY (org, hash),
    FOREIGN KEY (org, user_id) REFERENCES member (org, user_id)
);
CREATE INDEX login_challenge_expiry ON login_challenge (expires_at);

-- One-time links with which an invited person becomes a member.
CREATE TABLE invite (
    org        TEXT NOT NULL REFERENCES org (id),
    id         TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE, -- hex SHA-256 of the token
    user_id    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    kind       TEXT NOT NULL DEFAULT 'join', -- join: by an admin, who may not set the password of somebody known; owner: by the box's owner
    mail       TEXT NOT NULL DEFAULT '',     -- what became of the mail: queued, sent, or why not; empty: it was handed out
    PRIMARY KEY (org, id)
);

CREATE TABLE login (
    org          TEXT NOT NULL REFERENCES org (id),
    id           TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE, -- hex SHA-256 of the token
    user_id      TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    address      TEXT NOT NULL,
    client       TEXT NOT NULL,
    revoked_at   BIGINT,
    mfa_at       BIGINT, -- a second factor was shown at this time, last
    stage        TEXT NOT NULL DEFAULT '', -- sess.Stage: what has to be done before anything else
    idp          TEXT NOT NULL DEFAULT '', -- id of the provider; empty: a password
    PRIMARY KEY (org, id)
);
CREATE INDEX login_by_user ON login (org, user_id);

-- Identity providers that an organisation trusts to say who somebody is.
CREATE TABLE idp (
    org           TEXT NOT NULL REFERENCES org (id),
    id            TEXT NOT NULL UNIQUE, -- in the URLs that are registered at the provider
    name          TEXT NOT NULL,
    kind          TEXT NOT NULL, -- oidc, saml, github
    settings      TEXT NOT NULL, -- JSON idp.Settings
    secret        TEXT NOT NULL, -- the client secret, sealed; empty: none
    valid_seconds BIGINT NOT NULL, -- how long its logins are valid at most; 0: as the org says
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    PRIMARY KEY (org, id),
    UNIQUE (org, name)
);

-- Whom a provider sent: found by what the provider calls them, never by an address.
CREATE TABLE idp_account (
    org           TEXT NOT NULL,
    idp           TEXT NOT NULL,
    issuer        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    user_id       TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    last_login_at BIGINT NOT NULL,
    said          TEXT NOT NULL, -- JSON array: the groups that the provider named at the last login, those unknown here, too
    PRIMARY KEY (org, idp, issuer, subject),
    FOREIGN KEY (org, idp) REFERENCES idp (org, id),
    FOREIGN KEY (org, user_id) REFERENCES member (org, user_id)
);
CREATE INDEX idp_account_of_user ON idp_account (org, user_id);

-- Logins under way in a browser. Nobody is known yet when one begins, so it belongs to the box; org is set once chosen.
CREATE TABLE login_flow (
    id           TEXT PRIMARY KEY, -- in the URLs of our pages
    kind         TEXT NOT NULL, -- code: ends at the loopback port of a client; device: the client asks again and again
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    client       TEXT NOT NULL, -- what asks, in its own words
    address      TEXT NOT NULL, -- and from where
    browser      TEXT NOT NULL, -- hex SHA-256 of the cookie of the browser that it belongs to; empty: none yet
    org          TEXT NOT NULL, -- empty until chosen
    idp          TEXT NOT NULL, -- id of the provider that the person was sent to, last
    idp_name     TEXT NOT NULL, -- name of the provider that the client asked for; empty: none
    redirect_uri TEXT NOT NULL, -- code: where the client listens
    challenge    TEXT NOT NULL, -- code: base64url SHA-256 of the client's verifier
    client_state TEXT NOT NULL, -- code: given back to the client
    user_code    TEXT NOT NULL, -- device: hex SHA-256 of what the person types
    poll_seconds BIGINT NOT NULL, -- device: the time between two questions, which grows when it is not kept
    polled_at    BIGINT,
    confirmed_at BIGINT, -- device: the person said that the device is theirs
    state        TEXT NOT NULL, -- hex SHA-256 of the state given to the provider; empty: nobody is expected back
    request      TEXT NOT NULL, -- id of the SAML request
    handle       TEXT NOT NULL, -- hex SHA-256 of what the browser that brought a SAML response shows next
    person       TEXT NOT NULL, -- JSON idp.Person that the response was about
    user_id      TEXT NOT NULL, -- who it was
    password     TEXT NOT NULL, -- hex SHA-256 of the password's hash, where one was shown: if it is changed meanwhile, there is no login
    mfa_at       BIGINT,
    token        TEXT NOT NULL, -- hex SHA-256 of the code or device code that the client redeems; empty: not yet made
    done_at      BIGINT, -- somebody proved who they are
    denied_at    BIGINT,
    used_at      BIGINT -- the client has its login
);
CREATE INDEX login_flow_expiry ON login_flow (expires_at);
CREATE INDEX login_flow_state ON login_flow (state) WHERE state <> '';
CREATE INDEX login_flow_user_code ON login_flow (user_code) WHERE user_code <> '';
CREATE UNIQUE INDEX login_flow_token ON login_flow (token) WHERE token <> '';

CREATE TABLE api_key (
    org            TEXT NOT NULL REFERENCES org (id),
    id             TEXT NOT NULL,
    hash           TEXT NOT NULL UNIQUE, -- hex SHA-256 of the key
    user_id        TEXT NOT NULL,
    name           TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    last_used_at   BIGINT,
    last_used_from TEXT NOT NULL,
    revoked_at     BIGINT,
    addresses      TEXT NOT NULL DEFAULT '', -- CIDR prefixes, separated by spaces; empty: from anywhere
    hint           TEXT NOT NULL DEFAULT '', -- how the key begins, to recognise it by
    PRIMARY KEY (org, id)
);
CREATE INDEX api_key_by_user ON api_key (org, user_id);

CREATE TABLE enrol_token (
    org        TEXT NOT NULL REFERENCES org (id),
    id         TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE, -- hex SHA-256 of the token
    project    TEXT NOT NULL,
    region     TEXT NOT NULL,
    labels     TEXT NOT NULL, -- JSON object
    uses       BIGINT NOT NULL,
    used       BIGINT NOT NULL,
    created_by TEXT NOT NULL, -- name, for people
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (org, id),
    CHECK (used <= uses)
);

CREATE TABLE instance (
    org        TEXT NOT NULL REFERENCES org (id),
    id         TEXT NOT NULL UNIQUE,
    project    TEXT NOT NULL,
    name       TEXT NOT NULL,
    region     TEXT NOT NULL,
    public_key TEXT NOT NULL, -- base64 Ed25519
    token      TEXT NOT NULL, -- the enrolment token it came by
    hostname   TEXT NOT NULL,
    os         TEXT NOT NULL,
    arch       TEXT NOT NULL,
    version    TEXT NOT NULL,
    host       TEXT NOT NULL, -- JSON wire.Host
    load       TEXT NOT NULL, -- JSON wire.Load
    address    TEXT NOT NULL, -- as the server sees it
    node       TEXT NOT NULL, -- the node that holds its control link; empty: offline
    link       BIGINT NOT NULL, -- counts its control links: a later one fences an earlier one
    boot       TEXT NOT NULL, -- the agent's boot id
    last_seen  BIGINT,
    created_at BIGINT NOT NULL,
    removed_at BIGINT,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX instance_name ON instance (org, name) WHERE removed_at IS NULL;
CREATE INDEX instance_list ON instance (org, created_at, id);
CREATE INDEX instance_token ON instance (org, token);

CREATE TABLE instance_label (
    org      TEXT NOT NULL,
    instance TEXT NOT NULL,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (org, instance, name),
    FOREIGN KEY (org, instance) REFERENCES instance (org, id)
);
CREATE INDEX instance_label_value ON instance_label (org, name, value);

CREATE TABLE session (
    org             TEXT NOT NULL REFERENCES org (id),
    id              TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL,
    state           TEXT NOT NULL, -- pending, active, detached, ended
    instance        TEXT NOT NULL,
    instance_name   TEXT NOT NULL,
    project         TEXT NOT NULL,
    hostname        TEXT NOT NULL,
    instance_addr   TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    user_name       TEXT NOT NULL,
    credential      TEXT NOT NULL, -- login, api_key
    credential_id   TEXT NOT NULL,
    client_addr     TEXT NOT NULL,
    os_user         TEXT NOT NULL, -- asked for; empty: the agent's default
    reason          TEXT NOT NULL, -- given by the user
    command         TEXT NOT NULL, -- JSON array: the arguments for lists, cut short; the whole is in session_params
    tty             BIGINT NOT NULL, -- 1: on a PTY
    owner_key       TEXT NOT NULL, -- base64 of the P-256 point that may join and resume
    former_keys     TEXT NOT NULL, -- owner keys that attach replaced, separated by spaces: whoever shows one is told so
    node            TEXT NOT NULL, -- the node that relays it
    epoch           BIGINT NOT NULL, -- counts the agent's joins; every write by a relay says epoch = its own
    client_minted   BIGINT NOT NULL, -- generations of tickets
    client_redeemed BIGINT NOT NULL,
    agent_minted    BIGINT NOT NULL,
    agent_redeemed  BIGINT NOT NULL,
    grace_ms        BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    started_at      BIGINT, -- first joined by the agent
    owner_at        BIGINT, -- the owner was connected at this time or still is; grace counts from here
    detached_at     BIGINT, -- null while the owner is connected
    ended_at        BIGINT,
    end_reason      TEXT NOT NULL,
    ended_by        TEXT NOT NULL,
    end_message     TEXT NOT NULL,
    exit            TEXT NOT NULL, -- JSON wire.Exit; empty until known
    delivered_at    BIGINT, -- a client has everything and the status
    recording       TEXT NOT NULL, -- recording, complete, incomplete, missing
    rec_bytes       BIGINT NOT NULL,
    rec_stored      BIGINT NOT NULL,
    rec_digest      TEXT NOT NULL,
    rec_problem     TEXT NOT NULL,
    mfa_at          BIGINT, -- when the login that started it had shown a second factor
    idp             TEXT NOT NULL DEFAULT '', -- id of the provider of that login
    PRIMARY KEY (org, id)
);
CREATE INDEX session_undelivered ON session (node, ended_at) WHERE state = 'ended' AND end_reason = 'exit' AND delivered_at IS NULL;
CREATE INDEX session_unclosed ON session (node) WHERE state = 'ended' AND recording = 'recording';
CREATE INDEX session_of_node ON session (node, state) WHERE state <> 'ended';
CREATE INDEX session_list ON session (org, created_at, id);
CREATE INDEX session_live ON session (org, instance) WHERE state <> 'ended';
CREATE INDEX session_by_user ON session (org, user_id, created_at);
CREATE INDEX session_by_credential ON session (org, credential_id) WHERE state <> 'ended';

-- The parameters of a session, apart because they may be megabytes; dropped when nobody can attach any more, since
-- environments hold secrets.
CREATE TABLE session_params (
    org     TEXT NOT NULL REFERENCES org (id),
    session TEXT NOT NULL,
    params  TEXT NOT NULL, -- base64 of the bytes that open the stream
    PRIMARY KEY (org, session),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);

CREATE TABLE ticket (
    org           TEXT NOT NULL REFERENCES org (id),
    hash          TEXT NOT NULL UNIQUE, -- hex SHA-256 of the ticket
    session       TEXT NOT NULL,
    side          TEXT NOT NULL, -- client, agent
    gen           BIGINT NOT NULL,
    node          TEXT NOT NULL,
    owner_key     TEXT NOT NULL, -- client: base64 of the P-256 point that must sign the join
    attach        BIGINT NOT NULL, -- 1: owner_key and credential become the session's when redeemed; 0: owner_key must be it still
    user_id       TEXT NOT NULL, -- client: who it was minted for, and by which credential
    credential    TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    used_at       BIGINT,
    PRIMARY KEY (org, hash),
    FOREIGN KEY (org, session) REFERENCES session (org, id)
);
CREATE INDEX ticket_of_session ON ticket (org, session);
CREATE INDEX ticket_expiry ON ticket (expires_at);

-- Nonces of resume requests, so that a signature serves once.
CREATE TABLE resume_nonce (
    org        TEXT NOT NULL REFERENCES org (id),
    session    TEXT NOT NULL,
    nonce      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org, session, nonce)
);

CREATE TABLE node (
    id         TEXT PRIMARY KEY,
    url        TEXT NOT NULL,
    counter    BIGINT NOT NULL, -- the lease: a node whose counter stands still is gone
    started_at BIGINT NOT NULL
);

-- The audit trail: one log per org and one for the box (log = 'box'). The row is written in the transaction of what it
-- reports; the sequencer gives it its place in the Merkle tree right after.
CREATE TABLE audit_event (
    log        TEXT NOT NULL,
    id         TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    idx        BIGINT, -- place in the tree; null until sequenced
    action     TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    who        TEXT NOT NULL,
    session    TEXT NOT NULL,
    body       TEXT NOT NULL, -- the verbatim bytes that the leaf is the hash of
    PRIMARY KEY (log, id)
);
CREATE UNIQUE INDEX audit_event_idx ON audit_event (log, idx) WHERE idx IS NOT NULL;
CREATE INDEX audit_event_unplaced ON audit_event (log, created_at, id) WHERE idx IS NULL;
CREATE INDEX audit_event_list ON audit_event (log, created_at, id);
CREATE INDEX audit_event_session ON audit_event (log, session) WHERE session <> '';

CREATE TABLE audit_hash (
    log  TEXT NOT NULL,
    idx  BIGINT NOT NULL, -- tlog.StoredHashIndex
    hash TEXT NOT NULL,   -- base64
    PRIMARY KEY (log, idx)
);

CREATE TABLE audit_checkpoint (
    log        TEXT NOT NULL,
    size       BIGINT NOT NULL,
    note       TEXT NOT NULL, -- signed note
    created_at BIGINT NOT NULL,
    PRIMARY KEY (log, size)
);

-- Failed logins, counted by account, by account and address where that account has logged in from, and by address.
CREATE TABLE login_failure (
    subject    TEXT NOT NULL, -- "account:…", "account:…@ADDRESS" or "address:…"
    created_at BIGINT NOT NULL,
    id         TEXT NOT NULL,
    PRIMARY KEY (subject, created_at, id)
);

-- From where an account has logged in: failures elsewhere don't lock it out there.
CREATE TABLE login_place (
    account TEXT NOT NULL, -- as in login_failure
    address TEXT NOT NULL, -- an IPv6 address stands for its /64
    used_at BIGINT NOT NULL,
    PRIMARY KEY (account, address)
);

-- Addresses that failed too often: each time for twice as long.
CREATE TABLE login_block (
    address       TEXT PRIMARY KEY,
    strikes       BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL
);

-- +goose Down
DROP TABLE login_block;
DROP TABLE login_place;
DROP TABLE login_failure;
DROP TABLE audit_checkpoint;
DROP TABLE audit_hash;
DROP TABLE audit_event;
DROP TABLE node;
DROP TABLE resume_nonce;
DROP TABLE ticket;
DROP TABLE session_params;
DROP TABLE session;
DROP TABLE instance_label;
DROP TABLE instance;
DROP TABLE enrol_token;
DROP TABLE api_key;
DROP TABLE login_flow;
DROP TABLE idp_account;
DROP TABLE idp;
DROP TABLE login;
DROP TABLE invite;
DROP TABLE login_challenge;
DROP TABLE recovery_code;
DROP TABLE factor;
DROP TABLE policy;
DROP TABLE role;
DROP TABLE role_grant;
DROP TABLE team_member;
DROP TABLE team;
DROP TABLE member;
DROP TABLE reset_link;
DROP TABLE password_history;
DROP TABLE person;
DROP TABLE project;
DROP TABLE org;
