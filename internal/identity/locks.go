package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Limits on locks.
const (
	maxLocks      = 1000 // of an organisation: every decision looks at them
	maxNarrow     = 500  // of those, that admins of projects put: they must not take the rest from the organisation's own
	maxLockReason = 500  // bytes
)

// AddLock locks something: from its commit on every decision about it is no, and the broker ends what runs. A lock that would
// bar the caller is refused, unless it is forced and ends by itself; one that would leave no admin who can lift it, always.
func (s *Service) AddLock(ctx context.Context, who sess.Principal, in api.LockIn) (api.Lock, error) {
	var row store.Lock
	err := s.gate.DoFind(ctx, who, policy.LockAdd, s.findToLock(ctx, in, &row), func(tx *gate.Tx) error {
		if err := s.fillLock(ctx, tx, in, &row); err != nil {
			return err
		}
		on := lockResource(row)
		on.Name = string(row.Kind) + " " + row.Name
		tx.On(on)
		tx.Reason(row.Reason)
		if row.ExpiresAt != nil {
			tx.Detail("until", store.Time(*row.ExpiresAt).UTC().Format(time.RFC3339))
		}
		return s.putLock(ctx, tx, row, in.Body.Force)
	})
	if err != nil {
		return api.Lock{}, err
	}
	return viewLock(row), nil
}

// findToLock says whose the lock is to be, for the gate: an instance and a project are looked for, and what may not be seen is
// not found; for anything else the permission is the organisation's, and the rest is looked up behind it.
func (s *Service) findToLock(ctx context.Context, in api.LockIn, into *store.Lock) gate.Find {
	find := gate.Find{Type: policy.TypeOrg, Name: clip(in.Body.Target, maxName)}
	switch in.Body.Kind {
	case sess.LockInstance:
		find.Type = policy.TypeInstance
	case sess.LockProject:
		find.Type = policy.TypeProject
	default:
	}
	find.By = func(tx *gate.Tx) (policy.Resource, error) {
		*into = store.Lock{Org: tx.Who().Org, Kind: in.Body.Kind}
		on := policy.Resource{Org: into.Org, Type: policy.TypeLock}
		switch in.Body.Kind {
		case sess.LockInstance:
			i, err := resolve(ctx, tx, into.Org, in.Body.Target)
			if err != nil {
				return on, err
			}
			into.Target, into.Name, into.Project = string(i.ID), i.Name, i.Project
			if on.Labels, err = labelsOf(ctx, tx.Tx, i); err != nil {
				return on, err
			}
			on.Name, on.Instance, on.Region = i.Name, i.ID, i.Region
		case sess.LockProject:
			p, err := findProject(ctx, tx.Tx, into.Org, in.Body.Target)
			if err != nil {
				return on, err
			}
			into.Target, into.Name, into.Project = string(p.ID), p.Name, p.ID
			on.Name = p.Name
		default:
		}
		on.Project = into.Project
		return on, nil
	}
	return find
}

// fillLock completes the row of a lock that may be put.
func (s *Service) fillLock(ctx context.Context, tx *gate.Tx, in api.LockIn, row *store.Lock) error {
	if err := s.nameTarget(ctx, tx, in.Body.Target, row); err != nil {
		return err
	}
	now := s.now()
	row.ID, row.Reason, row.MadeBy, row.CreatedAt = sess.NewLockID(), clip(in.Body.Reason, maxLockReason), tx.Who().Name, store.Micros(now)
	row.ExpiresAt = expiry(now, in.Body.TTL)
	if tx.Allowed(policy.LockRemove, policy.Resource{Org: row.Org, Type: policy.TypeLock}) {
		row.OrgWide = 1
	}
	return nil
}

// expiry gives when something ends by itself; nil: never.
func expiry(now time.Time, seconds int64) *int64 {
	if seconds <= 0 {
		return nil
	}
	return new(store.Micros(now.Add(time.Duration(seconds) * time.Second)))
}

// nameTarget finds what is to be locked, where that was not found for the decision.
func (s *Service) nameTarget(ctx context.Context, tx *gate.Tx, ref string, row *store.Lock) error {
	switch row.Kind {
	case sess.LockUser:
		m, err := s.findMember(ctx, tx.Tx, row.Org, ref)
		row.Target, row.Name = string(m.UserID), m.Name
		return err
	case sess.LockGroup:
		t, err := findTeam(ctx, tx.Tx, row.Org, ref)
		if err != nil && isNotFound(err) {
			return sess.New(sess.CodeNotFound, fmt.Sprintf("no group %q", clip(ref, maxName)), "sessctl group list shows them")
		}
		row.Target, row.Name = string(t.ID), t.Name
		return err
	case sess.LockKey:
		k, err := tx.GetAPIKey(ctx, row.Org, sess.KeyID(clip(ref, maxName)))
		if err != nil && isNotFound(err) {
			return sess.New(sess.CodeNotFound, fmt.Sprintf("no API key %q", clip(ref, maxName)), "sessctl key list --all shows their ids")
		}
		row.Target, row.Name = string(k.ID), k.Name+" of "+k.UserName
		return err
	case sess.LockAddress:
		return nameNetwork(ref, row)
	case sess.LockOrg:
		o, err := tx.GetOrg(ctx, row.Org)
		row.Target, row.Name = string(o.ID), o.Name
		if err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
		return nil
	case sess.LockInstance, sess.LockProject:
		return nil
	}
	return sess.New(sess.CodeInvalid, fmt.Sprintf("there is no lock of the kind %q", clip(string(row.Kind), maxName)), "")
}

