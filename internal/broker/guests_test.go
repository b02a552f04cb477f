package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// visitor is somebody in a session beside its owner.
type visitor struct {
	who    sess.Principal
	s      session
	key    sessionKey
	out    api.JoinOut
	joined broker.Joined
}

// ask asks to be let into a session.
func (w *world) ask(who sess.Principal, s session, role sess.JoinRole) (*visitor, error) {
	v := &visitor{who: who, s: s, key: newKey(w.t)}
	var in api.JoinIn
	in.Session, in.Body.Role, in.Body.PublicKey = string(s.id), role, v.key.public(w.t)
	var err error
	v.out, err = w.Join(w.t.Context(), who, in)
	return v, err
}

// enter redeems a visitor's ticket, and says that they are there, as the relay would.
func (w *world) enter(v *visitor) (err error) {
	if v.joined, err = w.join(v.s, v.out.Token, v.key); err != nil {
		return err
	}
	return w.Guest(w.t.Context(), w.org, v.s.id, v.joined.Participant, v.joined.ClientGen, true, false)
}

// visit brings somebody into a session.
func (w *world) visit(who sess.Principal, s session, role sess.JoinRole) *visitor {
	w.t.Helper()
	w.pass(time.Second) // later than the server began
	v, err := w.ask(who, s, role)
	if err == nil {
		err = w.enter(v)
	}
	if err != nil {
		w.t.Fatalf("%s as %s: %v", who.Name, role, err)
	}
	return v
}

// leave has a visitor go, on purpose or by a lost connection.
func (w *world) leave(v *visitor, onPurpose bool) {
	w.t.Helper()
	w.Left(w.t.Context(), v.joined)
	if err := w.Guest(w.t.Context(), w.org, v.s.id, v.joined.Participant, v.joined.ClientGen, false, onPurpose); err != nil {
		w.t.Fatal(err)
	}
}

// share shares a session of alice's with somebody.
func (w *world) share(s session, with sess.Principal, role sess.JoinRole, ttl time.Duration) {
	w.t.Helper()
	var in api.ShareIn
	in.Session, in.Body.With, in.Body.Role, in.Body.TTLSeconds = string(s.id), with.Name, role, int64(ttl/time.Second)
	if _, err := w.Share(w.t.Context(), w.alice, in); err != nil {
		w.t.Fatal(err)
	}
}

// people are the rows of a session's participants.
func (w *world) people(id sess.SessionID) []store.Participant {
	w.t.Helper()
	var rows []store.Participant
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) (err error) {
		rows, err = tx.ListParticipants(ctx, w.org, id)
		return err
	})
	return rows
}

// wantLeft checks that a visitor is out, why, that the relay was told if it should be, and that they do not come back.
func (w *world) wantLeft(v *visitor, why string, putOut bool) {
	w.t.Helper()
	for _, p := range w.people(v.s.id) {
		if p.Num == int64(v.joined.Participant) && (p.LeftAt == nil || p.LeftReason != why) {
			w.t.Fatalf("participant %d left at %v (%s), want %s", p.Num, p.LeftAt, p.LeftReason, why)
		}
	}
	w.relay.mu.Lock()
	out := slices.ContainsFunc(w.relay.out, func(s string) bool { return strings.HasPrefix(s, fmt.Sprint(v.joined.Participant, " ")) })
	w.relay.mu.Unlock()
	if out != putOut {
		w.t.Errorf("put out: %v, want %v", out, putOut)
	}
	if err := w.Guest(w.t.Context(), w.org, v.s.id, v.joined.Participant, v.joined.ClientGen, true, false); err == nil {
		w.t.Error("the relay is told that they may stay")
	}
}

