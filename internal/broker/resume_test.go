package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// The session's key, and nothing else, gets a fresh ticket; each signature serves once.
func TestResume(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := w.both(w.connect())
		fresh, err := w.resume(s, s.key)
		if err != nil {
			t.Fatal(err)
		}
		if fresh.Session != s.id || fresh.Exit != nil || fresh.Params != nil || fresh.Token == s.client.Token {
			t.Fatalf("ticket = %+v", fresh)
		}
		if j, err := w.join(s, fresh.Token, s.key); err != nil || j.First || j.ClientGen != 2 {
			t.Fatalf("join: %+v, %v", j, err)
		}
		_, err = w.resume(s, newKey(t))
		wantCode(t, "another key", err, sess.CodeUnauthenticated)
		other := s
		other.id = sess.NewSessionID()
		_, err = w.resume(other, s.key)
		wantCode(t, "another session", err, sess.CodeUnauthenticated)

		var in api.ResumeIn
		in.Session, in.Body.Nonce = string(s.id), []byte("0123456789abcdef")
		in.Body.Signature = s.key.sign(t, wire.SignedMessage(wire.PurposeResume, []byte(s.id), in.Body.Nonce, []byte(serverName)))
		if _, err := w.Resume(t.Context(), sess.Principal{Addr: addr}, in); err != nil {
			t.Fatal(err)
		}
		_, err = w.Resume(t.Context(), sess.Principal{Addr: addr}, in)
		wantCode(t, "sent twice", err, sess.CodeUnauthenticated)
		in.Body.Signature = s.key.sign(t, wire.SignedMessage(wire.PurposeResume, []byte(s.id), in.Body.Nonce, []byte("evil.example")))
		_, err = w.Resume(t.Context(), sess.Principal{Addr: addr}, in)
		wantCode(t, "signed for another server", err, sess.CodeUnauthenticated)
		in.Body.Nonce = in.Body.Nonce[:15]
		_, err = w.Resume(t.Context(), sess.Principal{Addr: addr}, in)
		wantCode(t, "short nonce", err, sess.CodeInvalid)
	})
}

// attach brings a new key, which takes the session over when it is used; the key before it resumes nothing from then on.
func TestAttachTakesOver(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := w.both(w.connect())
		laptop := w.alice
		laptop.CredentialID = string(sess.NewLoginID())
		w.login(laptop)
		k := newKey(t)
		ticket, err := w.attach(laptop, s, k)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := sess.DecodeParams(ticket.Kind, ticket.Params); err != nil || strings.Join(p.Argv, " ") != "uptime -p" {
			t.Fatalf("params = %+v, %v", p, err)
		}
		before, err := w.resume(s, s.key) // nothing has changed by the mint alone
		if err != nil {
			t.Fatalf("resume before the takeover: %v", err)
		}
		_, err = w.join(s, ticket.Token, s.key)
		wantCode(t, "old key with the new ticket", err, sess.CodeUnauthenticated)
		j, err := w.join(s, ticket.Token, k)
		if err != nil || !j.Takeover || j.First || j.ClientGen != 2 {
			t.Fatalf("takeover: %+v, %v", j, err)
		}
		_, err = w.join(s, before.Token, s.key)
		wantCode(t, "old client with a newer ticket", err, sess.CodeSuperseded)
		_, err = w.resume(s, s.key)
		if e := wantCode(t, "old client resumes", err, sess.CodeSuperseded); !strings.Contains(e.Hint, "sessctl attach") {
			t.Errorf("hint %q", e.Hint)
		}
		if _, err := w.resume(s, k); err != nil {
			t.Errorf("new client resumes: %v", err)
		}
		// It hangs on the login that took it over now.
		if err := w.OnCredentialRevoked(t.Context(), w.org, w.alice.CredentialID); err != nil {
			t.Fatal(err)
		}
		w.wantState(s.id, sess.StateActive)
		if err := w.OnCredentialRevoked(t.Context(), w.org, laptop.CredentialID); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(s.id, sess.EndRevoked)
	})
}

