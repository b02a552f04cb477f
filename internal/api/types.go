package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// ServerInfo says what a server is, to anyone who asks.
type ServerInfo struct {
	Name     string `json:"name"` // the host name in its public URL: what join signatures are bound to
	Version  string `json:"version"`
	Protocol int    `json:"protocol"`
	// BrowserLogin says that there are people here who log in at an identity provider, in a browser.
	BrowserLogin bool `json:"browser_login,omitempty"`
}

// LoginIn logs a person in by e-mail address and password.
type LoginIn struct {
	Body struct {
		Email    string `json:"email" maxLength:"254"`
		Password string `json:"password" maxLength:"1024"`
		Org      string `json:"org,omitempty" maxLength:"63" doc:"Name of the organisation; needed by who is in several"`
		Client   string `json:"client,omitempty" maxLength:"200" doc:"What logs in, for the list of logins"`
	}
}

// LoginOut is a new login; Token is shown this once. It is none yet where Token is empty: then Orgs are the organisations to
// choose from, or Challenge asks for a second factor, until ExpiresAt.
type LoginOut struct {
	Token     string      `json:"token,omitempty"`
	Challenge string      `json:"challenge,omitempty"`
	Orgs      []string    `json:"orgs,omitempty"`
	Stage     sess.Stage  `json:"stage,omitempty"` // what has to be done before anything else: password, mfa
	ExpiresAt time.Time   `json:"expires_at"`
	User      sess.UserID `json:"user"`
	Email     string      `json:"email"`
	Org       sess.OrgID  `json:"org"`
	OrgName   string      `json:"org_name"`
}

// AcceptIn accepts an invitation by the one-time token in its link. Password is the new one of who has none, and the present
// one of who has: see LookInvite.
type AcceptIn struct {
	Body struct {
		Token    string `json:"token" maxLength:"200"`
		Password string `json:"password" maxLength:"1024"`
		Email    string `json:"email,omitempty" maxLength:"254" doc:"For the first admin, whose address the server does not know yet"`
		Client   string `json:"client,omitempty" maxLength:"200"`
	}
}

// WhoamiOut says who is asking and what they may do.
type WhoamiOut struct {
	User       sess.UserID     `json:"user"`
	Name       string          `json:"name"`
	Kind       sess.UserKind   `json:"kind"`
	Org        sess.OrgID      `json:"org"`
	OrgName    string          `json:"org_name"`
	Credential sess.Credential `json:"credential"`
	ExpiresAt  *time.Time      `json:"expires_at,omitempty"`
	Address    string          `json:"address"`
	MFAAt      *time.Time      `json:"mfa_at,omitempty"` // when the login last showed a second factor
	Grants     []GrantOut      `json:"grants"`
	Groups     []string        `json:"groups,omitempty"`
	Stage      sess.Stage      `json:"stage,omitempty"` // what this login has to do before anything else
	Hint       string          `json:"hint,omitempty"`  // what to do for access, for who has none
}

// GrantOut is one role held, and where.
type GrantOut struct {
	Role    sess.Role `json:"role"`
	Project string    `json:"project,omitempty"` // its name; empty: the whole organisation
	Group   string    `json:"group,omitempty"`   // the group it comes by; empty: given to the user
}

// TokenIn makes an enrolment token.
type TokenIn struct {
	Body struct {
		Uses    int               `json:"uses,omitempty" minimum:"0" maximum:"100000" doc:"How many instances may enrol with it; 0 means 1"`
		TTL     int64             `json:"ttl_seconds,omitempty" minimum:"0" maximum:"31536000" doc:"0 means an hour"`
		Region  string            `json:"region,omitempty" maxLength:"64"`
		Project string            `json:"project,omitempty" maxLength:"64" doc:"Name or id; empty means default"`
		Labels  map[string]string `json:"labels,omitempty"`
	}
}

