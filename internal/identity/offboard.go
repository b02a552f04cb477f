package identity

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// notAbove refuses to act on a user who holds more than who asks: whoever can change or reset somebody can become them.
func (s *Service) notAbove(ctx context.Context, tx *gate.Tx, m store.Member) error {
	if m.UserID == tx.Who().User {
		return nil
	}
	grants, err := tx.ListGrantsOfUser(ctx, m.Org, m.UserID)
	if err != nil {
		return fmt.Errorf("load grants: %w", err)
	}
	for _, g := range grants {
		if _, ok := tx.Covers(g.Role, g.Project); !ok {
			return sess.New(sess.CodeDenied, fmt.Sprintf("%s has the role %s, which allows more than you may do yourself", m.Name, g.Role), "ask an org admin")
		}
	}
	return nil
}

// away runs a change that takes away what a user may do, alone with them: what they had begun is committed and seen, and
// what they begin is refused.
func (s *Service) away(ctx context.Context, tx *gate.Tx, m store.Member, change func() error) error {
	if err := s.notAbove(ctx, tx, m); err != nil {
		return err
	}
	if err := tx.Lock(ctx, gate.MemberLock(m.Org, m.UserID)); err != nil {
		return err
	}
	return s.keepAdmin(ctx, tx, change)
}

// DeactivateUser takes away all that a user may do in this organisation, until they are reactivated: their logins and keys
// are refused, and what they have running ends. Other organisations are not touched.
func (s *Service) DeactivateUser(ctx context.Context, who sess.Principal, in api.UserRef) error {
	var m store.Member
	err := s.gate.DoFind(ctx, who, policy.UserDeactivate, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) error {
		return s.away(ctx, tx, m, func() error {
			if m.Active == 0 {
				return sess.New(sess.CodeConflict, m.Name+" is deactivated already", "")
			}
			if _, err := tx.SetMemberActive(ctx, m.Org, m.UserID, 0); err != nil {
				return fmt.Errorf("deactivate user: %w", err)
			}
			return s.voidUnderWay(ctx, tx, m)
		})
	})
	if err != nil {
		return err
	}
	s.deactivated(ctx, m.Org, m.UserID)
	return nil
}

// ReactivateUser gives a deactivated user back what they had. Who manages a project may do so for whoever has a role there,
// but nobody gives back a role on the whole organisation who does not hold all of it.
func (s *Service) ReactivateUser(ctx context.Context, who sess.Principal, in api.UserRef) error {
	var m store.Member
	return s.gate.DoFind(ctx, who, policy.UserReactivate, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) error {
		if m.Active == 1 {
			return sess.New(sess.CodeConflict, m.Name+" is not deactivated", "")
		}
		if err := s.mayReactivate(ctx, tx, m); err != nil {
			return err
		}
		if _, err := tx.SetMemberActive(ctx, m.Org, m.UserID, 1); err != nil {
			return fmt.Errorf("reactivate user: %w", err)
		}
		return changeRules(ctx, tx)
	})
}

func (s *Service) mayReactivate(ctx context.Context, tx *gate.Tx, m store.Member) error {
	if tx.Allowed(policy.UserDeactivate, userResource(m)) {
		return s.notAbove(ctx, tx, m)
	}
	grants, err := tx.ListGrantsOfUser(ctx, m.Org, m.UserID)
	if err != nil {
		return fmt.Errorf("load grants: %w", err)
	}
	reaches := false
	for _, g := range grants {
		_, ok := tx.Covers(g.Role, g.Project)
		if !ok && g.Project == "" {
			return sess.New(sess.CodeDenied, fmt.Sprintf("%s has the role %s on the whole organisation", m.Name, g.Role), "ask an org admin to reactivate them")
		}
		reaches = reaches || ok
	}
	if !reaches {
		return sess.New(sess.CodeDenied, m.Name+" has no role on a project that you manage", "ask an org admin")
	}
	return nil
}

// DeleteUser takes a user out of the organisation for good: logins, keys, roles, groups and second factors. Their name stays
// where the audit log speaks of them, and can be given again. Whom an identity provider sends can only be deactivated while
// that provider is set up: they would be back with their next login. A person who is nowhere else loses their password.
func (s *Service) DeleteUser(ctx context.Context, who sess.Principal, in api.UserRef) error {
	var m store.Member
	err := s.gate.DoFind(ctx, who, policy.UserDelete, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) error {
		if err := sentByProvider(ctx, tx, m); err != nil {
			return err
		}
		return s.away(ctx, tx, m, func() error { return s.entomb(ctx, tx, m) })
	})
	if err != nil {
		return err
	}
	s.deactivated(ctx, m.Org, m.UserID)
	return nil
}

