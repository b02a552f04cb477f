package broker_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// Whatever the clock does, forwards and back by days, a session whose sides are both there goes on; it ends once, its place
// is free then, and nothing that was counted is negative.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		a := w.connect()
		jump := func() {
			w.pass(time.Duration(random.Int64N(int64(96*time.Hour))) - 48*time.Hour)
			w.tick()
		}
		for range 8 {
			s := w.both(a)
			for range 4 {
				jump()
				if got := w.row(s.id).State; got != sess.StateActive {
					t.Fatalf("%s is %s after a jump of the clock", s.id, got)
				}
			}
			w.exited(s, 1, 3)
			w.pass(-time.Duration(random.Int64N(int64(time.Hour))))
			w.exited(s, 1, 3) // the agent says it again
			if err := w.Delivered(t.Context(), w.org, s.id, 1); err != nil {
				t.Fatal(err)
			}
			jump()
			w.wantEnd(s.id, sess.EndExit)
			if n := w.events(s.id, policy.SessionEnded, "allowed"); n != 1 {
				t.Errorf("%s has %d events of its end", s.id, n)
			}
		}
		u, err := w.Usage(t.Context(), w.root, api.UsageIn{By: "kind", Since: "2020-01-01T00:00:00Z", Until: "2040-01-01T00:00:00Z"})
		if err != nil || u.Total.Sessions != 8 || u.Total.WallUS < 0 {
			t.Errorf("usage: %+v, %v", u.Total, err)
		}
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.CountConnectionsOfUser(ctx, w.org, w.alice.User, "", 0)
			if n != 0 {
				t.Errorf("%d places of connections are still taken", n)
			}
			return err
		})
	})
}
