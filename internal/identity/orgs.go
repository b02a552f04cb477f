package identity

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	maxOrgName = 63
	maxMyOrgs  = 1000 // that one person is in, in lists
)

// ListOrgs lists the organisations that the person is in who asks. An API key, or a login that an identity provider vouched
// for, is of one organisation and tells of no other.
func (s *Service) ListOrgs(ctx context.Context, who sess.Principal) (api.OrgList, error) {
	out := api.OrgList{Items: []api.OrgItem{}}
	err := s.gate.Read(ctx, who, policy.OrgList, policy.Org(who.Org), func(tx *gate.Tx) error {
		rows, err := tx.ListMyOrgs(ctx, who.User, maxMyOrgs)
		if err != nil {
			return fmt.Errorf("list organisations: %w", err)
		}
		for _, r := range rows {
			if r.ID == who.Org || !ofOneOrg(who) {
				out.Items = append(out.Items, api.OrgItem{ID: r.ID, Name: r.Name, Current: r.ID == who.Org})
			}
		}
		return nil
	})
	if err != nil {
		return api.OrgList{}, err
	}
	return out, nil
}

// ofOneOrg reports whether what proved who somebody is belongs to the organisation, and not to the person.
func ofOneOrg(who sess.Principal) bool {
	return who.Credential != sess.CredentialLogin || who.IDP != "" || who.UserKind != sess.UserLocal
}

// GetOrg shows the organisation of who asks, and what is set for it.
func (s *Service) GetOrg(ctx context.Context, who sess.Principal) (api.Org, error) {
	var out api.Org
	err := s.gate.Read(ctx, who, policy.OrgShow, policy.Org(who.Org), func(tx *gate.Tx) (err error) {
		out, err = viewOrg(ctx, tx)
		return err
	})
	if err != nil {
		return api.Org{}, err
	}
	return out, nil
}

func viewOrg(ctx context.Context, tx *gate.Tx) (api.Org, error) {
	o, err := tx.GetOrg(ctx, tx.Who().Org)
	if err != nil {
		return api.Org{}, fmt.Errorf("load organisation: %w", err)
	}
	st, err := sess.ParseSettings(o.Settings)
	if err != nil {
		return api.Org{}, err
	}
	out := api.Org{ID: o.ID, Name: o.Name, CreatedAt: store.Time(o.CreatedAt), Settings: []api.OrgSetting{}}
	for _, k := range sess.AllSettings() {
		value, byDefault := k.Get(st)
		out.Settings = append(out.Settings, api.OrgSetting{Key: k.Key, Value: value, Default: byDefault, Summary: k.Summary})
	}
	return out, nil
}

// RenameOrg gives the organisation another name. Conflict: another one on this server has it.
func (s *Service) RenameOrg(ctx context.Context, who sess.Principal, in api.OrgRenameIn) (api.Org, error) {
	var out api.Org
	err := s.gate.Do(ctx, who, policy.OrgRename, policy.Org(who.Org), func(tx *gate.Tx) error {
		name := in.Body.Name
		if err := checkOrgName(name); err != nil {
			return err
		}
		o, err := tx.GetOrg(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
		if err := freeOrgName(ctx, tx.Tx, name, who.Org); err != nil {
			return err
		}
		n, err := tx.RenameOrg(ctx, name, who.Org)
		if err != nil {
			return fmt.Errorf("rename organisation: %w", err)
		}
		if err := tx.KeepOrgName(ctx, who.Org, o.Name, store.Micros(s.now())); err != nil {
			return fmt.Errorf("keep former name: %w", err)
		}
		if n == 0 {
			return errOrgTaken(name)
		}
		tx.Detail("old_name", o.Name)
		tx.Detail("name", name)
		out, err = viewOrg(ctx, tx)
		return err
	})
	if err != nil {
		return api.Org{}, err
	}
	return out, nil
}

// freeOrgName refuses a name that another organisation had: people and scripts that still use it must not reach somebody
// else.
func freeOrgName(ctx context.Context, tx *store.Tx, name string, org sess.OrgID) error {
	if err := tx.Lock(ctx, "org names"); err != nil {
		return err
	}
	had, err := tx.FormerOrgsOfName(ctx, name)
	if err != nil {
		return fmt.Errorf("look for former names: %w", err)
	}
	if slices.ContainsFunc(had, func(o sess.OrgID) bool { return o != org }) {
		return errOrgTaken(name)
	}
	return nil
}

func checkOrgName(name string) error {
	if !machineName.MatchString(name) || len(name) > maxOrgName || sess.ValidID("org", name) {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%q can't be the name of an organisation", clip(name, maxOrgName)),
			"use up to 63 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit")
	}
	return nil
}

