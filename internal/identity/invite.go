package identity

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	maxFullName    = 100 // bytes
	maxInviteTeams = 50
)

// invited is an invitation under way.
type invited struct {
	member   store.Member
	org      store.Org
	known    bool   // the person has a password, and keeps it
	token    string // of the link
	id       string // of the link
	password string // the temporary one
	expires  time.Time
}

// InviteUser invites a person into the organisation, with a role and groups if named: all that the caller holds themselves.
// Who is new to the server gets a link to set a password, or a temporary password that must be changed; who is known to it
// gets a link and joins with their own password, never a new one. Both are valid for 72 h. They go out by mail where the
// server sends mail, and are in the answer otherwise. Inviting again whoever has not accepted yet voids what came before.
func (s *Service) InviteUser(ctx context.Context, who sess.Principal, in api.InviteIn) (api.InviteOut, error) {
	var inv invited
	var out api.InviteOut
	err := s.gate.Do(ctx, who, policy.UserInvite, policy.Org(who.Org), func(tx *gate.Tx) (err error) {
		inv = invited{}
		if inv.member.Name, err = normalEmail(in.Body.Email); err != nil {
			return err
		}
		if inv.org, err = tx.GetOrg(ctx, who.Org); err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
		if err := s.putMember(ctx, tx, &inv, in); err != nil {
			return err
		}
		if err := s.giveInvited(ctx, tx, inv.member, in); err != nil {
			return err
		}
		tx.On(userResource(inv.member))
		out.User, err = s.viewUser(ctx, tx, inv.member)
		return err
	})
	if err != nil {
		return api.InviteOut{}, err
	}
	if inv.password != "" {
		// A hash takes long: not within the transaction. Until it is set nobody can log in.
		if err := s.setTemporary(ctx, who.Org, inv); err != nil {
			return api.InviteOut{}, err
		}
		out.Password = inv.password
	} else {
		out.Link = s.InviteLink(inv.token)
	}
	out.Known, out.ExpiresAt = inv.known, inv.expires
	if s.mail != nil {
		out.Mail = s.mailInvite(ctx, who, inv, out)
		out.Link, out.Password = "", ""
	}
	return out, nil
}

// putMember makes the member and their way in: a link, or a temporary password.
func (s *Service) putMember(ctx context.Context, tx *gate.Tx, inv *invited, in api.InviteIn) error {
	org, email := tx.Who().Org, inv.member.Name
	p, err := s.personFor(ctx, tx.Tx, email, clip(in.Body.Name, maxFullName))
	if err != nil {
		return err
	}
	if inv.known, err = s.keepsPassword(ctx, tx.Tx, p, org); err != nil {
		return err
	}
	if in.Body.Temporary && !inv.known {
		inv.password = newTemporary()
		tx.Detail("by", "temporary password")
	}
	if err := s.putInvited(ctx, tx.Tx, org, p.ID, email); err != nil {
		return err
	}
	if inv.member, err = tx.GetMember(ctx, org, p.ID); err != nil {
		return fmt.Errorf("load member: %w", err)
	}
	inv.expires = s.now().Add(inviteLife).UTC().Truncate(time.Second)
	if inv.token, err = sess.NewToken(sess.TokenInvite, s.pin); err != nil {
		return err
	}
	mail := ""
	if s.mail != nil {
		mail = mailQueued
	}
	// That of a temporary password is handed to nobody: it is there to say when it was made, and what became of the mail.
	inv.id, err = s.newInvite(ctx, tx, org, p.ID, inv.token, inviteJoin, mail)
	return err
}

// personFor finds the person with an e-mail address, or makes one without a password.
func (s *Service) personFor(ctx context.Context, tx *store.Tx, email, name string) (store.Person, error) {
	p, err := tx.GetPersonByEmail(ctx, email)
	if err == nil || !isNotFound(err) {
		return p, err
	}
	id := sess.NewUserID()
	if _, err := tx.CreatePerson(ctx, id, email, "", store.Micros(s.now())); err != nil {
		return p, fmt.Errorf("create person: %w", err)
	}
	if p, err = tx.GetPersonByEmail(ctx, email); err != nil { // another server's, made at this moment, is as good
		return p, fmt.Errorf("load person: %w", err)
	}
	if name != "" && p.ID == id {
		if _, err := tx.SetPersonName(ctx, id, name); err != nil {
			return p, fmt.Errorf("name person: %w", err)
		}
	}
	return p, nil
}

// keepsPassword reports whether a person has a password that an admin of org may not replace: their own, or a temporary one
// that lets them into another organisation, too.
func (s *Service) keepsPassword(ctx context.Context, tx *store.Tx, p store.Person, org sess.OrgID) (bool, error) {
	if p.PasswordHash == "" {
		return false, nil
	}
	if p.PasswordExpiresAt == nil {
		return true, nil
	}
	return elsewhere(ctx, tx, p.ID, org)
}

