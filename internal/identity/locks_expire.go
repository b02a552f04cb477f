package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// expireEvery is how often locks that ran out are cleared away. They count no more from the moment they run out.
const expireEvery = time.Second

// RunLocks clears away locks that ran out, until ctx ends.
func (s *Service) RunLocks(ctx context.Context) {
	t := time.NewTicker(expireEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.expireLocks(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "locks that ran out not cleared away", "err", err)
		}
	}
}

// expireLocks removes the locks that ran out, each with its event. Of several nodes one does.
func (s *Service) expireLocks(ctx context.Context) error {
	now := store.Micros(s.now())
	var due []store.Lock
	var box []store.BoxLock
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		if due, err = tx.ListExpiredLocks(ctx, &now); err != nil {
			return err
		}
		box, err = tx.ListBoxLocks(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("list locks: %w", err)
	}
	var errs []error
	for _, l := range due {
		errs = append(errs, s.expireLock(ctx, l))
	}
	for _, l := range box {
		if l.ExpiresAt != nil && *l.ExpiresAt <= now {
			errs = append(errs, s.expireBoxLock(ctx, l))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) expireLock(ctx context.Context, l store.Lock) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.DeleteLock(ctx, l.Org, l.ID)
		if err != nil || n == 0 {
			return err
		}
		if _, err := tx.ChangeRules(ctx, l.Org); err != nil {
			return err
		}
		on := lockResource(l)
		on.Name = string(l.Kind) + " " + l.Name
		return s.gate.Event(ctx, tx, gate.Entry{Who: sess.System(l.Org), Action: policy.LockExpired, On: on, Reason: l.Reason})
	})
}

func (s *Service) expireBoxLock(ctx context.Context, l store.BoxLock) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.DeleteBoxLock(ctx, l.ID)
		if err != nil || n == 0 {
			return err
		}
		if _, err := tx.ChangeAllRules(ctx); err != nil {
			return err
		}
		return s.boxLockEvents(ctx, tx, sess.System, policy.LockExpired, l)
	})
}
