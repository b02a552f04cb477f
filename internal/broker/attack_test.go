package broker_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// recorded runs a session of alice's to its end, with a recording.
func (w *world) recorded(a *agent) session {
	w.t.Helper()
	s := w.both(a)
	w.exited(s, 1, 0)
	how := sess.Recorded{State: sess.RecordingComplete, Bytes: 10, Stored: 10, Digest: "d1", Moved: sess.Traffic{Out: 10}}
	if err := w.Recorded(w.t.Context(), w.org, s.id, how); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// A link to a recording gives no more than its maker could: an admin who is none any more, or is locked, must not go on
// replaying what everybody did by links made in time.
func TestALinkToARecordingEndsWithItsMakersRight(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(w *world){
		"role taken": func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				rows, err := tx.ListGrantsOfUser(ctx, w.org, w.root.User)
				for _, r := range rows {
					if err == nil {
						_, err = tx.TakeRole(ctx, w.org, r.ID)
					}
				}
				if err == nil {
					_, err = tx.CreateGrant(ctx, store.CreateGrantParams{Org: w.org, ID: sess.NewGrantID(), UserID: w.root.User, Role: sess.RoleOperator, CreatedAt: 1})
				}
				return err
			})
		},
		"locked": func(w *world) { w.lock(sess.LockUser, string(w.root.User)) },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db)
				s := w.recorded(w.connect())
				share := func(by sess.Principal) string {
					in := api.RecordingShareIn{Session: string(s.id)}
					in.Body.Everyone = true
					out, err := w.ShareRecording(t.Context(), by, in)
					if err != nil {
						t.Fatal(err)
					}
					return out.ID
				}
				own, admins := share(w.alice), share(w.root)
				open := func(who sess.Principal, id string) error {
					_, err := w.OpenRecordingShare(t.Context(), who, id)
					return err
				}
				for _, id := range []string{own, admins} {
					if err := open(w.bob, id); err != nil {
						t.Fatal(err)
					}
				}
				take(w)
				if err := open(w.bob, own); err != nil {
					t.Errorf("the owner's link: %v", err)
				}
				wantCode(t, "the link of one who was an admin", open(w.bob, admins), sess.CodeNotFound)
				if err := open(w.root, admins); err == nil {
					t.Error("who was an admin replays by a link of their own")
				}
			})
		})
	}
}

// Agents state what sessions took, and both sides where their streams go on. What one claims must not make the sums fail that
// it is part of: those of its organisation, and of the box with all others.
func TestClaimsSpoilNobodysSums(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		for range 3 {
			s := w.both(a)
			w.pass(time.Second)
			exit := wire.Exit{Exit: sess.Exit{CPUMicros: math.MaxInt64, MemPeak: math.MaxInt64}, Finals: []wire.Final{{Channel: wire.ChannelMain}}}
			if err := w.Exited(t.Context(), w.org, s.id, 1, exit); err != nil {
				t.Fatal(err)
			}
			far := sess.Traffic{In: 1 << 62, Out: 1 << 62, Err: 1 << 62}
			if err := w.Recorded(t.Context(), w.org, s.id, sess.Recorded{State: sess.RecordingComplete, Digest: "d", Moved: far}); err != nil {
				t.Fatal(err)
			}
		}
		mine, err := w.Usage(t.Context(), w.root, api.UsageIn{})
		if err != nil {
			t.Errorf("usage of the organisation: %v", err)
		}
		if m := mine.Total; err == nil && (of(m.CPUUS) <= 0 || of(m.CPUUS) > 1<<45 || m.BytesIn <= 0 || m.BytesIn > 1<<50 || of(m.MemPeak) > 1<<50) {
			t.Errorf("believed: %+v", m)
		}
		if _, err := w.BoxUsage(t.Context(), api.UsageIn{By: "org"}); err != nil {
			t.Errorf("usage of the box: %v", err)
		}
	})
}

// The digest with which a recording was closed is evidence: files that were changed since, and looked at again by a server that
// starts, must not put their own in its place.
func TestAClosedRecordingKeepsItsDigest(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := w.recorded(w.connect())
		for range 2 {
			how := sess.Recorded{State: sess.RecordingComplete, Bytes: 10, Stored: 10, Digest: "d2"}
			if err := w.Recorded(t.Context(), w.org, s.id, how); err != nil {
				t.Fatal(err)
			}
		}
		r := w.row(s.id)
		if r.RecDigest != "d1" || r.Recording != sess.RecordingIncomplete || r.RecProblem == "" {
			t.Errorf("digest %s, state %s, problem %q", r.RecDigest, r.Recording, r.RecProblem)
		}
		if n := w.events(s.id, "recording:closed", ""); n != 2 {
			t.Errorf("%d events say how the recording was closed, want the one and that it was altered", n)
		}
	})
}

