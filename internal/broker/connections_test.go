package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// connections counts the rows of connections in the organisation.
func (w *world) connections(user sess.UserID) int64 {
	w.t.Helper()
	var n int64
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		var err error
		n, err = tx.CountConnectionsOfUser(ctx, w.org, user, "", 0)
		return err
	})
	return n
}

func (w *world) wantConnections(when string, want int64) {
	w.t.Helper()
	if n := w.connections(w.alice.User); n != want {
		w.t.Fatalf("%s: %d connections, want %d", when, n, want)
	}
}

func TestConcurrentSessions(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		w.limit("few", sess.Controls{Sessions: 2})
		one := w.both(a)
		w.pass(time.Second)
		two := w.start(a) // waits to begin, and counts
		_, err := w.Start(t.Context(), w.alice, startIn(t, "web-1", newKey(t)))
		e := wantCode(t, "a third", err, sess.CodeLimited)
		for _, word := range []string{"you have 2 sessions, and the role few allows 2 at a time", string(one.id) + " (exec on web-1, active)", string(two.id)} {
			if !strings.Contains(e.Message, word) {
				t.Errorf("%q does not say %q", e.Message, word)
			}
		}
		if !strings.Contains(e.Hint, "sessctl session end "+string(one.id)) {
			t.Errorf("hint %q", e.Hint)
		}
		if _, err := w.Start(t.Context(), w.bob, startIn(t, "web-1", newKey(t))); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		w.exited(one, 1, 0)
		three := w.start(a)
		for _, s := range []session{two, three} {
			if _, err := w.End(t.Context(), w.alice, api.EndIn{SessionRef: api.SessionRef{Session: string(s.id)}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Start(t.Context(), w.alice, startIn(t, "web-1", newKey(t))); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

// Of many starts at the same moment as many get through as there is room for.
func TestConcurrentStarts(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect().settled()
		w.settings(sess.Settings{MaxSessions: 3})
		var wg sync.WaitGroup
		var started, refused atomic.Int64
		for range 12 {
			in := startIn(t, "web-1", newKey(t))
			wg.Go(func() {
				_, err := w.Start(t.Context(), w.alice, in)
				switch {
				case err == nil:
					started.Add(1)
				case errors.Is(err, sess.ErrLimited):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if started.Load() != 3 || refused.Load() != 9 {
			t.Errorf("%d started, %d refused", started.Load(), refused.Load())
		}
	})
}

func TestConcurrentConnections(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		one, two, three := w.start(a), w.start(a), w.start(a)
		w.limit("few", sess.Controls{Connections: 2})
		first, err := w.join(one, one.client.Token, one.key)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		// Of two that join at the same moment one has room.
		var wg sync.WaitGroup
		joined := make([]error, 2)
		for i, s := range []session{two, three} {
			wg.Go(func() { _, joined[i] = w.join(s, s.client.Token, s.key) })
		}
		wg.Wait()
		if (joined[0] == nil) == (joined[1] == nil) {
			t.Fatalf("both or none: %v, %v", joined[0], joined[1])
		}
		loser := []session{two, three}[map[bool]int{true: 1, false: 0}[joined[0] == nil]]
		e := wantCode(t, "no room", errors.Join(joined...), sess.CodeDenied)
		if !strings.Contains(e.Message, "you are connected to 2 sessions, and the role few allows 2 at a time: "+string(one.id)) {
			t.Errorf("%q", e.Message)
		}
		_, err = w.Start(t.Context(), w.alice, startIn(t, "web-1", newKey(t)))
		wantCode(t, "a start that could not be joined", err, sess.CodeLimited)
		_, err = w.attach(w.alice, loser, newKey(t))
		wantCode(t, "an attach that could not be joined", err, sess.CodeLimited)
		// The same participant once more is no further connection; the ticket of who was refused is good still.
		ticket, err := w.resume(one, one.key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := w.join(one, ticket.Token, one.key)
		if err != nil {
			t.Fatalf("coming back: %v", err)
		}
		w.Left(t.Context(), first) // the older connection goes after the newer came
		w.wantConnections("an older one went", 2)
		w.Left(t.Context(), again)
		w.wantConnections("one left", 1)
		if _, err := w.join(loser, loser.client.Token, loser.key); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

// Whatever goes away, and when: no row of a connection stays behind.
func TestConnectionsNeverLeak(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for name, end := range map[string]func(w *world, s session, j broker.Joined){
			"the client leaves": func(w *world, _ session, j broker.Joined) { w.Left(w.t.Context(), j) },
			"it leaves twice":   func(w *world, _ session, j broker.Joined) { w.Left(w.t.Context(), j); w.Left(w.t.Context(), j) },
			"the command ends":  func(w *world, s session, _ broker.Joined) { w.exited(s, 1, 0) },
			"it ends, then the client leaves": func(w *world, s session, j broker.Joined) {
				w.exited(s, 1, 0)
				w.Left(w.t.Context(), j)
			},
			"somebody ends it": func(w *world, s session, _ broker.Joined) {
				if _, err := w.End(w.t.Context(), w.alice, api.EndIn{SessionRef: api.SessionRef{Session: string(s.id)}}); err != nil {
					w.t.Fatal(err)
				}
			},
			"the agent is gone": func(w *world, s session, _ broker.Joined) {
				w.present(s, 1, sess.SideAgent, false)
				w.agentGone()
				w.pass(2 * time.Minute)
				w.tick()
				w.wantEnd(s.id, sess.EndAgentGone)
			},
			"the server dies": func(w *world, _ session, _ broker.Joined) { w.boot() },
			"the server dies, and another takes note": func(w *world, _ session, _ broker.Joined) {
				node := w.node
				w.node = sess.NewNodeID()
				w.boot()
				defer func() { w.node = node }()
				for range 2 {
					w.reconcile()
					w.pass(2 * time.Minute)
				}
			},
			"a commit whose answer was lost": func(w *world, s session, j broker.Joined) {
				broker.Forget(w.Service, s.id)
				w.pass(2 * time.Minute)
				w.reconcile()
				w.Left(w.t.Context(), j)
			},
			"the database is away when the client leaves": func(w *world, _ session, j broker.Joined) {
				ctx, cancel := context.WithCancel(w.t.Context())
				cancel()
				broker.LeftWith(ctx, w.Service, j)
				w.wantConnections("it could not be taken back", 1)
				w.tick()
			},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, db)
				a := w.connect()
				w.agentGone = a.close
				s := w.start(a)
				w.wantConnections("before", 0)
				j, err := w.join(s, s.client.Token, s.key)
				if err != nil {
					t.Fatal(err)
				}
				w.present(s, 0, sess.SideClient, true)
				if _, err := w.joinAgent(s, s.agent); err != nil {
					t.Fatal(err)
				}
				w.present(s, 1, sess.SideAgent, true)
				w.reconcile() // does nothing to what is there
				w.wantConnections("connected", 1)
				end(w, s, j)
				w.wantConnections("after", 0)
			})
		}
	})
}

// A node that goes on is not taken for one that is gone.
func TestConnectionsOfLiveNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	s := w.both(w.connect())
	other := newWorld(t, w.db)
	for range 10 {
		other.now = w.clock()
		if err := errors.Join(broker.Reconcile(t.Context(), w.Service), broker.Reconcile(t.Context(), other.Service)); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.wantConnections(fmt.Sprint("of ", s.id), 1)
	}
}

func (w *world) reconcile() {
	w.t.Helper()
	if err := broker.Reconcile(w.t.Context(), w.Service); err != nil {
		w.t.Fatal(err)
	}
}
