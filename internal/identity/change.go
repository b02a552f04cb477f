package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// GetInstance shows an instance by name, id or unique prefix.
func (s *Service) GetInstance(ctx context.Context, who sess.Principal, in api.InstanceRef) (api.Instance, error) {
	var found Found
	var out api.Instance
	err := s.gate.ReadFind(ctx, who, policy.InstanceShow, s.FindInstance(ctx, who.Org, in.Instance, &found), func(tx *gate.Tx) (err error) {
		out, err = view(ctx, tx, found)
		return err
	})
	if err != nil {
		return api.Instance{}, err
	}
	return out, nil
}

// view gives one instance as people see it.
func view(ctx context.Context, tx *gate.Tx, f Found) (api.Instance, error) {
	p, err := tx.GetProject(ctx, f.Org, f.Project)
	if err != nil {
		return api.Instance{}, fmt.Errorf("load project: %w", err)
	}
	l := lister{tx: tx, projects: map[sess.ProjectID]string{p.ID: p.Name}}
	views, err := l.views(ctx, []store.Instance{f.Instance})
	if err != nil {
		return api.Instance{}, err
	}
	return views[0], nil
}

// PatchInstance renames an instance, sets labels, and removes those given as null.
func (s *Service) PatchInstance(ctx context.Context, who sess.Principal, in api.InstancePatchIn) (api.Instance, error) {
	var found Found
	var out api.Instance
	err := s.gate.DoFind(ctx, who, policy.InstanceChange, s.FindInstance(ctx, who.Org, in.Instance, &found), func(tx *gate.Tx) error {
		if in.Body.Name != nil {
			if err := rename(ctx, tx, &found, *in.Body.Name); err != nil {
				return err
			}
		}
		if len(in.Body.Labels) > 0 {
			if err := relabel(ctx, tx, &found, in.Body.Labels); err != nil {
				return err
			}
		}
		var err error
		if out, err = view(ctx, tx, found); err != nil {
			return err
		}
		return changeRules(ctx, tx)
	})
	if err != nil {
		return api.Instance{}, err
	}
	return out, nil
}

func rename(ctx context.Context, tx *gate.Tx, f *Found, name string) error {
	if err := checkInstanceName(name); err != nil {
		return err
	}
	// Names are given under this lock only, so looking first is enough.
	if err := tx.Lock(ctx, "instance names "+string(f.Org)); err != nil {
		return err
	}
	other, err := tx.GetInstanceByName(ctx, f.Org, name)
	switch {
	case err == nil && other.ID == f.ID:
		return nil
	case err == nil:
		return sess.New(sess.CodeConflict, fmt.Sprintf("there is an instance named %s already", name), "take another name, or rename the other one first")
	case !isNotFound(err):
		return fmt.Errorf("look for instance: %w", err)
	}
	n, err := tx.RenameInstance(ctx, f.Org, f.ID, name)
	if err != nil {
		return fmt.Errorf("rename instance: %w", err)
	}
	if n == 0 {
		return errRemoved(f)
	}
	tx.Detail("old_name", f.Name)
	tx.Detail("new_name", name)
	f.Name = name
	return nil
}

func relabel(ctx context.Context, tx *gate.Tx, f *Found, changes map[string]*string) error {
	if len(changes) > 2*maxLabels {
		return errLabels()
	}
	if err := tx.Lock(ctx, "labels "+string(f.ID)); err != nil {
		return err
	}
	labels, err := labelsOf(ctx, tx.Tx, f.Instance)
	if err != nil {
		return err
	}
	var set, removed []string
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		value := changes[name]
		if value == nil {
			if err := tx.DeleteLabel(ctx, f.Org, f.ID, name); err != nil {
				return fmt.Errorf("remove label: %w", err)
			}
			delete(labels, name)
			removed = append(removed, clip(name, maxLabelName))
			continue
		}
		if err := checkLabel(name, *value); err != nil {
			return err
		}
		if err := tx.PutLabel(ctx, f.Org, f.ID, name, *value); err != nil {
			return fmt.Errorf("set label: %w", err)
		}
		labels[name] = *value
		set = append(set, name+"="+*value)
	}
	tx.Detail("labels_set", strings.Join(set, " "))
	tx.Detail("labels_removed", strings.Join(removed, " "))
	if len(labels) > maxLabels {
		return errLabels()
	}
	f.Labels = labels
	return nil
}

func errRemoved(f *Found) *sess.Error {
	return sess.New(sess.CodeNotFound, fmt.Sprintf("the instance %s was removed a moment ago", f.Name), "sessctl instance list shows those there are")
}

// RemoveInstance removes an instance: its name is free again, its sessions end, and its agent can't come back without a
// new token.
func (s *Service) RemoveInstance(ctx context.Context, who sess.Principal, in api.InstanceRef) error {
	var found Found
	err := s.gate.DoFind(ctx, who, policy.InstanceRemove, s.FindInstance(ctx, who.Org, in.Instance, &found), func(tx *gate.Tx) error {
		now := store.Micros(s.now())
		n, err := tx.RemoveInstance(ctx, who.Org, found.ID, &now)
		if err != nil {
			return fmt.Errorf("remove instance: %w", err)
		}
		if n == 0 {
			return errRemoved(&found)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.removed(ctx, who.Org, found.ID)
	return nil
}
