package identity

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	maxCandidates = 5  // named when a prefix fits several
	maxPrefixRows = 50 // looked at
)

// Found is an instance that FindInstance found, with its labels.
type Found struct {
	store.Instance

	Labels map[string]string
}

// Resource is what policies and the audit log want to know of it.
func (f *Found) Resource() policy.Resource { return resourceOf(f.Instance, f.Labels) }

// FindInstance finds an instance of org by id, name or unique prefix of either, for the gate, and keeps it in into. A
// prefix that fits several that may be seen is invalid, and the error names some.
func (s *Service) FindInstance(ctx context.Context, org sess.OrgID, ref string, into *Found) gate.Find {
	return gate.Find{Type: policy.TypeInstance, Name: clip(ref, maxName), By: func(tx *gate.Tx) (policy.Resource, error) {
		row, err := resolve(ctx, tx, org, strings.ToLower(ref))
		if err != nil {
			return policy.Resource{}, err
		}
		into.Instance = row
		if into.Labels, err = labelsOf(ctx, tx.Tx, row); err != nil {
			return policy.Resource{}, err
		}
		return into.Resource(), nil
	}}
}

func resolve(ctx context.Context, tx *gate.Tx, org sess.OrgID, ref string) (store.Instance, error) {
	if ref == "" {
		return store.Instance{}, sess.New(sess.CodeInvalid, "no instance is named", "sessctl instance list shows them")
	}
	if len(ref) > maxName || strings.Trim(ref, nameRunes+"_") != "" {
		return store.Instance{}, store.ErrNotFound
	}
	if sess.ValidID("ins", ref) {
		return tx.GetLiveInstance(ctx, org, sess.InstanceID(ref))
	}
	row, err := tx.GetInstanceByName(ctx, org, ref)
	if err == nil || !isNotFound(err) {
		return row, err
	}
	every, projects := scope(tx.Scope(policy.InstanceShow, policy.TypeInstance))
	rows, err := tx.ListInstancesByPrefix(ctx, store.ListInstancesByPrefixParams{Org: org, Prefix: ref, EveryProject: every, Projects: projects, Page: maxPrefixRows})
	if err != nil {
		return row, fmt.Errorf("look for instance: %w", err)
	}
	return onlyOne(ctx, tx, ref, rows)
}

// onlyOne gives the one of rows that begins with ref and may be seen.
func onlyOne(ctx context.Context, tx *gate.Tx, ref string, rows []store.Instance) (store.Instance, error) {
	var seen []store.Instance
	for _, r := range rows {
		if !strings.HasPrefix(r.Name, ref) && !strings.HasPrefix(string(r.ID), ref) { // '_' is a wildcard of LIKE
			continue
		}
		labels, err := labelsOf(ctx, tx.Tx, r)
		if err != nil {
			return store.Instance{}, err
		}
		if tx.Allowed(policy.InstanceShow, resourceOf(r, labels)) {
			seen = append(seen, r)
		}
		if len(seen) > maxCandidates {
			break
		}
	}
	switch len(seen) {
	case 0:
		return store.Instance{}, store.ErrNotFound
	case 1:
		return seen[0], nil
	}
	var names []string
	for _, r := range seen[:min(len(seen), maxCandidates)] {
		names = append(names, r.Name)
	}
	if len(seen) > maxCandidates {
		names = append(names, "…")
	}
	return store.Instance{}, sess.New(sess.CodeInvalid, fmt.Sprintf("%q fits several instances: %s", ref, strings.Join(names, ", ")), "give more of the name")
}

func labelsOf(ctx context.Context, tx *store.Tx, i store.Instance) (map[string]string, error) {
	rows, err := tx.ListLabels(ctx, i.Org, i.ID)
	if err != nil {
		return nil, fmt.Errorf("list labels: %w", err)
	}
	labels := make(map[string]string, len(rows))
	for _, l := range rows {
		labels[l.Name] = l.Value
	}
	return labels, nil
}

func resourceOf(i store.Instance, labels map[string]string) policy.Resource {
	return policy.Resource{
		Org: i.Org, Project: i.Project, Type: policy.TypeInstance, ID: string(i.ID), Name: i.Name, Instance: i.ID, Labels: labels, Region: i.Region,
	}
}
