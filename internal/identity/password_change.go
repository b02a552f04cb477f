package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// ChangePassword sets the password of the person who asks, by a login, and knows the present one. Their other logins end,
// everywhere. After a temporary password the login may do all that the person may. A wrong present password counts as a
// failed login. Errors: denied (by a key, or no person with a password), limited, invalid (the
// present password is wrong, or the new one won't do).
func (s *Service) ChangePassword(ctx context.Context, who sess.Principal, in api.PasswordIn) error {
	on := policy.Resource{Org: who.Org, Type: policy.TypeLogin, ID: who.CredentialID, Owner: who.User, Name: who.Name}
	if who.Credential != sess.CredentialLogin || who.UserKind != sess.UserLocal || who.Stage == sess.StageMFA {
		return s.gate.Read(ctx, who, policy.PasswordChange, on, func(*gate.Tx) error {
			return sess.New(sess.CodeDenied, "only a person who is logged in by a password has one to change", "who comes by an identity provider changes it there")
		})
	}
	if err := s.gate.Unlocked(ctx, who, policy.PasswordChange); err != nil { // who is locked does not get to try passwords
		return err
	}
	p, former, err := s.knowsPassword(ctx, who, in.Body.Old)
	if err != nil {
		return err
	}
	if err := s.newPasswordFor(ctx, in.Body.New, p.Email, former); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, in.Body.New)
	if err != nil {
		return err
	}
	var list []ended
	err = s.gate.Do(ctx, who, policy.PasswordChange, on, func(tx *gate.Tx) error {
		if err := lockPerson(ctx, tx.Tx, who.User); err != nil {
			return err
		}
		if err := s.replacePassword(ctx, tx.Tx, p, hash); err != nil {
			return err
		}
		next := sess.StageNone
		if who.Stage == sess.StagePassword { // the login may have come without the second factor, by a link
			if next, err = ownFactor(ctx, tx); err != nil {
				return err
			}
		}
		if _, err := tx.SetLoginStage(ctx, who.Org, sess.LoginID(who.CredentialID), next); err != nil {
			return fmt.Errorf("set stage of login: %w", err)
		}
		if list, err = s.endLogins(ctx, tx.Tx, who.User, sess.LoginID(who.CredentialID)); err != nil {
			return err
		}
		tx.Detail("logins_ended", fmt.Sprint(len(list)))
		return s.tell(ctx, tx.Tx, who, policy.PasswordChange, who.Org)
	})
	if err != nil {
		return err
	}
	s.endAll(ctx, list)
	return nil
}

// newPasswordFor checks a new password against the rules and the former ones.
func (s *Service) newPasswordFor(ctx context.Context, password, email string, former []string) error {
	if err := checkNewPassword(password, email); err != nil {
		return err
	}
	return s.checkReuse(ctx, password, former)
}

// knowsPassword gives the person of a principal if they know their password, and the hashes of the last ones.
func (s *Service) knowsPassword(ctx context.Context, who sess.Principal, password string) (p store.Person, former []string, err error) {
	if len(password) > maxPassword {
		return p, nil, sess.New(sess.CodeInvalid, fmt.Sprintf("the password is longer than %d bytes", maxPassword), "")
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if p, err = tx.GetPerson(ctx, who.User); err != nil {
			return fmt.Errorf("load person: %w", err)
		}
		former, err = formerPasswords(ctx, tx, p)
		return err
	})
	if err != nil {
		return p, nil, err
	}
	attempt, err := s.failures.begin(ctx, p.Email, who.Addr)
	if err != nil {
		if e, ok := errors.AsType[*sess.Error](err); ok && e.Code == sess.CodeLimited {
			return p, nil, s.refuse(ctx, who.Org, who.Addr, policy.PasswordChange, who.Name, e)
		}
		return p, nil, err
	}
	right, err := s.hasher.check(ctx, p.PasswordHash, password)
	if err == nil && !right {
		return p, nil, s.refuse(ctx, who.Org, who.Addr, policy.PasswordChange, who.Name,
			sess.New(sess.CodeInvalid, "the present password is wrong", `who forgot it gets a link: "sessctl login --forgot"`))
	}
	return p, former, errors.Join(err, s.failures.cancel(context.WithoutCancel(ctx), attempt))
}
