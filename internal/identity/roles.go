package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// roleResource is a role as the audit log names it: roles belong to the organisation as a whole.
func roleResource(org sess.OrgID, name string) policy.Resource {
	on := policy.Org(org)
	on.Name = clip(name, maxName)
	return on
}

// ListRoles lists the roles that there are, the organisation's own first.
func (s *Service) ListRoles(ctx context.Context, who sess.Principal) (api.RoleList, error) {
	out := api.RoleList{Items: []api.Role{}}
	err := s.gate.Read(ctx, who, policy.RoleList, policy.Org(who.Org), func(tx *gate.Tx) error {
		rows, err := tx.ListRoles(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("list roles: %w", err)
		}
		for _, row := range rows {
			r, err := publicRole(ctx, tx, row)
			if err != nil {
				return err
			}
			out.Items = append(out.Items, r)
		}
		for _, r := range slices.Backward(policy.BuiltInRoles()) {
			b, err := builtInRole(ctx, tx, who.Org, r)
			if err != nil {
				return err
			}
			out.Items = append(out.Items, b)
		}
		return nil
	})
	if err != nil {
		return api.RoleList{}, err
	}
	return out, nil
}

// GetRole shows a role with the policy that it means.
func (s *Service) GetRole(ctx context.Context, who sess.Principal, in api.RoleRef) (api.Role, error) {
	var out api.Role
	err := s.gate.Read(ctx, who, policy.RoleShow, roleResource(who.Org, in.Role), func(tx *gate.Tx) error {
		if policy.BuiltIn(sess.Role(in.Role)) {
			var err error
			out, err = builtInRole(ctx, tx, who.Org, sess.Role(in.Role))
			out.Policy, out.Actions = s.gate.Policy().RoleText(out.Name), actionsOfRole(out.Name)
			return err
		}
		row, err := tx.GetRole(ctx, who.Org, sess.Role(in.Role))
		if err != nil {
			return noRole(in.Role, err)
		}
		c, err := gate.CustomRole(row)
		if err != nil {
			return err
		}
		out, err = publicRole(ctx, tx, row)
		out.Policy = policy.RoleText(c)
		return err
	})
	if err != nil {
		return api.Role{}, err
	}
	return out, nil
}

// CreateRole makes a role of the organisation's own.
func (s *Service) CreateRole(ctx context.Context, who sess.Principal, in api.RoleIn) (api.Role, error) {
	var out api.Role
	err := s.gate.Do(ctx, who, policy.RoleCreate, roleResource(who.Org, in.Body.Name), func(tx *gate.Tx) error {
		c := policy.CustomRole{
			Name: sess.Role(in.Body.Name), Summary: in.Body.Summary, Actions: actionsOf(in.Body.Actions),
			Controls: in.Body.Controls,
		}
		if err := s.gate.Policy().CheckRole(&c); err != nil {
			return err
		}
		if err := tx.Lock(ctx, "roles "+string(who.Org)); err != nil {
			return err
		}
		have, err := tx.ListRoles(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("count roles: %w", err)
		}
		if len(have) >= policy.MaxRoles {
			return sess.New(sess.CodeLimited, fmt.Sprintf("the organisation has %d roles, which is the most", len(have)), "delete some that nobody holds")
		}
		row, err := s.roleRow(who.Org, c)
		if err != nil {
			return err
		}
		n, err := tx.CreateRole(ctx, store.CreateRoleParams{
			Org: row.Org, Name: row.Name, Summary: row.Summary, Actions: row.Actions, Controls: row.Controls, CreatedAt: row.UpdatedAt,
		})
		if err != nil {
			return fmt.Errorf("create role: %w", err)
		}
		if n == 0 {
			return sess.New(sess.CodeConflict, "there is a role "+in.Body.Name+" already", "sessctl role set "+in.Body.Name+" changes it")
		}
		roleDetails(tx, c)
		out, err = publicRole(ctx, tx, row)
		return cmp.Or(err, changeRules(ctx, tx))
	})
	if err != nil {
		return api.Role{}, err
	}
	return out, nil
}

// SetRole changes a role of the organisation's own; whoever holds it may do so from the next decision on.
func (s *Service) SetRole(ctx context.Context, who sess.Principal, in api.RoleSetIn) (api.Role, error) {
	var out api.Role
	err := s.gate.Do(ctx, who, policy.RoleSet, roleResource(who.Org, in.Role), func(tx *gate.Tx) error {
		row, err := ownRole(ctx, tx, in.Role)
		if err != nil {
			return err
		}
		c, err := gate.CustomRole(row)
		if err != nil {
			return err
		}
		if in.Body.Summary != nil {
			c.Summary = *in.Body.Summary
		}
		if in.Body.Actions != nil {
			c.Actions = actionsOf(*in.Body.Actions)
		}
		in.Body.Apply(&c.Controls)
		if err := s.gate.Policy().CheckRole(&c); err != nil {
			return err
		}
		if row, err = s.roleRow(who.Org, c); err != nil {
			return err
		}
		if _, err := tx.SetRole(ctx, store.SetRoleParams{
			Org: row.Org, Name: row.Name, Summary: row.Summary, Actions: row.Actions, Controls: row.Controls, UpdatedAt: row.UpdatedAt,
		}); err != nil {
			return fmt.Errorf("change role: %w", err)
		}
		roleDetails(tx, c)
		out, err = publicRole(ctx, tx, row)
		return cmp.Or(err, changeRules(ctx, tx))
	})
	if err != nil {
		return api.Role{}, err
	}
	return out, nil
}

