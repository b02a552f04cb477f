package gate

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// StandingOf gives what a member of the principal's organisation is, with their groups, for those who explain decisions.
// There is no such member: store.ErrNotFound.
func (tx *Tx) StandingOf(ctx context.Context, user sess.UserID) (Standing, error) {
	s, err := tx.gate.standing(ctx, tx.Tx, tx.who.Org, user)
	if err != nil {
		return s, err
	}
	teams, err := tx.ListTeamsOfUser(ctx, tx.who.Org, user)
	if err != nil {
		return s, fmt.Errorf("load groups: %w", err)
	}
	s.Groups, s.Teams = nil, map[sess.TeamID]string{}
	for _, t := range teams {
		s.Groups = append(s.Groups, t.Name)
		s.Teams[t.ID] = t.Name
	}
	return s, nil
}

// Judge decides about somebody else, or another time, as Do would. Nothing is recorded.
func (tx *Tx) Judge(who sess.Principal, s Standing, act policy.Action, on policy.Resource, now int64) policy.Decision {
	return tx.gate.policy.Decide(who, s.Grants, act, on, s.Context(now))
}

// Askers give what decides many questions of the principal about instances: as they are, and, where policies ask for a second
// factor that would change something, as if they had just shown one; nil otherwise.
func (tx *Tx) Askers() (now, fresh *policy.Asker) {
	now = tx.gate.policy.Asker(tx.who, tx.grants, tx.context())
	if tx.who.Credential == sess.CredentialLogin && tx.Rules().UsesFactors() {
		who := tx.who
		who.MFAAt = tx.entry.Time
		fresh = tx.gate.policy.Asker(who, tx.grants, tx.context())
	}
	return now, fresh
}

// RulesWith compiles the rules of the principal's organisation as they would be with other policies, each in place of the
// stored one of its name.
func (tx *Tx) RulesWith(ctx context.Context, texts []policy.Text) (*policy.OrgRules, error) {
	src, err := RulesSource(ctx, tx.Tx, tx.who.Org)
	if err != nil {
		return nil, err
	}
	named := map[string]string{}
	for _, t := range texts {
		if err := tx.gate.policy.CheckPolicy(t); err != nil {
			return nil, err
		}
		named[t.Name] = t.Body
	}
	for i, p := range src.Policies {
		if body, ok := named[p.Name]; ok {
			src.Policies[i].Body = body
			delete(named, p.Name)
		}
	}
	for name, body := range named {
		src.Policies = append(src.Policies, policy.Text{Name: name, Body: body})
	}
	return tx.gate.policy.Compile(src, tx.Rules()), nil
}

// AllowedFor decides about somebody else as of now, by what they are now: whether what they did once, and what follows from
// it, still counts. How they had logged in then is not asked again.
func (tx *Tx) AllowedFor(ctx context.Context, user sess.UserID, act policy.Action, on policy.Resource) (bool, error) {
	on = tx.complete(on)
	if tx.incomplete != nil {
		return false, tx.incomplete
	}
	d, err := tx.gate.Again(tx.Tx).Decide(ctx, sess.Principal{Org: tx.who.Org, User: user, MFAAt: tx.entry.Time}, act, on)
	return d.Allowed, err
}

// Again decides once more, as of now, about what members were allowed before: the broker's, about sessions. It records
// nothing. It is for one transaction and one goroutine.
type Again struct {
	gate *Gate
	tx   *store.Tx
	seen map[sess.UserID]Standing
}

// Again gives an Again that reads by st.
func (g *Gate) Again(st *store.Tx) *Again {
	return &Again{gate: g, tx: st, seen: map[sess.UserID]Standing{}}
}

// Decide decides about who, of the one organisation that a is asked about. A member who may do nothing any more gets a denial.
func (a *Again) Decide(ctx context.Context, who sess.Principal, act policy.Action, on policy.Resource) (policy.Decision, error) {
	s, err := a.standing(ctx, who)
	if err != nil {
		return policy.Decision{}, err
	}
	if !s.Active || s.Deleted || s.Pending {
		return policy.Decision{}, nil
	}
	who.Name, who.UserKind = s.Name, s.Kind
	return a.gate.policy.Decide(who, s.Grants, act, on, s.recheck(store.Micros(a.gate.now()))), nil
}

// Controls gives the controls that hold for a session which a member, about whom a was asked before, starts on a thing now.
func (a *Again) Controls(who sess.UserID, on policy.Resource) sess.Effective {
	s := a.seen[who]
	return s.Rules.Controls(s.Grants, on)
}

// standing loads what a member is, once for each.
func (a *Again) standing(ctx context.Context, who sess.Principal) (Standing, error) {
	s, ok := a.seen[who.User]
	if ok {
		return s, nil
	}
	s, err := a.gate.standing(ctx, a.tx, who.Org, who.User)
	if err != nil && !notFound(err) {
		return s, fmt.Errorf("load member: %w", err)
	}
	a.seen[who.User] = s
	return s, nil
}

// recheck is Context for what runs already: that the organisation turned the Session Manager off ends nothing, unless it
// did so at once.
func (s Standing) recheck(now int64) policy.Context {
	cx := s.Context(now)
	cx.SessionsOff = s.Settings.SessionsOff && s.Settings.SessionsEnd
	return cx
}

// Still decides whether the principal may go on with what it was allowed before; if not, wants says what a second factor,
// shown now, would change.
func (tx *Tx) Still(act policy.Action, on policy.Resource) (ok bool, wants *sess.Error) {
	cx := tx.standing.recheck(store.Micros(tx.entry.Time))
	on = tx.complete(on)
	if tx.gate.policy.Allows(tx.who, tx.grants, act, on, cx) {
		return true, nil
	}
	return false, tx.wantsFactor(act, on, cx)
}
