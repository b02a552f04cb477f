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

	LoginChallenge   Action = "login:challenge"
	MFAVerify        Action = "mfa:verify"
	MFAEnrol         Action = "mfa:enrol"
	MFAList          Action = "mfa:list"
	MFARemove        Action = "mfa:remove"
	MFARecoveryCodes Action = "mfa:recovery-codes"
	UserResetMFA     Action = "user:reset-mfa"
	UserUnlock       Action = "user:unlock"

	TokenCreate Action = "token:create"
	TokenList   Action = "token:list"
	TokenDelete Action = "token:delete"

	Enrol           Action = "enrol"
	InstanceConnect Action = "instance:connect"
	InstanceList    Action = "instance:list"
	InstanceShow    Action = "instance:show"
	InstanceChange  Action = "instance:change"
	InstanceMove    Action = "instance:move"
	InstanceRemove  Action = "instance:remove"

	SessionStart  Action = "session:start"
	SessionList   Action = "session:list"
	SessionShow   Action = "session:show"
	SessionRedeem Action = "session:redeem"
	SessionResume Action = "session:resume"
	SessionAttach Action = "session:attach"
	SessionEnd    Action = "session:end"

	UsageShow      Action = "usage:show"
	SessionEndMany Action = "session:end-many"

	LockAdd         Action = "lock:add"
	LockList        Action = "lock:list"
	LockShow        Action = "lock:show"
	LockRemove      Action = "lock:remove"
	SessionJoin     Action = "session:join"
	SessionObserve  Action = "session:observe"
	SessionModerate Action = "session:moderate"
	SessionAsk      Action = "session:ask"
	SessionAnswer   Action = "session:answer"
	SessionShare    Action = "session:share"
	SessionKick     Action = "session:kick"
	SessionOpen     Action = "session:open-link"

	AlertAdd    Action = "alert:add"
	AlertList   Action = "alert:list"
	AlertShow   Action = "alert:show"
	AlertTest   Action = "alert:test"
	AlertRemove Action = "alert:remove"

	KeyCreate        Action = "key:create"
	KeyCreateMachine Action = "key:create-machine"
	KeyList          Action = "key:list"
	KeyListAll       Action = "key:list-all"
	KeyDelete        Action = "key:delete"
	KeyRotate        Action = "key:rotate"
	MachineCreate    Action = "machine:create"

	IDPCreate Action = "idp:create"
	IDPList   Action = "idp:list"
	IDPShow   Action = "idp:show"
	IDPChange Action = "idp:change"
	IDPRemove Action = "idp:remove"
	IDPTest   Action = "idp:test"

	RecordingList   Action = "recording:list"
	RecordingShow   Action = "recording:show"
	RecordingReplay Action = "recording:replay"
	// RecordingCommands is to see the programs that ran in a session: their arguments tell as much as a recording.
	RecordingCommands Action = "recording:commands"

	RecordingShare      Action = "recording:share"
	RecordingListShares Action = "recording:list-shares"
	RecordingUnshare    Action = "recording:unshare"
	RecordingOpen       Action = "recording:open"
	RecordingHold       Action = "recording:hold"
	RecordingRelease    Action = "recording:release"

	OrgList   Action = "org:list"
	OrgShow   Action = "org:show"
	OrgUse    Action = "org:use"
	OrgSet    Action = "org:set"
	OrgRename Action = "org:rename"

	PasswordChange Action = "password:change"
	PasswordReset  Action = "password:reset"

	UserInvite     Action = "user:invite"
	UserList       Action = "user:list"
	UserShow       Action = "user:show"
	UserChange     Action = "user:change"
	UserReset      Action = "user:reset"
	UserRevoke     Action = "user:revoke"
	UserDeactivate Action = "user:deactivate"
	UserReactivate Action = "user:reactivate"
	UserDelete     Action = "user:delete"

	GroupCreate Action = "group:create"
	GroupList   Action = "group:list"
	GroupShow   Action = "group:show"
	GroupChange Action = "group:change"
	GroupDelete Action = "group:delete"

	ProjectCreate Action = "project:create"
	ProjectList   Action = "project:list"
	ProjectShow   Action = "project:show"
	ProjectChange Action = "project:change"
	ProjectDelete Action = "project:delete"

	GrantCreate Action = "grant:create"
	GrantList   Action = "grant:list"
	GrantShow   Action = "grant:show"
	GrantDelete Action = "grant:delete"

	AuditList   Action = "audit:list"
	AuditVerify Action = "audit:verify"
	AuditExport Action = "audit:export"
	AuditShow   Action = "audit:show"
	AuditWatch  Action = "audit:watch"
	AuditProve  Action = "audit:prove"

	SinkCreate Action = "sink:create"
	SinkList   Action = "sink:list"
	SinkShow   Action = "sink:show"
	SinkTest   Action = "sink:test"
	SinkRemove Action = "sink:remove"

	RoleList   Action = "role:list"
	RoleShow   Action = "role:show"
	RoleCreate Action = "role:create"
	RoleSet    Action = "role:set"
	RoleDelete Action = "role:delete"

	PolicyList       Action = "policy:list"
	PolicyShow       Action = "policy:show"
	PolicyPut        Action = "policy:put"
	PolicyDelete     Action = "policy:delete"
	PolicyTest       Action = "policy:test"
	PolicyExplain    Action = "policy:explain"
	PolicyExplainOwn Action = "policy:explain-own"
)

