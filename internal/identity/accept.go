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

// Accept uses up an invitation, makes the person a member and logs them in, all in one transaction. Who has no password on
// this server sets one, and says their e-mail address where the server does not know it yet. Who has one gives that, and
// keeps it: an admin who invites somebody can never replace it. By a link of the box's owner a password is always set, and
// all logins of the person end. Errors: expired (used, replaced or too old), invalid (password or address won't do; the
// invitation still works then), unauthenticated (not the person's password), limited, conflict (somebody has the address).
func (s *Service) Accept(ctx context.Context, addr netip.Addr, in api.AcceptIn) (api.LoginOut, error) {
	inv, err := s.loadInvite(ctx, addr, in.Body.Token)
	if err != nil {
		return api.LoginOut{}, err
	}
	email, err := invitedEmail(inv, in.Body.Email)
	if err != nil {
		return api.LoginOut{}, err
	}
	who := sess.Principal{Org: inv.Org, User: inv.UserID, Name: email, UserKind: sess.UserLocal, Addr: addr}
	if inv.keeps() {
		if err := s.provePassword(ctx, who, inv, in.Body.Password); err != nil {
			return api.LoginOut{}, err
		}
		return s.accept(ctx, who, inv, in.Body.Client, "")
	}
	former, err := s.formerOf(ctx, inv)
	if err != nil {
		return api.LoginOut{}, err
	}
	if err := s.newPasswordFor(ctx, in.Body.Password, email, former); err != nil {
		return api.LoginOut{}, err
	}
	hash, err := s.hasher.hash(ctx, in.Body.Password)
	if err != nil {
		return api.LoginOut{}, err
	}
	return s.accept(ctx, who, inv, in.Body.Client, hash)
}

// openInvite is an invitation that works.
type openInvite struct{ store.GetInviteByHashRow }

// keeps reports whether the person has a password that this invitation does not replace.
func (i openInvite) keeps() bool { return i.Kind != inviteOwner && i.PasswordHash != "" }

// accept makes the person of who a member; hash is of the password to set, empty: they keep theirs.
func (s *Service) accept(ctx context.Context, who sess.Principal, inv openInvite, client, hash string) (api.LoginOut, error) {
	var out api.LoginOut
	var list []ended
	on := policy.Resource{Org: who.Org, Type: policy.TypeLogin, Owner: who.User, Name: who.Name}
	err := s.gate.Do(ctx, who, policy.Accept, on, func(tx *gate.Tx) (err error) {
		if list, err = s.useInvite(ctx, tx, inv, who.Name, hash); err != nil {
			return err
		}
		if _, err := tx.JoinMember(ctx, inv.Org, inv.UserID); err != nil {
			return fmt.Errorf("join organisation: %w", err)
		}
		// They are who they are from here: strangers can't lock them out at this address.
		if err := s.failures.succeed(ctx, tx.Tx, newAttempt(who.Name, who.Addr)); err != nil {
			return err
		}
		out, err = s.newLogin(ctx, tx, loginSpec{client: client})
		out.OrgName = inv.OrgName
		tx.Detail("invite", inv.ID)
		return err
	})
	if err != nil {
		return api.LoginOut{}, err
	}
	s.endAll(ctx, list)
	return out, nil
}

// provePassword refuses whoever does not know the password of the person that is invited. A wrong one counts as a failed
// login; a temporary one is somebody else's knowledge, too.
func (s *Service) provePassword(ctx context.Context, who sess.Principal, inv openInvite, password string) error {
	if len(password) > maxPassword {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("the password is longer than %d bytes", maxPassword), "")
	}
	attempt, err := s.failures.begin(ctx, who.Name, who.Addr)
	if err != nil {
		if e, ok := errors.AsType[*sess.Error](err); ok && e.Code == sess.CodeLimited {
			return s.refuse(ctx, who.Org, who.Addr, policy.Accept, who.Name, e)
		}
		return err
	}
	right, err := s.hasher.check(ctx, inv.PasswordHash, password)
	if err == nil && !right {
		return s.refuse(ctx, who.Org, who.Addr, policy.Accept, who.Name, sess.New(sess.CodeUnauthenticated, "this is not your password",
			`you have an account on this server: accept with the password of that; who forgot it runs "sessctl login --forgot"`))
	}
	if err := errors.Join(err, s.failures.cancel(context.WithoutCancel(ctx), attempt)); err != nil {
		return err
	}
	var p store.Person
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		p, err = tx.GetPerson(ctx, inv.UserID)
		return err
	})
	if err == nil && p.PasswordExpiresAt != nil {
		err = sess.New(sess.CodeConflict, "your password is a temporary one, which others may know", `change it first: "sessctl login" asks for a new one`)
	}
	return err
}

