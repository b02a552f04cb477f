package broker_test

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// lock puts a lock as identity does: with the counter of the organisation's rules.
func (w *world) lock(kind sess.LockKind, target string) sess.LockID {
	w.t.Helper()
	id := sess.NewLockID()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertLock(ctx, store.InsertLockParams{
			Org: w.org, ID: id, Kind: kind, Target: target, Name: "it", OrgWide: 1, Reason: "INC-7", MadeBy: "ann", CreatedAt: 1,
		})
	})
	return id
}

// A lock ends what it is on, with its reason, and bars the way back in, tickets in flight too; lifted, sessions begin again.
func TestLocksEndAndBar(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   sess.LockKind
		target func(w *world) string
		spares bool // bob's session on the same instance
	}{
		"user": {sess.LockUser, func(w *world) string { return string(w.alice.User) }, true},
		"group": {sess.LockGroup, func(w *world) string {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.AddTeam(ctx, w.org, dba, "dba", 1); err != nil {
					return err
				}
				_, err := tx.PutTeamMember(ctx, w.org, dba, w.alice.User, "hand")
				return err
			})
			return string(dba)
		}, true},
		"instance":     {sess.LockInstance, func(w *world) string { return string(w.instance) }, false},
		"project":      {sess.LockProject, func(w *world) string { return string(w.project) }, false},
		"organisation": {sess.LockOrg, func(w *world) string { return string(w.org) }, false},
		"address":      {sess.LockAddress, func(*world) string { return addr.String() + "/32" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db)
				a := w.connect()
				s, pending := w.both(a), w.start(a)
				alice := w.alice
				w.alice = w.bob
				other := w.both(a)
				w.alice = alice
				id := w.lock(c.kind, c.target(w))
				_, err := w.join(pending, pending.client.Token, pending.key)
				wantCode(t, "a ticket in flight", err, sess.CodeLocked)
				w.recheck(false)
				w.wantEnd(s.id, sess.EndLocked)
				w.wantEnd(pending.id, sess.EndLocked)
				if m := w.row(s.id).EndMessage; !strings.Contains(m, "is locked: INC-7") {
					t.Errorf("the record says %q", m)
				}
				if c.spares {
					w.wantState(other.id, sess.StateActive)
				} else {
					w.wantEnd(other.id, sess.EndLocked)
				}
				_, err = w.resume(s, s.key)
				wantCode(t, "resume", err, sess.CodeLocked)
				_, err = w.Start(t.Context(), w.alice, startIn(t, "web-1", newKey(t)))
				wantCode(t, "start", err, sess.CodeLocked)
				w.change(func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.DeleteLock(ctx, w.org, id)
					return err
				})
				if _, err := w.Start(t.Context(), w.alice, startIn(t, "web-1", newKey(t))); err != nil {
					t.Errorf("start after the lock was lifted: %v", err)
				}
			})
		})
	}
}

// A lock on an address ends what is connected from there now, though it was started from elsewhere.
func TestLockOfTheAddressOneCameFromLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	s := w.both(w.connect())
	moved := netip.MustParseAddr("198.51.100.7")
	ticket, err := w.resume(s, s.key)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(ticket.Token))
	if _, err := w.Redeem(t.Context(), broker.Redeem{
		Ticket: ticket.Token, Signature: s.key.sign(t, wire.JoinMessage(hash[:], s.id, sess.SideClient, serverName)), Addr: moved,
	}); err != nil {
		t.Fatal(err)
	}
	w.lock(sess.LockAddress, moved.String()+"/32")
	w.recheck(false)
	w.wantEnd(s.id, sess.EndLocked)
}

// What was decided before a change and is committed after the first look at it is found by the second.
func TestSecondLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	visible := func(node sess.NodeID) {
		storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
			r, err := tx.LockSession(ctx, w.org, s.id)
			if err != nil {
				return err
			}
			r.Node = node
			return broker.Save(ctx, tx, &r)
		})
	}
	w.start(a) // so that the organisation is looked at
	visible("nod_other")
	w.lock(sess.LockUser, string(w.alice.User))
	w.recheck(false)
	visible(w.node)
	w.recheck(false)
	w.wantState(s.id, sess.StateActive)
	w.pass(time.Second)
	w.recheck(false)
	w.wantEnd(s.id, sess.EndLocked)
}

// TestLockWhileTheAgentIsAway: it is told of the end when it is back, whether it says what it runs, asks for a way in, or comes with a ticket
// that was on its way.
func TestLockWhileTheAgentIsAway(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s := w.both(a)
		a.send(wire.Control{T: wire.ControlWant, Session: s.id})
		ticket := a.want(wire.ControlTicket).Ticket
		w.present(s, 1, sess.SideAgent, false)
		a.close()
		// While it says hello: what it should be running was looked up before the lock.
		late := w.dial(lists(s.id))
		w.lock(sess.LockInstance, string(w.instance))
		w.recheck(false)
		w.wantEnd(s.id, sess.EndLocked)
		late.close()

		back := w.connect(lists(s.id))
		if m := back.want(wire.ControlEnded); m.Session != s.id {
			t.Errorf("told of %s", m.Session)
		}
		back.send(wire.Control{T: wire.ControlWant, Session: s.id})
		back.want(wire.ControlEnded)
		_, err := w.joinAgent(s, ticket)
		wantCode(t, "the agent's ticket", err, sess.CodeEnded)
	})
}
