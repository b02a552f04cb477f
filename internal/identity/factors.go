package identity

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/pquerna/otp/totp"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// own is the resource of what concerns nobody but the principal.
func own(who sess.Principal) policy.Resource {
	return policy.Resource{Org: who.Org, Type: policy.TypeLogin, ID: who.CredentialID, Owner: who.User, Name: who.Name}
}

// onlyLogins refuses API keys: a second factor is shown and enrolled by a person who is there.
func onlyLogins(who sess.Principal) error {
	if who.Credential == sess.CredentialLogin {
		return nil
	}
	return sess.New(sess.CodeInvalid, "an API key has no second factor", "log in for that: sessctl login")
}

// EnrolMFA begins to enrol an authenticator app: it makes its secret, which counts for nothing until ConfirmMFA. Begun again,
// the secret before is void. Errors: conflict (there is one already).
func (s *Service) EnrolMFA(ctx context.Context, who sess.Principal) (api.EnrolMFAOut, error) {
	var out api.EnrolMFAOut
	err := s.gate.Do(ctx, who, policy.MFAEnrol, own(who), func(tx *gate.Tx) error {
		if err := onlyLogins(who); err != nil {
			return err
		}
		org, err := tx.GetOrg(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
		secret := make([]byte, totpSecret)
		_, _ = rand.Read(secret) // never fails: it crashes the program instead
		key, err := totp.Generate(totp.GenerateOpts{Issuer: s.publicURL.Hostname() + " (" + org.Name + ")", AccountName: who.Name, Secret: secret})
		if err != nil {
			return sess.New(sess.CodeInvalid, "an authenticator app can't be enrolled for this name", "")
		}
		n, err := tx.BeginFactor(ctx, store.BeginFactorParams{
			Org: who.Org, UserID: who.User, Kind: factorTOTP, CreatedAt: store.Micros(s.now()),
			Secret: s.sealer.seal(secret, factorContext(who.Org, who.User, factorTOTP)),
		})
		if err != nil {
			return fmt.Errorf("begin enrolment: %w", err)
		}
		if n == 0 {
			return sess.New(sess.CodeConflict, "you have a second factor already", "to move to another app remove it first: sessctl mfa remove")
		}
		out = api.EnrolMFAOut{Secret: key.Secret(), URI: key.URL()}
		return nil
	})
	if err != nil {
		return api.EnrolMFAOut{}, err
	}
	return out, nil
}

// ConfirmMFA ends an enrolment with the first code that the app shows. The login has shown a second factor then. It gives
// the recovery codes, this once. Errors: mfa (the code is wrong), not found (nothing was begun), limited.
func (s *Service) ConfirmMFA(ctx context.Context, who sess.Principal, in api.CodeIn) (api.RecoveryCodesOut, error) {
	var out api.RecoveryCodesOut
	err := s.gate.Do(ctx, who, policy.MFAEnrol, own(who), func(tx *gate.Tx) error {
		if err := onlyLogins(who); err != nil {
			return err
		}
		f, err := tx.GetFactor(ctx, who.Org, who.User, factorTOTP)
		switch {
		case err != nil && isNotFound(err), err == nil && f.ConfirmedAt != nil:
			return sess.New(sess.CodeNotFound, "no enrolment was begun", "sessctl mfa enrol")
		case err != nil:
			return fmt.Errorf("load factor: %w", err)
		}
		ok, err := s.confirm(ctx, tx, f, in.Body.Code)
		if err != nil || !ok {
			return err
		}
		if err := s.shown(ctx, tx); err != nil {
			return err
		}
		out.RecoveryCodes, err = newRecoveryCodes(ctx, tx)
		return err
	})
	if err != nil {
		return api.RecoveryCodesOut{}, err
	}
	return out, nil
}

// confirm confirms f by its first code. The factor is the member's from then on, so what decides has changed.
func (s *Service) confirm(ctx context.Context, tx *gate.Tx, f store.Factor, code string) (bool, error) {
	who := tx.Who()
	a := attemptOf(who)
	limited, err := s.failures.guard(ctx, tx.Tx, a)
	if err != nil {
		return false, err
	}
	if limited != nil {
		tx.Reject(limited)
		return false, nil
	}
	secret, err := s.sealer.open(f.Secret, factorContext(f.Org, f.UserID, f.Kind))
	if err != nil {
		return false, err
	}
	steps, err := matchTOTP(secret, plainCode(code), s.now())
	if err != nil {
		return false, err
	}
	if len(steps) == 0 {
		tx.Reject(errWrongCode(sess.CodeMFA))
		if err := s.failures.count(ctx, tx.Tx, a); err != nil {
			return false, err
		}
		return false, s.lockedOut(ctx, tx.Tx, a, who)
	}
	now := store.Micros(s.now())
	n, err := tx.ConfirmFactor(ctx, store.ConfirmFactorParams{
		Org: f.Org, UserID: f.UserID, Kind: f.Kind, Secret: f.Secret, Counter: steps[len(steps)-1], Now: &now,
	})
	if err != nil {
		return false, fmt.Errorf("confirm enrolment: %w", err)
	}
	if n == 0 {
		return false, sess.New(sess.CodeConflict, "the enrolment was confirmed, or begun anew, at this moment", "sessctl mfa list")
	}
	tx.Detail("factor", f.Kind)
	tx.Detail("confirmed", "yes")
	return true, nil
}

// shown notes that the login of tx has shown a second factor.
func (s *Service) shown(ctx context.Context, tx *gate.Tx) error {
	who, now := tx.Who(), store.Micros(s.now())
	if _, err := tx.SetLoginMFA(ctx, who.Org, sess.LoginID(who.CredentialID), &now); err != nil {
		return fmt.Errorf("note second factor: %w", err)
	}
	return nil
}

// newRecoveryCodes makes the recovery codes of the principal of tx; those before are void.
func newRecoveryCodes(ctx context.Context, tx *gate.Tx) ([]string, error) {
	who := tx.Who()
	if err := tx.DeleteRecoveryCodes(ctx, who.Org, who.User); err != nil {
		return nil, fmt.Errorf("void recovery codes: %w", err)
	}
	var codes []string
	for range recoveryCodes {
		code := newRecoveryCode()
		if err := tx.CreateRecoveryCode(ctx, who.Org, who.User, hashRecoveryCode(code)); err != nil {
			return nil, fmt.Errorf("create recovery code: %w", err)
		}
		codes = append(codes, code)
	}
	return codes, nil
}

// VerifyMFA shows a second factor: the login has a fresh one from now. Errors: mfa (the code is wrong), limited, not found
// (none is enrolled).
func (s *Service) VerifyMFA(ctx context.Context, who sess.Principal, in api.CodeIn) (api.MFAOut, error) {
	err := s.gate.Do(ctx, who, policy.MFAVerify, own(who), func(tx *gate.Tx) error {
		ok, err := s.ownCode(ctx, tx, in.Body.Code)
		if err != nil || !ok {
			return err
		}
		return s.shown(ctx, tx)
	})
	if err != nil {
		return api.MFAOut{}, err
	}
	return api.MFAOut{MFAAt: s.now().UTC()}, nil
}

// ownCode uses a code of the principal of tx up, who must have a factor and be logged in.
func (s *Service) ownCode(ctx context.Context, tx *gate.Tx, code string) (bool, error) {
	who := tx.Who()
	if err := onlyLogins(who); err != nil {
		return false, err
	}
	f, err := tx.GetFactor(ctx, who.Org, who.User, factorTOTP)
	if err != nil && !isNotFound(err) {
		return false, fmt.Errorf("load factor: %w", err)
	}
	if err != nil || f.ConfirmedAt == nil {
		return false, sess.New(sess.CodeNotFound, "you have no second factor here", "enrol one: sessctl mfa enrol")
	}
	return s.tryCode(ctx, tx, code, errWrongCode(sess.CodeMFA))
}

// ListFactors lists the second factors one has, and how many recovery codes are left.
func (s *Service) ListFactors(ctx context.Context, who sess.Principal) (api.FactorList, error) {
	out := api.FactorList{Items: []api.Factor{}}
	err := s.gate.Read(ctx, who, policy.MFAList, own(who), func(tx *gate.Tx) error {
		st, err := settingsOf(ctx, tx.Tx, who.Org)
		if err != nil {
			return err
		}
		out.Required, out.MFAAt = st.RequireMFA, optionalTime(store.MicrosPtr(who.MFAAt))
		f, err := tx.GetFactor(ctx, who.Org, who.User, factorTOTP)
		if err != nil && isNotFound(err) || err == nil && f.ConfirmedAt == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load factor: %w", err)
		}
		out.Items = append(out.Items, api.Factor{Kind: f.Kind, CreatedAt: store.Time(*f.ConfirmedAt)})
		n, err := tx.CountRecoveryCodes(ctx, who.Org, who.User)
		if err != nil {
			return fmt.Errorf("count recovery codes: %w", err)
		}
		out.RecoveryCodes = int(n)
		return nil
	})
	if err != nil {
		return api.FactorList{}, err
	}
	return out, nil
}