// Nobody takes over what is somebody else's, an admin included.
func TestAttachOwnOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	s := w.both(w.connect())
	for who, want := range map[*sess.Principal]sess.Code{
		&w.bob: sess.CodeNotFound, &w.root: sess.CodeDenied, &w.carol: sess.CodeDenied, &w.eve: sess.CodeDenied,
	} {
		_, err := w.attach(*who, s, newKey(t))
		wantCode(t, who.Name, err, want)
	}
	mallory := w.member(first(w.newOrg("other")), "mallory@example.com", sess.RoleAdmin)
	_, err := w.attach(mallory, s, newKey(t))
	wantCode(t, "another org", err, sess.CodeNotFound)
}

// What ended by itself can be fetched until it was delivered or its grace is over; who comes later is told how it ended.
func TestFetchAfterExit(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s := w.both(a)
		w.present(s, 1, sess.SideClient, false)
		w.exited(s, 1, 3)
		w.wantEnd(s.id, sess.EndExit)
		fresh, err := w.resume(s, s.key)
		if err != nil || fresh.Exit == nil || fresh.Exit.Status != 3 {
			t.Fatalf("resume: %+v, %v", fresh, err)
		}
		if j, err := w.join(s, fresh.Token, s.key); err != nil || !j.Ended {
			t.Fatalf("join: %+v, %v", j, err)
		}
		w.present(s, 1, sess.SideClient, true)
		a.send(wire.Control{T: wire.ControlWant, Session: s.id})
		a.want(wire.ControlTicket)
		if _, err := w.attach(w.alice, s, newKey(t)); err != nil {
			t.Errorf("attach: %v", err)
		}
		if err := w.Delivered(t.Context(), w.org, s.id, 1); err != nil {
			t.Fatal(err)
		}
		_, err = w.resume(s, s.key)
		if e := wantCode(t, "delivered", err, sess.CodeEnded); !strings.Contains(e.Message, "status 3") || e.Hint == "" {
			t.Errorf("%+v", e)
		}
		a.send(wire.Control{T: wire.ControlWant, Session: s.id})
		a.want(wire.ControlEnded)

		s = w.both(a)
		w.exited(s, 1, 4)
		w.tick()
		w.wantNoCut()
		w.pass(time.Minute)
		w.tick()
		if f := w.wantCut(s.id); f.Reason != sess.EndExit || f.Exit == nil || f.Exit.Status != 4 {
			t.Errorf("cut with %+v", f)
		}
		a.want(wire.ControlEnded)
		_, err = w.resume(s, s.key)
		wantCode(t, "too late", err, sess.CodeEnded)
		w.wantEnd(s.id, sess.EndExit)
	})
}

// An agent that died with output nobody had fetched: who waits for it is told at once.
func TestTailLostWithAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	w.exited(s, 1, 3)
	w.present(s, 1, sess.SideAgent, false)
	a.close()
	w.tick()
	w.wantNoCut() // it may come back
	if _, err := w.resume(s, s.key); err != nil {
		t.Errorf("resume while the agent is away: %v", err)
	}
	w.connect(boot("boo_2"))
	_, err := w.resume(s, s.key)
	wantCode(t, "resume", err, sess.CodeEnded)
	w.tick()
	if f := w.wantCut(s.id); f.Exit == nil || f.Exit.Status != 3 {
		t.Errorf("cut with %+v", f)
	}
}

// Tickets, nonces and parameters do not pile up, and living sessions lose nothing.
func TestPurge(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		over, live := w.both(a), w.both(a)
		if _, err := w.resume(over, over.key); err != nil {
			t.Fatal(err)
		}
		w.exited(over, 1, 0)
		w.pass(2 * time.Hour)
		fresh, err := w.resume(live, live.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.purge(); err != nil {
			t.Fatal(err)
		}
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.GetSessionParams(ctx, w.org, over.id); err == nil {
				t.Error("parameters of an old session are kept")
			}
			if _, err := tx.GetSessionParams(ctx, w.org, live.id); err != nil {
				t.Errorf("parameters of a living session: %v", err)
			}
			if _, err := tx.GetTicketByHash(ctx, sess.HashToken(live.client.Token)); err == nil {
				t.Error("an old ticket is kept")
			}
			return nil
		})
		if _, err := w.join(live, fresh.Token, live.key); err != nil {
			t.Errorf("join: %v", err)
		}
	})
}
