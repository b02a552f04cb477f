package broker_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// firstPage is what the first page of the history may take, by far: the target is 50 ms.
const firstPage = 250 * time.Millisecond

// BenchmarkHistory asks for the first page of a million past sessions, for somebody who sees all of them and for those who see
// few: 20 of a project, 10 of their own, 100 that a policy shows by the label of their instance. The time has the event of the
// look in it, which every look at the list writes.
func BenchmarkHistory(b *testing.B) {
	for name, open := range map[string]func(testing.TB) (*store.DB, *sql.DB){"sqlite": onSQLite, "postgres": onPostgres} {
		b.Run(name, func(b *testing.B) {
			db, raw := open(b)
			h := newHistory(b, db, raw, 1_000_000)
			h.real = true
			for _, questions := range []func() []question{h.questions, h.byPolicy} {
				for _, c := range questions() {
					b.Run(c.name, func(b *testing.B) { h.first(b, c) })
				}
			}
		})
	}
}

func (h *history) first(b *testing.B, c question) {
	var longest time.Duration
	for b.Loop() {
		began := time.Now()
		got, err := h.List(b.Context(), c.who, c.in)
		longest = max(longest, time.Since(began))
		if err != nil || len(got.Items) != c.want && c.want >= 0 {
			b.Fatalf("%d sessions, want %d, %v", len(got.Items), c.want, err)
		}
	}
	b.ReportMetric(float64(longest.Microseconds())/1000, "max-ms")
	if mean := b.Elapsed() / time.Duration(max(1, b.N)); mean > firstPage {
		b.Errorf("%v a page", mean)
	}
}

// TestHistory asks the same of fewer sessions, and goes through all pages: each row once.
func TestHistory(t *testing.T) {
	for name, open := range map[string]func(testing.TB) (*store.DB, *sql.DB){"sqlite": onSQLite, "postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			db, raw := open(t)
			h := newHistory(t, db, raw, 2_000)
			for _, c := range append(h.questions(), h.byPolicy()...) {
				seen, in, pages := map[sess.SessionID]bool{}, c.in, 0
				for {
					got, err := h.List(t.Context(), c.who, in)
					if err != nil {
						t.Fatalf("%s: %v", c.name, err)
					}
					for _, x := range got.Items {
						if seen[x.ID] {
							t.Errorf("%s: %s twice", c.name, x.ID)
						}
						seen[x.ID] = true
					}
					if pages++; got.Next == "" {
						break
					}
					in.After = got.Next
				}
				if len(seen) != c.all {
					t.Errorf("%s: %d in %d pages, want %d", c.name, len(seen), pages, c.all)
				}
			}
		})
	}
}

// history is a broker on a database with many sessions.
type history struct {
	*world

	n                          int
	few, labelled              sess.Principal
	rare, plenty               sess.ProjectID
	rareInstance, labelledInst sess.InstanceID
}

type question struct {
	name string
	who  sess.Principal
	in   api.SessionsIn
	want int // on the first page; -1: a page may come back short
	all  int
}

func (h *history) questions() []question {
	full, every := api.DefaultPage, func(k int) int { return h.n / k }
	return []question{
		{"org admin", h.root, api.SessionsIn{State: "all"}, full, h.n},
		{"org admin, ended", h.root, api.SessionsIn{State: "ended"}, full, h.n - every(h.n/10)},
		{"org admin, live", h.root, api.SessionsIn{}, 10, 10},
		{"org admin, of a user", h.root, api.SessionsIn{State: "all", User: "bob@example.com"}, 10, 10},
		{"org admin, on an instance", h.root, api.SessionsIn{State: "all", Instance: "rare"}, 20, 20},
		{"org admin, in a project", h.root, api.SessionsIn{State: "all", Project: "rare"}, 20, 20},
		{"org admin, by label", h.root, api.SessionsIn{State: "all", Label: []string{"tier=gold"}}, full, 100},
		{"org admin, by a rare tag", h.root, api.SessionsIn{State: "all", Tag: "ticket=rare"}, 20, 20},
		{"org admin, by a common tag", h.root, api.SessionsIn{State: "all", Tag: "ci=nightly"}, full, h.n / 10},
		{"org admin, live, by a common tag", h.root, api.SessionsIn{Tag: "ci=nightly"}, 0, 0},
		{"org admin, by a tag that nothing has", h.root, api.SessionsIn{State: "all", Tag: "ticket=none"}, 0, 0},
		{"org admin, of a kind", h.root, api.SessionsIn{State: "all", Kind: sess.KindShell}, full, h.n - 20 - 100},
		{"admin of a project with few", h.few, api.SessionsIn{State: "all"}, 20, 20},
		{"admin of a project with few, live", h.few, api.SessionsIn{}, 0, 0},
		{"operator, their own", h.bob, api.SessionsIn{State: "all"}, 10, 10},
	}
}

// byPolicy has a policy show sessions by the label of their instance. Which rows it shows nobody knows without looking at them:
// pages come back short then, rather than late.
func (h *history) byPolicy() []question {
	h.put("gold", `permit (principal is User, action == Action::"session:show", resource is Session)
		when { principal.name == "labelled@example.com" && resource.hasTag("tier") && resource.getTag("tier") == "gold" };`)
	return []question{
		{"by a policy on labels, filtered", h.labelled, api.SessionsIn{State: "all", Label: []string{"tier=gold"}}, api.DefaultPage, 100},
		{"by a policy on labels", h.labelled, api.SessionsIn{State: "all"}, -1, 100},
		{"beside a policy on labels", h.few, api.SessionsIn{State: "all"}, -1, 20},
	}
}

