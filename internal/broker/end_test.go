package broker_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

func endIn(id sess.SessionID, reason string) api.EndIn {
	var in api.EndIn
	in.Session, in.Body.Reason = string(id), reason
	return in
}

func (a *agent) wantOrder() wire.Order {
	a.t.Helper()
	c := a.want(wire.ControlOrder)
	var o wire.Order
	if err := c.Signed.Verify([]ed25519.PublicKey{a.w.key.Public().(ed25519.PublicKey)}, wire.PurposeOrder, &o); err != nil {
		a.t.Fatal(err)
	}
	if o.Nonce != a.nonce || o.Session != c.Session {
		a.t.Fatalf("order = %+v", o)
	}
	return o
}

// Ending takes effect within a second: the row at once, an order to the agent, then both sides are cut and told who and why.
func TestEnd(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s := w.both(a)
		for who, want := range map[*sess.Principal]sess.Code{&w.bob: sess.CodeNotFound, &w.carol: sess.CodeDenied, &w.eve: sess.CodeDenied} {
			_, err := w.End(t.Context(), *who, endIn(s.id, ""))
			wantCode(t, who.Name, err, want)
		}
		began := time.Now()
		shown, err := w.End(t.Context(), w.root, endIn(s.id, "maintenance"))
		if err != nil {
			t.Fatal(err)
		}
		if shown.State != sess.StateEnded || shown.EndedBy != "root@example.com" || shown.EndMessage != "maintenance" {
			t.Errorf("answer = %+v", shown)
		}
		if o := a.wantOrder(); o.Hard || o.By != "root@example.com" || o.Reason != sess.EndEnded {
			t.Errorf("order = %+v", o)
		}
		w.wantNoCut() // the last output is on its way
		w.exited(s, 1, 129)
		f := w.wantCut(s.id)
		if took := time.Since(began); took > 3*time.Second { // a promise of one second, on a machine that does other things too
			t.Errorf("took %v", took)
		}
		if f.Reason != sess.EndEnded || f.By != "root@example.com" || f.Message != "maintenance" || f.Exit == nil || f.Exit.Status != 129 {
			t.Errorf("cut with %+v", f)
		}
		w.wantEnd(s.id, sess.EndEnded)
		_, err = w.End(t.Context(), w.root, endIn(s.id, ""))
		wantCode(t, "again", err, sess.CodeEnded)
		_, err = w.resume(s, s.key)
		if e := wantCode(t, "resume", err, sess.CodeEnded); !strings.Contains(e.Message, "ended by root@example.com: maintenance") {
			t.Errorf("message %q", e.Message)
		}
	})
}

// A client that has everything need not wait for the rest of the second.
func TestEndDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	if _, err := w.End(t.Context(), w.alice, endIn(s.id, "")); err != nil {
		t.Fatal(err)
	}
	a.wantOrder()
	w.exited(s, 1, 129)
	began := time.Now()
	if err := w.Delivered(t.Context(), w.org, s.id, 1); err != nil {
		t.Fatal(err)
	}
	w.wantCut(s.id)
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// An agent that was away when its session was ended is told when it is back.
func TestEndUnreachable(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s := w.both(a)
		a.close()
		if _, err := w.End(t.Context(), w.alice, endIn(s.id, "")); err != nil {
			t.Fatal(err)
		}
		w.wantCut(s.id)
		w.wantEnd(s.id, sess.EndEnded)
		a = w.connect(lists(s.id))
		if c := a.want(wire.ControlEnded); c.Session != s.id {
			t.Errorf("told of %s", c.Session)
		}
	})
}

// A revoked login ends what it started, at once and hard; other sessions go on.
func TestRevoke(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s := w.both(a)
		if err := w.OnCredentialRevoked(t.Context(), w.org, w.bob.CredentialID); err != nil {
			t.Fatal(err)
		}
		w.wantState(s.id, sess.StateActive)
		if err := w.OnCredentialRevoked(t.Context(), w.org, w.alice.CredentialID); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(s.id, sess.EndRevoked)
		if f := w.wantCut(s.id); f.Reason != sess.EndRevoked || f.Message == "" {
			t.Errorf("cut with %+v", f)
		}
		if o := a.wantOrder(); !o.Hard {
			t.Errorf("order = %+v", o)
		}
		s = w.both(a)
		if err := w.OnUserDeactivated(t.Context(), w.org, w.alice.User); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(s.id, sess.EndRevoked)
	})
}

// An instance that was removed loses its sessions and its link.
func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	us := int64(5)
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.RemoveInstance(ctx, w.org, w.instance, &us)
		return err
	})
	if err := w.OnInstanceRemoved(t.Context(), w.org, w.instance); err != nil {
		t.Fatal(err)
	}
	w.wantEnd(s.id, sess.EndRemoved)
	a.wantOrder()
	if c := a.want(wire.ControlRefuse); c.Code != sess.CodeUnauthenticated || c.Hint == "" {
		t.Errorf("refused with %+v", c)
	}
	if c, err := a.read(); err == nil {
		t.Errorf("then %+v", c)
	}
	if c := w.dial().want(wire.ControlRefuse); c.Code != sess.CodeUnauthenticated {
		t.Errorf("refused with %+v", c)
	}
}

// However many find a reason to end a session at once, it ends once, with one event and one reason.
func TestOneEnd(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s := w.both(a)
		w.present(s, 1, sess.SideClient, false)
		w.pass(time.Hour)
		ctx := t.Context()
		var ended atomic.Int32
		ends := []func() error{
			func() error { return w.Exited(ctx, w.org, s.id, 1, wire.Exit{Exit: sess.Exit{Status: 5}}) },
			func() error { return w.Exited(ctx, w.org, s.id, 1, wire.Exit{Exit: sess.Exit{Status: 5}}) },
			func() error {
				_, err := w.End(ctx, w.alice, endIn(s.id, ""))
				if errors.Is(err, sess.ErrEnded) {
					return nil
				} else if err == nil {
					ended.Add(1)
				}
				return err
			},
			func() error {
				_, err := w.End(ctx, w.root, endIn(s.id, ""))
				if errors.Is(err, sess.ErrEnded) {
					return nil
				} else if err == nil {
					ended.Add(1)
				}
				return err
			},
			func() error { return broker.Tick(ctx, w.Service) },
			func() error { return broker.Tick(ctx, w.Service) },
			func() error { return w.Failed(ctx, w.org, s.id, 1, sess.EndProtocol, "") },
			func() error { return w.OnCredentialRevoked(ctx, w.org, w.alice.CredentialID) },
			func() error { w.connect(boot("boo_2")).close(); return nil }, // does not list it
		}
		together(len(ends), func(i int) {
			if err := ends[i](); err != nil {
				t.Errorf("end %d: %v", i, err)
			}
		})
		r := w.row(s.id)
		w.wantEnd(s.id, r.EndReason)
		if ended.Load() > 1 || (ended.Load() == 1) != (r.EndReason == sess.EndEnded) {
			t.Errorf("%d ended it, reason %s", ended.Load(), r.EndReason)
		}
		if !strings.Contains(r.Exit, `"status":5`) { // a later status fills the row
			t.Errorf("exit = %q", r.Exit)
		}
		if n := w.events(s.id, policy.SessionEnd, "allowed"); int32(n) != ended.Load() {
			t.Errorf("%d requests to end it are in the log as done, %d were", n, ended.Load())
		}
	})
}
