package broker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func ids(l api.SessionList) []sess.SessionID {
	var out []sess.SessionID
	for _, x := range l.Items {
		out = append(out, x.ID)
	}
	return out
}

// Everyone sees what is theirs to see, newest first, page by page.
func TestList(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		var all []sess.SessionID // newest first
		alice := w.alice
		for i, who := range []sess.Principal{alice, w.bob, alice, w.bob, alice} {
			w.pass(time.Second)
			w.alice = who
			s := w.both(a)
			all = slices.Insert(all, 0, s.id)
			if i == 0 {
				w.exited(s, 1, 0)
			}
		}
		w.alice = alice
		mine, running := []sess.SessionID{all[0], all[2], all[4]}, all[:4]
		// Somebody who has a role in one project only.
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateGrant(ctx, store.CreateGrantParams{
				Org: w.org, ID: sess.NewGrantID(), UserID: w.eve.User, Role: sess.RoleAuditor, Project: w.project, CreatedAt: 1,
			})
			return err
		})
		mallory := w.member(first(w.newOrg("other "+string(w.node))), "mallory@example.com", sess.RoleAdmin)
		for _, c := range []struct {
			name string
			who  sess.Principal
			in   api.SessionsIn
			want []sess.SessionID
		}{
			{"own", w.alice, api.SessionsIn{State: "all"}, mine},
			{"own, live", w.alice, api.SessionsIn{}, mine[:2]},
			{"everything", w.root, api.SessionsIn{State: "all"}, all},
			{"live", w.carol, api.SessionsIn{State: "live"}, running},
			{"ended", w.root, api.SessionsIn{State: "ended"}, all[4:]},
			{"of a project", w.eve, api.SessionsIn{State: "all"}, all},
			{"mine, of an admin", w.root, api.SessionsIn{State: "all", Mine: true}, nil},
			{"of a user", w.root, api.SessionsIn{State: "all", User: "alice@example.com"}, mine},
			{"of an instance", w.root, api.SessionsIn{State: "all", Instance: "web-1"}, all},
			{"of an instance's id", w.root, api.SessionsIn{State: "all", Instance: string(w.instance)}, all},
			{"of another instance", w.root, api.SessionsIn{State: "all", Instance: "web-2"}, nil},
			{"by prefix", w.root, api.SessionsIn{State: "all", Prefix: string(all[1][:14])}, all[1:2]},
			{"by a prefix no id has", w.root, api.SessionsIn{State: "all", Prefix: "%"}, nil},
			{"of another org", mallory, api.SessionsIn{State: "all"}, nil},
		} {
			got, err := w.List(t.Context(), c.who, c.in)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			} else if !slices.Equal(ids(got), c.want) {
				t.Errorf("%s: %v, want %v", c.name, ids(got), c.want)
			}
		}
		slip := api.SessionsIn{State: "all", User: "alcie@example.com"}
		_, err := w.List(t.Context(), w.root, slip)
		wantCode(t, "of nobody", err, sess.CodeNotFound)
		if got, err := w.List(t.Context(), w.alice, slip); err != nil || len(got.Items) != 0 { // who sees no users is not told who there is
			t.Errorf("of nobody, by an operator: %+v, %v", got, err)
		}
		var paged []sess.SessionID
		in := api.SessionsIn{State: "all"}
		in.Limit = 2
		for range 5 {
			l, err := w.List(t.Context(), w.root, in)
			if err != nil {
				t.Fatal(err)
			}
			paged = append(paged, ids(l)...)
			if in.After = l.Next; l.Next == "" {
				break
			}
		}
		if !slices.Equal(paged, all) {
			t.Errorf("pages give %v, want %v", paged, all)
		}
		in.After = "nonsense"
		_, err = w.List(t.Context(), w.root, in)
		wantCode(t, "bad cursor", err, sess.CodeInvalid)

		recs, err := w.Recordings(t.Context(), w.alice, api.RecordingsIn{})
		if err != nil || len(recs.Items) != 3 || recs.Items[0].Session != all[0] || recs.Items[0].State != sess.RecordingActive {
			t.Errorf("recordings = %+v, %v", recs, err)
		}
		ref := api.SessionRef{Session: string(all[1])} // bob's
		for who, want := range map[*sess.Principal]sess.Code{&w.alice: sess.CodeNotFound, &mallory: sess.CodeNotFound} {
			_, err := w.Show(t.Context(), *who, ref)
			wantCode(t, "show", err, want)
			_, err = w.Recording(t.Context(), *who, ref)
			wantCode(t, "recording", err, want)
			_, err = w.Replay(t.Context(), *who, ref)
			wantCode(t, "replay", err, want)
		}
		_, err = w.Replay(t.Context(), w.carol, ref)
		wantCode(t, "replay by read-only", err, sess.CodeDenied)
		if _, err := w.Replay(t.Context(), w.root, ref); err != nil {
			t.Error(err)
		}
		if n := w.events(all[1], policy.RecordingReplay, "allowed"); n != 1 {
			t.Errorf("%d replays in the log, want 1", n)
		}
	})
}

// A session that never ran has no recording to show.
func TestNoRecording(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	s := w.start(w.connect())
	_, err := w.Recording(t.Context(), w.alice, api.SessionRef{Session: string(s.id)})
	wantCode(t, "recording", err, sess.CodeNotFound)
}