// formerOf gives the hashes of the passwords that an invited person must not take again.
func (s *Service) formerOf(ctx context.Context, inv openInvite) (former []string, err error) {
	if inv.PasswordHash == "" {
		return nil, nil
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		p, err := tx.GetPerson(ctx, inv.UserID)
		if err == nil {
			former, err = formerPasswords(ctx, tx, p)
		}
		return err
	})
	return former, err
}

// LookInvite says what an invitation is for, to whoever holds it, so that they know which password is asked for.
func (s *Service) LookInvite(ctx context.Context, addr netip.Addr, in api.InviteLookIn) (api.InviteLookOut, error) {
	inv, err := s.loadInvite(ctx, addr, in.Body.Token)
	if err != nil {
		return api.InviteLookOut{}, err
	}
	return api.InviteLookOut{OrgName: inv.OrgName, Email: inv.Email, Known: inv.keeps()}, nil
}

// loadInvite finds an invitation that works at this moment, so that nobody makes the server hash for nothing.
func (s *Service) loadInvite(ctx context.Context, addr netip.Addr, token string) (inv openInvite, err error) {
	if _, err := sess.ParseToken(token, sess.TokenInvite); err != nil {
		e, _ := errors.AsType[*sess.Error](err) // ParseToken says so
		return inv, s.refuse(ctx, "", addr, policy.Accept, "", e)
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		inv.GetInviteByHashRow, err = tx.GetInviteByHash(ctx, sess.HashToken(token))
		return err
	})
	switch {
	case err != nil && isNotFound(err):
		return inv, s.refuse(ctx, "", addr, policy.Accept, "", errInvite("is not known here"))
	case err != nil:
		return inv, err
	case inv.DeletedAt != nil:
		return inv, s.refuse(ctx, inv.Org, addr, policy.Accept, inv.Name, errInvite("is void"))
	case inv.UsedAt != nil:
		return inv, s.refuse(ctx, inv.Org, addr, policy.Accept, inv.Name, errInvite("was used already"))
	case inv.ExpiresAt <= store.Micros(s.now()):
		return inv, s.refuse(ctx, inv.Org, addr, policy.Accept, inv.Name, errInvite("has run out or was replaced by a newer one"))
	}
	return inv, nil
}

func errInvite(why string) *sess.Error {
	return sess.New(sess.CodeExpired, "this invitation "+why,
		`if you set your password already, run "sessctl login"; else get a new one from an admin (whoever runs the server: "sess-server admin link")`)
}

// invitedEmail gives the e-mail address that the person will have.
func invitedEmail(inv openInvite, given string) (string, error) {
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

// useInvite uses the invitation up. With a hash it sets the password, and ends what the person was logged in with.
func (s *Service) useInvite(ctx context.Context, tx *gate.Tx, inv openInvite, email, hash string) ([]ended, error) {
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
	p, err := tx.GetPerson(ctx, inv.UserID)
	if err != nil {
		return nil, fmt.Errorf("load person: %w", err)
	}
	switch {
	case p.PasswordHash != inv.PasswordHash: // set or changed since it was looked at
		return nil, sess.New(sess.CodeConflict, "your password was changed at this moment", "accept again, with the new one")
	case hash == "":
		return nil, nil
	}
	if err := s.replacePassword(ctx, tx.Tx, p, hash); err != nil {
		return nil, err
	}
	return s.endLogins(ctx, tx.Tx, inv.UserID, "")
}

// newPerson gives the first admin's membership the person it lacked.
func (s *Service) newPerson(ctx context.Context, tx *gate.Tx, inv openInvite, email, hash string) error {
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
