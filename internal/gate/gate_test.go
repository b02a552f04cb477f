package gate_test

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

const (
	org      = sess.OrgID("org_a")
	other    = sess.OrgID("org_b")
	admin    = sess.UserID("usr_admin")
	operator = sess.UserID("usr_operator")
	nobody   = sess.UserID("usr_nobody")
	inactive = sess.UserID("usr_inactive")
)

// house is a gate over a store with an organisation, a project and some people.
type house struct {
	*gate.Gate
	db *store.DB
}

func newHouse(tb testing.TB, db *store.DB) house {
	tb.Helper()
	p, err := policy.New()
	if err != nil {
		tb.Fatal(err)
	}
	storetest.Write(tb, db, func(ctx context.Context, tx *store.Tx) error {
		for _, o := range []sess.OrgID{org, other} {
			if _, err := tx.CreateOrg(ctx, o, string(o), 1); err != nil {
				return err
			}
			if err := tx.CreateProject(ctx, o, "prj_1", "default", 1); err != nil {
				return err
			}
			for _, u := range []sess.UserID{admin, operator, nobody, inactive} {
				if _, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: o, UserID: u, Kind: sess.UserLocal, Name: string(u) + "@example.com", CreatedAt: 1}); err != nil {
					return err
				}
			}
		}
		if _, err := tx.SetMemberActive(ctx, org, inactive, 0); err != nil {
			return err
		}
		for u, r := range map[sess.UserID]sess.Role{admin: sess.RoleAdmin, operator: sess.RoleOperator, inactive: sess.RoleAdmin} {
			g := store.CreateGrantParams{Org: org, ID: sess.NewGrantID(), UserID: u, Role: r, CreatedAt: 1}
			if u == operator {
				g.Project = "prj_1"
			}
			if _, err := tx.CreateGrant(ctx, g); err != nil {
				return err
			}
		}
		return nil
	})
	return house{gate.New(gate.Config{DB: db, Policy: p}), db}
}

func who(u sess.UserID) sess.Principal {
	return sess.Principal{
		Org: org, User: u, Name: string(u) + "@example.com", UserKind: sess.UserLocal, Credential: sess.CredentialLogin, CredentialID: "log_1",
		Addr: netip.MustParseAddr("192.0.2.7"), RequestID: "req_1",
	}
}

func instance() policy.Resource {
	return policy.Resource{Org: org, Project: "prj_1", Type: policy.TypeInstance, ID: "ins_1", Name: "web-1"}
}

// change is a change that tests look for: a grant to nobody.
func change(ctx context.Context) func(*gate.Tx) error {
	return func(tx *gate.Tx) error {
		_, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: org, ID: "gra_change", UserID: nobody, Role: sess.RoleAuditor, CreatedAt: 1})
		return err
	}
}

func (h house) changed(tb testing.TB) bool {
	tb.Helper()
	var n int
	storetest.Read(tb, h.db, func(ctx context.Context, tx *store.Tx) error {
		rows, err := tx.ListGrantsOfUser(ctx, org, nobody)
		n = len(rows)
		return err
	})
	return n > 0
}

// events gives what is in a log, oldest first.
func (h house) events(tb testing.TB, log string) []audit.Event {
	tb.Helper()
	var out []audit.Event
	storetest.Read(tb, h.db, func(ctx context.Context, tx *store.Tx) error {
		first := store.FirstPage()
		rows, err := tx.ListAuditEvents(ctx, store.ListAuditEventsParams{Log: log, BeforeAt: first.At, BeforeID: first.ID, Page: 1000})
		for _, r := range rows {
			e, err := audit.DecodeEvent([]byte(r.Body))
			if err != nil {
				return err
			}
			out = append([]audit.Event{e}, out...)
		}
		return err
	})
	return out
}

// only gives the one event of the organisation's log.
func (h house) only(tb testing.TB) audit.Event {
	tb.Helper()
	all := h.events(tb, string(org))
	if len(all) != 1 {
		tb.Fatalf("%d events, want one: %+v", len(all), all)
	}
	return all[0]
}

