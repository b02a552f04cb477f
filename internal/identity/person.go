package identity

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxOrgs bounds in how many organisations one person is looked for.
const maxOrgs = 1000

// ended is something that was ended in an organisation: a login, or an API key. What ran by it ends after the commit.
type ended struct {
	org sess.OrgID
	id  string
}

// endAll ends what ran by the logins and keys that were ended.
func (s *Service) endAll(ctx context.Context, list []ended) {
	for _, e := range list {
		s.revoked(ctx, e.org, e.id)
	}
}

// endLogins ends the logins of a person everywhere, but one.
func (s *Service) endLogins(ctx context.Context, tx *store.Tx, user sess.UserID, keep sess.LoginID) ([]ended, error) {
	orgs, err := tx.ListOrgsOfPerson(ctx, user, maxOrgs)
	if err != nil {
		return nil, fmt.Errorf("list organisations of person: %w", err)
	}
	var all []ended
	for _, o := range orgs {
		more, err := s.endLoginsIn(ctx, tx, o.Org, user, keep)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// endLoginsIn ends the logins of a user in one organisation, but one.
func (s *Service) endLoginsIn(ctx context.Context, tx *store.Tx, org sess.OrgID, user sess.UserID, keep sess.LoginID) ([]ended, error) {
	now := store.Micros(s.now())
	ids, err := tx.RevokeOtherLogins(ctx, org, user, &now, keep)
	if err != nil {
		return nil, fmt.Errorf("end logins: %w", err)
	}
	all := make([]ended, len(ids))
	for i, id := range ids {
		all[i] = ended{org, string(id)}
	}
	m, err := tx.GetMember(ctx, org, user)
	if err != nil {
		return nil, fmt.Errorf("load member: %w", err)
	}
	keys, err := s.keyless(ctx, tx, m)
	return append(all, keys...), err
}

// elsewhere reports whether a person is a member of another organisation, or invited to one.
func elsewhere(ctx context.Context, tx *store.Tx, user sess.UserID, org sess.OrgID) (bool, error) {
	orgs, err := tx.ListOrgsOfPerson(ctx, user, maxOrgs)
	if err != nil {
		return false, fmt.Errorf("list organisations of person: %w", err)
	}
	for _, o := range orgs {
		if o.Org != org && o.Pending == 0 {
			return true, nil
		}
	}
	return false, nil
}

// tell writes an event about a person into the logs of their other organisations: a password is the same in all of them.
func (s *Service) tell(ctx context.Context, tx *store.Tx, who sess.Principal, act policy.Action, except sess.OrgID) error {
	orgs, err := tx.ListOrgsOfPerson(ctx, who.User, maxOrgs)
	if err != nil {
		return fmt.Errorf("list organisations of person: %w", err)
	}
	for _, o := range orgs {
		if o.Org == except || o.Pending == 1 {
			continue
		}
		there := who
		there.Org, there.Credential, there.CredentialID = o.Org, sess.CredentialNone, "" // a login of one organisation is nothing to another
		if err := s.gate.Event(ctx, tx, gate.Entry{
			Who: there, Action: act, Time: s.now(),
			On: policy.Resource{Org: o.Org, Type: policy.TypeUser, ID: string(who.User), Name: who.Name},
		}); err != nil {
			return err
		}
	}
	return nil
}

// temporary says what a login of a person has to do first because their password is a temporary one, and refuses one that has
// run out. Who is no person here has none.
func (s *Service) temporary(ctx context.Context, tx *store.Tx, user sess.UserID) (sess.Stage, error) {
	p, err := tx.GetPerson(ctx, user)
	switch {
	case err != nil && isNotFound(err), err == nil && p.PasswordExpiresAt == nil:
		return sess.StageNone, nil
	case err != nil:
		return sess.StageNone, fmt.Errorf("load person: %w", err)
	case *p.PasswordExpiresAt <= store.Micros(s.now()):
		return sess.StageNone, sess.New(sess.CodeUnauthenticated, "your temporary password has run out", "ask an admin of the organisation to invite you again")
	}
	return sess.StagePassword, nil
}
