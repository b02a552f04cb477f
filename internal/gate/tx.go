package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Tx is what a guarded function gets: the store's transaction, and the event that is being written. It is for one
// goroutine and void once the function returned.
type Tx struct {
	*store.Tx

	gate    *Gate
	who     sess.Principal
	write   bool
	grants  []sess.Grant
	entry   Entry
	id      sess.EventID
	refusal error

	standing   Standing
	decided    policy.Resource                                  // what was decided about, before it was completed
	has        func(context.Context, *Tx) error                 // what else has to hold for as long as the answer takes
	things     func(sess.OrgID, sess.InstanceID) (thing, error) // loads what rules may ask of a session's instance, once each
	incomplete error                                            // that went wrong
}

func (g *Gate) newTx(ctx context.Context, st *store.Tx, who sess.Principal, act policy.Action) *Tx {
	return &Tx{
		Tx: st, gate: g, who: who, id: sess.NewEventID(), things: loadThings(ctx, st),
		entry: Entry{Who: who, Action: act, On: policy.Org(who.Org), Outcome: audit.Allowed, Time: g.now()},
	}
}

// Who gives the principal that asks.
func (tx *Tx) Who() sess.Principal { return tx.who }

// Action gives what is decided about.
func (tx *Tx) Action() policy.Action { return tx.entry.Action }

// Grants gives the roles that the principal holds; none for agents, the server and the box's owner.
func (tx *Tx) Grants() []sess.Grant { return slices.Clone(tx.grants) }

// EventID gives the id of the event that is being written.
func (tx *Tx) EventID() sess.EventID { return tx.id }

// Detail adds a detail to the event: within the limits of package audit, never a secret.
func (tx *Tx) Detail(key, value string) {
	if tx.entry.Details == nil {
		tx.entry.Details = map[string]string{}
	}
	tx.entry.Details[key] = value
}

// Reason sets the reason of the event: what the person gave.
func (tx *Tx) Reason(text string) { tx.entry.Reason = text }

// On says better what the event is about: the id of what was just made, say. It changes no decision.
func (tx *Tx) On(r policy.Resource) { tx.entry.On = r }

// Session sets the session of the event.
func (tx *Tx) Session(id sess.SessionID) { tx.entry.Session = id }

// Allowed decides a further question for the same principal: about the rows of a list, or a detail of what is asked for.
// It is not recorded by itself.
func (tx *Tx) Allowed(act policy.Action, on policy.Resource) bool {
	return tx.gate.policy.Allows(tx.who, tx.grants, act, tx.complete(on), tx.context())
}

// Covers reports whether the principal may itself do all that a role would allow on a project (empty: everywhere); if not, it
// names an action that is missing. The server and the box's owner give anything.
func (tx *Tx) Covers(role sess.Role, project sess.ProjectID) (missing policy.Action, ok bool) {
	if !policy.NeedsMember(tx.who) {
		return "", true
	}
	return tx.gate.policy.Covers(tx.who, tx.grants, sess.Grant{Role: role, Project: project}, tx.context())
}

// Scope says on which things of type t the principal may do act, for use in a query; check the rows with Allowed too.
func (tx *Tx) Scope(act policy.Action, t policy.Type) policy.Scope {
	return tx.gate.policy.Scope(tx.who, tx.grants, act, t, tx.context())
}

// decide loads what the decision needs and makes it. A refusal is both returned and kept in tx.refusal.
func (tx *Tx) decide(ctx context.Context, find finder) error {
	if err := tx.load(ctx); err != nil {
		return err
	}
	on, err := find(tx)
	if on.Org != "" {
		tx.entry.On = on
	}
	if on.Type == policy.TypeSession || on.Type == policy.TypeRecording {
		tx.entry.Session = sess.SessionID(on.ID)
	}
	if err != nil {
		return err
	}
	tx.decided = on
	on = tx.complete(on)
	if tx.incomplete != nil {
		return tx.incomplete
	}
	d := tx.gate.policy.Decide(tx.who, tx.grants, tx.entry.Action, on, tx.context())
	tx.explain(on, d)
	if len(d.Failed) > 0 {
		tx.gate.log.ErrorContext(ctx, "policy rules failed", "rules", d.Failed, "action", string(tx.entry.Action))
	}
	if d.Allowed {
		return nil
	}
	if d.Lock != nil {
		return tx.refuse(Locked(*d.Lock))
	}
	if err := tx.WantsFactor(tx.entry.Action, on); err != nil {
		return tx.refuse(err)
	}
	return tx.refuse(tx.denied(ctx, on, d))
}

