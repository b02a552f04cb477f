package sess

import "net/netip"

// UserKind tells people from programs.
type UserKind string

// The kinds of user.
const (
	UserLocal   UserKind = "local"   // a person with a password here
	UserMachine UserKind = "machine" // a program: API keys, no password, no console
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
	Addr         netip.Addr // client address as the server believes it
	RequestID    string     // names the API request in logs and audit
}

// System returns the principal of sess-server itself acting in org.
func System(org OrgID) Principal {
	return Principal{Org: org, Name: "sess-server", Credential: CredentialSystem}
}

// Role names a built-in role.
type Role string

// The built-in roles.
const (
	RoleAdmin    Role = "org-admin"
	RoleOperator Role = "operator"
	RoleReadOnly Role = "read-only"
	RoleAuditor  Role = "auditor"
)

// Grant is a role given to a user on the whole organisation or on one project.
type Grant struct {
	ID      GrantID
	Role    Role
	Project ProjectID // empty: the whole organisation
}
