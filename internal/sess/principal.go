package sess

import (
	"net/netip"
	"time"
)

// UserKind tells people from programs.
type UserKind string

// The kinds of user.
const (
	UserLocal   UserKind = "local"   // a person with a password here
	UserIDP     UserKind = "idp"     // a person whom an identity provider sends
	UserMachine UserKind = "machine" // a program: API keys, no password, no console
)

// Stage is what a login has to do before it may do anything else.
type Stage string

// The stages.
const (
	StageNone     Stage = ""         // nothing: it is a full login
	StagePassword Stage = "password" // change the temporary password
	StageMFA      Stage = "mfa"      // enrol a second factor, which the organisation demands
)

// Credential says how a principal proved who it is.
type Credential string

// The credentials.
const (
	CredentialNone   Credential = ""
	CredentialLogin  Credential = "login"
	CredentialKey    Credential = "api_key"
	CredentialAgent  Credential = "agent"  // an instance's own key
	CredentialSystem Credential = "system" // sess-server itself: expiry, recovery
	CredentialAdmin  Credential = "admin"  // the box's owner, at the machine
)

// Principal is who is asking: a user or machine user in one org, by which credential and from which address. It is
// made by identity and only ever passed down; rooms below trust it.
type Principal struct {
	Org          OrgID
	User         UserID // empty for an agent or the system
	Name         string // e-mail address, machine user's name, or the instance's name: for people and the audit log
	UserKind     UserKind
	Instance     InstanceID // set when the principal is an agent
	Credential   Credential
	CredentialID string     // the login's, key's or instance's id; never a secret
	Stage        Stage      // of a login: what has to be done first
	MFAAt        time.Time  // when this login last showed a second factor; zero: never
	IDP          string     // id of the identity provider of this login; empty: a password
	Addr         netip.Addr // client address as the server believes it
	RequestID    string     // names the API request in logs and audit
}

// System returns the principal of sess-server itself acting in org.
func System(org OrgID) Principal {
	return Principal{Org: org, Name: "sess-server", Credential: CredentialSystem}
}

// BoxOwner returns the owner of the machine that the server runs on, who needs no login: acting on an organisation, or, without
// one, on the box.
func BoxOwner(org OrgID) Principal {
	return Principal{Org: org, Name: "owner of the server", Credential: CredentialAdmin}
}

// Role names a role: one of the built-in ones, or one of an organisation's own.
type Role string

// The built-in roles.
const (
	RoleAdmin        Role = "org-admin"
	RoleProjectAdmin Role = "project-admin"
	RoleOperator     Role = "operator"
	RoleSupport      Role = "support"
	RoleReadOnly     Role = "read-only"
	RoleAuditor      Role = "auditor"
)

// Grant is a role given to a user, directly or by a group, on the whole organisation or on one project.
type Grant struct {
	ID      GrantID
	Role    Role
	Project ProjectID // empty: the whole organisation
	Team    TeamID    // the group it comes by; empty: given to the user
}

// Controls are what a role holds besides permissions: limits that are not yes or no. Of several roles that apply the
// strictest counts. The zero value of a field limits nothing. It is kept as JSON.
type Controls struct {
	OSUsers []string `json:"os_users,omitempty"` // names that may be asked for; none: any
	Kinds   []Kind   `json:"kinds,omitempty"`    // kinds of session; none: any

	IdleSeconds  int64 `json:"idle_seconds,omitempty"`   // a session without input for so long ends
	MaxSeconds   int64 `json:"max_seconds,omitempty"`    // a session that runs for so long ends
	GraceSeconds int64 `json:"grace_seconds,omitempty"`  // a session whose owner is away for so long ends; 0: as its kind says
	LeaseSeconds int64 `json:"lease_seconds,omitempty"`  // a session whose agent hears of no server for so long ends there; 0: a minute more than its grace
	EndWithLogin bool  `json:"end_with_login,omitempty"` // a session ends when the login or key that started it does

	Sessions    int64 `json:"sessions,omitempty"`    // live at a time, for each user
	Connections int64 `json:"connections,omitempty"` // to sessions at a time, for each user

	ReasonRequired bool `json:"reason_required,omitempty"` // a start gives a reason

	Recording RecordingMode `json:"recording,omitempty"` // empty: on
	Input     InputMode     `json:"input,omitempty"`     // what of the input is on record; empty: all of it
	NoLinks   bool          `json:"no_links,omitempty"`  // recordings of these sessions are not shared by a link

	// Recipients are the public keys that recordings are encrypted to; none: they are not. Of an organisation alone.
	Recipients []string `json:"recipients,omitempty"`

	Moderators           int64 `json:"moderators,omitempty"`             // so many have to be there for a session to run
	ModeratorWaitSeconds int64 `json:"moderator_wait_seconds,omitempty"` // for so long it stands still without them, then it ends; 0: ModeratorWait
	EndUnmoderated       bool  `json:"end_unmoderated,omitempty"`        // it ends when one of them leaves, rather than stand still
}

// RecordingMode says whether a session is recorded.
type RecordingMode string

// The modes of recording, from the strictest.
const (
	RecordStrict RecordingMode = "strict" // no recorder, no session
	RecordOn     RecordingMode = "on"     // what can't be recorded is marked as missing, and the session goes on
	RecordOff    RecordingMode = "off"    // that the session was is known, not what was in it
)

// InputMode says what of a session's input is on record.
type InputMode string

// The modes of input, from the one that keeps least.
const (
	InputOff    InputMode = "off"    // none of it
	InputMasked InputMode = "masked" // what was typed while the terminal echoed; never anything else
	InputOn     InputMode = "on"
)
