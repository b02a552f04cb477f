package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	resetLife = 72 * time.Hour
	// Links that are made for one person because somebody asks: more than these are not sent, without a word.
	maxResetsShort = 3
	resetsShort    = time.Hour
	maxResetsDay   = 8
	// maxForgot bounds the requests that wait for their turn.
	maxForgot = 100
)

// forgot is a request for a link that sets a new password.
type forgot struct {
	email   string
	addr    netip.Addr
	request string
}

// ForgotPassword has a link mailed to the person with an e-mail address, if there is one: the answer is the same, and as
// quick, whether there is or not. Errors: invalid (no address), unavailable (the server sends no mail, or is busy).
func (s *Service) ForgotPassword(ctx context.Context, addr netip.Addr, in api.ForgotIn) error {
	if s.mail == nil {
		return sess.New(sess.CodeUnavailable, "this server sends no mail, and so no links for new passwords", "ask an admin of your organisation: they run sessctl user reset with your address")
	}
	email, err := normalEmail(in.Body.Email)
	if err != nil {
		return err
	}
	select {
	case s.forgotten <- forgot{email, addr, sess.RequestID(ctx)}:
		return nil
	default:
		return sess.New(sess.CodeUnavailable, "too many people forgot their passwords at this moment", "try again in a few minutes")
	}
}

// Run does what is done apart from requests, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-s.forgotten:
			if err := s.mailReset(sess.WithRequest(ctx, f.request), f); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "link for a new password not made", "err", err)
			}
		}
	}
}

// mailReset makes a link for whoever asked, if they may have one.
func (s *Service) mailReset(ctx context.Context, f forgot) error {
	token, err := sess.NewToken(sess.TokenReset, s.pin)
	if err != nil {
		return err
	}
	expires := s.now().Add(resetLife).UTC().Truncate(time.Second)
	var to store.Member
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		p, err := tx.GetPersonByEmail(ctx, f.email)
		if err != nil {
			return err
		}
		who := sess.Principal{User: p.ID, Name: p.Email, UserKind: sess.UserLocal, Addr: f.addr}
		if to, err = s.resettable(ctx, tx, p); err != nil {
			return err
		}
		if err := s.newResetLink(ctx, tx, p.ID, token, "", expires); err != nil {
			return err
		}
		return s.tell(ctx, tx, who, policy.PasswordForgot, "")
	})
	if err != nil && isNotFound(err) {
		s.gate.RefusedAnonymous(ctx, gate.Refusal{Addr: f.addr, Action: policy.PasswordForgot, Code: sess.CodeNotFound})
		return nil
	}
	if err != nil {
		return err
	}
	m := s.resetMail(f.email, sess.ResetLink(s.publicURL, token), "Somebody, you we hope, asked for a new password of yours. If it was not you, do nothing: your password stays as it is.", expires)
	s.mail.Queue(ctx, m, func(ctx context.Context, done Mailed) { s.resetMailed(ctx, to, token, done) })
	return nil
}

// resetMailed keeps what became of the mail with a link.
func (s *Service) resetMailed(ctx context.Context, to store.Member, token string, done Mailed) {
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.SetResetMail(ctx, sess.HashToken(token), done.state())
		return err
	})
	if err != nil || done.Final && !done.Sent {
		s.log.WarnContext(ctx, "mail with a link for a new password", "user", to.UserID, "state", done.state(), "err", err)
	}
}

// resettable gives a membership of a person who may have a link now; store.ErrNotFound: there is none.
func (s *Service) resettable(ctx context.Context, tx *store.Tx, p store.Person) (store.Member, error) {
	var none store.Member
	if p.PasswordHash == "" {
		return none, store.ErrNotFound // invited: they have a link
	}
	if err := lockPerson(ctx, tx, p.ID); err != nil {
		return none, err
	}
	now := s.now()
	links, err := tx.ListResetLinks(ctx, p.ID, store.Micros(now.Add(-24*time.Hour)), maxResetsDay)
	if err != nil {
		return none, fmt.Errorf("count links: %w", err)
	}
	short := 0
	for _, at := range links {
		if store.Time(at).After(now.Add(-resetsShort)) {
			short++
		}
	}
	if len(links) >= maxResetsDay || short >= maxResetsShort {
		return none, store.ErrNotFound
	}
	org, err := homeOf(ctx, tx, p.ID)
	if err != nil {
		return none, err
	}
	return tx.GetMember(ctx, org, p.ID)
}

