package broker_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// crowd has several people come to a session and go, each some times, while something else happens to it.
func (w *world) crowd(s session, rounds int, meanwhile func()) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var in []*visitor
	for _, who := range []sess.Principal{w.root, w.bob, w.root, w.bob} {
		wg.Go(func() {
			for range rounds {
				v, err := w.ask(who, s, sess.JoinObserver)
				if err == nil {
					err = w.enter(v)
				}
				switch {
				case err == nil, errors.Is(err, sess.ErrEnded), errors.Is(err, sess.ErrDenied), errors.Is(err, sess.ErrNotFound), errors.Is(err, sess.ErrLimited):
				default:
					w.t.Errorf("%s: %v", who.Name, err)
				}
				if v.joined.Participant != 0 {
					mu.Lock()
					in = append(in, v)
					mu.Unlock()
				}
			}
		})
	}
	wg.Go(meanwhile)
	wg.Wait()
	for _, v := range in { // the relay closes them all, in the end
		w.Left(w.t.Context(), v.joined)
	}
}

// over checks that nothing of a session's guests is left.
func (w *world) over(s session) {
	w.t.Helper()
	w.tick()
	for _, p := range w.people(s.id) {
		if p.LeftAt == nil {
			w.t.Errorf("participant %d is still there", p.Num)
		}
	}
	for _, who := range []sess.Principal{w.alice, w.bob, w.root} {
		if n := w.connections(who.User); n != 0 {
			w.t.Errorf("%s holds %d connections", who.Name, n)
		}
	}
}

// TestJoinWhileEnding: who joins in the moment in which a session ends is in it no more when it has.
func TestJoinWhileEnding(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.real = true
		a := w.connect()
		for range 5 {
			s := w.both(a)
			w.share(s, w.bob, sess.JoinObserver, time.Hour)
			w.crowd(s, 3, func() { w.end(s) })
			w.over(s)
			a.want(wire.ControlOrder)
			_, err := w.ask(w.root, s, sess.JoinObserver)
			wantCode(t, "after the end", err, sess.CodeEnded)
			w.quiet()
		}
	})
}

// TestKickWhileJoining: of kicks and joins at the same moment each leaves all in order: who was put out stays out.
func TestKickWhileJoining(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.real = true
		s := w.both(w.connect())
		w.share(s, w.bob, sess.JoinObserver, time.Hour)
		kick := func() error {
			var in api.KickIn
			in.Session, in.Body.Who = string(s.id), w.bob.Name
			_, err := w.Kick(t.Context(), w.alice, in)
			return err
		}
		go w.relay.drain(t.Context())
		w.crowd(s, 5, func() {
			for range 10 {
				if err := kick(); err != nil && !errors.Is(err, sess.ErrNotFound) {
					t.Error(err)
				}
			}
		})
		if err := kick(); err != nil && !errors.Is(err, sess.ErrNotFound) {
			t.Error(err)
		}
		for _, p := range w.people(s.id) {
			if p.UserID == w.bob.User && p.LeftAt == nil {
				t.Errorf("participant %d is still there", p.Num)
			}
		}
		if n := w.connections(w.bob.User); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		w.wantState(s.id, sess.StateActive)
	})
}

// TestTakeoverBesideGuests: when the owner takes the session to another terminal, whoever watches stays, and sees it go on.
func TestTakeoverBesideGuests(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := w.both(w.connect())
		v := w.visit(w.root, s, sess.JoinObserver)
		k := newKey(t)
		ticket, err := w.attach(w.alice, s, k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.join(s, ticket.Token, k); err != nil {
			t.Fatal(err)
		}
		w.present(s, 1, sess.SideClient, true)
		w.recheck(true)
		w.tick()
		if p := w.people(s.id)[0]; p.LeftAt != nil {
			t.Errorf("the guest is out: %s", p.LeftReason)
		}
		w.leave(v, false)
		w.back(v)
		if a, b := w.connections(w.alice.User), w.connections(w.root.User); a != 1 || b != 1 {
			t.Errorf("%d connections of the owner, %d of the guest", a, b)
		}
		w.end(s)
		w.Left(t.Context(), v.joined)
		w.over(s)
	})
}