// DeleteRole deletes a role that is given to nobody.
func (s *Service) DeleteRole(ctx context.Context, who sess.Principal, in api.RoleRef) error {
	return s.gate.Do(ctx, who, policy.RoleDelete, roleResource(who.Org, in.Role), func(tx *gate.Tx) error {
		if err := tx.Lock(ctx, roleLock(who.Org, sess.Role(in.Role))); err != nil {
			return err
		}
		row, err := ownRole(ctx, tx, in.Role)
		if err != nil {
			return err
		}
		n, err := tx.CountGrantsOfRole(ctx, who.Org, row.Name)
		if err != nil {
			return fmt.Errorf("count grants: %w", err)
		}
		if n > 0 {
			return sess.New(sess.CodeConflict, fmt.Sprintf("the role %s is given %s", row.Name, times(n)), "sessctl grant list shows to whom; take it back first")
		}
		if _, err := tx.DeleteRole(ctx, who.Org, row.Name); err != nil {
			return fmt.Errorf("delete role: %w", err)
		}
		return changeRules(ctx, tx)
	})
}

// actionsOfRole names what a role of ours allows, beside what everybody may.
func actionsOfRole(r sess.Role) []string {
	var names []string
	for _, i := range policy.Actions() {
		if slices.Contains(i.Roles, r) {
			names = append(names, string(i.Action))
		}
	}
	return names
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func ownRole(ctx context.Context, tx *gate.Tx, name string) (store.Role, error) {
	if policy.BuiltIn(sess.Role(name)) {
		return store.Role{}, sess.New(sess.CodeInvalid, name+" comes with sess and can't be changed", "make one of your own: sessctl role create")
	}
	row, err := tx.GetRole(ctx, tx.Who().Org, sess.Role(name))
	if err != nil {
		return row, noRole(name, err)
	}
	return row, nil
}

func noRole(name string, err error) error {
	if isNotFound(err) {
		return sess.New(sess.CodeNotFound, fmt.Sprintf("there is no role %q", clip(name, maxName)), "sessctl role list shows them")
	}
	return fmt.Errorf("load role: %w", err)
}

func actionsOf(names []string) []policy.Action {
	acts := make([]policy.Action, len(names))
	for i, n := range names {
		acts[i] = policy.Action(n)
	}
	return acts
}

func (s *Service) roleRow(org sess.OrgID, c policy.CustomRole) (store.Role, error) {
	actions, err := json.Marshal(c.Actions)
	if err != nil {
		return store.Role{}, fmt.Errorf("encode actions: %w", err)
	}
	controls, err := json.Marshal(c.Controls)
	if err != nil {
		return store.Role{}, fmt.Errorf("encode controls: %w", err)
	}
	now := store.Micros(s.now())
	return store.Role{Org: org, Name: c.Name, Summary: c.Summary, Actions: string(actions), Controls: string(controls), CreatedAt: now, UpdatedAt: now}, nil
}

func roleDetails(tx *gate.Tx, c policy.CustomRole) {
	names := make([]string, len(c.Actions))
	for i, a := range c.Actions {
		names[i] = string(a)
	}
	tx.Detail("actions", strings.Join(names, " "))
	if len(c.Controls.OSUsers) > 0 {
		tx.Detail("os_users", strings.Join(c.Controls.OSUsers, " "))
	}
	if len(c.Controls.Kinds) > 0 {
		tx.Detail("kinds", fmt.Sprint(c.Controls.Kinds))
	}
	rest := c.Controls
	rest.OSUsers, rest.Kinds = nil, nil // as long as the event has room for
	if text := (sess.Effective{Controls: rest}).Text(); text != "{}" {
		tx.Detail("controls", text)
	}
}

func publicRole(ctx context.Context, tx *gate.Tx, row store.Role) (api.Role, error) {
	c, err := gate.CustomRole(row)
	if err != nil {
		return api.Role{}, err
	}
	n, err := tx.CountGrantsOfRole(ctx, row.Org, row.Name)
	if err != nil {
		return api.Role{}, fmt.Errorf("count grants: %w", err)
	}
	r := api.Role{Name: row.Name, Summary: row.Summary, Controls: c.Controls, Grants: int(n), UpdatedAt: optionalTime(&row.UpdatedAt)}
	for _, a := range c.Actions {
		r.Actions = append(r.Actions, string(a))
	}
	return r, nil
}

func builtInRole(ctx context.Context, tx *gate.Tx, org sess.OrgID, name sess.Role) (api.Role, error) {
	n, err := tx.CountGrantsOfRole(ctx, org, name)
	if err != nil {
		return api.Role{}, fmt.Errorf("count grants: %w", err)
	}
	return api.Role{Name: name, BuiltIn: true, Summary: policy.RoleSummary(name), Grants: int(n)}, nil
}