// WantsFactor says what a second factor, shown now, would change about act, which is denied: a login of which that, and
// nothing else, is wanted is told so. nil: it would change nothing.
func (tx *Tx) WantsFactor(act policy.Action, on policy.Resource) *sess.Error {
	return tx.wantsFactor(act, on, tx.context())
}

func (tx *Tx) wantsFactor(act policy.Action, on policy.Resource, cx policy.Context) *sess.Error {
	who := tx.who
	if who.Credential == sess.CredentialKey {
		if who.Stage != sess.StageMFA {
			return nil
		}
		return tx.demandsFactor()
	}
	if who.Credential != sess.CredentialLogin {
		return nil
	}
	who.MFAAt = tx.entry.Time
	if who.Stage == sess.StageMFA {
		who.Stage = sess.StageNone
	}
	if !tx.gate.policy.Allows(who, tx.grants, act, on, cx) {
		return nil
	}
	if tx.who.Stage == sess.StageMFA {
		return tx.demandsFactor()
	}
	return sess.New(sess.CodeMFA, "a second factor, shown a moment ago, is needed to "+policy.Describe(act),
		`"sessctl mfa verify" asks for your code; who has none yet runs "sessctl mfa enrol"`)
}

// demandsFactor is what a login or key gets whose owner has to show, or to enrol, a second factor before anything else.
func (tx *Tx) demandsFactor() *sess.Error {
	if tx.who.Credential == sess.CredentialKey {
		return sess.New(sess.CodeMFA, "this organisation demands a second factor of the people whose keys are used",
			`log in and enrol one: "sessctl login", then "sessctl mfa enrol"`)
	}
	return sess.New(sess.CodeMFA, "this organisation demands a second factor before anything else",
		`"sessctl mfa verify" asks for your code; who has none yet runs "sessctl mfa enrol"`)
}

func errNoMember() *sess.Error {
	return sess.New(sess.CodeDenied, "you are no member of this organisation", "ask an admin of the organisation to invite you")
}

// MemberLock names the lock that a transaction shares while it acts for a member, and holds alone while it takes away what
// the member may do.
func MemberLock(org sess.OrgID, user sess.UserID) string {
	return "member " + string(org) + " " + string(user)
}

// revoked refuses who asks by a login or key that was revoked since it was authenticated.
func (tx *Tx) revoked(ctx context.Context) error {
	var revoked int64
	switch tx.who.Credential {
	case sess.CredentialLogin:
		row, err := tx.LoginRevoked(ctx, tx.who.Org, sess.LoginID(tx.who.CredentialID))
		if err != nil {
			return fmt.Errorf("look for login: %w", err)
		}
		revoked = row.Revoked
	case sess.CredentialKey:
		row, err := tx.APIKeyRevoked(ctx, tx.who.Org, sess.KeyID(tx.who.CredentialID))
		if err != nil {
			return fmt.Errorf("look for API key: %w", err)
		}
		revoked = row.Revoked
	case sess.CredentialNone, sess.CredentialAgent, sess.CredentialSystem, sess.CredentialAdmin:
	}
	if revoked > 0 {
		return tx.refuse(sess.New(sess.CodeDenied, "the login or API key was revoked", `run "sessctl login"`))
	}
	return nil
}

// refuse makes err the outcome, with the event's id as the name of the denial.
func (tx *Tx) refuse(err *sess.Error) error {
	tx.entry.Outcome, tx.entry.Code, tx.entry.Reason = audit.Refused, err.Code, err.Message
	if err.Code == sess.CodeDenied && !strings.Contains(err.Hint, string(tx.id)) {
		err.Hint += fmt.Sprintf(" (denial %s)", tx.id)
	}
	tx.refusal = err
	return err
}

// Reject makes err the outcome although the decision was yes, and has what was written kept, when the function that calls
// it then returns nil: a wrong code was let in to be tried, and has to be counted. It is for Do and DoFind.
func (tx *Tx) Reject(err *sess.Error) { _ = tx.refuse(err) }

// record appends the event to the log within st.
func (tx *Tx) record(ctx context.Context, st *store.Tx) error {
	return tx.gate.append(ctx, st, tx.id, tx.entry)
}
