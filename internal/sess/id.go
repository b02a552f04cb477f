package sess

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// Identifiers are a three-letter prefix that says what they name, an underscore, and 16 characters of base32 (80
// random bits). They are not secret: knowing one gives no right to anything.
type (
	// OrgID names an organisation (tenant). Every store call takes one as a typed argument. The zero value is no org.
	OrgID string
	// ProjectID names a project: a set of instances in an organisation.
	ProjectID string
	// UserID names a user: a person or a machine user.
	UserID string
	// InstanceID names an instance: a machine that runs an agent.
	InstanceID string
	// SessionID names a session: one piece of work on one instance.
	SessionID string
	// NodeID names a running sess-server.
	NodeID string
	// KeyID names an API key (its public part).
	KeyID string
	// LoginID names a login of a person.
	LoginID string
	// TokenID names an enrolment token.
	TokenID string
	// GrantID names a grant: a role given to a user on an organisation or a project.
	GrantID string
	// TeamID names a group of users.
	TeamID string
	// IDPID names an identity provider that an organisation set up.
	IDPID string
	// ShareID names what was shared: a session with somebody, or by a link.
	ShareID string
	// EventID names an audit event.
	EventID string
	// BootID names one life of an agent process. A session never outlives the boot that runs it.
	BootID string
)

var idEncoding = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

func newID(prefix string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	return prefix + "_" + idEncoding.EncodeToString(b[:])
}

// NewOrgID returns a fresh identifier of an organisation.
func NewOrgID() OrgID { return OrgID(newID("org")) }

// NewProjectID returns a fresh identifier of a project.
func NewProjectID() ProjectID { return ProjectID(newID("prj")) }

// NewUserID returns a fresh identifier of a user.
func NewUserID() UserID { return UserID(newID("usr")) }

// NewInstanceID returns a fresh identifier of an instance.
func NewInstanceID() InstanceID { return InstanceID(newID("ins")) }

// NewSessionID returns a fresh identifier of a session.
func NewSessionID() SessionID { return SessionID(newID("ses")) }

// NewNodeID returns a fresh identifier of a server's node.
func NewNodeID() NodeID { return NodeID(newID("nod")) }

// NewKeyID returns a fresh identifier of an API key.
func NewKeyID() KeyID { return KeyID(newID("key")) }

// NewLoginID returns a fresh identifier of a login.
func NewLoginID() LoginID { return LoginID(newID("log")) }

// NewTokenID returns a fresh identifier of an enrolment token.
func NewTokenID() TokenID { return TokenID(newID("tok")) }

// NewGrantID returns a fresh identifier of a grant.
func NewGrantID() GrantID { return GrantID(newID("gra")) }

// NewTeamID returns a fresh identifier of a group.
func NewTeamID() TeamID { return TeamID(newID("grp")) }

// NewIDPID returns a fresh identifier of an identity provider.
func NewIDPID() IDPID { return IDPID(newID("idp")) }

// NewShareID returns a fresh identifier of what was shared.
func NewShareID() ShareID { return ShareID(newID("shr")) }

// NewEventID returns a fresh identifier of an audit event.
func NewEventID() EventID { return EventID(newID("evt")) }

// NewSinkID returns a fresh identifier of a place that an audit log is streamed to.
func NewSinkID() string { return newID("snk") }

// NewAlertHookID returns a fresh identifier of a webhook that is told of alerts.
func NewAlertHookID() string { return newID("hok") }

// NewAlertID returns a fresh identifier of an alert.
func NewAlertID() string { return newID("alr") }

// NewRecordingShareID returns a fresh identifier of a shared recording.
func NewRecordingShareID() string { return newID("rsh") }

// NewBootID returns a fresh identifier of one run of an agent.
func NewBootID() BootID { return BootID(newID("boo")) }

// ValidID reports whether s has the form of an identifier with the given three-letter prefix. It says nothing about
// whether the thing exists.
func ValidID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || len(rest) != 16 {
		return false
	}
	_, err := idEncoding.DecodeString(rest)
	return err == nil
}
