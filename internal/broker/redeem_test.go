package broker_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// However many present the same ticket at once, one joins.
func TestTicketServesOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect().settled()
		for range 2 {
			s := w.start(a)
			for side, join := range map[sess.Side]func() error{
				sess.SideClient: func() error { _, err := w.join(s, s.client.Token, s.key); return err },
				sess.SideAgent:  func() error { _, err := w.joinAgent(s, s.agent); return err },
			} {
				var in atomic.Int32
				together(8, func(int) {
					err := join()
					if err == nil {
						in.Add(1)
					} else if !errors.Is(err, &sess.Error{Code: sess.CodeExpired}) {
						t.Errorf("%s: %v", side, err)
					}
				})
				if in.Load() != 1 {
					t.Fatalf("%s: %d joined with one ticket", side, in.Load())
				}
			}
			r := w.row(s.id)
			if r.Epoch != 1 || r.ClientRedeemed != 1 || r.AgentRedeemed != 1 {
				t.Fatalf("epoch %d, generations %d and %d", r.Epoch, r.ClientRedeemed, r.AgentRedeemed)
			}
			if n := w.events(s.id, policy.SessionRedeem, "allowed"); n != 2 {
				t.Fatalf("%d joins in the log, want 2", n)
			}
		}
	})
}

// together runs f n times at once.
func together(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// Who has no valid ticket or not the key to it does not get in, and the ticket serves its owner after that.
func TestRedeemRefusals(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s := w.start(a)
		try := func(ticket string, signature []byte) error {
			_, err := w.Redeem(t.Context(), broker.Redeem{Ticket: ticket, Signature: signature, Addr: addr})
			return err
		}
		for _, ticket := range []string{"", "nonsense", string(make([]byte, 5000))} {
			wantCode(t, "no ticket", try(ticket, nil), sess.CodeUnauthenticated)
		}
		_, err := w.join(s, s.client.Token, newKey(t))
		wantCode(t, "stolen by another key", err, sess.CodeUnauthenticated)
		_, err = w.join(s, s.agent, s.key)
		wantCode(t, "client with the agent's ticket", err, sess.CodeUnauthenticated)
		_, err = w.joinAgent(s, s.client.Token)
		wantCode(t, "agent with the client's ticket", err, sess.CodeUnauthenticated)
		wantCode(t, "no signature", try(s.client.Token, nil), sess.CodeUnauthenticated)
		other := s
		other.id = sess.NewSessionID()
		_, err = w.join(other, s.client.Token, s.key)
		wantCode(t, "signed for another session", err, sess.CodeUnauthenticated)

		// Fresh tickets fence old ones, used or not.
		fresh, err := w.resume(s, s.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.join(s, fresh.Token, s.key); err != nil {
			t.Fatal(err)
		}
		_, err = w.join(s, s.client.Token, s.key)
		wantCode(t, "overtaken", err, sess.CodeExpired)
		late, err := w.resume(s, s.key)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(sess.TicketTTL)
		_, err = w.join(s, late.Token, s.key)
		wantCode(t, "ran out", err, sess.CodeExpired)
	})
}

// Between mint and join the right to a session can go away: locks and policy are looked at again.
func TestRedeemLooksAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) { testRedeemLooksAgain(t, db) })
}

func testRedeemLooksAgain(t *testing.T, db *store.DB) {
	for name, change := range map[string]func(context.Context, *world, *store.Tx) error{
		"login revoked": func(ctx context.Context, w *world, tx *store.Tx) error {
			us := int64(5)
			_, err := tx.RevokeLogin(ctx, w.org, sess.LoginID(w.alice.CredentialID), &us)
			return err
		},
		"user not active": func(ctx context.Context, w *world, tx *store.Tx) error {
			_, err := tx.SetMemberActive(ctx, w.org, w.alice.User, 0)
			return err
		},
		"instance removed": func(ctx context.Context, w *world, tx *store.Tx) error {
			us := int64(5)
			_, err := tx.RemoveInstance(ctx, w.org, w.instance, &us)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, db)
			s := w.start(w.connect())
			fresh, err := w.resume(s, s.key)
			if err != nil {
				t.Fatal(err)
			}
			storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return change(ctx, w, tx) })
			_, err = w.join(s, fresh.Token, s.key)
			wantCode(t, "join", err, sess.CodeDenied)
			_, err = w.resume(s, s.key)
			wantCode(t, "resume", err, sess.CodeDenied)
		})
	}
}

