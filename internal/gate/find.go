package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Find loads the thing that an action is about. That there is none, and that the principal may not see it, become the
// same answer, so that nobody learns of things by asking for them.
type Find struct {
	Type policy.Type
	Name string // as it was asked for: a name, an id or a prefix
	// By loads it, by the store's queries on the Tx; errors.Is(err, sess.ErrNotFound) or store.ErrNotFound: there is none.
	// Where a prefix fits several, it leaves out those that Tx.Allowed or Tx.Scope don't let the principal see.
	By func(*Tx) (policy.Resource, error)
	// Instead is what is decided about, and recorded, where what was asked for is denied and this is not; Tx.Action tells.
	Instead policy.Action
}

// shows are the actions that make a thing visible.
func shows(t policy.Type) policy.Action {
	switch t {
	case policy.TypeInstance:
		return policy.InstanceShow
	case policy.TypeSession:
		return policy.SessionShow
	case policy.TypeRecording:
		return policy.RecordingShow
	case policy.TypeToken:
		return policy.TokenList
	case policy.TypeKey:
		return policy.KeyList
	case policy.TypeProject:
		return policy.ProjectShow
	case policy.TypeUser:
		return policy.UserShow
	case policy.TypeGroup:
		return policy.GroupShow
	case policy.TypeGrant:
		return policy.GrantShow
	case policy.TypeIDP:
		return policy.IDPShow
	case policy.TypeLock:
		return policy.LockShow
	case policy.TypeOrg, policy.TypeLogin, policy.TypeLog, policy.TypeSink:
	}
	return ""
}

// resolve is the finder of f.
func (f Find) resolve(tx *Tx) (policy.Resource, error) {
	asked := policy.Resource{Org: tx.who.Org, Type: f.Type, Name: f.Name}
	on, err := f.By(tx)
	switch {
	case err != nil && notFound(err):
		if e := tx.barred(); e != nil {
			return asked, tx.refuse(e)
		}
		return asked, f.missing()
	case err != nil:
		return asked, err
	case on.Org != tx.who.Org: // a query that forgot its org: never show it
		return asked, f.missing()
	}
	if f.Instead != "" && !tx.Allowed(tx.entry.Action, on) && tx.Allowed(f.Instead, on) {
		tx.entry.Action = f.Instead
	}
	// Seen, or allowed what is asked for: either way it exists for this principal. The agent of an instance sees nothing
	// but may report on what is its own.
	if tx.Allowed(tx.entry.Action, on) {
		return on, nil
	}
	seen := on
	if f.Type == policy.TypeProject && on.Type != f.Type && on.Project != "" { // what is to be made in a project is hidden with it
		seen = policy.Resource{Org: on.Org, Project: on.Project, Type: policy.TypeProject, ID: string(on.Project)}
	}
	if f.Type == policy.TypeInstance && on.Type == policy.TypeLock { // what is to be locked is hidden as it is itself
		seen.Type, seen.ID = f.Type, string(on.Instance)
	}
	if show := shows(f.Type); show != "" && seen.Type == f.Type && !tx.Allowed(show, seen) {
		tx.entry.On = on // the log knows better than the answer
		if e := tx.barred(); e != nil {
			tx.Detail("hidden", "no access")
			return on, tx.refuse(e)
		}
		return on, tx.hide(f.missing())
	}
	return on, nil
}

// barred is the one answer of whoever may ask for nothing yet, whether the thing is there or not: a login that has something
// to do first, somebody without a role.
func (tx *Tx) barred() *sess.Error {
	if e := tx.staged(); e != nil {
		return e
	}
	if e := tx.gated(); e != nil && !tx.everyones() {
		return e
	}
	return nil
}

// staged says what has to be done before anything else.
func (tx *Tx) staged() *sess.Error {
	switch tx.who.Stage {
	case sess.StagePassword:
		return sess.New(sess.CodeDenied, "you may not "+policy.Describe(tx.entry.Action)+" before you have changed your temporary password", "sessctl login asks for a new one")
	case sess.StageMFA:
		return tx.demandsFactor()
	case sess.StageNone:
	}
	return nil
}