// homeOf gives an organisation where a person is an active member; store.ErrNotFound: nowhere.
func homeOf(ctx context.Context, tx *store.Tx, user sess.UserID) (sess.OrgID, error) {
	orgs, err := tx.ListOrgsOfPerson(ctx, user, maxOrgs)
	if err != nil {
		return "", fmt.Errorf("list organisations of person: %w", err)
	}
	for _, o := range orgs {
		if o.Active == 1 && o.Pending == 0 {
			return o.Org, nil
		}
	}
	return "", store.ErrNotFound
}

// newResetLink voids the links of a person and makes a new one of token.
func (s *Service) newResetLink(ctx context.Context, tx *store.Tx, user sess.UserID, token string, by sess.OrgID, expires time.Time) error {
	now := store.Micros(s.now())
	if _, err := tx.VoidResetLinks(ctx, user, now); err != nil {
		return fmt.Errorf("void links: %w", err)
	}
	l := store.CreateResetLinkParams{Hash: sess.HashToken(token), UserID: user, CreatedAt: now, ExpiresAt: store.Micros(expires), MadeBy: string(by)}
	if s.mail != nil {
		l.Mail = mailQueued
	}
	if err := tx.CreateResetLink(ctx, l); err != nil {
		return fmt.Errorf("create link: %w", err)
	}
	return nil
}

// ResetUser makes a link with which a user of this organisation sets a new password. It goes out by mail where the server
// sends mail. Somebody who is a member of another organisation, too, has a password there that is not this one's to replace.
func (s *Service) ResetUser(ctx context.Context, who sess.Principal, in api.UserRef) (api.ResetOut, error) {
	var m store.Member
	var out api.ResetOut
	var token string
	err := s.gate.DoFind(ctx, who, policy.UserReset, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) (err error) {
		if err := s.notAbove(ctx, tx, m); err != nil {
			return err
		}
		if err := s.mayBeReset(ctx, tx, m); err != nil {
			return err
		}
		if token, err = sess.NewToken(sess.TokenReset, s.pin); err != nil {
			return err
		}
		out = api.ResetOut{Email: m.Name, ExpiresAt: s.now().Add(resetLife).UTC().Truncate(time.Second)}
		return s.newResetLink(ctx, tx.Tx, m.UserID, token, m.Org, out.ExpiresAt)
	})
	if err != nil {
		return api.ResetOut{}, err
	}
	out.Link = sess.ResetLink(s.publicURL, token)
	if s.mail != nil {
		mail := s.resetMail(m.Name, out.Link, who.Name+" lets you set a new password on "+s.publicURL.Host+".", out.ExpiresAt)
		out.Link = ""
		out.Mail = s.send(ctx, who, m, mail, func(ctx context.Context, tx *store.Tx, state string) error {
			_, err := tx.SetResetMail(ctx, sess.HashToken(token), state)
			return err
		})
	}
	return out, nil
}

// mayBeReset says whether an admin of the organisation may let a user set a new password.
func (s *Service) mayBeReset(ctx context.Context, tx *gate.Tx, m store.Member) error {
	if m.Kind != sess.UserLocal {
		return sess.New(sess.CodeConflict, m.Name+" has no password here", "machine users have keys; who comes by an identity provider has a password there")
	}
	p, err := tx.GetPerson(ctx, m.UserID)
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("load person: %w", err)
	}
	there, err2 := elsewhere(ctx, tx.Tx, m.UserID, m.Org)
	switch {
	case err2 != nil:
		return err2
	case err != nil, m.Pending == 1, p.PasswordHash == "":
		return sess.New(sess.CodeConflict, m.Name+" has not accepted the invitation yet", "invite them again: sessctl user invite "+m.Name)
	case there:
		return sess.New(sess.CodeDenied, m.Name+" is a member of another organisation, too: their password is theirs alone", "they get a link by mail themselves: sessctl login --forgot")
	}
	return nil
}