// sentByProvider refuses to delete somebody whom an identity provider that is set up sends.
func sentByProvider(ctx context.Context, tx *gate.Tx, m store.Member) error {
	if m.Kind != sess.UserIDP || m.IDP == "" {
		return nil
	}
	p, err := tx.GetIDP(ctx, m.Org, m.IDP)
	if err != nil && isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load identity provider: %w", err)
	}
	return sess.New(sess.CodeConflict, fmt.Sprintf("%s comes by the identity provider %s, and would be back with the next login", m.Name, p.Name),
		"sessctl user deactivate "+m.Name+" keeps them out")
}

// entomb leaves a tombstone of a member.
func (s *Service) entomb(ctx context.Context, tx *gate.Tx, m store.Member) error {
	now := store.Micros(s.now())
	if n, err := tx.EntombMember(ctx, m.Org, m.UserID, &now); err != nil || n == 0 {
		return fmt.Errorf("delete user: %d rows: %w", n, err)
	}
	if err := s.endCredentials(ctx, tx, m); err != nil {
		return err
	}
	if err := tx.VoidInvites(ctx, m.Org, m.UserID, now); err != nil {
		return fmt.Errorf("void invitations: %w", err)
	}
	for what, f := range map[string]func(context.Context, sess.OrgID, sess.UserID) (int64, error){
		"take roles": tx.TakeRolesOfUser, "leave groups": tx.LeaveTeams, "forget factors": tx.ForgetFactors, "forget recovery codes": tx.ForgetRecoveryCodes,
	} {
		if _, err := f(ctx, m.Org, m.UserID); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if m.Kind != sess.UserLocal {
		return nil
	}
	if err := lockPerson(ctx, tx.Tx, m.UserID); err != nil {
		return err
	}
	left, err := tx.ListOrgsOfPerson(ctx, m.UserID, 1)
	if err != nil || len(left) > 0 {
		return err
	}
	if _, err := tx.ErasePerson(ctx, m.UserID); err != nil {
		return fmt.Errorf("erase password: %w", err)
	}
	if _, err := tx.ForgetFormerPasswords(ctx, m.UserID, now); err != nil {
		return fmt.Errorf("forget former passwords: %w", err)
	}
	_, err = tx.ForgetResetLinks(ctx, m.UserID)
	return err
}

// endCredentials revokes the logins and keys of a user in one organisation.
func (s *Service) endCredentials(ctx context.Context, tx *gate.Tx, m store.Member) error {
	logins, err := s.endLoginsIn(ctx, tx.Tx, m.Org, m.UserID, "")
	if err != nil {
		return err
	}
	if err := s.voidUnderWay(ctx, tx, m); err != nil {
		return err
	}
	now := store.Micros(s.now())
	keys, err := tx.RevokeAPIKeysOfUser(ctx, m.Org, m.UserID, &now)
	if err != nil {
		return fmt.Errorf("revoke API keys: %w", err)
	}
	tx.Detail("logins_ended", fmt.Sprint(len(logins)))
	tx.Detail("keys_ended", fmt.Sprint(len(keys)))
	return nil
}

// voidUnderWay voids the logins of a user for which something was proved already: by a browser whose client has not come
// yet, or by a password that a second factor is to follow.
func (s *Service) voidUnderWay(ctx context.Context, tx *gate.Tx, m store.Member) error {
	now := store.Micros(s.now())
	if _, err := tx.VoidLoginFlowsOf(ctx, now, m.Org, m.UserID); err != nil {
		return fmt.Errorf("void logins in browsers: %w", err)
	}
	if _, err := tx.VoidLoginChallengesOf(ctx, &now, m.Org, m.UserID); err != nil {
		return fmt.Errorf("void challenges: %w", err)
	}
	return nil
}

// RevokeUser ends all logins, keys and live sessions of a user in this organisation. It does not bar a new login.
func (s *Service) RevokeUser(ctx context.Context, who sess.Principal, in api.UserRef) error {
	var m store.Member
	err := s.gate.DoFind(ctx, who, policy.UserRevoke, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) error {
		return s.away(ctx, tx, m, func() error { return s.endCredentials(ctx, tx, m) })
	})
	if err != nil {
		return err
	}
	s.userRevoked(ctx, m.Org, m.UserID)
	return nil
}
