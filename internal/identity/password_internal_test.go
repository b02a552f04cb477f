package identity

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

// An admin who makes a hundred temporary passwords at once holds one place to hash at, or to wait for one; who logs in finds
// the others free.
func TestHashesForOthersLeavePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(HashParams{MemoryKiB: 8, Passes: 1})
		h.trim.Stop()
		for range maxHashing {
			h.slots <- struct{}{} // both are taken, as by logins
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { _, _ = h.hashForOthers(ctx, "x") })
		}
		synctest.Wait()
		if n := h.queued.Load(); n != 1 {
			t.Errorf("they hold %d places", n)
		}
		<-h.slots
		<-h.slots
		if ok, err := h.check(ctx, "", "y"); ok || err != nil {
			t.Errorf("a login: %v, %v", ok, err)
		}
		cancel()
		wg.Wait()
		h.trim.Stop()
	})
}