// ResetPassword sets a new password by a link, once, and ends all logins of the person. It logs nobody in: whoever has a
// second factor shows it at the login that follows. Errors: expired (used, replaced or too old), invalid (the password
// won't do; the link still works then).
func (s *Service) ResetPassword(ctx context.Context, addr netip.Addr, in api.ResetIn) (api.ResetDone, error) {
	p, former, home, err := s.loadReset(ctx, addr, in.Body.Token)
	if err != nil {
		return api.ResetDone{}, err
	}
	if err := s.newPasswordFor(ctx, in.Body.Password, p.Email, former); err != nil {
		return api.ResetDone{}, err
	}
	hash, err := s.hasher.hash(ctx, in.Body.Password)
	if err != nil {
		return api.ResetDone{}, err
	}
	who := sess.Principal{Org: home, User: p.ID, Name: p.Email, UserKind: sess.UserLocal, Addr: addr}
	on := policy.Resource{Org: home, Type: policy.TypeLogin, Owner: p.ID, Name: p.Email}
	var list []ended
	err = s.gate.Do(ctx, who, policy.PasswordReset, on, func(tx *gate.Tx) error {
		if err := lockPerson(ctx, tx.Tx, p.ID); err != nil {
			return err
		}
		now := store.Micros(s.now())
		n, err := tx.UseResetLink(ctx, sess.HashToken(in.Body.Token), &now)
		if err != nil {
			return fmt.Errorf("use link: %w", err)
		}
		if n == 0 {
			return errReset("was used already")
		}
		if err := s.stillTheirs(ctx, tx.Tx, in.Body.Token, p.ID); err != nil {
			return err
		}
		if err := s.replacePassword(ctx, tx.Tx, p, hash); err != nil {
			return err
		}
		if list, err = s.endLogins(ctx, tx.Tx, p.ID, ""); err != nil {
			return err
		}
		tx.Detail("logins_ended", fmt.Sprint(len(list)))
		if _, err := tx.VoidResetLinks(ctx, p.ID, now); err != nil {
			return fmt.Errorf("void links: %w", err)
		}
		return s.tell(ctx, tx.Tx, who, policy.PasswordReset, home)
	})
	if err != nil {
		return api.ResetDone{}, err
	}
	s.endAll(ctx, list)
	return api.ResetDone{Email: p.Email}, nil
}

// stillTheirs refuses a link of one organisation's admin for somebody who joined another one since.
func (s *Service) stillTheirs(ctx context.Context, tx *store.Tx, token string, user sess.UserID) error {
	l, err := tx.GetResetLink(ctx, sess.HashToken(token))
	if err != nil {
		return fmt.Errorf("load link: %w", err)
	}
	if l.MadeBy == "" {
		return nil
	}
	there, err := elsewhere(ctx, tx, user, sess.OrgID(l.MadeBy))
	if err == nil && there {
		return errReset("was made by an admin before you joined another organisation, and is void now")
	}
	return err
}

// loadReset finds a link that works at this moment, whose it is, and where they are at home.
func (s *Service) loadReset(ctx context.Context, addr netip.Addr, token string) (p store.Person, former []string, home sess.OrgID, err error) {
	if _, err := sess.ParseToken(token, sess.TokenReset); err != nil {
		e, _ := errors.AsType[*sess.Error](err) // ParseToken says so
		return p, nil, "", s.refuse(ctx, "", addr, policy.PasswordReset, "", e)
	}
	var l store.GetResetLinkRow
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if l, err = tx.GetResetLink(ctx, sess.HashToken(token)); err != nil {
			return err
		}
		if p, err = tx.GetPerson(ctx, l.UserID); err != nil {
			return err
		}
		if home, err = homeOf(ctx, tx, p.ID); err != nil {
			return err
		}
		former, err = formerPasswords(ctx, tx, p)
		return err
	})
	switch {
	case err != nil && isNotFound(err):
		return p, nil, "", s.refuse(ctx, "", addr, policy.PasswordReset, "", errReset("is not known here"))
	case err != nil:
		return p, nil, "", err
	case l.UsedAt != nil:
		return p, nil, "", s.refuse(ctx, home, addr, policy.PasswordReset, p.Email, errReset("was used already"))
	case l.ExpiresAt <= store.Micros(s.now()):
		return p, nil, "", s.refuse(ctx, home, addr, policy.PasswordReset, p.Email, errReset("has run out or was replaced by a newer one"))
	}
	return p, former, home, nil
}

func errReset(why string) *sess.Error {
	return sess.New(sess.CodeExpired, "this link for a new password "+why, `get a new one: "sessctl login --forgot", or ask an admin of your organisation`)
}