func TestAllowedIsDoneAndRecorded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		err := h.Do(t.Context(), who(operator), policy.SessionStart, instance(), func(tx *gate.Tx) error {
			tx.Detail("kind", "exec")
			tx.Reason("looking")
			tx.Session("ses_1")
			if g := tx.Grants(); len(g) != 1 || g[0].Role != sess.RoleOperator || g[0].Project != "prj_1" {
				t.Errorf("grants %+v", g)
			}
			return change(t.Context())(tx)
		})
		if err != nil {
			t.Fatal(err)
		}
		e := h.only(t)
		if !h.changed(t) || e.Outcome != audit.Allowed || e.Action != "session:start" || e.Who.User != operator || e.Who.Address != "192.0.2.7" ||
			e.On.Name != "web-1" || e.On.Project != "prj_1" || e.Session != "ses_1" || e.Reason != "looking" || e.Details["kind"] != "exec" || e.Request != "req_1" {
			t.Errorf("%+v", e)
		}
	})
}

func TestRefusalIsRecordedAndChangesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		for name, c := range map[string]struct {
			who          sess.Principal
			message, ask string
		}{
			"no role":     {who(nobody), "no access in this organisation yet", "for a role"},
			"inactive":    {who(inactive), "not active", "activate"},
			"no member":   {who("usr_stranger"), "no member", "invite"},
			"other org's": {sess.Principal{Org: other, User: operator, Credential: sess.CredentialLogin}, "no access", "for a role"},
			"agent":       {sess.Principal{Org: org, Instance: "ins_1", Credential: sess.CredentialAgent}, "start a session", "nobody may do this"},
		} {
			t.Run(name, func(t *testing.T) {
				for verb, do := range map[string]func(context.Context, sess.Principal, policy.Action, policy.Resource, func(*gate.Tx) error) error{"do": h.Do, "read": h.Read} {
					before := len(h.events(t, audit.LogOf(c.who.Org)))
					err := do(t.Context(), c.who, policy.SessionStart, instance(), change(t.Context()))
					var e *sess.Error
					if !errors.As(err, &e) || e.Code != sess.CodeDenied || !strings.Contains(e.Message, c.message) || !strings.Contains(e.Hint, c.ask) {
						t.Fatalf("%s: %v, hint %q", verb, err, e.Hint)
					}
					all := h.events(t, audit.LogOf(c.who.Org))
					if len(all) != before+1 || h.changed(t) {
						t.Fatalf("%s: %d events, changed %v", verb, len(all)-before, h.changed(t))
					}
					got := all[len(all)-1]
					for _, x := range all {
						if strings.Contains(e.Hint, string(x.ID)) {
							got = x
						}
					}
					if got.Outcome != audit.Refused || got.Code != sess.CodeDenied || !strings.Contains(e.Hint, string(got.ID)) {
						t.Errorf("%s: %+v, hint %q", verb, got, e.Hint)
					}
				}
			})
		}
	})
}

func TestFailureIsRolledBackAndRecordedAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		for name, c := range map[string]struct {
			err    error
			code   sess.Code
			reason string
		}{
			"for people": {sess.New(sess.CodeOffline, "web-1 is offline", ""), sess.CodeOffline, "web-1 is offline"},
			"internal":   {errors.New("secret inner workings"), sess.CodeInternal, "something went wrong on the server"},
		} {
			t.Run(name, func(t *testing.T) {
				before := len(h.events(t, string(org)))
				err := h.Do(t.Context(), who(operator), policy.SessionStart, instance(), func(tx *gate.Tx) error {
					return errors.Join(change(t.Context())(tx), c.err)
				})
				if !errors.Is(err, c.err) || h.changed(t) {
					t.Errorf("%v, changed %v", err, h.changed(t))
				}
				all := h.events(t, string(org))
				if len(all) != before+1 {
					t.Fatalf("%d events more", len(all)-before)
				}
				found := false
				for _, e := range all { // in the same microsecond the order is not known
					found = found || (e.Outcome == audit.Failed && e.Code == c.code && e.Reason == c.reason && e.On.ID == "ins_1" && e.Action == "session:start")
				}
				if !found {
					t.Errorf("no such event: %+v", all)
				}
				if err := h.Read(t.Context(), who(operator), policy.InstanceShow, instance(), func(*gate.Tx) error { return c.err }); !errors.Is(err, c.err) {
					t.Error(err)
				}
				if all := h.events(t, string(org)); len(all) != before+2 {
					t.Errorf("%d events", len(all))
				}
			})
		}
	})
}

func TestFailureIsRecordedWhenTheClientIsGone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		err := h.Do(ctx, who(operator), policy.SessionStart, instance(), func(tx *gate.Tx) error {
			defer cancel()
			return change(ctx)(tx)
		})
		if err == nil || h.changed(t) {
			t.Fatalf("%v, changed %v", err, h.changed(t))
		}
		if e := h.only(t); e.Outcome != audit.Failed {
			t.Errorf("%+v", e)
		}
	})
}