// What the server does by itself, and what the box's owner does at the machine.
const (
	OrgCreate    Action = "org:create"
	InviteCreate Action = "invite:create"
	IDPLogin     Action = "idp:login"
)

// What happened, without anybody asking for it at that moment. Audit events only: no rule allows or denies them.
const (
	SessionStarted       Action = "session:started"
	SessionJoined        Action = "session:joined"
	SessionDetached      Action = "session:detached"
	SessionEnded         Action = "session:ended"
	SessionCommands      Action = "session:commands"
	LockExpired          Action = "lock:expired"
	ParticipantJoined    Action = "session:participant-joined"
	ParticipantLeft      Action = "session:participant-left"
	ParticipantRefused   Action = "session:participant-refused"
	ParticipantKicked    Action = "session:participant-kicked"
	SessionPaused        Action = "session:paused"
	SessionContinued     Action = "session:continued"
	RecordingClosed      Action = "recording:closed"
	RecordingExpired     Action = "recording:expired"
	InstanceDisconnected Action = "instance:disconnected"
	Authenticate         Action = "authenticate" // a credential that was not accepted; refusals only
	PasswordForgot       Action = "password:forgot"
	LoginLocked          Action = "login:locked"
	AlertRaised          Action = "alert:raised"
	AlertStalled         Action = "alert:stalled"
	AlertResumed         Action = "alert:resumed"
	MailFailed           Action = "mail:failed"
	SinkStalled          Action = "sink:stalled"
	SinkResumed          Action = "sink:resumed"
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
		admin     = []sess.Role{sess.RoleAdmin}
		manage    = []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin}
		operate   = []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleOperator}
		look      = []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleOperator, sess.RoleSupport, sess.RoleReadOnly, sess.RoleAuditor}
		recorded  = []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleReadOnly, sess.RoleAuditor}
		oversee   = []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleReadOnly, sess.RoleAuditor}
		overseers = []sess.Role{sess.RoleAdmin, sess.RoleReadOnly, sess.RoleAuditor}
		evidence  = []sess.Role{sess.RoleAdmin, sess.RoleAuditor}
		replay    = []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleAuditor}
		everyone  = []sess.Role{Everyone}
	)
	return []Info{
		{Login, "log in with an accepted password", everyone, true},
		{Accept, "accept an invitation", everyone, true},
		{Logout, "end one's login", everyone, true},
		{Whoami, "see who one is and what one may do", everyone, true},
		{OrgList, "list the organisations that one is in", everyone, false},
		{OrgShow, "see one's organisation and what is set for it", everyone, false},
		{OrgUse, "go on in another organisation that one is in", everyone, false},
		{OrgSet, "change what is set for the organisation", admin, false},
		{OrgRename, "rename the organisation", admin, false},
		{LoginChallenge, "be asked for a second factor after an accepted password", everyone, true},
		{MFAVerify, "show a second factor", everyone, true},
		{MFAEnrol, "enrol a second factor", everyone, true},
		{MFAList, "list one's second factors", everyone, true},
		{MFARemove, "remove one's second factor", everyone, true},
		{MFARecoveryCodes, "make new recovery codes", everyone, true},
		{UserResetMFA, "remove a user's second factors", admin, false},
		{UserUnlock, "unlock a user after failed logins", admin, false},
		{PasswordChange, "change one's password", everyone, true},
		{PasswordReset, "set a new password by a link", everyone, true},
		{TokenCreate, "make an enrolment token", manage, false},
		{TokenList, "list enrolment tokens", oversee, false},
		{TokenDelete, "void an enrolment token", manage, false},
		{InstanceList, "list instances", look, false},
		{InstanceShow, "see an instance", look, false},
		{InstanceChange, "rename or label an instance", manage, false},
		{InstanceMove, "move an instance from or to a project", manage, false},
		{InstanceRemove, "remove an instance", manage, false},
		{SessionStart, "start a session on an instance", operate, false},
		{SessionList, "list sessions", append(look[:len(look):len(look)], Everyone), false},
		{SessionShow, "see a session", append(look[:len(look):len(look)], Everyone), true},
		{SessionRedeem, "join a session with its ticket", everyone, true},
		{SessionResume, "get a fresh ticket for a session of one's own", everyone, true},
		{SessionAttach, "take over a running session of one's own", everyone, true},
		{SessionEnd, "end a session", append(manage[:len(manage):len(manage)], Everyone), true},
		{UsageShow, "see what sessions took", []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleAuditor, Everyone}, true},
		{SessionEndMany, "end sessions by user or instance, or all: those that one may end", everyone, false},
		{LockAdd, "lock a user, group, instance, project, key, address or the organisation", manage, false},
		{LockList, "list locks", oversee, false},
		{LockShow, "see a lock", oversee, false},
		{LockRemove, "lift a lock", manage, false},
		{AlertAdd, "have a webhook told of what is unusual", admin, false},
		{AlertList, "list the webhooks that are told of what is unusual", admin, false},
		{AlertShow, "see a webhook and what it was told of", admin, false},
		{AlertTest, "send a webhook a test", admin, false},
		{AlertRemove, "remove a webhook", admin, false},
		{SessionJoin, "join a live session and type in it; operators: one that is shared with them", append(manage[:len(manage):len(manage)], Everyone), true},
		{SessionObserve, "watch a live session; operators: one that is shared with them", append(manage[:len(manage):len(manage)], Everyone), true},
		{SessionModerate, "moderate a session of somebody else; operators: one that is shared with them for that", manage, false},
		{SessionAsk, "ask the owner of a session to be let in", []sess.Role{sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleSupport}, false},
		{SessionAnswer, "let somebody who asks into a session of one's own", everyone, true},
		{SessionShare, "share a session", append(manage[:len(manage):len(manage)], Everyone), true},
		{SessionOpen, "open a link to a session that was shared by it", everyone, false},
		{SessionKick, "put somebody out of a session", append(manage[:len(manage):len(manage)], Everyone), true},
		{KeyCreate, "make an API key of one's own", everyone, true},
		{KeyCreateMachine, "make an API key of a machine user", admin, false},
		{KeyRotate, "replace an API key of one's own or of a machine user", everyone, true},
		{MachineCreate, "make a machine user", admin, false},
		{KeyList, "list one's own API keys", everyone, true},
		{KeyListAll, "list everyone's API keys", overseers, false},
		{KeyDelete, "delete an API key", everyone, true},
		{IDPCreate, "set up an identity provider", admin, false},
		{IDPList, "list identity providers", admin, false},
		{IDPShow, "see an identity provider", admin, false},
		{IDPChange, "change an identity provider", admin, false},
		{IDPRemove, "remove an identity provider", admin, false},
		{IDPTest, "try an identity provider", admin, false},
		{RecordingList, "list recordings", append(recorded[:len(recorded):len(recorded)], sess.RoleOperator, Everyone), false},
		{RecordingShow, "see what is known of a recording", append(recorded[:len(recorded):len(recorded)], Everyone), true},
		{RecordingReplay, "replay a recording", append(replay[:len(replay):len(replay)], Everyone), true},
		{RecordingCommands, "see the programs that ran in a session", append(replay[:len(replay):len(replay)], Everyone), true},
		{RecordingShare, "share a recording by a link", append(admin[:len(admin):len(admin)], Everyone), true},
		{RecordingListShares, "list shared recordings", everyone, false},
		{RecordingUnshare, "take a shared recording back", append(admin[:len(admin):len(admin)], Everyone), true},
		{RecordingOpen, "replay a recording that was shared with one", everyone, false},
		{RecordingHold, "keep a recording until it is released, whatever its age", admin, false},
		{RecordingRelease, "release a recording that was held", admin, false},
		{UserInvite, "invite a person", admin, false},
		{UserList, "list users", oversee, false},
		{UserShow, "see a user", oversee, false},
		{UserChange, "change a user's name and how long their credentials are valid", admin, false},
		{UserReset, "make a link with which a user sets a new password", admin, false},
		{UserRevoke, "end all logins, keys and sessions of a user", admin, false},
		{UserDeactivate, "deactivate a user", admin, false},
		{UserReactivate, "reactivate a user", manage, false},
		{UserDelete, "delete a user", admin, false},
		{GroupCreate, "make a group", admin, false},
		{GroupList, "list groups", oversee, false},
		{GroupShow, "see a group and who is in it", oversee, false},
		{GroupChange, "put users into a group or take them out", admin, false},
		{GroupDelete, "delete a group", admin, false},
		{ProjectCreate, "make a project", admin, false},
		{ProjectList, "list projects", look, false},
		{ProjectShow, "see a project", look, false},
		{ProjectChange, "rename a project", manage, false},
		{ProjectDelete, "delete an empty project", admin, false},
		{GrantCreate, "give a role that one holds oneself", manage, false},
		{GrantList, "list the roles that users and groups were given", oversee, false},
		{GrantShow, "see a role that was given", oversee, false},
		{GrantDelete, "take a role away", manage, false},
		{AuditList, "list audit events", evidence, false},
		{AuditVerify, "have the server check its audit log", evidence, false},
		{AuditExport, "export the audit log", evidence, false},
		{AuditShow, "see an audit event", evidence, false},
		{AuditWatch, "follow the audit log for a minute", evidence, false},
		{AuditProve, "have proofs and checkpoints of the audit log made", evidence, false},
		{SinkCreate, "have the audit log streamed elsewhere", admin, false},
		{SinkList, "list where the audit log is streamed", admin, false},
		{SinkShow, "see where the audit log is streamed, and how far", admin, false},
		{SinkTest, "try a place that the audit log is streamed to", admin, false},
		{SinkRemove, "end the streaming of the audit log to a place", admin, false},
		{RoleList, "list roles", oversee, false},
		{RoleShow, "see what a role holds", oversee, false},
		{RoleCreate, "make a role of the organisation's own", admin, false},
		{RoleSet, "change a role of the organisation's own", admin, false},
		{RoleDelete, "delete a role of the organisation's own", admin, false},
		{PolicyList, "list policies", overseers, false},
		{PolicyShow, "see a policy", overseers, false},
		{PolicyPut, "write a policy", admin, false},
		{PolicyDelete, "delete a policy", admin, false},
		{PolicyTest, "test policies against a table of expectations", evidence, false},
		{PolicyExplain, "have a decision about anybody explained", evidence, false},
		{PolicyExplainOwn, "have a decision about oneself explained, as far as it is one's own", everyone, false},
	}
}