// RemoveMFA removes one's second factor by a code of it. No login has shown one then; where the organisation demands one, all
// begin with enrolling another.
func (s *Service) RemoveMFA(ctx context.Context, who sess.Principal, in api.CodeIn) error {
	return s.gate.Do(ctx, who, policy.MFARemove, own(who), func(tx *gate.Tx) error {
		ok, err := s.ownCode(ctx, tx, in.Body.Code)
		if err != nil || !ok {
			return err
		}
		return dropFactors(ctx, tx, who.User)
	})
}

// dropFactors removes all second factors of a member, and what they stood for.
func dropFactors(ctx context.Context, tx *gate.Tx, user sess.UserID) error {
	return dropFactorsOf(ctx, tx, tx.Who().Org, user)
}

func dropFactorsOf(ctx context.Context, tx *gate.Tx, org sess.OrgID, user sess.UserID) error {
	if _, err := tx.DeleteFactors(ctx, org, user); err != nil {
		return fmt.Errorf("remove factor: %w", err)
	}
	if err := tx.DeleteRecoveryCodes(ctx, org, user); err != nil {
		return fmt.Errorf("void recovery codes: %w", err)
	}
	if err := tx.ClearLoginMFA(ctx, org, user); err != nil {
		return fmt.Errorf("note that logins have shown no factor: %w", err)
	}
	_, err := tx.ChangeRules(ctx, org)
	return err
}

// MakeRecoveryCodes makes new recovery codes by a code; those before are void.
func (s *Service) MakeRecoveryCodes(ctx context.Context, who sess.Principal, in api.CodeIn) (api.RecoveryCodesOut, error) {
	var out api.RecoveryCodesOut
	err := s.gate.Do(ctx, who, policy.MFARecoveryCodes, own(who), func(tx *gate.Tx) error {
		ok, err := s.ownCode(ctx, tx, in.Body.Code)
		if err != nil || !ok {
			return err
		}
		if err := s.shown(ctx, tx); err != nil {
			return err
		}
		out.RecoveryCodes, err = newRecoveryCodes(ctx, tx)
		return err
	})
	if err != nil {
		return api.RecoveryCodesOut{}, err
	}
	return out, nil
}

// settingsOf loads what an organisation's admins set.
func settingsOf(ctx context.Context, tx *store.Tx, org sess.OrgID) (sess.Settings, error) {
	o, err := tx.GetOrg(ctx, org)
	if err != nil {
		return sess.Settings{}, fmt.Errorf("load organisation: %w", err)
	}
	return sess.ParseSettings(o.Settings)
}