// Only the agent's join opens an epoch; what is reported of an older one changes nothing.
func TestFencing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect().settled()
		s := w.both(a)
		a.send(wire.Control{T: wire.ControlWant, Session: s.id})
		again := a.want(wire.ControlTicket)
		if again.Session != s.id || again.URL != "wss://box.example:8443/v1/stream" {
			t.Fatalf("ticket = %+v", again)
		}
		j, err := w.joinAgent(s, again.Ticket)
		if err != nil || j.Epoch != 2 || j.AgentGen != 2 || j.ClientGen != 1 || j.First {
			t.Fatalf("agent again: %+v, %v", j, err)
		}
		ctx := t.Context()
		for what, err := range map[string]error{
			"present":   w.Present(ctx, w.org, s.id, 1, sess.SideClient, false),
			"exited":    w.Exited(ctx, w.org, s.id, 1, wire.Exit{}),
			"delivered": w.Delivered(ctx, w.org, s.id, 1),
			"failed":    w.Failed(ctx, w.org, s.id, 1, sess.EndTampered, ""),
		} {
			if !errors.Is(err, sess.ErrMoved) || !errors.Is(err, broker.ErrFenced) {
				t.Errorf("%s of epoch 1: %v, want fenced", what, err)
			}
		}
		w.wantState(s.id, sess.StateActive)
		fresh, err := w.resume(s, s.key)
		if err != nil {
			t.Fatal(err)
		}
		if j, err = w.join(s, fresh.Token, s.key); err != nil || j.Epoch != 2 || j.ClientGen != 2 || j.AgentGen != 2 {
			t.Fatalf("client again: %+v, %v", j, err)
		}
		if err := w.Failed(ctx, w.org, s.id, 2, sess.EndTampered, "at byte 5"); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(s.id, sess.EndTampered)
		if f := w.wantCut(s.id); f.Reason != sess.EndTampered {
			t.Errorf("cut with %+v", f)
		}
		if o := a.want(wire.ControlOrder); o.Session != s.id {
			t.Errorf("order = %+v", o)
		}
		if err := w.Present(ctx, w.org, s.id, 2, sess.SideClient, true); !errors.Is(err, sess.ErrEnded) {
			t.Errorf("present after the end: %v, want ended", err)
		}
	})
}

// A session that another node relays is not joined here by its client.
func TestClientJoinsWhereTheAgentIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	s := w.start(w.connect())
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		r, err := tx.LockSession(ctx, w.org, s.id)
		if err != nil {
			return err
		}
		return tx.SaveSession(ctx, store.SaveSessionParams{
			Org: r.Org, ID: r.ID, State: r.State, Credential: r.Credential, CredentialID: r.CredentialID, OwnerKey: r.OwnerKey, Node: "nod_other",
			Epoch: 1, ClientMinted: r.ClientMinted, AgentMinted: r.AgentMinted, AgentRedeemed: 1, Recording: r.Recording,
		})
	})
	_, err := w.join(s, s.client.Token, s.key)
	wantCode(t, "join", err, sess.CodeMoved)
	if n := w.row(s.id).ClientRedeemed; n != 0 {
		t.Errorf("redeemed generation %d, want 0", n)
	}
	w.pass(time.Hour)
	w.tick() // and it is not this node's to end
	w.wantState(s.id, sess.StatePending)
}
