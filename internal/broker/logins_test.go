package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// lastUsed gives when a principal's login was used last.
func (w *world) lastUsed(p sess.Principal) time.Time {
	w.t.Helper()
	var l store.Login
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) (err error) {
		l, err = tx.GetLogin(ctx, p.Org, sess.LoginID(p.CredentialID))
		return err
	})
	return store.Time(l.LastUsedAt)
}

// shell starts a session with a terminal and brings both sides in.
func (w *world) shell(a *agent) session {
	w.t.Helper()
	k := newKey(w.t)
	in := startIn(w.t, "web-1", k)
	in.Body.Kind = sess.KindShell
	var err error
	if in.Body.Params, err = sess.EncodeParams(sess.Params{TTY: true, Term: "xterm", Cols: 80, Rows: 24}); err != nil {
		w.t.Fatal(err)
	}
	ticket, err := w.Start(w.t.Context(), w.alice, in)
	if err != nil {
		w.t.Fatal(err)
	}
	s := session{id: ticket.Session, key: k, client: ticket, agent: a.want(wire.ControlOffer).Ticket}
	if _, err := w.join(s, s.client.Token, k); err != nil {
		w.t.Fatal(err)
	}
	w.present(s, 0, sess.SideClient, true)
	if _, err := w.joinAgent(s, s.agent); err != nil {
		w.t.Fatal(err)
	}
	w.present(s, 1, sess.SideAgent, true)
	return s
}

// TestWhoTypesUsesTheirLogin: a login is not over for want of use while its person types in a session; a program's output is no use, and
// nothing revives a login that was over.
func TestWhoTypesUsesTheirLogin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.alice.CredentialID = string(sess.NewLoginID())
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateLogin(ctx, store.CreateLoginParams{
				Org: w.org, ID: sess.LoginID(w.alice.CredentialID), Hash: "h" + w.alice.CredentialID, UserID: w.alice.User, CreatedAt: store.Micros(w.clock()), ExpiresAt: 1 << 60,
			})
		})
		began := w.clock()
		s := w.shell(w.connect())
		minute := func(typing bool) {
			t.Helper()
			if typing {
				w.relay.typing(s.id)
			}
			w.pass(time.Minute + time.Second)
			if typing {
				w.relay.typing(s.id)
			}
			w.tick()
			if err := broker.UseLogins(t.Context(), w.Service); err != nil {
				t.Fatal(err)
			}
		}
		minute(false)
		if at := w.lastUsed(w.alice); !at.Equal(began) {
			t.Errorf("used at %s though nothing was typed", at)
		}
		w.relay.peerTyping(s.id)
		minute(false)
		if at := w.lastUsed(w.alice); !at.Equal(began) {
			t.Errorf("used at %s by what a peer typed", at)
		}
		for range 70 {
			minute(true)
		}
		if at := w.lastUsed(w.alice); at.Before(w.clock().Add(-2 * time.Minute)) {
			t.Errorf("used last %s ago, while somebody typed", w.clock().Sub(at))
		}
		was := w.lastUsed(w.alice)
		w.pass(time.Hour)
		minute(true)
		if at := w.lastUsed(w.alice); !at.Equal(was) {
			t.Errorf("a login that was over is used again: %s", at)
		}
	})
}