// putInvited makes a person an invited member. Who was deleted comes back with nothing of what they had; who has not
// accepted yet is invited once more.
func (s *Service) putInvited(ctx context.Context, tx *store.Tx, org sess.OrgID, user sess.UserID, email string) error {
	now := store.Micros(s.now())
	if err := tx.Lock(ctx, gate.MemberLock(org, user)); err != nil {
		return err
	}
	n, err := tx.InviteMember(ctx, store.InviteMemberParams{Org: org, UserID: user, Name: email, CreatedAt: now, Pending: 1})
	if err != nil {
		return fmt.Errorf("create member: %w", err)
	}
	if n == 1 {
		return nil
	}
	m, err := tx.GetMember(ctx, org, user)
	switch {
	case err != nil && isNotFound(err): // the name is somebody else's: whom an identity provider sends
		return sess.New(sess.CodeConflict, email+" is a member already, by an identity provider", "sessctl user show "+email)
	case err != nil:
		return fmt.Errorf("load member: %w", err)
	case m.DeletedAt != nil:
		return s.revive(ctx, tx, m, email, now)
	}
	waits, err := s.waits(ctx, tx, m)
	if err != nil {
		return err
	}
	switch {
	case m.Active == 0:
		return sess.New(sess.CodeConflict, email+" is deactivated in this organisation", "sessctl user reactivate "+email)
	case !waits:
		return sess.New(sess.CodeConflict, email+" is a member already", "give them a role: sessctl grant add --user "+email+" --role ROLE")
	}
	return nil
}

func (s *Service) revive(ctx context.Context, tx *store.Tx, m store.Member, email string, now int64) error {
	if other, err := tx.GetMemberByName(ctx, m.Org, email); err == nil {
		return sess.New(sess.CodeConflict, other.Name+" is a member already", "sessctl user show "+email)
	} else if !isNotFound(err) {
		return fmt.Errorf("look for member: %w", err)
	}
	if _, err := tx.ReviveMember(ctx, store.ReviveMemberParams{Pending: 1, CreatedAt: now, Name: email, Org: m.Org, UserID: m.UserID}); err != nil {
		return fmt.Errorf("invite again: %w", err)
	}
	return nil
}

// waits reports whether a member was invited and has not accepted, or not changed their temporary password.
func (s *Service) waits(ctx context.Context, tx *store.Tx, m store.Member) (bool, error) {
	if m.Pending == 1 || m.Kind != sess.UserLocal {
		return m.Pending == 1, nil
	}
	p, err := tx.GetPerson(ctx, m.UserID)
	if err != nil && isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("load person: %w", err)
	}
	return p.PasswordHash == "" || p.PasswordExpiresAt != nil, nil
}

// giveInvited gives an invited person their role and groups.
func (s *Service) giveInvited(ctx context.Context, tx *gate.Tx, m store.Member, in api.InviteIn) error {
	if in.Body.Role == "" && in.Body.Project != "" {
		return sess.New(sess.CodeInvalid, "a project without a role says nothing", "give both, as in --role operator --project "+clip(in.Body.Project, maxName))
	}
	if len(in.Body.Groups) > maxInviteTeams {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("more than %d groups", maxInviteTeams), "")
	}
	if in.Body.Role != "" {
		var project sess.ProjectID
		if in.Body.Project != "" {
			p, err := findProject(ctx, tx.Tx, m.Org, in.Body.Project)
			if err != nil && isNotFound(err) {
				return sess.New(sess.CodeNotFound, fmt.Sprintf("no project %q", clip(in.Body.Project, maxName)), "sessctl project list shows them")
			} else if err != nil {
				return fmt.Errorf("look for project: %w", err)
			}
			project = p.ID
		}
		if _, err := s.give(ctx, tx, receiver{user: m.UserID, name: m.Name}, in.Body.Role, project); err != nil {
			return err
		}
	}
	for _, g := range in.Body.Groups {
		to, err := s.findReceiver(ctx, tx.Tx, m.Org, "", g)
		if err != nil {
			return err
		}
		tx.Detail("group", to.name)
		if err := s.joinTeam(ctx, tx, store.Team{Org: m.Org, ID: to.team, Name: to.name}, m.UserID); err != nil {
			return err
		}
	}
	return changeRules(ctx, tx)
}

const (
	temporaryLength = 16
	// temporaryRunes leaves out what looks alike.
	temporaryRunes = "abcdefghijkmnpqrstuvwxyz23456789"
)

// newTemporary gives a temporary password of 80 random bits, in groups that one can read out.
func newTemporary() string {
	var b [temporaryLength]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	var out []byte
	for i, x := range b {
		if i > 0 && i%4 == 0 {
			out = append(out, '-')
		}
		out = append(out, temporaryRunes[int(x)%len(temporaryRunes)])
	}
	return string(out)
}

// setTemporary sets a temporary password, unless the person got one of their own meanwhile.
func (s *Service) setTemporary(ctx context.Context, org sess.OrgID, inv invited) error {
	hash, err := s.hasher.hashForOthers(ctx, inv.password)
	if err != nil {
		return err
	}
	var list []ended
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if err := lockPerson(ctx, tx, inv.member.UserID); err != nil {
			return err
		}
		p, err := tx.GetPerson(ctx, inv.member.UserID)
		if err != nil {
			return fmt.Errorf("load person: %w", err)
		}
		keeps, err := s.keepsPassword(ctx, tx, p, org)
		if err != nil {
			return err
		}
		expires := store.Micros(inv.expires)
		if keeps {
			return sess.New(sess.CodeConflict, inv.member.Name+" has set a password at this moment", "they can log in with it")
		}
		if _, err := tx.SetTemporaryPassword(ctx, p.ID, hash, store.Micros(s.now()), &expires); err != nil {
			return fmt.Errorf("set temporary password: %w", err)
		}
		// Not before: another organisation's link might set a password until then.
		if _, err := tx.JoinMember(ctx, org, p.ID); err != nil {
			return fmt.Errorf("join organisation: %w", err)
		}
		list, err = s.endLogins(ctx, tx, p.ID, "")
		return err
	})
	if err != nil {
		return err
	}
	s.endAll(ctx, list)
	return nil
}