// Two moderators are two people: one who joins twice is one. Nor does one person use up the numbers that participants have, or
// fill the owner's terminal with questions.
func TestOnePersonIsOneGuest(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := w.both(w.connect())
		join := func(who sess.Principal, role sess.JoinRole) (api.JoinOut, error) {
			var in api.JoinIn
			in.Session = string(s.id)
			in.Body.Role, in.Body.PublicKey = role, newKey(t).public(t)
			return w.Join(t.Context(), who, in)
		}
		here := func(role sess.JoinRole) (n int) {
			out, err := w.Show(t.Context(), w.root, api.SessionRef{Session: string(s.id)})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range out.Participants {
				if p.Role == string(role) && p.LeftAt == nil {
					n++
				}
			}
			return n
		}
		for range 5 {
			if _, err := join(w.root, sess.JoinModerator); err != nil {
				t.Fatal(err)
			}
		}
		if n := here(sess.JoinModerator); n != 1 {
			t.Errorf("one person is %d moderators", n)
		}
		other := w.member(w.org, "second@example.com", sess.RoleAdmin)
		if _, err := join(other, sess.JoinModerator); err != nil {
			t.Fatal(err)
		}
		if n := here(sess.JoinModerator); n != 2 {
			t.Errorf("two people are %d moderators", n)
		}
		helper := w.member(w.org, "helper@example.com", sess.RoleSupport)
		for i := range 10 {
			if _, err := join(helper, sess.JoinObserver); err != nil {
				t.Fatalf("question %d: %v", i, err)
			}
		}
		if n := here(sess.JoinObserver); n != 1 {
			t.Errorf("one person asks %d times at once", n)
		}
		var err error
		for i := 0; err == nil && i < 600; i++ {
			_, err = join(helper, sess.JoinObserver)
		}
		wantCode(t, "asking again and again", err, sess.CodeLimited)
		third := w.member(w.org, fmt.Sprintf("third-%s@example.com", s.id), sess.RoleAdmin)
		if _, err := join(third, sess.JoinModerator); err != nil {
			t.Errorf("somebody else can't come any more: %v", err)
		}
	})
}

// A lock on an address ends what is connected from there, also a guest who came with a ticket that was given elsewhere.
func TestALockOnAnAddressReachesGuestsWhoMoved(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := w.both(w.connect())
		k := newKey(t)
		var in api.JoinIn
		in.Session, in.Body.Role, in.Body.PublicKey = string(s.id), sess.JoinObserver, k.public(t)
		out, err := w.Join(t.Context(), w.root, in)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256([]byte(out.Token))
		elsewhere := netip.MustParseAddr("203.0.113.66")
		_, err = w.Redeem(t.Context(), broker.Redeem{
			Ticket: out.Token, Signature: k.sign(t, wire.JoinMessage(hash[:], s.id, sess.SideClient, serverName)), Addr: elsewhere,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.lock(sess.LockAddress, elsewhere.String()+"/32")
		w.recheck(false)
		w.wantState(s.id, sess.StateActive)
		shown, err := w.Show(t.Context(), w.carol, api.SessionRef{Session: string(s.id)})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range shown.Participants {
			if p.Num > 0 && p.LeftAt == nil {
				t.Errorf("participant %d, who said to be at %s, watches from a locked address", p.Num, p.ClientAddr)
			}
		}
	})
}

// TestAnAgentsLastWordIsCleaned: how a session's processes ended is the agent's word, on its stream as on its control link.
func TestAnAgentsLastWordIsCleaned(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := w.both(w.connect())
		bad := "a\x1b]2;mine\a\u202e\n" + strings.Repeat("x", 1000)
		exit := sess.Exit{Message: bad, Signal: bad, Limits: bad, Reason: sess.EndReason(bad), Left: -5, Programs: &sess.ProgramsSum{Count: -1, Lost: -1, None: bad, Digest: bad}}
		if err := w.Exited(t.Context(), w.org, s.id, 1, wire.Exit{Exit: exit, Finals: []wire.Final{}}); err != nil {
			t.Fatal(err)
		}
		v, err := w.Show(t.Context(), w.alice, api.SessionRef{Session: string(s.id)})
		if err != nil || v.Exit == nil || v.Exit.Programs == nil {
			t.Fatalf("%+v, %v", v.Exit, err)
		}
		x := *v.Exit
		for _, text := range []string{x.Message, x.Signal, x.Limits, string(x.Reason), x.Programs.None, x.Programs.Digest} {
			if strings.ContainsAny(text, "\x1b\a\n\u202e") || len(text) > 600 {
				t.Errorf("kept: %.60q, %d bytes", text, len(text))
			}
		}
		if x.Left < 0 || x.Programs.Count < 0 || x.Programs.Lost < 0 {
			t.Errorf("counted: %+v %+v", x, x.Programs)
		}
	})
}

// TestASharedRecordingThatIsTakenBackIsSentNoFurther: what is being sent by a link ends with the link, as it ends with a lock.
func TestASharedRecordingThatIsTakenBackIsSentNoFurther(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		s := w.recorded(w.connect())
		for name, end := range map[string]func(id string) error{
			"taken back": func(id string) error {
				return w.UnshareRecording(t.Context(), w.alice, api.RecordingShareRef{Session: string(s.id), Share: id})
			},
			"ran out": func(string) error { w.pass(2 * time.Hour); return nil },
		} {
			in := api.RecordingShareIn{Session: string(s.id)}
			in.Body.Everyone, in.Body.TTL = true, 3600
			share, err := w.ShareRecording(t.Context(), w.alice, in)
			if err != nil {
				t.Fatal(err)
			}
			ctx, pass := gate.WithPass(t.Context())
			if _, err := w.OpenRecordingShare(ctx, w.bob, share.ID); err != nil {
				t.Fatal(err)
			}
			if err := w.gate.Still(t.Context(), pass); err != nil {
				t.Errorf("%s: before: %v", name, err)
			}
			if err := end(share.ID); err != nil {
				t.Fatal(err)
			}
			wantCode(t, name, w.gate.Still(t.Context(), pass), sess.CodeNotFound)
		}
	})
}
