package broker_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// took is a session of the oracle: what its row says.
type took struct {
	store.Session
	tags map[string]string
}

// fill writes n random sessions of an organisation, some of which never began or have not ended.
func (w *world) fill(random *rand.Rand, org sess.OrgID, n int, users []sess.Principal, projects []sess.ProjectID) []took {
	w.t.Helper()
	pick := func(n int) int { return random.IntN(n) }
	var all []took
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		all = all[:0]
		for range n {
			u := users[pick(len(users))]
			i := pick(4)
			x := took{Session: store.Session{
				Org: org, ID: sess.NewSessionID(), Kind: []sess.Kind{sess.KindShell, sess.KindExec}[pick(2)], Instance: sess.InstanceID(fmt.Sprint("ins_", i)),
				InstanceName: fmt.Sprint("web-", i), Project: projects[pick(len(projects))], UserID: u.User, UserName: u.Name, Credential: u.Credential,
				Node: "nod_other", State: sess.StateEnded, Recording: sess.RecordingComplete, Command: "[]", OwnerKey: string(u.User),
				CreatedAt: store.Micros(w.now.AddDate(0, -14, 0)) + random.Int64N(int64(14*30*24*time.Hour/time.Microsecond)),
				CPUMicros: random.Int64N(1 << 40), MemPeak: random.Int64N(1 << 45), BytesIn: random.Int64N(1 << 45), BytesOut: random.Int64N(1 << 45),
				BytesErr: random.Int64N(1 << 30), RecStored: random.Int64N(1 << 40),
			}}
			if pick(3) == 0 { // its agent died
				x.CPUMicros, x.MemPeak = 0, 0
			}
			if pick(10) > 0 {
				started := x.CreatedAt + random.Int64N(1e6)
				x.StartedAt = &started
			}
			if pick(10) > 0 {
				ended := x.CreatedAt + random.Int64N(int64(72*time.Hour/time.Microsecond)) // sometimes, the clock jumped back: before it began
				x.EndedAt = &ended
			} else {
				x.State = sess.StateActive
			}
			for _, name := range []string{"ci.run", "ticket"} {
				if pick(2) == 0 {
					x.tags = map[string]string{name: fmt.Sprint("v", pick(3))}
				}
			}
			if err := insertTook(ctx, tx, x); err != nil {
				return err
			}
			all = append(all, x)
		}
		return nil
	})
	return all
}

func insertTook(ctx context.Context, tx *store.Tx, x took) error {
	if err := tx.InsertSession(ctx, store.InsertSessionParams{
		Org: x.Org, ID: x.ID, Kind: x.Kind, Instance: x.Instance, InstanceName: x.InstanceName, Project: x.Project, UserID: x.UserID,
		UserName: x.UserName, Credential: x.Credential, Node: x.Node, Command: x.Command, OwnerKey: x.OwnerKey, CreatedAt: x.CreatedAt,
	}); err != nil {
		return err
	}
	if err := tx.SaveSession(ctx, store.SaveSessionParams{
		Org: x.Org, ID: x.ID, State: x.State, Credential: x.Credential, OwnerKey: x.OwnerKey, Node: x.Node, StartedAt: x.StartedAt,
		EndedAt: x.EndedAt, Recording: x.Recording,
	}); err != nil {
		return err
	}
	if _, err := tx.SaveRecording(ctx, store.SaveRecordingParams{Org: x.Org, ID: x.ID, Recording: x.Recording, RecStored: x.RecStored}); err != nil {
		return err
	}
	if err := tx.SetSessionSpent(ctx, x.Org, x.ID, x.CPUMicros, x.MemPeak); err != nil {
		return err
	}
	for name, value := range x.tags {
		if err := tx.InsertSessionTag(ctx, store.InsertSessionTagParams{Org: x.Org, Session: x.ID, Name: name, Value: value, CreatedAt: x.CreatedAt}); err != nil {
			return err
		}
	}
	return tx.SetSessionMoved(ctx, store.SetSessionMovedParams{Org: x.Org, ID: x.ID, BytesIn: x.BytesIn, BytesOut: x.BytesOut, BytesErr: x.BytesErr})
}