// Token is an enrolment token. Secret is set only in the answer that makes it.
type Token struct {
	ID        sess.TokenID      `json:"id"`
	Secret    string            `json:"secret,omitempty"`
	Uses      int               `json:"uses"` // allowed
	Used      int               `json:"used"`
	ExpiresAt time.Time         `json:"expires_at"`
	CreatedAt time.Time         `json:"created_at"`
	CreatedBy string            `json:"created_by"`
	Region    string            `json:"region,omitempty"`
	Project   string            `json:"project"`
	Labels    map[string]string `json:"labels,omitempty"`
	// InstallLine and EnrolLine are ready to paste, in the answer that makes it. InstallLine is empty when the server
	// has no agent binaries to give.
	InstallLine string `json:"install_line,omitempty"`
	EnrolLine   string `json:"enrol_line,omitempty"`
}

// TokenList is a page of enrolment tokens, newest first.
type TokenList struct {
	Items []Token `json:"items"`
	Next  string  `json:"next,omitempty"`
}

// EnrolIn makes a machine an instance. Signature is the new key's over wire.SignedMessage(PurposeEnrol, SHA-256(token)).
type EnrolIn struct {
	Body struct {
		Token     string `json:"token" maxLength:"200"`
		PublicKey []byte `json:"public_key" doc:"Ed25519, 32 bytes, made on the instance"`
		Signature []byte `json:"signature"`
		Name      string `json:"name,omitempty" maxLength:"63" doc:"Empty means the host name; a number is added when it is taken"`
		Hostname  string `json:"hostname" maxLength:"255"`
		OS        string `json:"os" maxLength:"32"`
		Arch      string `json:"arch" maxLength:"32"`
		Version   string `json:"version" maxLength:"64"`
	}
}

// EnrolOut tells a new instance who it is and whose offers to obey.
type EnrolOut struct {
	Instance   sess.InstanceID `json:"instance"`
	Name       string          `json:"name"`
	BrokerKeys [][]byte        `json:"broker_keys"` // Ed25519, to pin
	Server     ServerInfo      `json:"server"`
}

