package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// MaxBoxOrgs bounds the organisations that the box's owner is shown.
const MaxBoxOrgs = 5000

// BoxOrg is an organisation as the box's owner sees it.
type BoxOrg struct {
	ID        sess.OrgID `json:"id"`
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	Members   int64      `json:"members"`
	Instances int64      `json:"instances"`
}

// CreateOrg makes an organisation with a project, for the box's owner at the machine, and invites its first admin: who is
// new to this server sets a password with the invitation, who is known accepts with the one they have. It returns the
// invitation's token, and whether the person is known. Conflict: there is an organisation of that name.
func (s *Service) CreateOrg(ctx context.Context, name, email string) (token string, known bool, err error) {
	if err := checkOrgName(name); err != nil {
		return "", false, err
	}
	if email, err = normalEmail(email); err != nil {
		return "", false, err
	}
	if token, err = sess.NewToken(sess.TokenInvite, s.pin); err != nil {
		return "", false, err
	}
	id := sess.NewOrgID()
	on := policy.Org(id)
	on.Name = name
	err = s.gate.Do(ctx, sess.BoxOwner(id), policy.OrgCreate, on, func(tx *gate.Tx) error {
		made, err := s.createOrg(ctx, tx.Tx, id, name)
		if err != nil {
			return err
		}
		if !made {
			return errOrgTaken(name)
		}
		p, err := s.personFor(ctx, tx.Tx, email, "")
		if err != nil {
			return err
		}
		known = p.PasswordHash != ""
		if err := s.invitedAdmin(ctx, tx.Tx, id, p.ID, email); err != nil {
			return err
		}
		if _, err := s.newInvite(ctx, tx, id, p.ID, token, inviteJoin, ""); err != nil {
			return err
		}
		// The box's log names every organisation that was ever made; the organisation's own begins with this, too.
		return s.gate.Event(ctx, tx.Tx, gate.Entry{Who: sess.BoxOwner(""), Action: policy.OrgCreate, On: on})
	})
	if err != nil {
		return "", false, err
	}
	return token, known, nil
}

// AllOrgs lists the organisations of this server, oldest first, for the box's owner at the machine.
func (s *Service) AllOrgs(ctx context.Context) ([]BoxOrg, error) {
	out := []BoxOrg{}
	err := s.gate.Read(ctx, sess.BoxOwner(""), policy.OrgList, policy.Org(""), func(tx *gate.Tx) error {
		rows, err := tx.ListAllOrgs(ctx, MaxBoxOrgs)
		if err != nil {
			return fmt.Errorf("list organisations: %w", err)
		}
		for _, r := range rows {
			out = append(out, BoxOrg{ID: r.ID, Name: r.Name, CreatedAt: store.Time(r.CreatedAt), Members: r.Members, Instances: r.Instances})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// oldestOrg finds the organisation that the first start made.
func oldestOrg(ctx context.Context, tx *store.Tx) (store.Org, error) {
	rows, err := tx.OldestOrg(ctx)
	if err != nil {
		return store.Org{}, fmt.Errorf("look for organisation: %w", err)
	}
	if len(rows) == 0 {
		return store.Org{}, store.ErrNotFound
	}
	return rows[0], nil
}

// boxOrg finds the organisation that the box's owner means: the one named, or the one that the first start made.
func (s *Service) boxOrg(ctx context.Context, name string) (org store.Org, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if name == "" {
			org, err = oldestOrg(ctx, tx)
		} else {
			org, err = tx.GetOrgByName(ctx, name)
		}
		return err
	})
	switch {
	case err == nil || !isNotFound(err):
		return org, err
	case name == "":
		return org, sess.New(sess.CodeNotFound, "this server was never started", `run "sess-server serve": it prints the first admin's link`)
	}
	return org, sess.New(sess.CodeNotFound, fmt.Sprintf("there is no organisation %q", clip(name, maxOrgName)), "sess-server admin org list shows them")
}