func errOrgTaken(name string) *sess.Error {
	return sess.New(sess.CodeConflict, fmt.Sprintf("there is, or was, an organisation named %s already", name), "take another name")
}

// UseOrg gives who is logged in by their password a login in another organisation that they are in, by the rules of that one:
// where it demands a second factor, or they have one there, that is asked for first. The new login ends when the old one
// would have ended, at the latest. An organisation that they are not in is as good as none.
func (s *Service) UseOrg(ctx context.Context, who sess.Principal, in api.OrgUseIn) (api.LoginOut, error) {
	var to store.FindMembershipRow
	err := s.gate.Do(ctx, who, policy.OrgUse, policy.Org(who.Org), func(tx *gate.Tx) (err error) {
		if ofOneOrg(who) {
			return sess.New(sess.CodeInvalid, "an API key, or a login by an identity provider, is for one organisation only",
				`log in to the other one with your password: "sessctl login --org NAME"`)
		}
		to, err = tx.FindMembership(ctx, who.User, in.Org)
		if err != nil && isNotFound(err) {
			// Without its name: the log of this one tells nobody where else people are, or think they are.
			return sess.New(sess.CodeNotFound, "you are in no such organisation", "sessctl org list shows yours")
		}
		return err
	})
	if err != nil {
		return api.LoginOut{}, err
	}
	there := sess.Principal{Org: to.Org, User: who.User, Name: to.Name, UserKind: to.Kind, Addr: who.Addr, RequestID: who.RequestID}
	on := policy.Resource{Org: there.Org, Type: policy.TypeLogin, Owner: there.User, Name: there.Name}
	var out api.LoginOut
	err = s.gate.Do(ctx, there, policy.Login, on, func(tx *gate.Tx) error {
		tx.Detail("by", "a login in another organisation")
		until, err := s.livesUntil(ctx, tx, who)
		if err != nil {
			return err
		}
		out, err = s.newLogin(ctx, tx, loginSpec{client: in.Body.Client, until: store.Micros(until)})
		out.OrgName = to.OrgName
		return err
	})
	if err != nil {
		return api.LoginOut{}, err
	}
	return out, nil
}

// livesUntil says until when the login of who lives, which must not have ended meanwhile: a new password ends all of a
// person's logins, and none may slip in behind it.
func (s *Service) livesUntil(ctx context.Context, tx *gate.Tx, who sess.Principal) (time.Time, error) {
	if err := lockPerson(ctx, tx.Tx, who.User); err != nil {
		return time.Time{}, err
	}
	l, err := tx.GetLogin(ctx, who.Org, sess.LoginID(who.CredentialID))
	if err != nil {
		return time.Time{}, fmt.Errorf("load login: %w", err)
	}
	if l.RevokedAt != nil {
		return time.Time{}, unauthenticated("this login was ended", hintLogin)
	}
	o, err := tx.GetOrg(ctx, who.Org)
	if err != nil {
		return time.Time{}, fmt.Errorf("load organisation: %w", err)
	}
	m, err := tx.GetMember(ctx, who.Org, who.User)
	if err != nil {
		return time.Time{}, fmt.Errorf("load member: %w", err)
	}
	st, err := sess.ParseSettings(o.Settings)
	if err != nil {
		return time.Time{}, err
	}
	until := store.Time(l.CreatedAt).Add(loginLife(st, m.ValidSeconds))
	if expires := store.Time(l.ExpiresAt); expires.Before(until) {
		until = expires
	}
	return until, nil
}