// raw opens the database behind the store's back, as its admin could.
func raw(t *testing.T, db *store.DB, c store.Config) *sql.DB {
	t.Helper()
	driver, name := "pgx", c.URL
	if db.Dialect() == store.SQLite {
		driver, name = "sqlite", "file:"+c.Dir+"/sess.db?_pragma=busy_timeout(5000)"
	}
	x, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

// eachRaw is storetest.Each with a door beside the store.
func eachRaw(t *testing.T, f func(t *testing.T, db *store.DB, exec func(query string, args ...any))) {
	t.Helper()
	onlySQLite(t, f)
	t.Run("postgres", func(t *testing.T) { withRaw(t, store.Config{URL: storetest.PostgresURL(t)}, f) })
}

func onlySQLite(t *testing.T, f func(t *testing.T, db *store.DB, exec func(query string, args ...any))) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { withRaw(t, store.Config{Dir: storetest.Dir(t)}, f) })
}

func withRaw(t *testing.T, c store.Config, f func(t *testing.T, db *store.DB, exec func(query string, args ...any))) {
	t.Helper()
	db := storetest.Open(t, c)
	x := raw(t, db, c)
	f(t, db, func(query string, args ...any) {
		t.Helper()
		if _, err := x.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	})
}

// What can't be recorded is not done, and what was read is not shown.
func TestUnwritableLogRefuses(t *testing.T) {
	eachRaw(t, func(t *testing.T, db *store.DB, exec func(string, ...any)) {
		h := newHouse(t, db)
		exec("ALTER TABLE audit_event RENAME TO audit_event_away")
		for verb, err := range map[string]error{
			"do":      h.Do(t.Context(), who(operator), policy.SessionStart, instance(), change(t.Context())),
			"read":    h.Read(t.Context(), who(operator), policy.InstanceShow, instance(), func(*gate.Tx) error { return nil }),
			"refused": h.Do(t.Context(), who(nobody), policy.SessionStart, instance(), change(t.Context())),
		} {
			if !errors.Is(err, sess.ErrUnavailable) {
				t.Errorf("%s: %v", verb, err)
			}
		}
		exec("ALTER TABLE audit_event_away RENAME TO audit_event")
		if h.changed(t) || len(h.events(t, string(org))) != 0 {
			t.Error("something was done or recorded")
		}
		// The same call works once the log does.
		if err := h.Do(t.Context(), who(operator), policy.SessionStart, instance(), change(t.Context())); err != nil || !h.changed(t) {
			t.Errorf("%v, changed %v", err, h.changed(t))
		}
	})
}

func TestEventIsInTheCallersTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		entry := gate.Entry{Who: sess.System(org), Action: policy.SessionEnded, Session: "ses_1", Reason: "exit", Code: "", On: policy.Resource{Type: policy.TypeSession, ID: "ses_1"}}
		away := errors.New("away")
		err := db.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(h.Event(t.Context(), tx, entry), away) })
		if !errors.Is(err, away) || len(h.events(t, string(org))) != 0 {
			t.Fatalf("rolled back: %v, %d events", err, len(h.events(t, string(org))))
		}
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error { return h.Event(ctx, tx, entry) })
		if e := h.only(t); e.Outcome != audit.Allowed || e.Action != "session:ended" || e.Session != "ses_1" || e.Who.Credential != sess.CredentialSystem {
			t.Errorf("%+v", e)
		}
	})
}

func TestRecordedIsCalledAfterTheCommit(t *testing.T) {
	db := storetest.SQLite(t)
	newHouse(t, db)
	p, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	calls, seen := 0, 0
	var h house
	h = house{gate.New(gate.Config{DB: db, Policy: p, Recorded: func() {
		calls++
		seen = len(h.events(t, string(org)))
	}}), db}
	if err := h.Read(t.Context(), who(admin), policy.Whoami, policy.Org(org), func(*gate.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if calls != 1 || seen != 1 {
		t.Errorf("%d calls, %d events seen", calls, seen)
	}
}

func TestDoIsFast(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	h := newHouse(t, storetest.SQLite(t))
	start := time.Now()
	const n = 50
	for range n {
		if err := h.Do(t.Context(), who(operator), policy.SessionStart, instance(), func(*gate.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v each, with its commit", time.Since(start)/n)
}