// sums is the oracle: it adds the rows up one by one.
func sums(all []took, by string, since, until time.Time, sees func(took) bool) (items []api.UsageRow, total api.UsageRow) {
	buckets := map[string]*api.UsageRow{}
	for _, x := range all {
		if x.EndedAt == nil || x.StartedAt == nil || !sees(x) || store.Time(*x.EndedAt).Before(since) || !store.Time(*x.EndedAt).Before(until) {
			continue
		}
		key := map[string]string{
			"user": string(x.UserID), "project": string(x.Project), "instance": string(x.Instance), "kind": string(x.Kind),
			"month": store.Time(*x.EndedAt).UTC().Format("2006-01"),
		}[by]
		if tag, ok := strings.CutPrefix(by, "tag:"); ok {
			key = x.tags[tag]
		}
		if buckets[key] == nil {
			buckets[key] = &api.UsageRow{Key: key}
		}
		for _, r := range []*api.UsageRow{buckets[key], &total} {
			r.Sessions++
			r.WallUS += max(0, *x.EndedAt-*x.StartedAt)
			if x.CPUMicros == 0 && x.MemPeak == 0 {
				r.Unmeasured++
			} else {
				r.CPUUS, r.MemPeak = new(of(r.CPUUS)+x.CPUMicros), new(max(of(r.MemPeak), x.MemPeak))
			}
			r.BytesIn += x.BytesIn
			r.BytesOut += x.BytesOut
			r.BytesErr += x.BytesErr
			r.RecStored += x.RecStored
		}
	}
	for _, r := range buckets {
		items = append(items, *r)
	}
	return items, total
}

func of(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// text gives all of a row, for comparing.
func text(r api.UsageRow) string { return fmt.Sprint(r.Key, " ", r.Name, " ", r.Numbers()) }

// TestUsage: over random rows, every sum agrees with the rows to the byte, for everybody who asks, and nobody is told of more than
// they may see.
func TestUsage(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		two := sess.NewProjectID()
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.CreateProject(ctx, w.org, two, "two", 1); err != nil {
				return err
			}
			for who, role := range map[sess.UserID]sess.Role{w.eve.User: sess.RoleAuditor, w.bob.User: sess.RoleProjectAdmin} {
				if _, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: w.org, ID: sess.NewGrantID(), UserID: who, Role: role, Project: two, CreatedAt: 1}); err != nil {
					return err
				}
			}
			return nil
		})
		projects := []sess.ProjectID{w.project, two, "", "prj_deleted"}
		all := w.fill(random, w.org, 300, []sess.Principal{w.alice, w.bob, w.eve}, projects)
		other, _ := w.newOrg("other " + string(w.node))
		w.fill(random, other, 50, []sess.Principal{w.alice}, projects)

		inTwo := func(who sess.Principal) func(took) bool {
			return func(x took) bool { return x.Project == two || x.UserID == who.User }
		}
		for _, c := range []struct {
			name string
			who  sess.Principal
			sees func(took) bool
		}{
			{"org admin", w.root, func(took) bool { return true }},
			{"project admin", w.bob, inTwo(w.bob)},
			{"project auditor", w.eve, inTwo(w.eve)},
			{"operator", w.alice, func(x took) bool { return x.UserID == w.alice.User }},
			{"read-only", w.carol, func(took) bool { return false }},
		} {
			for _, by := range []string{"user", "project", "instance", "kind", "month", "tag:ci.run", "tag:none"} {
				until := w.now.AddDate(0, 0, -random.IntN(60))
				since := until.AddDate(0, 0, -1-random.IntN(500))
				got, err := w.Usage(t.Context(), c.who, api.UsageIn{By: by, Since: since.Format(time.RFC3339Nano), Until: until.Format(time.RFC3339Nano)})
				if err != nil {
					t.Fatalf("%s by %s: %v", c.name, by, err)
				}
				want, total := sums(all, by, since, until, c.sees)
				wantSums(t, c.name+" by "+by, got, want, total)
			}
		}
		for _, in := range []api.UsageIn{{By: "org"}, {By: "tag:"}, {By: "user", Since: "yesterday"}, {Since: "2026-02-01T00:00:00Z", Until: "2026-01-01T00:00:00Z"}, {By: "month", Since: "1999-01-01T00:00:00Z"}} {
			if _, err := w.Usage(t.Context(), w.root, in); sess.Public(err).Code != sess.CodeInvalid {
				t.Errorf("%+v: %v", in, err)
			}
		}
	})
}

func wantSums(t *testing.T, name string, got api.Usage, want []api.UsageRow, total api.UsageRow) {
	t.Helper()
	items := slices.Clone(got.Items)
	order := func(a, b api.UsageRow) int { return cmp.Compare(a.Key, b.Key) }
	for i := range items {
		items[i].Name = ""
	}
	got.Total.Name = ""
	slices.SortFunc(items, order)
	slices.SortFunc(want, order)
	if !slices.EqualFunc(items, want, func(a, b api.UsageRow) bool { return text(a) == text(b) }) || text(got.Total) != text(total) {
		t.Errorf("%s: got\n\t%+v, in all %s\nwant\n\t%+v, in all %s", name, items, text(got.Total), want, text(total))
	}
}

