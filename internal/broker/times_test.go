package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// limit gives alice a role of the organisation's own, with controls; a role that is there gets other controls.
func (w *world) limit(role sess.Role, c sess.Controls) {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		text := sess.Effective{Controls: c}.Text()
		n, err := tx.CreateRole(ctx, store.CreateRoleParams{Org: w.org, Name: role, Actions: `["session:start"]`, Controls: text, CreatedAt: 1})
		if err != nil {
			return err
		}
		if n == 0 {
			_, err := tx.SetRole(ctx, store.SetRoleParams{Org: w.org, Name: role, Actions: `["session:start"]`, Controls: text, UpdatedAt: 2})
			return err
		}
		_, err = tx.CreateGrant(ctx, store.CreateGrantParams{Org: w.org, ID: sess.NewGrantID(), UserID: w.alice.User, Role: role, CreatedAt: 1})
		return err
	})
}

func (w *world) settings(st sess.Settings) {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetOrgSettings(ctx, st.Text(), w.org)
		return err
	})
}

// run lets time pass, as the clock sees it: second by second.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	for range int(d / time.Second) {
		w.pass(time.Second)
		w.tick()
	}
}

func (w *world) wantNotice(id sess.SessionID, words ...string) {
	w.t.Helper()
	select {
	case n := <-w.relay.notices:
		for _, word := range words {
			if n.id != id || !strings.Contains(n.text, word) {
				w.t.Fatalf("told %s %q, want %q", n.id, n.text, word)
			}
		}
	case <-time.After(5 * time.Second):
		w.t.Fatalf("nobody is told %q", words)
	}
}

func (w *world) wantNoNotice() {
	w.t.Helper()
	select {
	case n := <-w.relay.notices:
		w.t.Fatalf("told %q", n.text)
	default:
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		w.limit("hurry", sess.Controls{IdleSeconds: 300})
		s := w.both(a)
		w.run(200 * time.Second)
		w.wantNoNotice()
		w.relay.typing(s.id)
		w.run(239 * time.Second)
		w.wantNoNotice()
		w.run(2 * time.Second)
		w.wantNotice(s.id, "ends in 60 s unless something is sent: it is idle (5m, the role hurry)")
		// What is sent within the warning postpones the end.
		w.relay.typing(s.id)
		w.run(239 * time.Second)
		w.wantNoNotice()
		w.run(2 * time.Second)
		w.wantNotice(s.id, "ends in 60 s")
		w.run(57 * time.Second)
		w.wantState(s.id, sess.StateActive)
		w.wantNoNotice()
		w.run(5 * time.Second)
		w.wantEnd(s.id, sess.EndIdle)
		f := w.wantCut(s.id)
		if f.Reason != sess.EndIdle || f.Message != "nothing was sent for 5m, the limit of the role hurry" {
			t.Errorf("the client hears %+v", f)
		}
	})
}

// A restart of the server begins the silence anew, and so does a new connection only if something was typed.
func TestIdleOverRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	w.limit("hurry", sess.Controls{IdleSeconds: 100})
	s := w.both(a)
	w.relay.typing(s.id)
	w.run(80 * time.Second)
	w.boot()
	w.connect(lists(s.id))
	w.relay.mu.Lock()
	w.relay.typed[s.id] = 0 // its connections are new, and count from 0
	w.relay.mu.Unlock()
	w.present(s, 1, sess.SideClient, true)
	w.present(s, 1, sess.SideAgent, true)
	w.run(95 * time.Second)
	w.wantState(s.id, sess.StateActive)
	w.run(10 * time.Second)
	w.wantEnd(s.id, sess.EndIdle)
}

func TestLongestDuration(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		w.limit("short", sess.Controls{MaxSeconds: 200})
		w.settings(sess.Settings{SessionMaxSeconds: 500})
		s := w.both(a)
		for range 13 {
			w.relay.typing(s.id)
			w.run(10 * time.Second)
		}
		w.wantNoNotice()
		w.run(11 * time.Second)
		w.wantNotice(s.id, "ends in 60 s: it may run for 3m20s (the role short)")
		w.run(60 * time.Second)
		w.wantEnd(s.id, sess.EndMaxDuration)
		if r := w.row(s.id); r.EndMessage != "3m20s is the limit of the role short" {
			t.Errorf("message %q", r.EndMessage)
		}
	})
}