// Events lists the other actions, which nobody holds by a role: what agents, the server and the box's owner do (they
// are judged by a fixed table), and what happens without being asked for. They appear in the audit log only.
func Events() []Info {
	return []Info{
		{Action: Enrol, Summary: "a machine became an instance by an enrolment token"},
		{Action: InstanceConnect, Summary: "an agent proved its key and opened its control link"},
		{Action: OrgCreate, Summary: "the first start, or the box's owner, made an organisation"},
		{Action: InviteCreate, Summary: "a link was made with which an admin sets a password"},
		{Action: IDPLogin, Summary: "an identity provider said who somebody is; their groups are as it says"},
		{Action: SessionStarted, Summary: "both sides of a session have been there"},
		{Action: SessionJoined, Summary: "the owner of a detached session is back"},
		{Action: SessionDetached, Summary: "the owner of a session went away; it runs on"},
		{Action: SessionEnded, Summary: "a session ended, once, with its reason"},
		{Action: SessionCommands, Summary: "what ran in a session: how many programs and the digest of their list, or why there is none"},
		{Action: LockExpired, Summary: "a lock ended by itself, when its time was up"},
		{Action: ParticipantJoined, Summary: "somebody beside its owner is in a session: role and number are in the event"},
		{Action: ParticipantLeft, Summary: "somebody who was in a session beside its owner is there no more"},
		{Action: ParticipantRefused, Summary: "somebody who asked to be let into a session was not"},
		{Action: ParticipantKicked, Summary: "somebody was put out of a session, or the right to be in it was withdrawn"},
		{Action: SessionPaused, Summary: "a session that needs moderators stands still, for not enough of them are there"},
		{Action: SessionContinued, Summary: "a session that needs moderators goes on"},
		{Action: RecordingClosed, Summary: "a recording was closed; its digest is in the event"},
		{Action: RecordingExpired, Summary: "a recording was deleted because of its age or the size of all; its digest is in the event"},
		{Action: InstanceDisconnected, Summary: "an instance went offline"},
		{Action: LoginLocked, Summary: "so many logins failed that the account is locked, for where they came from or for everybody it does not know"},
		{Action: AlertRaised, Summary: "something unusual was found in the log, and webhooks are told"},
		{Action: AlertStalled, Summary: "a webhook can't be told of what was found; it is tried again"},
		{Action: AlertResumed, Summary: "a webhook that could not be told takes alerts again"},
		{Action: PasswordForgot, Summary: "a person asked for a link that sets a new password"},
		{Action: MailFailed, Summary: "a mail to a person could not be sent"},
		{Action: SinkStalled, Summary: "a place that the audit log is streamed to takes nothing, several times in a row; nothing is lost"},
		{Action: SinkResumed, Summary: "a place that the audit log is streamed to takes events again, from where it was"},
		{Action: Authenticate, Summary: "a credential was not accepted; refusals only, those of one address within 10 s in one event"},
	}
}
