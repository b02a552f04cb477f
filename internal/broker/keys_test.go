package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// byKey has alice come by an API key that is valid for a while, from some addresses.
func (w *world) byKey(life time.Duration, from string) sess.KeyID {
	w.t.Helper()
	id := sess.NewKeyID()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateAPIKey(ctx, store.CreateAPIKeyParams{
			Org: w.org, ID: id, Hash: string(id), UserID: w.alice.User, CreatedAt: 1, ExpiresAt: store.Micros(w.clock().Add(life)), Addresses: from,
		})
	})
	w.alice.Credential, w.alice.CredentialID = sess.CredentialKey, string(id)
	return id
}

// What an API key started ends when the key runs out, within a tick, whether somebody is connected or not, and only that.
func TestKeyRunsOut(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		byLogin := w.both(a)
		w.byKey(time.Hour, "")
		s := w.both(a)
		w.pass(59 * time.Minute)
		w.tick()
		w.wantState(s.id, sess.StateActive)
		w.pass(2 * time.Minute)
		w.tick()
		w.wantEnd(s.id, sess.EndRevoked)
		w.wantState(byLogin.id, sess.StateActive)
		_, err := w.resume(s, s.key)
		wantCode(t, "resume", err, sess.CodeEnded)
	})
}

// A key that another server deleted is noticed, too.
func TestKeyDeletedElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	id := w.byKey(time.Hour, "")
	s := w.both(w.connect())
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		now := store.Micros(w.clock())
		_, err := tx.RevokeAPIKey(ctx, w.org, id, &now)
		return err
	})
	w.tick()
	w.wantEnd(s.id, sess.EndRevoked)
}

// Joining and resuming look again at the key: whether it counts at this moment, and from this address.
func TestKeyIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	w.byKey(time.Hour, addr.String()+" 10.0.0.0/8")
	s := w.both(a)
	if _, err := w.resume(s, s.key); err != nil {
		t.Fatalf("resume from an address of the list: %v", err)
	}
	w.byKey(time.Hour, "10.0.0.0/8")
	elsewhere := w.start(a)
	_, err := w.join(elsewhere, elsewhere.client.Token, elsewhere.key)
	wantCode(t, "join from another address", err, sess.CodeDenied)
	_, err = w.resume(elsewhere, elsewhere.key)
	wantCode(t, "resume from another address", err, sess.CodeDenied)
	w.byKey(time.Minute, "")
	late := w.start(a)
	w.pass(2 * time.Minute)
	_, err = w.join(late, late.client.Token, late.key)
	wantCode(t, "join by a key that ran out", err, sess.CodeDenied)
}
