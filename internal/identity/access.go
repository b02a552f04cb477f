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
		now, fresh := tx.Askers()
		for _, i := range rows {
			on := policy.Resource{
				Org: who.Org, Project: i.Project, Type: policy.TypeInstance, ID: string(i.ID), Name: i.Name, Instance: i.ID, Labels: labels[i.ID], Region: i.Region,
			}
			if a, ok := accessTo(tx, now, fresh, on); ok {
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
func accessTo(tx *gate.Tx, now, fresh *policy.Asker, on policy.Resource) (api.Access, bool) {
	a := api.Access{ID: on.Instance, Name: on.Name, Actions: []string{}}
	a.OSUsers = tx.Rules().Controls(tx.Grants(), on).OSUsers
	as := ""
	if len(a.OSUsers) > 0 {
		as = a.OSUsers[0]
	}
	now.On(on)
	if fresh != nil {
		fresh.On(on)
	}
	for _, k := range sess.KindNames() {
		switch kind := sess.Kind(k); {
		case now.Allows(policy.SessionStart, kind, as):
			a.Kinds = append(a.Kinds, kind)
		case fresh != nil && !a.Factor:
			a.Factor = fresh.Allows(policy.SessionStart, kind, as)
		}
	}
	for _, act := range []policy.Action{policy.InstanceShow, policy.InstanceChange, policy.InstanceMove, policy.InstanceRemove} {
		if now.Allows(act, "", "") {
			a.Actions = append(a.Actions, string(act))
		}
	}
	return a, len(a.Kinds) > 0 || a.Factor || slices.Contains(a.Actions, string(policy.InstanceShow))
}