// It ends on time after a restart, too: how long it runs is counted from its start.
func TestLongestDurationOverRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	w.settings(sess.Settings{SessionMaxSeconds: 500})
	s := w.both(a)
	w.pass(450 * time.Second)
	w.boot()
	w.tick()
	w.wantState(s.id, sess.StateActive)
	w.pass(51 * time.Second)
	w.tick()
	w.wantEnd(s.id, sess.EndMaxDuration)
	if r := w.row(s.id); !strings.Contains(r.EndMessage, "the organisation") {
		t.Errorf("message %q", r.EndMessage)
	}
}

func TestEndsWithLogin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		free := w.both(a) // started before anything limits it
		w.limit("tied", sess.Controls{EndWithLogin: true})
		w.alice.CredentialID = string(sess.NewLoginID())
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateLogin(ctx, store.CreateLoginParams{
				Org: w.org, ID: sess.LoginID(w.alice.CredentialID), Hash: w.alice.CredentialID, UserID: w.alice.User,
				CreatedAt: store.Micros(w.clock()), ExpiresAt: store.Micros(w.clock().Add(100 * time.Second)),
			})
		})
		s := w.both(a)
		w.run(35 * time.Second)
		w.wantNoNotice()
		w.run(10 * time.Second)
		w.wantNotice(s.id, "its login runs out (the role tied)")
		w.run(60 * time.Second)
		w.wantEnd(s.id, sess.EndLoginExpired)
		w.wantState(free.id, sess.StateActive)
	})
}

// What became stricter holds for what runs; what became looser does not, and what is on record of it stays as it was.
func TestRunningSessionsGetStricterControls(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		w.limit("r", sess.Controls{MaxSeconds: 1000, IdleSeconds: 900})
		s := w.both(a)
		w.limit("r", sess.Controls{MaxSeconds: 5000, IdleSeconds: 100, Recording: sess.RecordStrict, GraceSeconds: 10, ReasonRequired: true, Moderators: 2})
		w.recheck(false)
		got, err := w.Show(t.Context(), w.alice, api.SessionRef{Session: string(s.id)})
		if err != nil {
			t.Fatal(err)
		}
		if c := got.Controls; c == nil || c.MaxSeconds != 1000 || c.IdleSeconds != 100 || c.Recording != "" || c.ReasonRequired || c.From[sess.ControlIdle] != "role/r" || got.GraceMS != 10_000 {
			t.Errorf("controls %+v, grace %d ms", c, got.GraceMS)
		}
		if n := w.relay.needed(s.id); n != 2 {
			t.Errorf("the relay was told of %d moderators", n)
		}
		w.limit("r", sess.Controls{GraceSeconds: 7200}) // looser
		w.recheck(false)
		if r := w.row(s.id); r.GraceMS != 10_000 {
			t.Errorf("grace %d", r.GraceMS)
		}
		w.run(101 * time.Second)
		w.wantEnd(s.id, sess.EndIdle)
	})
}

// A grace of a role's own holds from the start, and is what the client is told.
func TestGraceOfRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	w.limit("patient", sess.Controls{GraceSeconds: 3600})
	s := w.both(a)
	if s.client.GraceMS != 3600_000 {
		t.Errorf("told %d ms", s.client.GraceMS)
	}
	w.present(s, 1, sess.SideClient, false)
	w.pass(3500 * time.Second)
	w.tick()
	w.wantState(s.id, sess.StateDetached)
	w.pass(101 * time.Second)
	w.tick()
	w.wantEnd(s.id, sess.EndDetached)
}

func TestReasonRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.connect().settled()
	w.limit("careful", sess.Controls{ReasonRequired: true})
	in := startIn(t, "web-1", newKey(t))
	_, err := w.Start(t.Context(), w.alice, in)
	e := wantCode(t, "without a reason", err, sess.CodeDenied)
	if !strings.Contains(e.Message, "the role careful asks for a reason") || !strings.Contains(e.Hint, "--reason") || !strings.Contains(e.Hint, "evt_") {
		t.Errorf("%q, hint %q", e.Message, e.Hint)
	}
	in.Body.Reason = "ticket 4711"
	if _, err := w.Start(t.Context(), w.alice, in); err != nil {
		t.Errorf("with a reason: %v", err)
	}
	if _, err := w.Start(t.Context(), w.bob, startIn(t, "web-1", newKey(t))); errors.Is(err, sess.ErrDenied) {
		t.Errorf("somebody else: %v", err)
	}
}
