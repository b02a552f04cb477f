package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// MaxPolicyBody bounds the body of the operations that take policies: the text of one, escaped.
const MaxPolicyBody = 1 << 20

// Role is a named set of permissions: one that sess ships, or the organisation's own.
type Role struct {
	Name    sess.Role `json:"name"`
	BuiltIn bool      `json:"built_in"`
	Summary string    `json:"summary"`
	Actions []string  `json:"actions,omitempty"` // of the organisation's own roles; of ours in role-show

	sess.Controls // of the sessions that it lets its holders start

	Grants    int        `json:"grants"`           // how often it is given
	Policy    string     `json:"policy,omitempty"` // the Cedar that it means; of role-show
	UpdatedAt *time.Time `json:"updated_at,omitempty"`
}

// RoleList is all roles: the organisation's own first, by name.
type RoleList struct {
	Items []Role `json:"items"`
}

// RoleRef names a role.
type RoleRef struct {
	Role string `path:"role" maxLength:"64"`
}

// RoleIn makes a role.
type RoleIn struct {
	Body struct {
		Name    string   `json:"name" maxLength:"64"`
		Summary string   `json:"summary,omitempty" maxLength:"200"`
		Actions []string `json:"actions" maxItems:"200" doc:"What it allows: docs/reference/permissions.md"`

		sess.Controls
	}
}

// RoleSetIn changes a role; what is left out stays.
type RoleSetIn struct {
	RoleRef
	Body struct {
		Summary *string   `json:"summary,omitempty" maxLength:"200"`
		Actions *[]string `json:"actions,omitempty" maxItems:"200"`

		ControlsSet
	}
}

// Policy is a policy that an admin wrote, in Cedar.
type Policy struct {
	Name      string    `json:"name"`
	Body      string    `json:"body,omitempty"` // not in lists
	Bytes     int       `json:"bytes"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
	Broken    bool      `json:"broken,omitempty"` // it does not fit this version of sess: what it could speak of is denied
}

// PolicyList is all policies, the last changed first.
type PolicyList struct {
	Items []Policy `json:"items"`
}

// PolicyRef names a policy.
type PolicyRef struct {
	Policy string `path:"policy" maxLength:"64"`
}

// PolicyPutIn writes a policy, in place of the one of that name if there is one.
type PolicyPutIn struct {
	PolicyRef
	Body struct {
		Body string `json:"body" doc:"Cedar"`
	}
}

// PolicyText is a policy that is not stored.
type PolicyText struct {
	Name string `json:"name" maxLength:"64" doc:"Stands in for the stored one of that name"`
	Body string `json:"body"`
}

// Question is what is decided about, by somebody, at some time. What is left out is as in a request from nowhere in
// particular, now.
type Question struct {
	User     string     `json:"user,omitempty" maxLength:"254" doc:"E-mail address, machine user or id; empty means the caller"`
	Action   string     `json:"action" maxLength:"64" doc:"session:start, or start"`
	Instance string     `json:"instance,omitempty" maxLength:"63" doc:"Name or id; empty means the organisation as a whole"`
	At       *time.Time `json:"at,omitempty" doc:"Empty means now"`
	From     string     `json:"from,omitempty" maxLength:"64" doc:"Address of the client"`
	Kind     string     `json:"kind,omitempty" maxLength:"16" doc:"Kind of session; shell if empty"`
	OSUser   string     `json:"os_user,omitempty" maxLength:"64"`
	Reason   string     `json:"reason,omitempty" maxLength:"500"`
	MFAAge   *int64     `json:"mfa_age,omitempty" minimum:"0" doc:"Seconds since a second factor was shown; empty means never"`
	IDP      string     `json:"idp,omitempty" maxLength:"64" doc:"Identity provider of the login"`
	Key      bool       `json:"key,omitempty" doc:"By an API key, not a login"`
}

// ExplainIn asks why something is, or was, allowed or denied: by a question, or by a reference.
type ExplainIn struct {
	Body struct {
		Question *Question `json:"question,omitempty"`
		Ref      string    `json:"ref,omitempty" maxLength:"63" doc:"A session or the id of a denial"`
	}
}

// Explanation is a decision and the rules that made it.
type Explanation struct {
	Allowed  bool      `json:"allowed"`
	User     string    `json:"user"`
	Action   string    `json:"action"`
	On       string    `json:"on,omitempty"`
	At       time.Time `json:"at"`
	Recorded bool      `json:"recorded"` // told from the audit log, as it was decided then
	Summary  string    `json:"summary"`  // in words
	Why      []Why     `json:"why"`
	Missing  string    `json:"missing,omitempty"` // what would have allowed it
	Groups   []string  `json:"groups,omitempty"`  // that the user is in
	// Controls are those that would hold for a session; of a question about starting one that is allowed.
	Controls *sess.Effective `json:"controls,omitempty"`
	// Partial says that whoever asks may not see the organisation's rules, so that they are left out.
	Partial bool `json:"partial,omitempty"`
}

// Why is one rule that made a decision.
type Why struct {
	Rule   string `json:"rule"`
	Effect string `json:"effect"` // allows, forbids, limits, fails
	Words  string `json:"words"`
	Policy string `json:"policy,omitempty"` // the name of the policy it stands in
	Line   int    `json:"line,omitempty"`
	Text   string `json:"text,omitempty"` // as it is now
}

// PolicyCase is an expectation.
type PolicyCase struct {
	Question

	Expect string `json:"expect" enum:"allow,deny"`
	Rule   string `json:"rule,omitempty" maxLength:"200" doc:"A rule that must be among those that decide"`
	Line   int    `json:"line,omitempty" doc:"Where it stands, for messages"`
}

// MaxPolicyCases bounds the expectations of one test.
const MaxPolicyCases = 1000

// PolicyTestIn tests what is stored, together with policies that are not.
type PolicyTestIn struct {
	Body struct {
		Cases []PolicyCase `json:"cases" maxItems:"1000"`
		With  []PolicyText `json:"with,omitempty" maxItems:"50"`
	}
}

// PolicyTestOut is what came out, in the order of the cases.
type PolicyTestOut struct {
	Passed  int                `json:"passed"`
	Failed  int                `json:"failed"`
	Results []PolicyTestResult `json:"results"`
}

// PolicyTestResult is how one expectation fared.
type PolicyTestResult struct {
	OK      bool     `json:"ok"`
	Line    int      `json:"line,omitempty"`
	Allowed bool     `json:"allowed"`
	Rules   []string `json:"rules,omitempty"`
	Problem string   `json:"problem,omitempty"` // why it could not be decided: no such user, say
}

// AccessList is what the caller may do on which instances.
type AccessList struct {
	Items []Access `json:"items"`
	// More says that there are more instances than are listed.
	More bool `json:"more,omitempty"`
}

// MaxAccess bounds the instances of an AccessList.
const MaxAccess = 10000

// Access is what the caller may do on one instance.
type Access struct {
	ID      sess.InstanceID `json:"id"`
	Name    string          `json:"name"`
	Project string          `json:"project"`
	Online  bool            `json:"online"`
	Kinds   []sess.Kind     `json:"kinds,omitempty"`    // of session that one may start
	OSUsers []string        `json:"os_users,omitempty"` // who one may be there; none: anybody the instance lets in
	Actions []string        `json:"actions"`            // others, on the instance
	// Factor says that more may be started after a second factor was shown.
	Factor bool `json:"factor,omitempty"`
}
