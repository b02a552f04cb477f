package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Accept uses up an invitation: it sets the person's password, and e-mail address where the server does not know it yet,
// and logs them in, all in one transaction. Logins the person had end. Errors: expired (used, replaced or too old),
// invalid (password or address won't do; the invitation still works then), conflict (somebody has the address).
func (s *Service) Accept(ctx context.Context, addr netip.Addr, in api.AcceptIn) (api.LoginOut, error) {
	var out api.LoginOut
	inv, err := s.loadInvite(ctx, addr, in.Body.Token)
	if err != nil {
		return out, err
	}
	email, err := invitedEmail(inv, in.Body.Email)
	if err != nil {
		return out, err
	}
	if err := checkNewPassword(in.Body.Password, email); err != nil {
		return out, err
	}
	hash, err := s.hasher.hash(ctx, in.Body.Password)
	if err != nil {
		return out, err
	}
	who := sess.Principal{Org: inv.Org, User: inv.UserID, Name: email, UserKind: sess.UserLocal, Addr: addr}
	on := policy.Resource{Org: who.Org, Type: policy.TypeLogin, Owner: who.User, Name: email}
	var ended []sess.LoginID
	err = s.gate.Do(ctx, who, policy.Accept, on, func(tx *gate.Tx) error {
		if ended, err = s.useInvite(ctx, tx, inv, email, hash); err != nil {
			return err
		}
		out, err = s.newLogin(ctx, tx, in.Body.Client)
		out.OrgName = inv.OrgName
		tx.Detail("invite", inv.ID)
		return err
	})
	if err != nil {
		return api.LoginOut{}, err
	}
	for _, id := range ended {
		s.revoked(ctx, who.Org, string(id))
	}
	return out, nil
}

// loadInvite finds an invitation that works at this moment, so that nobody makes the server hash for nothing.
func (s *Service) loadInvite(ctx context.Context, addr netip.Addr, token string) (inv store.GetInviteByHashRow, err error) {
	if _, err := sess.ParseToken(token, sess.TokenInvite); err != nil {
		e, _ := errors.AsType[*sess.Error](err) // ParseToken says so
		return inv, s.refuse(ctx, "", addr, policy.Accept, "", e)
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		inv, err = tx.GetInviteByHash(ctx, sess.HashToken(token))
		return err
	})
	switch {
	case err != nil && isNotFound(err):
		return inv, s.refuse(ctx, "", addr, policy.Accept, "", errInvite("is not known here"))
	case err != nil:
		return inv, err
	case inv.UsedAt != nil:
		return inv, s.refuse(ctx, inv.Org, addr, policy.Accept, inv.Name, errInvite("was used already"))
	case inv.ExpiresAt <= store.Micros(s.now()):
		return inv, s.refuse(ctx, inv.Org, addr, policy.Accept, inv.Name, errInvite("has run out or was replaced by a newer one"))
	}
	return inv, nil
}

func errInvite(why string) *sess.Error {
	return sess.New(sess.CodeExpired, "this invitation "+why,
		`if you set your password already, run "sessctl login"; else get a new link (whoever runs the server: "sess-server admin link")`)
}

// invitedEmail gives the e-mail address that the person will have.
func invitedEmail(inv store.GetInviteByHashRow, given string) (string, error) {
	if inv.Email == "" && given == "" {
		return "", sess.New(sess.CodeInvalid, "the first admin's e-mail address is not known yet", "give yours along with the password: sessctl accept --email you@example.com LINK")
	}
	if given == "" {
		return inv.Email, nil
	}
	email, err := normalEmail(given)
	if err == nil && inv.Email != "" && email != inv.Email {
		err = sess.New(sess.CodeInvalid, "this invitation is for another e-mail address", "leave the address out: the invitation knows it")
	}
	return email, err
}

// useInvite uses the invitation up, sets the password, and ends what the person was logged in with.
func (s *Service) useInvite(ctx context.Context, tx *gate.Tx, inv store.GetInviteByHashRow, email, hash string) ([]sess.LoginID, error) {
	now := store.Micros(s.now())
	if err := lockPerson(ctx, tx.Tx, inv.UserID); err != nil {
		return nil, err
	}
	n, err := tx.UseInvite(ctx, inv.Org, inv.ID, &now)
	if err != nil {
		return nil, fmt.Errorf("use invitation: %w", err)
	}
	if n == 0 {
		return nil, errInvite("was used already")
	}
	if inv.Email == "" {
		return nil, s.newPerson(ctx, tx, inv, email, hash)
	}
	if _, err := tx.SetPersonPassword(ctx, inv.UserID, hash); err != nil {
		return nil, fmt.Errorf("set password: %w", err)
	}
	ended, err := tx.RevokeLoginsOfUser(ctx, inv.Org, inv.UserID, &now)
	if err != nil {
		return nil, fmt.Errorf("end logins: %w", err)
	}
	return ended, nil
}

// newPerson gives the first admin's membership the person it lacked.
func (s *Service) newPerson(ctx context.Context, tx *gate.Tx, inv store.GetInviteByHashRow, email, hash string) error {
	taken := sess.New(sess.CodeConflict, "somebody has this e-mail address already", "give another one")
	if _, err := tx.GetMemberByName(ctx, inv.Org, email); err == nil {
		return taken
	} else if !isNotFound(err) {
		return fmt.Errorf("look for member: %w", err)
	}
	n, err := tx.CreatePerson(ctx, inv.UserID, email, hash, store.Micros(s.now()))
	if err != nil {
		return fmt.Errorf("create person: %w", err)
	}
	if n == 0 {
		return taken
	}
	if _, err := tx.RenameMember(ctx, inv.Org, inv.UserID, email); err != nil {
		return fmt.Errorf("name member: %w", err)
	}
	return nil
}