func (w *world) list(who sess.Principal, in api.SessionsIn) []api.Session {
	w.t.Helper()
	out, err := w.List(w.t.Context(), who, in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Items
}

// TestGuestsInLists: a list says who is in a session and what is shared with whoever asks, for as long as that is so.
func TestGuestsInLists(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s, other := w.both(a), w.both(a)
		if got := w.list(w.bob, api.SessionsIn{}); len(got) != 0 {
			t.Errorf("before anything is shared: %d sessions", len(got))
		}
		w.share(s, w.bob, sess.JoinObserver, time.Hour)
		v := w.visit(w.bob, s, sess.JoinObserver)
		for name, in := range map[string]api.SessionsIn{
			"plain": {}, "shared": {Shared: true}, "all": {State: "all"}, "of alice": {User: "alice@example.com"}, "of the instance": {Instance: "web-1", Shared: true},
		} {
			got := w.list(w.bob, in)
			if len(got) != 1 || got[0].ID != s.id || got[0].Shared != sess.JoinObserver || got[0].Connected != 2 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		for name, in := range map[string]api.SessionsIn{"mine": {Mine: true}, "ended": {State: "ended"}, "a tag": {Tag: "a=b"}, "elsewhere": {Instance: "db-1"}, "shared, a tag": {Tag: "a=b", Shared: true}} {
			if got := w.list(w.bob, in); len(got) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		for _, x := range w.list(w.root, api.SessionsIn{}) {
			if x.ID == other.id && x.Participants != nil {
				t.Errorf("nobody else is in %s: %+v", x.ID, x.Participants)
			}
			if x.ID != s.id {
				continue
			}
			if len(x.Participants) != 1 || x.Participants[0].UserName != w.bob.Name || x.Participants[0].Role != "observer" || !x.Participants[0].Here || x.Participants[0].JoinedAt == nil {
				t.Errorf("participants in the list: %+v", x.Participants)
			}
		}
		if got := w.list(w.eve, api.SessionsIn{Shared: true}); len(got) != 0 {
			t.Errorf("shared with nobody: %+v", got)
		}
		shown, err := w.Show(t.Context(), w.bob, api.SessionRef{Session: string(s.id)})
		if err != nil || shown.Shared != sess.JoinObserver || len(shown.Participants) != 2 {
			t.Errorf("shown: %+v, %v", shown, err)
		}
		w.leave(v, true)
		w.pass(time.Hour)
		if got := w.list(w.bob, api.SessionsIn{Shared: true}); len(got) != 0 {
			t.Errorf("the share ran out: %+v", got)
		}
		for _, x := range w.list(w.root, api.SessionsIn{}) {
			if len(x.Participants) != 0 {
				t.Errorf("nobody is there any more: %+v", x.Participants)
			}
		}
	})
}

// TestGuestsArePutOut: whatever takes the right to be in a session away puts a guest out, and the session goes on.
func TestGuestsArePutOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		take func(w *world, s session)
		why  string
	}{
		"kicked": {func(w *world, s session) {
			var in api.KickIn
			in.Session, in.Body.Who, in.Body.Reason = string(s.id), strings.ToUpper(w.bob.Name), "enough"
			if _, err := w.Kick(w.t.Context(), w.alice, in); err != nil {
				w.t.Fatal(err)
			}
		}, "kicked"},
		"unshared": {func(w *world, s session) {
			if err := w.Unshare(w.t.Context(), w.alice, api.UnshareIn{SessionRef: api.SessionRef{Session: string(s.id)}}); err != nil {
				w.t.Fatal(err)
			}
		}, "revoked"},
		"the share ran out": {func(w *world, _ session) { w.pass(10 * time.Minute); w.tick() }, "revoked"},
		"the role is taken": {func(w *world, _ session) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				rows, err := tx.ListGrantsOfUser(ctx, w.org, w.bob.User)
				for _, r := range rows {
					if err == nil {
						_, err = tx.TakeRole(ctx, w.org, r.ID)
					}
				}
				return err
			})
			w.recheck(false)
		}, "revoked"},
		"a rule forbids it": {func(w *world, _ session) {
			w.put("no", `forbid (principal, action == Action::"session:observe", resource) when { resource.shared == "observer" };`)
			w.recheck(false)
		}, "revoked"},
		"locked": {func(w *world, _ session) { w.lock(sess.LockUser, string(w.bob.User)); w.recheck(false) }, "revoked"},
		"the login is revoked": {func(w *world, _ session) {
			if err := w.OnCredentialRevoked(w.t.Context(), w.org, w.bob.CredentialID); err != nil {
				w.t.Fatal(err)
			}
		}, "revoked"},
		"all logins are revoked": {func(w *world, _ session) {
			if err := w.OnUserRevoked(w.t.Context(), w.org, w.bob.User); err != nil {
				w.t.Fatal(err)
			}
		}, "revoked"},
		"deactivated": {func(w *world, _ session) {
			if err := w.OnUserDeactivated(w.t.Context(), w.org, w.bob.User); err != nil {
				w.t.Fatal(err)
			}
		}, "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db)
				s := w.both(w.connect())
				w.share(s, w.bob, sess.JoinObserver, 10*time.Minute)
				v := w.visit(w.bob, s, sess.JoinObserver)
				admin := w.visit(w.root, s, sess.JoinObserver) // by a role of their own
				w.tick()
				w.recheck(true)
				if got := w.people(s.id)[0]; got.LeftAt != nil {
					t.Fatalf("out before anything changed: %s", got.LeftReason)
				}
				c.take(w, s)
				w.wantLeft(v, c.why, true)
				w.Left(t.Context(), v.joined)
				if n := w.connections(w.bob.User); n != 0 {
					t.Errorf("%d connections are left", n)
				}
				w.wantState(s.id, sess.StateActive)
				if got := w.people(s.id)[1]; got.LeftAt != nil || got.Num != int64(admin.joined.Participant) {
					t.Errorf("the admin, too, is out: %s", got.LeftReason)
				}
				if n := w.events(s.id, policy.ParticipantKicked, ""); n != 1 {
					t.Errorf("%d events of it", n)
				}
			})
		})
	}
}