// nameNetwork reads the network that is to be locked.
func nameNetwork(ref string, row *store.Lock) error {
	nets, err := sess.ParseAddresses([]string{ref})
	if err != nil {
		return err
	}
	if nets[0].Bits() == 0 {
		return sess.New(sess.CodeInvalid, ref+" is every address there is", "lock the organisation instead: it leaves its admins in")
	}
	row.Target, row.Name = nets[0].String(), nets.Text()
	return nil
}

// putLock writes a lock, unless it must not be.
func (s *Service) putLock(ctx context.Context, tx *gate.Tx, row store.Lock, force bool) error {
	// As for whoever takes an admin away: of two admins who lock each other at the same moment, one is first.
	if err := tx.Lock(ctx, "admins "+string(row.Org)); err != nil {
		return err
	}
	n, err := tx.CountLocks(ctx, row.Org)
	if err != nil {
		return fmt.Errorf("count locks: %w", err)
	}
	if n >= maxLocks {
		return sess.New(sess.CodeLimited, fmt.Sprintf("the organisation has %d locks", n), "lift some that are not needed any more: sessctl lock list")
	}
	if row.OrgWide == 0 {
		rows, err := tx.ListLocksOfOrg(ctx, row.Org)
		if err != nil {
			return fmt.Errorf("count locks: %w", err)
		}
		narrow := 0
		for _, r := range rows {
			narrow += int(1 - r.OrgWide)
		}
		if narrow >= maxNarrow {
			return sess.New(sess.CodeLimited, fmt.Sprintf("admins of projects have put %d locks", narrow), "lift some that are not needed any more, or ask an admin of the organisation")
		}
	}
	if err := s.keepOneIn(ctx, tx, row, force); err != nil {
		return err
	}
	if err := tx.InsertLock(ctx, store.InsertLockParams(row)); err != nil {
		return fmt.Errorf("put lock: %w", err)
	}
	return changeRules(ctx, tx)
}

// findLock finds a lock for the gate, and keeps it in into.
func (s *Service) findLock(ctx context.Context, org sess.OrgID, id sess.LockID, into *store.Lock) gate.Find {
	return gate.Find{Type: policy.TypeLock, Name: clip(string(id), maxName), By: func(tx *gate.Tx) (on policy.Resource, err error) {
		*into, err = tx.GetLock(ctx, org, id)
		return lockResource(*into), err
	}}
}

func lockResource(l store.Lock) policy.Resource {
	return policy.Resource{Org: l.Org, Project: l.Project, Type: policy.TypeLock, ID: string(l.ID), Name: l.Name}
}

// GetLock shows a lock.
func (s *Service) GetLock(ctx context.Context, who sess.Principal, in api.LockRef) (api.Lock, error) {
	var row store.Lock
	if err := s.gate.ReadFind(ctx, who, policy.LockShow, s.findLock(ctx, who.Org, in.Lock, &row), func(*gate.Tx) error { return nil }); err != nil {
		return api.Lock{}, err
	}
	return viewLock(row), nil
}

// RemoveLock lifts a lock. What was put by somebody who may lock anything in the organisation, the admin of a project does not
// lift.
func (s *Service) RemoveLock(ctx context.Context, who sess.Principal, in api.LockRef) error {
	var row store.Lock
	return s.gate.DoFind(ctx, who, policy.LockRemove, s.findLock(ctx, who.Org, in.Lock, &row), func(tx *gate.Tx) error {
		if row.OrgWide == 1 && !tx.Allowed(policy.LockRemove, policy.Resource{Org: row.Org, Type: policy.TypeLock}) {
			return sess.New(sess.CodeDenied, "an admin of the organisation put this lock", "ask "+row.MadeBy)
		}
		tx.Detail("kind", string(row.Kind))
		n, err := tx.DeleteLock(ctx, row.Org, row.ID)
		if err != nil {
			return fmt.Errorf("remove lock: %w", err)
		}
		if n == 0 {
			return sess.New(sess.CodeNotFound, "the lock was lifted a moment ago", "")
		}
		return changeRules(ctx, tx)
	})
}

// ListLocks lists locks, newest first, as far as the caller may see them.
func (s *Service) ListLocks(ctx context.Context, who sess.Principal, in api.LocksIn) (api.LockList, error) {
	out := api.LockList{Items: []api.Lock{}}
	err := s.gate.Read(ctx, who, policy.LockList, policy.Org(who.Org), func(tx *gate.Tx) error {
		limit, after, err := page(in.Page)
		if err != nil {
			return err
		}
		every, projects := scope(tx.Scope(policy.LockShow, policy.TypeLock))
		rows, err := tx.ListLocks(ctx, store.ListLocksParams{
			Org: who.Org, BeforeAt: after.At, BeforeID: after.ID, Kind: string(in.Kind), EveryProject: every, Projects: projects,
			Page: int32(limit + 1), //nolint:gosec // at most a page
		})
		if err != nil {
			return fmt.Errorf("list locks: %w", err)
		}
		for i, r := range rows {
			if i == limit {
				out.Next = store.Cursor{At: rows[i-1].CreatedAt, ID: string(rows[i-1].ID)}.String()
				break
			}
			if tx.Allowed(policy.LockShow, lockResource(r)) {
				out.Items = append(out.Items, viewLock(r))
			}
		}
		return nil
	})
	if err != nil {
		return api.LockList{}, err
	}
	return out, nil
}

func viewLock(l store.Lock) api.Lock {
	return api.Lock{
		ID: l.ID, Kind: l.Kind, Target: l.Target, Name: l.Name, Reason: l.Reason, MadeBy: l.MadeBy,
		CreatedAt: store.Time(l.CreatedAt), ExpiresAt: optionalTime(l.ExpiresAt),
	}
}
