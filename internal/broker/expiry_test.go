package broker_test

import (
	"testing"
	"time"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// Each session that waits for somebody who does not come ends when its time is up, and not before.
func TestExpiry(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) { testExpiry(t, db) })
}

func testExpiry(t *testing.T, db *store.DB) {
	for _, c := range []struct {
		name  string
		begin func(w *world, a *agent) session
		after time.Duration
		want  sess.EndReason
	}{
		{"the agent does not take it", (*world).start, sess.StartTimeout, sess.EndNoAgent},
		{"the client never comes", func(w *world, a *agent) session {
			s := w.start(a)
			if _, err := w.joinAgent(s, s.agent); err != nil {
				w.t.Fatal(err)
			}
			w.present(s, 1, sess.SideAgent, true)
			return s
		}, sess.StartTimeout + time.Minute, sess.EndNoClient}, // as long as one that came and died
		{"the owner stays away", func(w *world, a *agent) session {
			s := w.both(a)
			w.present(s, 1, sess.SideClient, false)
			return s
		}, time.Minute, sess.EndDetached},
		{"the owner left before the agent came", func(w *world, a *agent) session {
			s := w.start(a)
			w.present(s, 0, sess.SideClient, true)
			w.present(s, 0, sess.SideClient, false)
			if _, err := w.joinAgent(s, s.agent); err != nil {
				w.t.Fatal(err)
			}
			w.present(s, 1, sess.SideAgent, true)
			w.wantState(s.id, sess.StateDetached)
			return s
		}, time.Minute, sess.EndDetached},
		{"the agent is not heard of", func(w *world, a *agent) session {
			s := w.both(a)
			w.present(s, 1, sess.SideAgent, false)
			a.close()
			return s
		}, time.Minute, sess.EndAgentGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, db)
			a := w.connect()
			s := c.begin(w, a)
			before := w.row(s.id).State
			w.pass(c.after - time.Second)
			w.tick()
			w.wantState(s.id, before)
			w.pass(time.Second)
			w.tick()
			w.wantEnd(s.id, c.want)
			if f := w.wantCut(s.id); f.Reason != c.want {
				t.Errorf("cut with %+v", f)
			}
			w.tick()
			w.wantEnd(s.id, c.want)
			if c.want != sess.EndAgentGone {
				if o := a.wantOrder(); o.Reason != c.want || o.Hard == (c.want == sess.EndDetached) {
					t.Errorf("order = %+v", o)
				}
			}
		})
	}
}

// An agent is not gone as long as either of its connections is there.
func TestAgentNotGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	a.close()
	w.pass(time.Hour)
	w.tick() // its stream is there
	w.wantState(s.id, sess.StateActive)
	w.present(s, 1, sess.SideAgent, false)
	w.connect(lists(s.id))
	w.pass(time.Hour)
	w.tick() // its control link is there
	w.wantState(s.id, sess.StateActive)
}

// A server that starts ends nothing: what ran out while it was away gets its time again.
func TestRestart(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		pending, active, detached := w.start(a), w.both(a), w.both(a)
		w.present(detached, 1, sess.SideClient, false)
		tail := w.both(a)
		w.exited(tail, 1, 9)
		w.Close()
		a.close()
		w.pass(30 * time.Second)
		w.boot()
		w.tick()
		for s, want := range map[sess.SessionID]sess.State{pending.id: sess.StatePending, active.id: sess.StateActive, detached.id: sess.StateDetached} {
			w.wantState(s, want)
		}
		if _, err := w.resume(tail, tail.key); err != nil {
			t.Errorf("output of before the restart: %v", err)
		}
		a = w.connect(lists(active.id, detached.id, tail.id))
		again := a.want(wire.ControlOffer) // it never had it
		if again.Session != pending.id {
			t.Fatalf("offered %s", again.Session)
		}
		if _, err := w.joinAgent(pending, again.Ticket); err != nil {
			t.Fatal(err)
		}
		// One client comes back, the other does not.
		fresh, err := w.resume(active, active.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.join(active, fresh.Token, active.key); err != nil {
			t.Fatal(err)
		}
		a.send(wire.Control{T: wire.ControlWant, Session: active.id})
		if j, err := w.joinAgent(active, a.want(wire.ControlTicket).Ticket); err != nil || j.Epoch != 2 {
			t.Fatalf("agent: %+v, %v", j, err)
		}
		w.present(active, 2, sess.SideClient, true)
		if n := w.events(active.id, policy.SessionJoined, ""); n != 0 {
			t.Errorf("%d events say that it was joined again; it was active all along", n)
		}
		w.pass(59 * time.Second)
		w.tick()
		w.wantState(detached.id, sess.StateDetached)
		w.pass(time.Second)
		w.tick()
		w.wantEnd(detached.id, sess.EndDetached)
		w.wantState(active.id, sess.StateActive)
	})
}

// A server that starts completes the recordings that the one before left open behind their session's end.
func TestRestartCompletesRecordings(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		delivered, complete, waiting := w.both(a), w.both(a), w.both(a)
		for _, s := range []session{delivered, complete, waiting} {
			w.exited(s, 1, 0)
		}
		for _, s := range []session{delivered, complete} {
			if err := w.Delivered(t.Context(), w.org, s.id, 1); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // said twice, one event
			if err := w.Recorded(t.Context(), w.org, complete.id, sess.Recorded{State: sess.RecordingComplete, Bytes: 1, Stored: 1, Digest: "ab"}); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.events(complete.id, policy.RecordingClosed, ""); n != 1 {
			t.Errorf("%d events that the recording is complete", n)
		}
		w.Close()
		a.close()
		w.boot()
		w.wantCut(delivered.id)
		w.wantNoCut()
		w.pass(time.Hour) // nobody fetched it while the next server was down
		w.Close()
		w.boot()
		seen := map[sess.SessionID]bool{(<-w.relay.by).id: true, (<-w.relay.by).id: true}
		if !seen[delivered.id] || !seen[waiting.id] {
			t.Errorf("completed %v", seen)
		}
	})
}

// A session whose owner does not come back after a restart is not shown as active for long, and its grace counts from the
// restart.
func TestRestartWithoutOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	w.Close()
	a.close()
	w.boot()
	w.connect(lists(s.id))
	w.pass(30 * time.Second)
	w.tick()
	w.wantState(s.id, sess.StateDetached)
	w.pass(29 * time.Second)
	w.tick()
	w.wantState(s.id, sess.StateDetached)
	w.pass(time.Second)
	w.tick()
	w.wantEnd(s.id, sess.EndDetached)
}

// Why an agent has a session no more: it died, or it gave the session up because no server was there.
func TestAgentLost(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) { testAgentLost(t, db) })
}

func testAgentLost(t *testing.T, db *store.DB) {
	for _, c := range []struct {
		name    string
		restart bool
		boot    sess.BootID
		want    sess.EndReason
	}{
		{"agent restarted", false, "boo_2", sess.EndAgentLost},
		{"agent lost it", false, "boo_1", sess.EndAgentLost},
		{"agent and server restarted", true, "boo_2", sess.EndAgentLost},
		{"server away too long", true, "boo_1", sess.EndServerLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, db)
			a := w.connect()
			s := w.both(a)
			a.close()
			if c.restart {
				w.Close()
				w.boot()
			}
			w.connect(boot(c.boot))
			if f := w.wantCut(s.id); f.Reason != c.want {
				t.Errorf("cut with %+v", f)
			}
			w.wantEnd(s.id, c.want)
		})
	}
}