// TestGuestConnectionLimit: a limit on connections speaks before the owner is asked or a ticket is made, says what holds it and
// what to do, and holds again when two tickets are redeemed at once.
func TestGuestConnectionLimit(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		one, two := w.both(a), w.both(a)
		w.settings(sess.Settings{MaxConnections: 1})
		first, err := w.ask(w.root, one, sess.JoinObserver)
		if err != nil {
			t.Fatal(err)
		}
		second, err := w.ask(w.root, two, sess.JoinObserver)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, v := range []*visitor{first, second} {
			wg.Go(func() { errs[i] = w.enter(v) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("both or none: %v, %v", errs[0], errs[1])
		}
		in := first
		if errs[0] != nil {
			in = second
		}
		_, err = w.ask(w.root, two, sess.JoinObserver)
		e := wantCode(t, "one more", err, sess.CodeLimited)
		if want := "you are connected to 1 session, and the organisation allows 1 at a time: " + string(in.s.id) + " (exec of alice@example.com on web-1)"; e.Message != want {
			t.Errorf("%q, want %q", e.Message, want)
		}
		if !strings.HasPrefix(e.Hint, "leave one of them first, by ~. in it (denial evt_") {
			t.Errorf("hint %q", e.Hint)
		}
		if n := w.events(two.id, policy.SessionObserve, "refused"); n != 1 {
			t.Errorf("%d refusals on record", n)
		}
		w.leave(in, true)
		w.visit(w.root, two, sess.JoinObserver)
	})
}

// TestGuestSlotsNeverLeak: whatever a guest, the session or the server does, no row of a connection stays behind, and nobody is in
// a session that is over.
func TestGuestSlotsNeverLeak(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for name, end := range map[string]func(w *world, v *visitor){
			"they leave":        func(w *world, v *visitor) { w.leave(v, true) },
			"the line is cut":   func(w *world, v *visitor) { w.leave(v, false); w.pass(2 * time.Minute); w.tick() },
			"the command ends":  func(w *world, v *visitor) { w.exited(v.s, 1, 0) },
			"and then they go":  func(w *world, v *visitor) { w.exited(v.s, 1, 0); w.Left(w.t.Context(), v.joined) },
			"it is ended":       func(w *world, v *visitor) { w.end(v.s) },
			"the server dies":   func(w *world, _ *visitor) { w.boot(); w.pass(2 * time.Minute); w.tick() },
			"and they are back": func(w *world, v *visitor) { w.boot(); w.back(v); w.tick(); w.leave(v, true) },
			"the answer of a commit was lost": func(w *world, v *visitor) {
				broker.Forget(w.Service, v.s.id)
				w.pass(2 * time.Minute)
				w.reconcile()
				w.leave(v, true)
			},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, db)
				s := w.both(w.connect())
				v := w.visit(w.root, s, sess.JoinObserver)
				if n := w.connections(w.root.User); n != 1 {
					t.Fatalf("a guest has %d connections", n)
				}
				end(w, v)
				if n := w.connections(w.root.User); n != 0 {
					t.Errorf("%d connections are left", n)
				}
				w.pass(48 * time.Hour) // past any grace
				w.tick()
				if p := w.people(s.id)[0]; p.LeftAt == nil {
					t.Error("still there")
				}
				if n := w.events(s.id, policy.ParticipantLeft, ""); n != 1 {
					t.Errorf("%d events of leaving", n)
				}
			})
		}
	})
}

func (w *world) end(s session) {
	w.t.Helper()
	if _, err := w.End(w.t.Context(), w.alice, api.EndIn{SessionRef: api.SessionRef{Session: string(s.id)}}); err != nil {
		w.t.Fatal(err)
	}
}

// back has a visitor come back by their key.
func (w *world) back(v *visitor) {
	w.t.Helper()
	in := w.resumeIn(v.s, v.key)
	in.Body.Participant = v.joined.Participant
	ticket, err := w.Resume(w.t.Context(), sess.Principal{Addr: addr}, in)
	if err == nil {
		v.out.Ticket = ticket
		err = w.enter(v)
	}
	if err != nil {
		w.t.Fatalf("coming back: %v", err)
	}
}
