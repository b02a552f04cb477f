package identity

import (
	"context"
	"fmt"
	"slices"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

// ListAccess lists the instances that who can reach, and what they may do there.
func (s *Service) ListAccess(ctx context.Context, who sess.Principal) (api.AccessList, error) {
	out := api.AccessList{Items: []api.Access{}}
	err := s.gate.Read(ctx, who, policy.Whoami, policy.Org(who.Org), func(tx *gate.Tx) error {
		rows, err := tx.ListInstancesOfOrg(ctx, who.Org, api.MaxAccess+1)
		if err != nil {
			return fmt.Errorf("list instances: %w", err)
		}
		if out.More = len(rows) > api.MaxAccess; out.More {
			rows = rows[:api.MaxAccess]
		}
		labels, err := labelsOfOrg(ctx, tx, who.Org)
		if err != nil {
			return err
		}
		projects, err := tx.ListProjectNames(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("list projects: %w", err)
		}
		names := map[sess.ProjectID]string{}
		for _, p := range projects {
			names[p.ID] = p.Name
		}
		for _, i := range rows {
			on := policy.Resource{
				Org: who.Org, Project: i.Project, Type: policy.TypeInstance, ID: string(i.ID), Name: i.Name, Instance: i.ID, Labels: labels[i.ID], Region: i.Region,
			}
			if a, ok := s.accessTo(tx, on); ok {
				a.Project, a.Online = names[i.Project], i.Node != ""
				out.Items = append(out.Items, a)
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return api.AccessList{}, err
	}
	return out, nil
}

func labelsOfOrg(ctx context.Context, tx *gate.Tx, org sess.OrgID) (map[sess.InstanceID]map[string]string, error) {
	rows, err := tx.ListLabelsOfOrg(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list labels: %w", err)
	}
	labels := map[sess.InstanceID]map[string]string{}
	for _, l := range rows {
		if labels[l.Instance] == nil {
			labels[l.Instance] = map[string]string{}
		}
		labels[l.Instance][l.Name] = l.Value
	}
	return labels, nil
}

// accessTo says what the principal may do on an instance; false: they don't know of it.
func (s *Service) accessTo(tx *gate.Tx, on policy.Resource) (api.Access, bool) {
	a := api.Access{ID: on.Instance, Name: on.Name, Actions: []string{}}
	c := tx.Rules().Controls(tx.Grants(), on)
	a.OSUsers = c.OSUsers
	for _, k := range sess.KindNames() {
		on.SessionKind = sess.Kind(k)
		on.OSUser = ""
		if len(c.OSUsers) > 0 {
			on.OSUser = c.OSUsers[0]
		}
		switch {
		case tx.Allowed(policy.SessionStart, on):
			a.Kinds = append(a.Kinds, on.SessionKind)
		case !a.Factor && tx.Rules().UsesThings():
			a.Factor = tx.WantsFactor(policy.SessionStart, on) != nil
		}
	}
	on.SessionKind, on.OSUser = "", ""
	for _, act := range []policy.Action{policy.InstanceShow, policy.InstanceChange, policy.InstanceMove, policy.InstanceRemove} {
		if tx.Allowed(act, on) {
			a.Actions = append(a.Actions, string(act))
		}
	}
	return a, len(a.Kinds) > 0 || a.Factor || slices.Contains(a.Actions, string(policy.InstanceShow))
}
