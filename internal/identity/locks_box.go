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

// Limits on what the box's owner locks and is shown.
const (
	maxBoxLocks = 1000
	maxBoxShown = 5000
)

// BoxLock is a lock as the box's owner sees it: their own, or an organisation's.
type BoxLock struct {
	ID        sess.LockID   `json:"id"`
	Org       string        `json:"org,omitempty"` // name of the organisation whose admins put it; empty: the box's owner did
	Kind      sess.LockKind `json:"kind"`
	Name      string        `json:"name"`
	Reason    string        `json:"reason,omitempty"`
	MadeBy    string        `json:"made_by"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt *time.Time    `json:"expires_at,omitempty"`
}

// LockBox locks an address for every organisation, or an organisation, for the box's owner at the machine. Nobody in an
// organisation lifts it.
func (s *Service) LockBox(ctx context.Context, kind sess.LockKind, target, reason string, ttl time.Duration) (BoxLock, error) {
	if ttl < 0 || ttl > sess.MaxLockTTL {
		return BoxLock{}, sess.New(sess.CodeInvalid, "a lock that ends by itself lasts ten years at most", "")
	}
	now := s.now()
	row := store.BoxLock{ID: sess.NewLockID(), Kind: kind, Reason: clip(reason, maxLockReason), CreatedAt: store.Micros(now)}
	if ttl > 0 {
		row.ExpiresAt = new(store.Micros(now.Add(ttl)))
	}
	if err := s.boxTarget(ctx, target, &row); err != nil {
		return BoxLock{}, err
	}
	on := policy.Resource{Type: policy.TypeLock, ID: string(row.ID), Name: string(row.Kind) + " " + row.Name}
	err := s.gate.Do(ctx, sess.BoxOwner(""), policy.LockAdd, on, func(tx *gate.Tx) error {
		tx.Reason(row.Reason)
		have, err := tx.ListBoxLocks(ctx)
		if err != nil {
			return fmt.Errorf("list locks: %w", err)
		}
		if len(have) >= maxBoxLocks {
			return sess.New(sess.CodeLimited, fmt.Sprintf("the server has %d locks", len(have)), "lift some: sess-server admin lock list")
		}
		if err := tx.InsertBoxLock(ctx, store.InsertBoxLockParams(row)); err != nil {
			return fmt.Errorf("put lock: %w", err)
		}
		return s.boxLockChanged(ctx, tx, policy.LockAdd, row)
	})
	if err != nil {
		return BoxLock{}, err
	}
	return viewBoxLock(row), nil
}

func (s *Service) boxTarget(ctx context.Context, target string, row *store.BoxLock) error {
	switch row.Kind {
	case sess.LockAddress:
		var l store.Lock
		err := nameNetwork(target, &l)
		row.Target, row.Name = l.Target, l.Name
		return err
	case sess.LockOrg:
		o, err := s.boxOrg(ctx, target)
		row.Target, row.Name = string(o.ID), o.Name
		return err
	default:
		return sess.New(sess.CodeInvalid, "the server's owner locks addresses and organisations", "the rest is for an organisation's admins: sessctl lock add")
	}
}

// boxLockChanged tells every organisation that what decides changed, and the one that is locked why.
func (s *Service) boxLockChanged(ctx context.Context, tx *gate.Tx, act policy.Action, row store.BoxLock) error {
	if _, err := tx.ChangeRules(ctx, ""); err != nil { // of none: for the word to those who wait
		return fmt.Errorf("note change of rules: %w", err)
	}
	if _, err := tx.ChangeAllRules(ctx); err != nil {
		return fmt.Errorf("note change of rules: %w", err)
	}
	if row.Kind != sess.LockOrg {
		return nil // it is in the box's log
	}
	return s.gate.Event(ctx, tx.Tx, boxLockEntry(sess.BoxOwner(sess.OrgID(row.Target)), act, row))
}

// boxLockEvents writes what happened to a lock of the box into the box's log, and into that of an organisation that it is on.
func (s *Service) boxLockEvents(ctx context.Context, tx *store.Tx, who func(sess.OrgID) sess.Principal, act policy.Action, row store.BoxLock) error {
	if err := s.gate.Event(ctx, tx, boxLockEntry(who(""), act, row)); err != nil || row.Kind != sess.LockOrg {
		return err
	}
	return s.gate.Event(ctx, tx, boxLockEntry(who(sess.OrgID(row.Target)), act, row))
}

func boxLockEntry(who sess.Principal, act policy.Action, row store.BoxLock) gate.Entry {
	on := policy.Resource{Org: who.Org, Type: policy.TypeLock, ID: string(row.ID), Name: string(row.Kind) + " " + row.Name}
	return gate.Entry{Who: who, Action: act, On: on, Reason: row.Reason}
}

// BoxLocks lists the locks of the box and of every organisation, newest first, for the box's owner at the machine.
func (s *Service) BoxLocks(ctx context.Context) ([]BoxLock, error) {
	out := []BoxLock{}
	err := s.gate.Read(ctx, sess.BoxOwner(""), policy.LockList, policy.Org(""), func(tx *gate.Tx) error {
		box, err := tx.ListBoxLocks(ctx)
		if err != nil {
			return fmt.Errorf("list locks: %w", err)
		}
		for _, r := range box {
			out = append(out, viewBoxLock(r))
		}
		rows, err := tx.ListLocksOfBox(ctx, maxBoxShown)
		if err != nil {
			return fmt.Errorf("list locks: %w", err)
		}
		for _, r := range rows {
			out = append(out, BoxLock{
				ID: r.ID, Org: r.OrgName, Kind: r.Kind, Name: r.Name, Reason: r.Reason, MadeBy: r.MadeBy, CreatedAt: store.Time(r.CreatedAt), ExpiresAt: optionalTime(r.ExpiresAt),
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func viewBoxLock(r store.BoxLock) BoxLock {
	return BoxLock{
		ID: r.ID, Kind: r.Kind, Name: r.Name, Reason: r.Reason, MadeBy: sess.BoxOwner("").Name, CreatedAt: store.Time(r.CreatedAt), ExpiresAt: optionalTime(r.ExpiresAt),
	}
}

// UnlockBox lifts a lock of the box or of any organisation, for the box's owner at the machine: the way back in for an
// organisation that locked itself out.
func (s *Service) UnlockBox(ctx context.Context, id sess.LockID) error {
	var own store.Lock
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		own, err = tx.GetLockByID(ctx, id)
		return err
	})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("look for lock: %w", err)
	}
	on := policy.Resource{Org: own.Org, Type: policy.TypeLock, ID: clip(string(id), maxName), Name: own.Name}
	return s.gate.Do(ctx, sess.BoxOwner(own.Org), policy.LockRemove, on, func(tx *gate.Tx) error {
		if own.Org == "" {
			return s.removeBoxLock(ctx, tx, id)
		}
		n, err := tx.DeleteLock(ctx, own.Org, own.ID)
		if err != nil {
			return fmt.Errorf("remove lock: %w", err)
		}
		if n == 0 {
			return noLock(id)
		}
		return changeRules(ctx, tx)
	})
}

func (s *Service) removeBoxLock(ctx context.Context, tx *gate.Tx, id sess.LockID) error {
	box, err := tx.ListBoxLocks(ctx)
	if err != nil {
		return fmt.Errorf("list locks: %w", err)
	}
	for _, row := range box {
		if row.ID != id {
			continue
		}
		if _, err := tx.DeleteBoxLock(ctx, id); err != nil {
			return fmt.Errorf("remove lock: %w", err)
		}
		return s.boxLockChanged(ctx, tx, policy.LockRemove, row)
	}
	return noLock(id)
}

func noLock(id sess.LockID) error {
	return sess.New(sess.CodeNotFound, fmt.Sprintf("there is no lock %q", clip(string(id), maxName)), "sess-server admin lock list shows them")
}