// Instance is a machine that runs an agent.
type Instance struct {
	ID        sess.InstanceID   `json:"id"`
	Name      string            `json:"name"`
	Project   string            `json:"project"`
	Region    string            `json:"region,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Online    bool              `json:"online"` // reachable now
	LastSeen  *time.Time        `json:"last_seen,omitempty"`
	Hostname  string            `json:"hostname,omitempty"`
	OS        string            `json:"os,omitempty"`
	Arch      string            `json:"arch,omitempty"`
	Kernel    string            `json:"kernel,omitempty"`
	Version   string            `json:"version,omitempty"`
	Address   string            `json:"address,omitempty"` // as the server sees it
	Addresses []string          `json:"addresses,omitempty"`
	RunsAs    string            `json:"runs_as,omitempty"`
	Load1     float64           `json:"load1"`
	MemTotal  uint64            `json:"mem_total,omitempty"`
	MemFree   uint64            `json:"mem_free,omitempty"`
	DiskTotal uint64            `json:"disk_total,omitempty"`
	DiskFree  uint64            `json:"disk_free,omitempty"`
	Sessions  int               `json:"sessions"` // live on it
	CreatedAt time.Time         `json:"created_at"`
}

// InstanceList is a page of instances, newest first.
type InstanceList struct {
	Items []Instance `json:"items"`
	Next  string     `json:"next,omitempty"`
}

// InstancesIn asks for instances.
type InstancesIn struct {
	Page
	Label  []string `query:"label,explode" maxItems:"20" doc:"key=value; all must match"`
	Prefix string   `query:"prefix" maxLength:"63" doc:"Of the name, for completion"`
}

// InstanceRef names an instance by name, id, or unique prefix of either.
type InstanceRef struct {
	Instance string `path:"instance" maxLength:"63"`
}

// InstancePatchIn changes an instance.
type InstancePatchIn struct {
	InstanceRef
	Body struct {
		Name   *string            `json:"name,omitempty" maxLength:"63"`
		Labels map[string]*string `json:"labels,omitempty" doc:"Set to the value, or removed when null"`
	}
}

// StartIn starts a session.
type StartIn struct {
	Body struct {
		Instance string    `json:"instance" maxLength:"63" doc:"Name, id or unique prefix"`
		Kind     sess.Kind `json:"kind" maxLength:"16"`
		OSUser   string    `json:"os_user,omitempty" maxLength:"64"`
		Reason   string    `json:"reason,omitempty" maxLength:"500"`
		// Tags are what the session can be found and counted by.
		Tags      map[string]string `json:"tags,omitempty" maxProperties:"16" doc:"To find and count it by: a pipeline's run, a ticket"`
		Params    []byte            `json:"params" doc:"JSON of the kind's parameters; the same bytes open the stream"`
		PublicKey []byte            `json:"public_key" doc:"The session's key: ECDSA P-256, uncompressed point (65 bytes)"`
	}
}

// Ticket lets its holder join the relay. Its Token goes into the Authorization header as "Bearer TOKEN", with the
// signature of wire.JoinMessage by the session's key as base64url in Sess-Signature, and is used up by the first
// connect.
type Ticket struct {
	Session   sess.SessionID `json:"session"`
	StreamURL string         `json:"stream_url"`
	Token     string         `json:"token"`
	ExpiresAt time.Time      `json:"expires_at"`
	// Server is the name to sign over; Kind and Params tell a client that attaches what it attached to.
	Server string    `json:"server"`
	Kind   sess.Kind `json:"kind"`
	Params []byte    `json:"params,omitempty"` // attach only
	// Instance is the name of the instance, for messages to people.
	Instance string `json:"instance"`
	// GraceMS is how long the session lives on without its owner, in milliseconds.
	GraceMS int64 `json:"grace_ms"`
	// Exit is set when the session's process has ended already and only its status and output are left to fetch.
	Exit *sess.Exit `json:"exit,omitempty"`
}

// SessionRef names a session by id or unique prefix.
type SessionRef struct {
	Session string `path:"session" maxLength:"63"`
}

// ResumeIn asks for a fresh ticket by the session's key. Signature is over wire.SignedMessage(PurposeResume, session,
// nonce, server name), ECDSA P-256, r‖s (64 bytes).
type ResumeIn struct {
	SessionRef
	Body struct {
		Nonce     []byte `json:"nonce" doc:"16 random bytes, not used before"`
		Signature []byte `json:"signature"`
		// Participant is the number of who asks, where that is not the owner: the signature is of their key.
		Participant uint16 `json:"participant,omitempty"`
	}
}

// AttachIn takes a running session over with a new key.
type AttachIn struct {
	SessionRef
	Body struct {
		PublicKey []byte `json:"public_key"`
	}
}

// EndIn ends a session.
type EndIn struct {
	SessionRef
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}

// SessionsIn asks for sessions.
type SessionsIn struct {
	Page
	State    string    `query:"state" enum:"live,all,ended" default:"live"`
	Instance string    `query:"instance" maxLength:"63" doc:"Name or id"`
	User     string    `query:"user" maxLength:"254" doc:"Name or id"`
	Project  string    `query:"project" maxLength:"64" doc:"Name or id"`
	Kind     sess.Kind `query:"kind" maxLength:"32"`
	Label    []string  `query:"label,explode" maxItems:"8" doc:"NAME=VALUE, of the instance, as it is now"`
	Since    string    `query:"since" maxLength:"40" doc:"RFC 3339: begun then or later"`
	Mine     bool      `query:"mine" doc:"Only my own"`
	Shared   bool      `query:"shared" doc:"Only live ones of others that are shared with me"`
	Tag      string    `query:"tag" maxLength:"200" doc:"NAME=VALUE"`
	Prefix   string    `query:"prefix" maxLength:"63" doc:"Of the id, for completion"`
}

// Session is one piece of work on one instance.
type Session struct {
	ID             sess.SessionID      `json:"id"`
	Kind           sess.Kind           `json:"kind"`
	State          sess.State          `json:"state"`
	Instance       sess.InstanceID     `json:"instance"`
	InstanceName   string              `json:"instance_name"`
	Hostname       string              `json:"hostname,omitempty"`
	InstanceAddr   string              `json:"instance_address,omitempty"` // as the server saw it
	User           sess.UserID         `json:"user"`
	UserName       string              `json:"user_name"`
	Credential     sess.Credential     `json:"credential"`
	OSUser         string              `json:"os_user,omitempty"` // asked for
	ClientAddr     string              `json:"client_address"`
	Reason         string              `json:"reason,omitempty"` // given by the user
	Command        []string            `json:"command,omitempty"`
	CreatedAt      time.Time           `json:"created_at"`
	StartedAt      *time.Time          `json:"started_at,omitempty"` // joined by the agent
	ActiveAt       *time.Time          `json:"active_at,omitempty"`  // of a live one: when something was typed last, or sent where there is no terminal
	DetachedAt     *time.Time          `json:"detached_at,omitempty"`
	EndedAt        *time.Time          `json:"ended_at,omitempty"`
	EndReason      sess.EndReason      `json:"end_reason,omitempty"`
	EndedBy        string              `json:"ended_by,omitempty"`
	EndMessage     string              `json:"end_message,omitempty"`
	Exit           *sess.Exit          `json:"exit,omitempty"`
	GraceMS        int64               `json:"grace_ms"`
	LeaseMS        int64               `json:"lease_ms"` // after which its agent ends it by itself when it hears of no server
	RecordingState sess.RecordingState `json:"recording_state"`
	Connected      int64               `json:"connected"`          // how many are connected to it now
	Controls       *sess.Effective     `json:"controls,omitempty"` // that hold for it, and where each comes from; none: nothing does

	Project        sess.ProjectID    `json:"project,omitempty"`
	ProjectName    string            `json:"project_name,omitempty"`      // only where one session is shown
	CredentialID   string            `json:"credential_id,omitempty"`     // of the login or key; no secret
	IDP            string            `json:"identity_provider,omitempty"` // of the login; empty: a password here, or an API key
	MFAAt          *time.Time        `json:"mfa_at,omitempty"`            // when that login last showed a second factor, at the start
	RanAs          string            `json:"ran_as,omitempty"`            // the user on the instance, in the agent's words
	Host           Host              `json:"host"`
	Tags           map[string]string `json:"tags,omitempty"`
	Bytes          sess.Traffic      `json:"bytes"` // of a session that runs on another server: when it has ended
	CPUMicros      int64             `json:"cpu_us,omitempty"`
	MemPeak        int64             `json:"mem_peak,omitempty"`         // bytes
	RecordingBytes int64             `json:"recording_stored,omitempty"` // on disk

	Shared sess.JoinRole `json:"shared,omitempty"` // the role in which it is shared with who asks, now

	// Participants are, in a list, who is in a live session beside its owner now; of one that is shown, who is or was, the owner first.
	Participants []SessionParticipant `json:"participants,omitempty"`
	Joins        []SessionJoin        `json:"joins,omitempty"` // of one that is shown
}

// SessionList is a page of sessions, newest first.
type SessionList struct {
	Items []Session `json:"items"`
	Next  string    `json:"next,omitempty"`
}

// IDRef names something by its id.
type IDRef struct {
	ID string `path:"id" maxLength:"63"`
}

// Recording is what is known of a session's recording.
type Recording struct {
	Session      sess.SessionID      `json:"session"`
	State        sess.RecordingState `json:"state"`
	Kind         sess.Kind           `json:"kind"`
	UserName     string              `json:"user_name"`
	InstanceName string              `json:"instance_name"`
	StartedAt    time.Time           `json:"started_at"`
	DurationMS   int64               `json:"duration_ms"`
	Bytes        int64               `json:"bytes"`            // as recorded, before compression
	Stored       int64               `json:"stored"`           // on disk
	Digest       string              `json:"digest,omitempty"` // hex SHA-256 over the closed segments' digests
	Problem      string              `json:"problem,omitempty"`
	Hold         *Hold               `json:"hold,omitempty"`
	Recipients   []string            `json:"recipients,omitempty" doc:"Public keys that it is encrypted to: the server can't read it"`
}

// RecordingsIn asks for recordings.
type RecordingsIn struct {
	Page
	Instance string `query:"instance" maxLength:"63"`
	User     string `query:"user" maxLength:"254"`
}

// RecordingList is a page of recordings, newest first.
type RecordingList struct {
	Items []Recording `json:"items"`
	Next  string      `json:"next,omitempty"`
}
