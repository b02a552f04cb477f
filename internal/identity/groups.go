package identity

import (
	"context"
	"fmt"
	"regexp"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// How somebody came into a group.
const (
	sourceHand = "hand" // an admin put them there
	sourceIDP  = "idp"  // their identity provider says so
)

// maxGroupUsers bounds how many users one look at a group shows.
const maxGroupUsers = 10_000

// plainName is what groups and projects may be called.
var plainName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9 ._@+-]{0,62}[a-zA-Z0-9._@+-])?$`)

func checkPlainName(what, s string) error {
	if !plainName.MatchString(s) || sess.ValidID("grp", s) || sess.ValidID("prj", s) {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%q can't be the name of a %s", clip(s, maxName), what),
			"use up to 64 letters, digits, spaces and . _ @ + -, beginning with a letter or digit")
	}
	return nil
}

// findTeam finds a group by name or id.
func findTeam(ctx context.Context, tx *store.Tx, org sess.OrgID, ref string) (store.Team, error) {
	if sess.ValidID("grp", ref) {
		return tx.GetTeam(ctx, org, sess.TeamID(ref))
	}
	return tx.GetTeamByName(ctx, org, ref)
}

// findGroup finds a group for the gate, and keeps it in into.
func findGroup(ctx context.Context, org sess.OrgID, ref string, into *store.Team) gate.Find {
	return gate.Find{Type: policy.TypeGroup, Name: clip(ref, maxName), By: func(tx *gate.Tx) (on policy.Resource, err error) {
		*into, err = findTeam(ctx, tx.Tx, org, ref)
		return groupResource(*into), err
	}}
}

func groupResource(t store.Team) policy.Resource {
	return policy.Resource{Org: t.Org, Type: policy.TypeGroup, ID: string(t.ID), Name: t.Name}
}

// CreateGroup makes a group with nobody in it.
func (s *Service) CreateGroup(ctx context.Context, who sess.Principal, in api.GroupIn) (api.Group, error) {
	var out api.Group
	err := s.gate.Do(ctx, who, policy.GroupCreate, policy.Org(who.Org), func(tx *gate.Tx) error {
		if err := checkGroupName(in.Body.Name); err != nil {
			return err
		}
		t := store.Team{Org: who.Org, ID: sess.NewTeamID(), Name: in.Body.Name, CreatedAt: store.Micros(s.now())}
		n, err := tx.AddTeam(ctx, t.Org, t.ID, t.Name, t.CreatedAt)
		if err != nil {
			return fmt.Errorf("create group: %w", err)
		}
		if n == 0 {
			return sess.New(sess.CodeConflict, fmt.Sprintf("there is a group named %s already", t.Name), "sessctl group list shows them")
		}
		tx.On(groupResource(t))
		out = api.Group{ID: t.ID, Name: t.Name, CreatedAt: store.Time(t.CreatedAt)}
		return nil
	})
	if err != nil {
		return api.Group{}, err
	}
	return out, nil
}

// ListGroups lists groups, newest first.
func (s *Service) ListGroups(ctx context.Context, who sess.Principal, in api.Page) (api.GroupList, error) {
	out := api.GroupList{Items: []api.Group{}}
	err := s.gate.Read(ctx, who, policy.GroupList, policy.Org(who.Org), func(tx *gate.Tx) error {
		limit, after, err := page(in)
		if err != nil {
			return err
		}
		rows, err := tx.ListTeams(ctx, who.Org, after.At, after.ID, int32(limit+1)) //nolint:gosec // at most a page
		if err != nil {
			return fmt.Errorf("list groups: %w", err)
		}
		for i, t := range rows {
			if i == limit {
				out.Next = store.Cursor{At: rows[i-1].CreatedAt, ID: string(rows[i-1].ID)}.String()
				break
			}
			on := policy.Resource{Org: t.Org, Type: policy.TypeGroup, ID: string(t.ID), Name: t.Name}
			if tx.Allowed(policy.GroupShow, on) {
				out.Items = append(out.Items, api.Group{ID: t.ID, Name: t.Name, Members: int(t.Members), CreatedAt: store.Time(t.CreatedAt)})
			}
		}
		return nil
	})
	if err != nil {
		return api.GroupList{}, err
	}
	return out, nil
}

// GetGroup shows a group, who is in it, and what it was given.
func (s *Service) GetGroup(ctx context.Context, who sess.Principal, in api.GroupRef) (api.Group, error) {
	var t store.Team
	var out api.Group
	err := s.gate.ReadFind(ctx, who, policy.GroupShow, findGroup(ctx, who.Org, in.Group, &t), func(tx *gate.Tx) error {
		out = api.Group{ID: t.ID, Name: t.Name, CreatedAt: store.Time(t.CreatedAt), Users: []api.GroupUser{}}
		users, err := tx.ListTeamMembers(ctx, t.Org, t.ID, maxGroupUsers)
		if err != nil {
			return fmt.Errorf("list who is in the group: %w", err)
		}
		seen := map[sess.UserID]bool{}
		for _, u := range users {
			out.Users = append(out.Users, api.GroupUser{User: u.UserID, Name: u.Name, Kind: u.Kind, Active: u.Active == 1, Source: u.Source})
			seen[u.UserID] = true
		}
		out.Members = len(seen)
		out.Grants, err = grantsOf(ctx, tx, "", t.ID)
		return err
	})
	if err != nil {
		return api.Group{}, err
	}
	return out, nil
}

// DeleteGroup deletes a group: who was in it loses what it was given.
func (s *Service) DeleteGroup(ctx context.Context, who sess.Principal, in api.GroupRef) error {
	var t store.Team
	return s.gate.DoFind(ctx, who, policy.GroupDelete, findGroup(ctx, who.Org, in.Group, &t), func(tx *gate.Tx) error {
		return s.keepAdmin(ctx, tx, func() error {
			n, err := tx.EmptyTeam(ctx, t.Org, t.ID)
			if err != nil {
				return fmt.Errorf("empty group: %w", err)
			}
			tx.Detail("members", fmt.Sprint(n))
			if _, err := tx.TakeRolesOfTeam(ctx, t.Org, t.ID); err != nil {
				return fmt.Errorf("take the group's roles: %w", err)
			}
			if _, err := tx.DeleteTeam(ctx, t.Org, t.ID); err != nil {
				return fmt.Errorf("delete group: %w", err)
			}
			return nil
		})
	})
}

// AddToGroup puts a user into a group by hand. That gives them what the group was given, so who asks must hold that.
func (s *Service) AddToGroup(ctx context.Context, who sess.Principal, in api.GroupUserRef) error {
	var t store.Team
	return s.gate.DoFind(ctx, who, policy.GroupChange, findGroup(ctx, who.Org, in.Group, &t), func(tx *gate.Tx) error {
		m, err := s.findMember(ctx, tx.Tx, who.Org, in.User)
		if err != nil {
			return err
		}
		tx.Detail("user", string(m.UserID))
		tx.Detail("user_name", m.Name)
		return s.joinTeam(ctx, tx, t, m.UserID)
	})
}

// joinTeam puts a user into a group by hand, if who asks holds what the group was given. The group may be locked, so this may
// take an admin away.
func (s *Service) joinTeam(ctx context.Context, tx *gate.Tx, t store.Team, user sess.UserID) error {
	grants, err := tx.ListGrantsOfTeam(ctx, t.Org, t.ID)
	if err != nil {
		return fmt.Errorf("load the group's roles: %w", err)
	}
	for _, g := range grants {
		if err := mayGive(tx, g.Role, g.Project); err != nil {
			return err
		}
	}
	return s.keepAdmin(ctx, tx, func() error {
		if _, err := tx.PutTeamMember(ctx, t.Org, t.ID, user, sourceHand); err != nil {
			return fmt.Errorf("put into group: %w", err)
		}
		return nil
	})
}

// DropOfGroup takes a user out of a group where they were put by hand. What their identity provider says stays.
func (s *Service) DropOfGroup(ctx context.Context, who sess.Principal, in api.GroupUserRef) error {
	var t store.Team
	return s.gate.DoFind(ctx, who, policy.GroupChange, findGroup(ctx, who.Org, in.Group, &t), func(tx *gate.Tx) error {
		m, err := s.findMember(ctx, tx.Tx, who.Org, in.User)
		if err != nil {
			return err
		}
		tx.Detail("user", string(m.UserID))
		tx.Detail("user_name", m.Name)
		return s.keepAdmin(ctx, tx, func() error {
			n, err := tx.DropTeamMember(ctx, t.Org, t.ID, m.UserID, sourceHand)
			if err != nil {
				return fmt.Errorf("take out of group: %w", err)
			}
			if n == 0 {
				return s.notByHand(ctx, tx, t, m)
			}
			return nil
		})
	})
}

// notByHand says why somebody can't be taken out of a group.
func (s *Service) notByHand(ctx context.Context, tx *gate.Tx, t store.Team, m store.Member) error {
	teams, err := tx.ListTeamsOfUser(ctx, m.Org, m.UserID)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	for _, in := range teams {
		if in.ID == t.ID {
			return sess.New(sess.CodeConflict, m.Name+" is in "+t.Name+" because their identity provider says so", "take them out there; it counts from their next login on")
		}
	}
	return sess.New(sess.CodeNotFound, m.Name+" is not in "+t.Name, "sessctl group show lists who is")
}
