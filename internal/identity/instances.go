package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

const (
	maxLabelFilters = 20
	// maxScanned bounds the rows looked at for one page. Whoever reaches it gets a shorter page and the cursor.
	maxScanned = 10_000
)

// ListInstances lists the instances that the caller may see, newest first.
func (s *Service) ListInstances(ctx context.Context, who sess.Principal, in api.InstancesIn) (api.InstanceList, error) {
	out := api.InstanceList{Items: []api.Instance{}}
	err := s.gate.Read(ctx, who, policy.InstanceList, policy.Org(who.Org), func(tx *gate.Tx) error {
		l, err := newLister(ctx, tx, in)
		if err != nil {
			return err
		}
		out.Items, out.Next, err = l.page(ctx)
		return err
	})
	if err != nil {
		return api.InstanceList{}, err
	}
	return out, nil
}

// lister gathers one page. The database narrows by prefix, by one label and by the policy's scope; the rest is looked at
// row by row.
type lister struct {
	tx       *gate.Tx
	query    store.ListInstancesParams
	labels   map[string]string
	limit    int
	projects map[sess.ProjectID]string
}

func newLister(ctx context.Context, tx *gate.Tx, in api.InstancesIn) (*lister, error) {
	limit, after, err := page(in.Page)
	if err != nil {
		return nil, err
	}
	labels, err := parseLabels(in.Label)
	if err != nil {
		return nil, err
	}
	prefix := strings.ToLower(in.Prefix)
	if strings.Trim(prefix, nameRunes) != "" {
		return nil, sess.New(sess.CodeInvalid, "names of instances hold a-z, 0-9 and - only", "")
	}
	l := &lister{tx: tx, labels: labels, limit: limit}
	every, projects := scope(tx.Scope(policy.InstanceShow, policy.TypeInstance))
	l.query = store.ListInstancesParams{
		Org: tx.Who().Org, BeforeAt: after.At, BeforeID: after.ID, EveryProject: every, Projects: projects, Prefix: prefix, Page: int32(limit + 1), //nolint:gosec // at most a page
	}
	for name, value := range labels {
		l.query.LabelName, l.query.LabelValue = name, value
		break
	}
	l.projects, err = projectNames(ctx, tx.Tx, l.query.Org)
	return l, err
}

const nameRunes = "abcdefghijklmnopqrstuvwxyz0123456789-"

// parseLabels reads filters of the form name=value.
func parseLabels(filters []string) (map[string]string, error) {
	if len(filters) > maxLabelFilters {
		return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("more than %d labels to filter by", maxLabelFilters), "")
	}
	labels := make(map[string]string, len(filters))
	for _, f := range filters {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, sess.New(sess.CodeInvalid, "a label to filter by is not NAME=VALUE", "for example env=prod")
		}
		if err := checkLabel(name, value); err != nil {
			return nil, err
		}
		if old, twice := labels[name]; twice && old != value {
			return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("no instance has two values of label %s", name), "all labels given must match")
		}
		labels[name] = value
	}
	return labels, nil
}

func (l *lister) page(ctx context.Context) (items []api.Instance, next string, err error) {
	items = []api.Instance{}
	for scanned := 0; ; {
		rows, err := l.tx.ListInstances(ctx, l.query)
		if err != nil {
			return nil, "", fmt.Errorf("list instances: %w", err)
		}
		if len(rows) == 0 {
			return items, "", nil
		}
		views, err := l.views(ctx, rows)
		if err != nil {
			return nil, "", err
		}
		for i, v := range views {
			if len(items) == l.limit {
				return items, next, nil
			}
			next = cursorOf(rows[i])
			if l.matches(v) && l.tx.Allowed(policy.InstanceShow, resourceOf(rows[i], v.Labels)) {
				items = append(items, v)
			}
		}
		if scanned += len(rows); len(rows) <= l.limit {
			return items, "", nil
		}
		if scanned >= maxScanned {
			return items, next, nil
		}
		last := rows[len(rows)-1]
		l.query.BeforeAt, l.query.BeforeID = last.CreatedAt, string(last.ID)
	}
}

func cursorOf(i store.Instance) string {
	return store.Cursor{At: i.CreatedAt, ID: string(i.ID)}.String()
}

func (l *lister) matches(v api.Instance) bool {
	for name, value := range l.labels {
		if got, ok := v.Labels[name]; !ok || got != value {
			return false
		}
	}
	return true
}

// views gives rows, which are neighbours in the list, as people see them: with labels and live sessions.
func (l *lister) views(ctx context.Context, rows []store.Instance) ([]api.Instance, error) {
	first, last := rows[0], rows[len(rows)-1]
	labels, err := l.tx.ListLabelsOfInstances(ctx, store.ListLabelsOfInstancesParams{
		Org: first.Org, FirstAt: first.CreatedAt, FirstID: string(first.ID), LastAt: last.CreatedAt, LastID: string(last.ID),
	})
	if err != nil {
		return nil, fmt.Errorf("list labels: %w", err)
	}
	sessions, err := l.tx.CountSessionsOfInstances(ctx, store.CountSessionsOfInstancesParams{
		Org: first.Org, FirstAt: first.CreatedAt, FirstID: string(first.ID), LastAt: last.CreatedAt, LastID: string(last.ID),
	})
	if err != nil {
		return nil, fmt.Errorf("count sessions: %w", err)
	}
	views := make([]api.Instance, len(rows))
	at := make(map[sess.InstanceID]*api.Instance, len(rows))
	for i, row := range rows {
		if views[i], err = viewOf(row, l.projects[row.Project]); err != nil {
			return nil, err
		}
		at[row.ID] = &views[i]
	}
	for _, lb := range labels {
		if v := at[lb.Instance]; v != nil {
			v.Labels[lb.Name] = lb.Value
		}
	}
	for _, n := range sessions {
		if v := at[n.Instance]; v != nil {
			v.Sessions = int(n.Sessions)
		}
	}
	return views, nil
}

// viewOf gives an instance as people see it, without labels and sessions.
func viewOf(i store.Instance, project string) (api.Instance, error) {
	var host wire.Host
	var load wire.Load
	if err := json.Unmarshal([]byte(i.Host), &host); err != nil {
		return api.Instance{}, fmt.Errorf("decode host of %s: %w", i.ID, err)
	}
	if err := json.Unmarshal([]byte(i.Load), &load); err != nil {
		return api.Instance{}, fmt.Errorf("decode load of %s: %w", i.ID, err)
	}
	return api.Instance{
		ID: i.ID, Name: i.Name, Project: project, Region: i.Region, Labels: map[string]string{}, Online: i.Node != "",
		LastSeen: optionalTime(i.LastSeen), Hostname: i.Hostname, OS: i.OS, Arch: i.Arch, Kernel: host.Kernel, Version: i.Version,
		Address: i.Address, Addresses: host.Addrs, RunsAs: host.RunsAs, Load1: load.Load1, MemTotal: load.MemTotal, MemFree: load.MemFree,
		DiskTotal: load.DiskTotal, DiskFree: load.DiskFree, CreatedAt: store.Time(i.CreatedAt),
	}, nil
}

const maxProjects = 1000

func projectNames(ctx context.Context, tx *store.Tx, org sess.OrgID) (map[sess.ProjectID]string, error) {
	rows, err := tx.ListProjects(ctx, org, maxProjects)
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	names := make(map[sess.ProjectID]string, len(rows))
	for _, p := range rows {
		names[p.ID] = p.Name
	}
	return names, nil
}
