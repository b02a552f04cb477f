package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// The states of a flow as its client sees them.
const (
	statusDone     = "done"
	statusPending  = "pending"
	statusSlowDown = "slow_down"
)

// RedeemLogin gives the client of a flow its login, once: to who shows the code that the browser brought and the verifier
// of the challenge, or the device code. Errors: expired, denied (in the browser, or by the gate), invalid.
func (s *Service) RedeemLogin(ctx context.Context, addr netip.Addr, in api.RedeemIn) (api.RedeemOut, error) {
	body := in.Body
	secret, kind := body.Code, flowCode
	if body.DeviceCode != "" {
		secret, kind = body.DeviceCode, flowDevice
	}
	f, err := s.redeemable(ctx, secret, kind)
	if err == nil && kind == flowCode {
		err = provesCode(f, body.Verifier, body.RedirectURI)
	}
	if err != nil {
		return api.RedeemOut{}, s.refuseLogin(ctx, addr, f.Org, err)
	}
	if f.DoneAt == nil {
		return s.poll(ctx, f.ID)
	}
	out, err := s.loginOf(ctx, addr, f)
	if err != nil {
		return api.RedeemOut{}, err
	}
	return api.RedeemOut{Status: statusDone, Login: &out}, nil
}

func (s *Service) refuseLogin(ctx context.Context, addr netip.Addr, org sess.OrgID, err error) error {
	if e := asRefusal(err); e != nil {
		return s.refuse(ctx, org, addr, policy.Login, "", e)
	}
	return err
}

// redeemable finds the flow that a secret belongs to.
func (s *Service) redeemable(ctx context.Context, secret, kind string) (f store.LoginFlow, err error) {
	if secret == "" {
		return f, sess.New(sess.CodeInvalid, "neither a code nor a device code is given", "")
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		f, err = tx.GetLoginFlowByToken(ctx, sess.HashToken(secret))
		return err
	})
	switch {
	case err != nil && !isNotFound(err):
		return f, fmt.Errorf("look for login: %w", err)
	case err != nil, f.Kind != kind, f.UsedAt != nil, f.ExpiresAt <= store.Micros(s.now()):
		return store.LoginFlow{}, errFlowOver()
	case f.DeniedAt != nil:
		return f, sess.New(sess.CodeDenied, "the login was refused in the browser", "")
	}
	return f, nil
}

// provesCode checks that who shows a code began the login: it alone knows the verifier of the challenge.
func provesCode(f store.LoginFlow, verifier, redirect string) error {
	sum := sha256.Sum256([]byte(verifier))
	same := subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(f.Challenge)) == 1
	if !same || len(verifier) > maxVerifier || redirect != f.RedirectURI {
		return sess.New(sess.CodeUnauthenticated, "this code is for another login", "begin again: sessctl login")
	}
	return nil
}

// poll tells a client to wait, and longer when it does not.
func (s *Service) poll(ctx context.Context, id string) (api.RedeemOut, error) {
	var out api.RedeemOut
	now := s.now()
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		f, err := tx.GetLoginFlow(ctx, id)
		if err != nil {
			return fmt.Errorf("load login: %w", err)
		}
		out = api.RedeemOut{Status: statusPending, IntervalSeconds: f.PollSeconds}
		every := time.Duration(f.PollSeconds) * time.Second
		if f.PolledAt != nil && now.Before(store.Time(*f.PolledAt).Add(every-pollGrace)) {
			out.Status = statusSlowDown
			out.IntervalSeconds += int64(pollMore.Seconds())
		}
		return tx.PollLoginFlow(ctx, id, new(store.Micros(now)), out.IntervalSeconds)
	})
	return out, err
}

// loginOf makes the login that a flow ended with.
func (s *Service) loginOf(ctx context.Context, addr netip.Addr, f store.LoginFlow) (api.LoginOut, error) {
	var m store.Member
	var org store.Org
	var row store.IDP
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		if m, err = tx.GetMember(ctx, f.Org, f.UserID); err != nil {
			return err
		}
		if org, err = tx.GetOrg(ctx, f.Org); err != nil || f.IDP == "" {
			return err
		}
		row, err = tx.GetIDP(ctx, f.Org, f.IDP)
		return err
	})
	if err != nil && isNotFound(err) { // the provider was removed a moment ago
		return api.LoginOut{}, s.refuseLogin(ctx, addr, f.Org, errFlowOver())
	}
	if err != nil {
		return api.LoginOut{}, fmt.Errorf("load member: %w", err)
	}
	who := sess.Principal{Org: f.Org, User: f.UserID, Name: m.Name, UserKind: m.Kind, IDP: string(row.ID), Addr: addr}
	on := policy.Resource{Org: who.Org, Type: policy.TypeLogin, Owner: who.User, Name: who.Name}
	var out api.LoginOut
	err = s.gate.Do(ctx, who, policy.Login, on, func(tx *gate.Tx) error {
		n, err := tx.UseLoginFlow(ctx, f.ID, new(store.Micros(s.now())))
		if err != nil {
			return fmt.Errorf("use login: %w", err)
		}
		if n == 0 {
			return errFlowOver()
		}
		if err := samePasswordAsThen(ctx, tx, f); err != nil {
			return err
		}
		describeFlow(tx, f, row)
		out, err = s.flowLogin(ctx, tx, f, row)
		out.OrgName = org.Name
		return err
	})
	if err != nil {
		return api.LoginOut{}, err
	}
	return out, nil
}

// samePasswordAsThen refuses when the password that ended a flow was changed since: the change ended all logins, and none may
// slip in behind it.
func samePasswordAsThen(ctx context.Context, tx *gate.Tx, f store.LoginFlow) error {
	if f.Password == "" {
		return nil
	}
	if err := lockPerson(ctx, tx.Tx, f.UserID); err != nil {
		return err
	}
	p, err := tx.GetPerson(ctx, f.UserID)
	if err != nil {
		return fmt.Errorf("load person: %w", err)
	}
	if !sameHash(f.Password, sess.HashToken(p.PasswordHash)) {
		return errFlowOver()
	}
	return nil
}

// describeFlow writes down how the person came.
func describeFlow(tx *gate.Tx, f store.LoginFlow, row store.IDP) {
	by := "browser"
	if f.Kind == flowDevice {
		by = "device code"
	}
	tx.Detail("by", by)
	if row.Name != "" {
		tx.Detail("idp", row.Name)
	}
}

// flowLogin makes the login itself, valid as long as the strictest of organisation, member and provider says; or it asks for
// the second factor, if the person has one and the provider does not say that it saw one.
func (s *Service) flowLogin(ctx context.Context, tx *gate.Tx, f store.LoginFlow, row store.IDP) (api.LoginOut, error) {
	how := loginSpec{client: f.Client, idp: row.ID}
	if row.ValidSeconds > 0 {
		how.until = store.Micros(s.now().Add(time.Duration(row.ValidSeconds) * time.Second))
	}
	if f.MFAAt != nil {
		how.mfaAt = *f.MFAAt
		return s.newLogin(ctx, tx, how)
	}
	factor, err := tx.GetFactor(ctx, f.Org, f.UserID, factorTOTP)
	if err != nil && !isNotFound(err) {
		return api.LoginOut{}, fmt.Errorf("load factor: %w", err)
	}
	if factor.ConfirmedAt == nil {
		return s.newLogin(ctx, tx, how)
	}
	tx.Detail("factor", "asked for")
	return s.challenge(ctx, tx, challenged{password: f.Password, client: f.Client, idp: row.ID, until: how.until})
}