// The owner of the box sees all organisations, and by default this month.
func TestBoxUsage(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	w := newWorld(t, db)
	random := rand.New(rand.NewPCG(1, 2))
	all := w.fill(random, w.org, 200, []sess.Principal{w.alice}, []sess.ProjectID{w.project})
	other, _ := w.newOrg("other")
	more := w.fill(random, other, 100, []sess.Principal{w.alice}, []sess.ProjectID{w.project})
	first := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	every := func(took) bool { return true }
	got, err := w.BoxUsage(t.Context(), api.UsageIn{})
	if err != nil || len(got.Items) != 2 || got.By != "org" || !got.Since.Equal(first) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, r := range got.Items {
		rows := all
		if r.Key == string(other) {
			rows = more
			if r.Name != "other" {
				t.Errorf("called %q", r.Name)
			}
		}
		_, want := sums(rows, "", first, w.now.Add(time.Microsecond), every)
		want.Key, want.Name = r.Key, r.Name
		if text(r) != text(want) {
			t.Errorf("%s: %s, want %s", r.Key, text(r), text(want))
		}
	}
	months, err := w.BoxUsage(t.Context(), api.UsageIn{By: "month"})
	if err != nil {
		t.Fatal(err)
	}
	want, total := sums(slices.Concat(all, more), "month", time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC), w.now.Add(time.Microsecond), every)
	wantSums(t, "by month", months, want, total)
	if months.Items[0].Key != "2026-11" {
		t.Errorf("the first month is %s", months.Items[0].Key)
	}
}

// Of a recording that expires the bytes are held until its files are gone, and then no more, whichever way it expires; what is held
// by hand stays. The sums follow, and so does a session that only some of a bucket's recordings are left of.
func TestUsageFollowsRetention(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var ids []sess.SessionID
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			for i := range 4 {
				at := store.Micros(w.now.Add(-time.Duration(10-i) * time.Hour))
				x := took{Session: store.Session{
					Org: w.org, ID: sess.NewSessionID(), Kind: sess.KindExec, Instance: "ins_1", Project: w.project, UserID: w.alice.User, UserName: w.alice.Name,
					Credential: w.alice.Credential, Node: w.node, State: sess.StateEnded, Recording: sess.RecordingComplete, Command: "[]", CreatedAt: at,
					StartedAt: &at, EndedAt: new(at + 1), RecStored: 1 << (10 * i),
				}}
				if err := insertTook(ctx, tx, x); err != nil {
					return err
				}
				ids = append(ids, x.ID)
			}
			return nil
		})
		set := func(retention time.Duration, most int64) {
			storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
				st := sess.Settings{RecordingSeconds: int64(retention / time.Second), RecordingBytes: most}
				_, err := tx.SetOrgSettings(ctx, st.Text(), w.org)
				return err
			})
		}
		stored := func(want int64) {
			t.Helper()
			got, err := w.Usage(t.Context(), w.root, api.UsageIn{Since: w.now.AddDate(-1, 0, 0).Format(time.RFC3339Nano)})
			if err != nil || got.Total.RecStored != want || got.Total.Sessions != 4 {
				t.Errorf("%+v, %v, want %d bytes", got.Total, err, want)
			}
			list, err := w.List(t.Context(), w.root, api.SessionsIn{State: "all"})
			var sum int64
			for _, x := range list.Items {
				sum += x.RecordingBytes
			}
			if err != nil || sum != want {
				t.Errorf("the rows say %d, %v, want %d", sum, err, want)
			}
		}
		var gone []sess.SessionID
		var stuck error
		clear := func() error {
			return broker.ClearOld(t.Context(), w.Service, func(_ sess.OrgID, id sess.SessionID) error {
				if stuck == nil {
					gone = append(gone, id)
				}
				return stuck
			})
		}
		if _, err := w.HoldRecording(t.Context(), w.root, holdOf(ids[1])); err != nil {
			t.Fatal(err)
		}
		stored(1 + 1<<10 + 1<<20 + 1<<30)
		set(0, 1<<30+1<<20+1<<10) // by size: the oldest is one byte too many
		stuck = errors.New("the disk is away")
		if err := clear(); err == nil {
			t.Error("that files could not be deleted is said by nobody")
		}
		stored(1 + 1<<10 + 1<<20 + 1<<30) // they are there still
		stuck = nil
		if err := clear(); err != nil {
			t.Error(err)
		}
		stored(1<<10 + 1<<20 + 1<<30)
		set(8*time.Hour-time.Minute, 0) // by age: the third, too; the second is held
		if err := clear(); err != nil {
			t.Error(err)
		}
		stored(1<<10 + 1<<30)
		set(time.Second, 0)
		if err := clear(); err != nil {
			t.Error(err)
		}
		stored(1 << 10)
		if _, err := w.ReleaseRecording(t.Context(), w.root, api.SessionRef{Session: string(ids[1])}); err != nil {
			t.Fatal(err)
		}
		if err := clear(); err != nil {
			t.Error(err)
		}
		stored(0)
		if want := []sess.SessionID{ids[0], ids[2], ids[3], ids[1]}; !slices.Equal(gone, want) {
			t.Errorf("files of %v were deleted, want %v", gone, want)
		}
	})
}

func holdOf(id sess.SessionID) (in api.HoldIn) {
	in.Session, in.Body.Reason = string(id), "case 12"
	return in
}
