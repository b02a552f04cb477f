package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// The single-use pattern, raced: a token with a few uses is taken by many at once, and never once more.
func TestUsesAreNeverExceeded(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const racers, uses = 20, 3
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(addOrg(ctx, tx, "org_1"), tx.CreateEnrolToken(ctx, store.CreateEnrolTokenParams{
				Org: "org_1", ID: "tok_1", Hash: "h", Labels: "{}", Uses: uses, CreatedAt: 1, ExpiresAt: 100,
			}))
		})
		got := race(t, racers, func() (bool, error) {
			var n int64
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				var err error
				n, err = tx.UseEnrolToken(t.Context(), "org_1", "tok_1", 50)
				return err
			})
			return n == 1, err
		})
		if got != uses {
			t.Errorf("%d of %d took a token of %d uses", got, racers, uses)
		}
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			token, err := tx.GetEnrolToken(ctx, "org_1", "tok_1")
			if token.Used != uses {
				t.Errorf("the row says %d uses, want %d", token.Used, uses)
			}
			return err
		})
	})
}

// An audit event gets one place, and a place one event, however many sequencers there are.
func TestPlacesAreGivenOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(appendEvent(ctx, tx, "evt_1", 1), appendEvent(ctx, tx, "evt_2", 2))
		})
		if got := race(t, 20, func() (bool, error) {
			var n int64
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				var err error
				n, err = tx.PlaceAuditEvent(t.Context(), store.BoxLog, "evt_1", new(int64(0)))
				return err
			})
			return n == 1, err
		}); got != 1 {
			t.Errorf("an event was placed %d times", got)
		}
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.PlaceAuditEvent(t.Context(), store.BoxLog, "evt_2", new(int64(0)))
			return err
		})
		if !store.IsUnique(err) {
			t.Errorf("two events at one place: %v", err)
		}
	})
}

// race runs f on n goroutines at once and counts those for which it was true.
func race(t *testing.T, n int, f func() (bool, error)) int64 {
	t.Helper()
	var won atomic.Int64
	var done sync.WaitGroup
	start := make(chan struct{})
	for range n {
		done.Go(func() {
			<-start
			ok, err := f()
			if err != nil {
				t.Error(err)
			}
			if ok {
				won.Add(1)
			}
		})
	}
	close(start)
	done.Wait()
	return won.Load()
}
