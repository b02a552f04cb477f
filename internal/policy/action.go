package policy

import "github.com/sessctl/sess/internal/sess"

// Action names something that can be asked for or that happened: what policies and audit events speak of. A released
// name is never changed.
type Action string

// The verbs of the API.
const (
	Login  Action = "login"
	Accept Action = "accept"
	Logout Action = "logout"
	Whoami Action = "whoami"

	TokenCreate Action = "token:create"
	TokenList   Action = "token:list"
	TokenDelete Action = "token:delete"

	Enrol           Action = "enrol"
	InstanceConnect Action = "instance:connect"
	InstanceList    Action = "instance:list"
	InstanceShow    Action = "instance:show"
	InstanceChange  Action = "instance:change"
	InstanceRemove  Action = "instance:remove"

	SessionStart  Action = "session:start"
	SessionList   Action = "session:list"
	SessionShow   Action = "session:show"
	SessionRedeem Action = "session:redeem"
	SessionResume Action = "session:resume"
	SessionAttach Action = "session:attach"
	SessionEnd    Action = "session:end"

	KeyCreate        Action = "key:create"
	KeyCreateMachine Action = "key:create-machine"
	KeyList          Action = "key:list"
	KeyListAll       Action = "key:list-all"
	KeyDelete        Action = "key:delete"

	RecordingList   Action = "recording:list"
	RecordingShow   Action = "recording:show"
	RecordingReplay Action = "recording:replay"

	AuditList   Action = "audit:list"
	AuditVerify Action = "audit:verify"
	AuditExport Action = "audit:export"
)

// What the server does by itself, and what the box's owner does at the machine.
const (
	OrgCreate    Action = "org:create"
	InviteCreate Action = "invite:create"
)

// What happened, without anybody asking for it at that moment. Audit events only: no rule allows or denies them.
const (
	SessionStarted       Action = "session:started"
	SessionJoined        Action = "session:joined"
	SessionDetached      Action = "session:detached"
	SessionEnded         Action = "session:ended"
	RecordingClosed      Action = "recording:closed"
	InstanceDisconnected Action = "instance:disconnected"
	Authenticate         Action = "authenticate" // a credential that was not accepted; refusals only
)

// Info describes an Action for documentation, and for the hint of a refusal.
type Info struct {
	Action  Action
	Summary string // one line
	// Roles hold it: for an action on a thing that belongs to somebody, on their own things at least.
	Roles []sess.Role
	// Own says that the roles without the whole organisation in view have it for their own things only.
	Own bool
}

// Everyone stands, in Info.Roles, for every active member, with or without a role.
const Everyone sess.Role = "everyone"

// Actions lists every verb that people and machine users can ask for, in the order of the reference. A test holds it
// against the Cedar policies.
func Actions() []Info {
	var (
		admin    = []sess.Role{sess.RoleAdmin}
		operate  = []sess.Role{sess.RoleAdmin, sess.RoleOperator}
		look     = []sess.Role{sess.RoleAdmin, sess.RoleOperator, sess.RoleReadOnly, sess.RoleAuditor}
		manage   = []sess.Role{sess.RoleAdmin, sess.RoleReadOnly, sess.RoleAuditor}
		evidence = []sess.Role{sess.RoleAdmin, sess.RoleAuditor}
		replay   = []sess.Role{sess.RoleAdmin, sess.RoleOperator, sess.RoleAuditor}
		everyone = []sess.Role{Everyone}
	)
	return []Info{
		{Login, "log in with an accepted password", everyone, true},
		{Accept, "accept an invitation", everyone, true},
		{Logout, "end one's login", everyone, true},
		{Whoami, "see who one is and what one may do", everyone, true},
		{TokenCreate, "make an enrolment token", admin, false},
		{TokenList, "list enrolment tokens", manage, false},
		{TokenDelete, "void an enrolment token", admin, false},
		{InstanceList, "list instances", look, false},
		{InstanceShow, "see an instance", look, false},
		{InstanceChange, "rename or label an instance", admin, false},
		{InstanceRemove, "remove an instance", admin, false},
		{SessionStart, "start a session on an instance", operate, false},
		{SessionList, "list sessions", look, false},
		{SessionShow, "see a session", look, true},
		{SessionRedeem, "join a session with its ticket", operate, true},
		{SessionResume, "get a fresh ticket for a session of one's own", operate, true},
		{SessionAttach, "take over a running session of one's own", operate, true},
		{SessionEnd, "end a session", operate, true},
		{KeyCreate, "make an API key of one's own", operate, true},
		{KeyCreateMachine, "make a machine user and its API key", admin, false},
		{KeyList, "list one's own API keys", everyone, true},
		{KeyListAll, "list everyone's API keys", manage, false},
		{KeyDelete, "delete an API key", everyone, true},
		{RecordingList, "list recordings", look, false},
		{RecordingShow, "see what is known of a recording", look, true},
		{RecordingReplay, "replay a recording", replay, true},
		{AuditList, "list audit events", evidence, false},
		{AuditVerify, "have the server check its audit log", evidence, false},
		{AuditExport, "export the audit log", evidence, false},
	}
}

// Events lists the other actions, which nobody holds by a role: what agents, the server and the box's owner do (they
// are judged by a fixed table), and what happens without being asked for. They appear in the audit log only.
func Events() []Info {
	return []Info{
		{Action: Enrol, Summary: "a machine became an instance by an enrolment token"},
		{Action: InstanceConnect, Summary: "an agent proved its key and opened its control link"},
		{Action: OrgCreate, Summary: "the first start made an organisation"},
		{Action: InviteCreate, Summary: "a link was made with which an admin sets a password"},
		{Action: SessionStarted, Summary: "both sides of a session have been there"},
		{Action: SessionJoined, Summary: "the owner of a detached session is back"},
		{Action: SessionDetached, Summary: "the owner of a session went away; it runs on"},
		{Action: SessionEnded, Summary: "a session ended, once, with its reason"},
		{Action: RecordingClosed, Summary: "a recording was closed; its digest is in the event"},
		{Action: InstanceDisconnected, Summary: "an instance went offline"},
		{Action: Authenticate, Summary: "a credential was not accepted; refusals only, those of one address within 10 s in one event"},
	}
}