func newHistory(tb testing.TB, db *store.DB, raw *sql.DB, n int) *history {
	tb.Helper()
	h := &history{world: newWorld(tb, db), n: n}
	storetest.Write(tb, db, func(ctx context.Context, tx *store.Tx) error {
		h.rare, h.plenty = sess.NewProjectID(), h.project
		return tx.CreateProject(ctx, h.org, h.rare, "rare", 1)
	})
	h.rareInstance, _ = h.newInstance(h.org, h.rare, "rare")
	h.labelledInst, _ = h.newInstance(h.org, h.plenty, "gold")
	h.few, h.labelled = h.member(h.org, "few@example.com", ""), h.member(h.org, "labelled@example.com", "")
	h.change(func(ctx context.Context, tx *store.Tx) error {
		for _, g := range []store.CreateGrantParams{
			{UserID: h.few.User, Role: sess.RoleProjectAdmin, Project: h.rare}, {UserID: h.labelled.User, Role: sess.RoleOperator, Project: h.rare},
		} {
			g.Org, g.ID, g.CreatedAt = h.org, sess.NewGrantID(), 1
			if _, err := tx.CreateGrant(ctx, g); err != nil {
				return err
			}
		}
		return tx.PutLabel(ctx, h.org, h.labelledInst, "tier", "gold")
	})
	h.fill(tb, raw)
	return h
}

// fill makes the sessions: 10 live, 10 of bob's, 20 in the rare project, 100 on the labelled instance, the rest alice's.
func (h *history) fill(tb testing.TB, raw *sql.DB) {
	tb.Helper()
	began := time.Now()
	columns := "org, id, kind, state, instance, instance_name, project, hostname, instance_addr, user_id, user_name, credential, credential_id, " +
		"client_addr, os_user, reason, command, tty, owner_key, former_keys, node, epoch, client_minted, client_redeemed, agent_minted, agent_redeemed, " +
		"grace_ms, created_at, started_at, ended_at, end_reason, ended_by, end_message, exit, recording, rec_bytes, rec_stored, rec_digest, rec_problem"
	rare, gold, bobs, live := h.n/20, h.n/100, h.n/10, h.n/10
	query := fmt.Sprintf(`INSERT INTO session (%[1]s) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %[2]d - 1)
		SELECT '%[3]s', 'ses_' || (1000000000000000 + i), CASE WHEN i %% %[4]d = 1 OR i %% %[5]d = 2 THEN 'exec' ELSE 'shell' END,
			CASE WHEN i %% %[6]d = 3 THEN 'active' ELSE 'ended' END,
			CASE WHEN i %% %[4]d = 1 THEN '%[7]s' WHEN i %% %[5]d = 2 THEN '%[8]s' ELSE '%[9]s' END, 'x',
			CASE WHEN i %% %[4]d = 1 THEN '%[10]s' ELSE '%[11]s' END, 'x', '10.0.0.1',
			CASE WHEN i %% %[12]d = 4 THEN '%[13]s' ELSE '%[14]s' END, 'x', 'login', 'x', '192.0.2.7', '', '', '["uptime"]', 0, 'k', '', 'nod_x', 1, 1, 1, 1, 1,
			60000, i * 1000, i * 1000, CASE WHEN i %% %[6]d = 3 THEN NULL ELSE i * 1000 + 500 END, CASE WHEN i %% %[6]d = 3 THEN '' ELSE 'exit' END,
			'', '', '', 'complete', 100, 50, 'd', '' FROM n`,
		columns, h.n, h.org, rare, gold, live, h.rareInstance, h.labelledInst, h.instance, h.rare, h.plenty, bobs, h.bob.User, h.alice.User)
	if _, err := raw.ExecContext(tb.Context(), query); err != nil {
		tb.Fatal(err)
	}
	for tag, where := range map[[2]string]string{{"ticket", "rare"}: fmt.Sprintf("instance = '%s'", h.rareInstance), {"ci", "nightly"}: "created_at % 10000 = 5000"} {
		for _, query := range []string{
			fmt.Sprintf("INSERT INTO session_tag (org, session, name, value, created_at) SELECT org, id, '%s', '%s', created_at FROM session WHERE %s", tag[0], tag[1], where),
			fmt.Sprintf(`UPDATE session SET tags = '{"%s":"%s"}' WHERE %s`, tag[0], tag[1], where),
		} {
			if _, err := raw.ExecContext(tb.Context(), query); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if _, err := raw.ExecContext(tb.Context(), "ANALYZE"); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%d sessions in %v", h.n, time.Since(began).Round(time.Millisecond))
}

func onSQLite(tb testing.TB) (*store.DB, *sql.DB) {
	tb.Helper()
	dir := tb.TempDir()
	db := storetest.Open(tb, store.Config{Dir: dir})
	return db, beside(tb, "sqlite", "file:"+filepath.Join(dir, "sess.db")+"?_pragma=busy_timeout(60000)&_pragma=synchronous(off)")
}

func onPostgres(tb testing.TB) (*store.DB, *sql.DB) {
	tb.Helper()
	url := storetest.PostgresURL(tb)
	return storetest.Open(tb, store.Config{URL: url}), beside(tb, "pgx", url)
}

// beside opens the database once more, for what no query of the store does.
func beside(tb testing.TB, driver, url string) *sql.DB {
	tb.Helper()
	raw, err := sql.Open(driver, url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = raw.Close() })
	return raw
}
