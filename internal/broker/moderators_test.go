package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func (w *world) moderated(s session, lacking int) {
	w.t.Helper()
	if err := w.Moderated(w.t.Context(), w.org, s.id, lacking); err != nil {
		w.t.Fatal(err)
	}
}

// owner brings a session's owner back to a server that began anew.
func (w *world) owner(s session) {
	w.t.Helper()
	ticket, err := w.resume(s, s.key)
	if err == nil {
		_, err = w.join(s, ticket.Token, s.key)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.present(s, 1, sess.SideClient, true)
}

// TestUnmoderated: for how long a session stands still is counted from when it began to, whatever the server does meanwhile.
func TestUnmoderated(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.limit("watched", sess.Controls{Moderators: 2, ModeratorWaitSeconds: 50})
		s := w.both(w.connect())
		w.moderated(s, 2)
		w.wantNotice(s.id, "waiting for 2 moderators", "sessctl join "+string(s.id)+" --moderate", "ends in 50s without")
		w.pass(20 * time.Second)
		w.moderated(s, 1)
		w.wantNotice(s.id, "waiting for a moderator", "ends in 30s without")
		w.boot()
		w.owner(s)
		w.moderated(s, 1) // the relay of the next server does not know
		w.wantNotice(s.id, "ends in 30s without")
		w.pass(25 * time.Second)
		w.tick()
		if r := w.row(s.id); r.State == sess.StateEnded {
			t.Fatalf("it ended before its time: %s", r.EndReason)
		}
		w.moderated(s, 0)
		w.wantNotice(s.id, "the session goes on")
		w.moderated(s, 0)
		w.wantNoNotice()
		w.pass(10 * time.Second)
		w.moderated(s, 1) // it ran for a while: the time begins anew
		w.wantNotice(s.id, "ends in 50s without")
		w.pass(49 * time.Second)
		w.boot() // a server that begins leaves moderators the time to come back
		w.owner(s)
		w.pass(time.Second)
		w.tick()
		w.pass(48 * time.Second)
		w.tick()
		if r := w.row(s.id); r.State == sess.StateEnded {
			t.Fatalf("it ended (%s) before moderators could come back", r.EndReason)
		}
		w.pass(time.Second)
		w.tick()
		w.wantEnd(s.id, sess.EndUnmoderated)
		if p, c := w.events(s.id, policy.SessionPaused, ""), w.events(s.id, policy.SessionContinued, ""); p != 2 || c != 1 {
			t.Errorf("%d times paused, %d continued, want 2 and 1", p, c)
		}
	})
}

// TestModeratorLeaves: a role says whether a session stands still or ends when a moderator leaves whom it needs, and for how long
// it stands still.
func TestModeratorLeaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		controls  sess.Controls
		onPurpose bool
		ends      bool          // at once
		after     time.Duration // else
	}{
		"it stands still":            {sess.Controls{Moderators: 1}, true, false, 10 * time.Minute},
		"for as long as a role says": {sess.Controls{Moderators: 1, ModeratorWaitSeconds: 30}, true, false, 30 * time.Second},
		"it ends":                    {sess.Controls{Moderators: 1, EndUnmoderated: true}, true, true, 0},
		"their line is cut":          {sess.Controls{Moderators: 1, EndUnmoderated: true}, false, false, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db)
				w.limit("watched", c.controls)
				s := w.both(w.connect())
				w.moderated(s, 1)
				w.pass(20 * time.Second)
				w.tick()
				v := w.visit(w.root, s, sess.JoinModerator)
				w.moderated(s, 0)
				w.pass(time.Hour)
				w.tick()
				w.wantState(s.id, sess.StateActive)
				w.quiet()
				w.moderated(s, 1) // the relay says so first
				w.leave(v, c.onPurpose)
				if c.ends {
					w.wantEnd(s.id, sess.EndUnmoderated)
					return
				}
				w.pass(c.after - time.Second)
				w.tick()
				w.wantState(s.id, sess.StateActive)
				w.pass(time.Second)
				w.tick()
				w.wantEnd(s.id, sess.EndUnmoderated)
			})
		})
	}
}

// TestModeratorIsPutOut: to put the moderator out whom a session needs is to end it, where a role says that it ends.
func TestModeratorIsPutOut(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.limit("watched", sess.Controls{Moderators: 1, EndUnmoderated: true})
		s := w.both(w.connect())
		w.moderated(s, 1)
		w.share(s, w.bob, sess.JoinModerator, time.Hour)
		w.visit(w.root, s, sess.JoinModerator)
		w.moderated(s, 0)
		w.visit(w.bob, s, sess.JoinModerator)
		kick := func(who sess.Principal) {
			var in api.KickIn
			in.Session, in.Body.Who = string(s.id), who.Name
			if _, err := w.Kick(t.Context(), w.alice, in); err != nil {
				t.Fatal(err)
			}
		}
		kick(w.bob)
		w.wantState(s.id, sess.StateActive) // there is another
		kick(w.root)
		w.wantEnd(s.id, sess.EndUnmoderated)
	})
}

// TestModeratorsLeaveInTheSameInstant: where a session needs two who moderate it and both go before either is counted, it ends as it
// does when one goes.
func TestModeratorsLeaveInTheSameInstant(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.limit("watched", sess.Controls{Moderators: 2, EndUnmoderated: true})
		s := w.both(w.connect())
		w.moderated(s, 2)
		w.share(s, w.bob, sess.JoinModerator, time.Hour)
		one, two := w.visit(w.root, s, sess.JoinModerator), w.visit(w.bob, s, sess.JoinModerator)
		w.moderated(s, 0)
		w.moderated(s, 2)
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { // the other's row is written, and its owner not heard yet
			p, err := tx.GetParticipant(ctx, w.org, s.id, int64(two.joined.Participant))
			if err != nil {
				return err
			}
			now := store.Micros(w.clock())
			return tx.SaveParticipant(ctx, store.SaveParticipantParams{
				Org: p.Org, Session: p.Session, Num: p.Num, JoinedAt: p.JoinedAt, LeftAt: &now, LeftReason: "left", Minted: p.Minted,
				Redeemed: p.Redeemed, AnsweredAt: p.AnsweredAt, HereAt: p.HereAt, AwayAt: p.AwayAt, ClientAddr: p.ClientAddr,
			})
		})
		w.leave(one, true)
		w.wantEnd(s.id, sess.EndUnmoderated)
	})
}
