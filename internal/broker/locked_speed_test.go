package broker_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// livesLocked is how many sessions are live when the lock comes.
const livesLocked = 500

// cutTimes is a relay that notes when each session is cut: the last moment at which a byte of it can pass.
type cutTimes struct {
	*cuts // for what else is asked of a relay

	mu sync.Mutex
	at []time.Time
}

func (c *cutTimes) Cut(sess.OrgID, sess.SessionID, wire.EndFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, time.Now())
}

func (c *cutTimes) times() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.at)
}

// From the call that locks an instance to the cut of each of its 500 sessions, while the broker runs: a second is what is promised;
// the bound is looser, for machines that do other things.
func TestLockIsQuick(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.real = true
		for range livesLocked {
			w.insert()
		}
		relay := &cutTimes{cuts: w.relay}
		w.boot()
		w.UseRelay(relay)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		began := time.Now()
		w.lock(sess.LockInstance, string(w.instance))
		w.RulesChanged()
		for deadline := time.Now().Add(time.Minute); len(relay.times()) < livesLocked; <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d cut in a minute", len(relay.times()))
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		var took []time.Duration
		for _, at := range relay.times() {
			took = append(took, at.Sub(began))
		}
		slices.Sort(took)
		t.Logf("%d sessions: median %v, p99 %v, last %v", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
		if p99 := took[len(took)*99/100]; p99 > 30*time.Second { // the race detector takes its time
			t.Errorf("p99 is %v", p99)
		}
	})
}

// insert makes the row of a live session of alice's.
func (w *world) insert() {
	w.t.Helper()
	id := sess.NewSessionID()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertSession(ctx, store.InsertSessionParams{
			Org: w.org, ID: id, Kind: sess.KindShell, Instance: w.instance, InstanceName: "web-1", Project: w.project, UserID: w.alice.User,
			UserName: w.alice.Name, Credential: sess.CredentialLogin, CredentialID: w.alice.CredentialID, ClientAddr: addr.String(), Command: "[]", OwnerKey: "k",
			Node: w.node, GraceMS: 600_000, CreatedAt: store.Micros(w.clock()),
		}); err != nil {
			return err
		}
		r, err := tx.LockSession(ctx, w.org, id)
		if err != nil {
			return err
		}
		now := store.Micros(w.clock())
		r.State, r.StartedAt, r.OwnerAt = sess.StateActive, &now, &now
		r.AgentRedeemed, r.ClientRedeemed = 1, 1
		return broker.Save(ctx, tx, &r)
	})
}