// gated is the one answer that somebody without a role gets, also for what is not there: who may do nothing learns nothing.
func (tx *Tx) gated() *sess.Error {
	if policy.NeedsMember(tx.who) && len(tx.grants) == 0 && !tx.hasByPolicy() {
		return noAccess()
	}
	return nil
}

// hasByPolicy reports whether a policy of the organisation may give the principal instances, without any role.
func (tx *Tx) hasByPolicy() bool {
	if !tx.Rules().UsesThings() {
		return false
	}
	return !tx.Scope(policy.InstanceShow, policy.TypeInstance).Empty() || !tx.Scope(policy.SessionStart, policy.TypeInstance).Empty()
}

// everyones reports whether what is asked for is everybody's to ask, about what is their own: of that there may be none.
func (tx *Tx) everyones() bool {
	own := policy.Resource{Org: tx.who.Org, Owner: tx.who.User}
	for _, own.Type = range []policy.Type{policy.TypeKey, policy.TypeLogin, policy.TypeOrg} {
		if tx.Allowed(tx.entry.Action, own) {
			return true
		}
	}
	return false
}

// hide refuses with the answer "not found".
func (tx *Tx) hide(err *sess.Error) error {
	tx.Detail("hidden", "yes")
	return tx.refuse(err)
}

// missing is the one answer for what is not there or not to be seen.
func (f Find) missing() *sess.Error {
	hint := ""
	if shows(f.Type) != "" {
		hint = fmt.Sprintf("sessctl %s list shows what you may see", f.Type)
	}
	return sess.New(sess.CodeNotFound, fmt.Sprintf("no %s %q that you may see", f.Type, f.Name), hint)
}

func notFound(err error) bool {
	return errors.Is(err, sess.ErrNotFound) || errors.Is(err, store.ErrNotFound)
}

// denied says in words what was refused and what would help.
func (tx *Tx) denied(ctx context.Context, on policy.Resource, d policy.Decision) *sess.Error {
	if e := tx.gated(); e != nil && tx.who.Stage == sess.StageNone {
		return e
	}
	what := policy.Describe(tx.entry.Action)
	if name := on.Name; name != "" {
		what += ": " + name
	} else if on.ID != "" && on.Type != policy.TypeOrg {
		what += ": " + on.ID
	}
	if tx.who.Stage == sess.StagePassword {
		return sess.New(sess.CodeDenied, "you may not "+what+" before you have changed your temporary password", "sessctl login asks for a new one")
	}
	hint := "nobody may do this"
	switch {
	case slices.Contains(d.Rules, policy.RuleSessionsOff):
		return sess.New(sess.CodeDenied, "you may not "+what+": the Session Manager of the organisation is off", "an admin of the organisation turns it on again: sessctl org set session-manager on")
	case d.Limit != "":
		return sess.New(sess.CodeDenied, "you may not "+what+": "+d.Limit, "ask for what the role allows")
	case len(d.Failed) > 0:
		hint = "a rule of the organisation could not be evaluated; an admin sees which: sessctl policy explain " + string(tx.id)
	case len(d.Rules) > 0:
		hint = "a rule forbids it; an admin of the organisation sees which, and can change it: sessctl policy explain " + string(tx.id)
	}
	if d.Missing != "" {
		missing := d.Missing
		if on.Project != "" {
			if p, err := tx.GetProject(ctx, on.Org, on.Project); err == nil {
				missing = strings.ReplaceAll(missing, string(on.Project), p.Name)
			}
		}
		hint = "ask an admin of the organisation for " + missing
	}
	return sess.New(sess.CodeDenied, "you may not "+what, hint)
}

// noAccess is the one answer for a member who holds no role, whatever they ask for.
func noAccess() *sess.Error {
	return sess.New(sess.CodeDenied, "you have no access in this organisation yet", HintNoAccess)
}

// HintNoAccess says what to do for a member who holds no role.
const HintNoAccess = "ask an admin of the organisation for a role, or to be put into a group that has one"
