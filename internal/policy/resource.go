package policy

import "github.com/sessctl/sess/internal/sess"

// Type is the type of a thing that an action is about.
type Type string

// The types of things.
const (
	TypeOrg       Type = "org" // the organisation as a whole: lists, and what belongs to all of it
	TypeProject   Type = "project"
	TypeInstance  Type = "instance"
	TypeSession   Type = "session"
	TypeRecording Type = "recording"
	TypeKey       Type = "key"
	TypeToken     Type = "token"
	TypeLogin     Type = "login"
	TypeUser      Type = "user"
	TypeGroup     Type = "group"
	TypeGrant     Type = "grant"
	TypeIDP       Type = "idp"
	TypeLock      Type = "lock"
	TypeLog       Type = "log"  // the audit log of an organisation
	TypeSink      Type = "sink" // where that is streamed to; decided about as the organisation's
)

// Resource is the thing that an action is about, as far as rules and the audit log want to know it. Org and Type are
// always set; the rest as far as it is known and applies.
type Resource struct {
	Org     sess.OrgID
	Project sess.ProjectID // empty: belongs to no project, only grants on the whole organisation reach it
	Type    Type
	ID      string
	Name    string // for people

	Instance    sess.InstanceID   // the instance it runs on or came from
	Owner       sess.UserID       // whose it is; empty: nobody's in particular
	Machine     bool              // of a key: its owner is a machine user
	Labels      map[string]string // of the instance
	Region      string            // of the instance
	SessionKind sess.Kind         // of the session, existing or asked for
	OSUser      string            // asked for; empty: the agent's default
	Shared      sess.JoinRole     // of a session: the role in which it is shared with who asks; empty: it is not
	Began       int64             // microseconds: when what is decided about once more began, up to which a factor's age counts; 0: now
	Role        sess.Role         // of a grant: what is given
	Reason      string            // given by the person
}

// Org gives the resource of the organisation as a whole.
func Org(org sess.OrgID) Resource { return Resource{Org: org, Type: TypeOrg, ID: string(org)} }

// Context is what a decision may depend on beside who, what and on what.
type Context struct {
	// Now is the time of the request in microseconds since 1970 (UTC).
	Now int64
	// Rules are what the organisation added to the rules we ship; nil: nothing.
	Rules *OrgRules
	// Groups are the names of those the principal is in. They are needed only where Rules.UsesGroups.
	Groups []string
	// SessionsOff says that the organisation turned the Session Manager off.
	SessionsOff bool
}

// Decision says whether something is allowed and why.
type Decision struct {
	Allowed bool
	// Rules are the ids of the rules that decided: the permits of an allowed one, the forbids of a denied one. Empty
	// when nothing allowed it. Sorted.
	Rules []string
	// Missing says what would have allowed it, for the person: "the role operator or org-admin on project prj_…". Empty
	// when allowed, or when no role would help.
	Missing string
	// Failed are rules that could not be evaluated; the decision is a denial then, whatever other rules say.
	Failed []string
	// Limit says which control of a role stands against what the roles permit, for the person; the Rules are its role's.
	Limit string
	// Lock is the lock that bars it, whatever rules say; nil: none does.
	Lock *Lock
}

// Scope says which things of a type somebody may do an action to, in a form that a query can use. It is made from the
// same rules as Decide, and is never narrower; it may be wider where rules look at more than organisation, project and
// owner, and for what is one's own in projects where one holds nothing. So check every row with Allows too.
type Scope struct {
	Org      bool             // everything in the organisation
	Projects []sess.ProjectID // everything in these projects
	Own      bool             // what is one's own
}

// Empty reports whether nothing is in scope.
func (s Scope) Empty() bool { return !s.Org && !s.Own && len(s.Projects) == 0 }
