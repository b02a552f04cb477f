package broker_test

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// change changes what decides in the organisation, as every such change does: with the counter of its rules.
func (w *world) change(f func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		if err := f(ctx, tx); err != nil {
			return err
		}
		_, err := tx.ChangeRules(ctx, w.org)
		return err
	})
}

func (w *world) put(name, body string) {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		return tx.PutPolicy(ctx, store.PutPolicyParams{Org: w.org, Name: name, Body: body, UpdatedAt: 1, UpdatedBy: "ann"})
	})
}

func (w *world) recheck(every bool) {
	w.t.Helper()
	if err := broker.Recheck(w.t.Context(), w.Service, every); err != nil {
		w.t.Fatal(err)
	}
}

// takeRoles takes alice's roles away.
func (w *world) takeRoles(ctx context.Context, tx *store.Tx) error {
	rows, err := tx.ListGrantsOfUser(ctx, w.org, w.alice.User)
	for _, r := range rows {
		if err == nil {
			_, err = tx.TakeRole(ctx, w.org, r.ID)
		}
	}
	return err
}

const dba = sess.TeamID("grp_dba")

const noProd = `forbid (principal, action == Action::"session:start", resource is Instance)
when { resource.hasTag("env") && resource.getTag("env") == "prod" };`

// Whatever change takes the right to a session away ends it, with the reason, and nothing else does.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, change func(w *world)
		message        string
	}{
		"policy": {nil, func(w *world) { w.put("no", `forbid (principal, action == Action::"session:start", resource);`) }, "a rule of the organisation forbids web-1"},
		"label": {func(w *world) { w.put("no-prod", noProd) }, func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				return tx.PutLabel(ctx, w.org, w.instance, "env", "prod")
			})
		}, "forbids web-1"},
		"grant": {nil, func(w *world) { w.change(w.takeRoles) }, "nothing lets alice@example.com use web-1 any more"},
		"group": {func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.AddTeam(ctx, w.org, dba, "dba", 1); err != nil {
					return err
				}
				if _, err := tx.PutTeamMember(ctx, w.org, dba, w.alice.User, "hand"); err != nil {
					return err
				}
				return w.takeRoles(ctx, tx)
			})
			w.put("dba", `permit (principal in Group::"dba", action in [Action::"session:start", Action::"instance:show"], resource is Instance);`)
		}, func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.DropTeamMember(ctx, w.org, dba, w.alice.User, "hand")
				return err
			})
		}, "nothing lets alice@example.com use web-1"},
		"controls": {func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.CreateRole(ctx, store.CreateRoleParams{Org: w.org, Name: "dep", Actions: `["session:start"]`, Controls: `{}`, CreatedAt: 1}); err != nil {
					return err
				}
				_, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: w.org, ID: sess.NewGrantID(), UserID: w.alice.User, Role: "dep", CreatedAt: 1})
				return err
			})
		}, func(w *world) {
			w.change(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.SetRole(ctx, store.SetRoleParams{Org: w.org, Name: "dep", Actions: `["session:start"]`, Controls: `{"os_users":["deploy"]}`, UpdatedAt: 1})
				return err
			})
		}, "role dep"},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db)
				if c.before != nil {
					c.before(w)
				}
				s := w.both(w.connect())
				w.recheck(false)
				w.recheck(true)
				w.wantState(s.id, sess.StateActive)
				c.change(w)
				w.recheck(false)
				w.wantEnd(s.id, sess.EndRevoked)
				if got := w.wantCut(s.id).Message; !strings.Contains(got, c.message) {
					t.Errorf("people are told %q", got)
				}
				_, err := w.resume(s, s.key)
				if err == nil {
					t.Error("it can be resumed")
				}
			})
		})
	}
}

// A rule about the time of day ends what is live when its time has come, though nothing was changed.
func TestWithdrawnByTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	hour := w.clock().UTC().Hour()
	w.put("office", `forbid (principal, action == Action::"session:start", resource) unless { context.hour == `+strconv.Itoa(hour)+` };`)
	s := w.both(w.connect())
	w.recheck(true)
	w.wantState(s.id, sess.StateActive)
	w.pass(time.Second)
	w.recheck(false) // the second look after a change
	w.pass(time.Hour)
	w.recheck(false)
	w.wantState(s.id, sess.StateActive)
	w.recheck(true)
	w.wantEnd(s.id, sess.EndRevoked)
}

// The age of a second factor is that at the start: a session does not end because time goes by.
func TestFactorDoesNotAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.put("fresh", `forbid (principal, action == Action::"session:start", resource) unless { context has mfaAge && context.mfaAge < 60 };`)
	w.alice.MFAAt = w.clock().Add(-30 * time.Second)
	s := w.both(w.connect())
	w.pass(time.Hour)
	w.recheck(true)
	w.wantState(s.id, sess.StateActive)
}

// The address and the reason a session was started with go on counting.
func TestRecheckRemembersTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	s := w.both(w.connect())
	w.put("office", `forbid (principal, action == Action::"session:start", resource) unless { context has address && context.address.isInRange(ip("`+addr.String()+`/32")) };`)
	w.recheck(false)
	w.wantState(s.id, sess.StateActive)
	w.put("office", `forbid (principal, action == Action::"session:start", resource) unless { context has address && context.address.isInRange(ip("203.0.113.0/24")) };`)
	w.recheck(false)
	w.wantEnd(s.id, sess.EndRevoked)
}

// Run does it all by itself within a second of the change.
func TestRunWithdraws(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	s := w.both(w.connect())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() { stop(); <-done }()
	began := time.Now()
	w.put("no", `forbid (principal, action == Action::"session:start", resource);`)
	w.wantCut(s.id)
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %s", took)
	}
	w.wantEnd(s.id, sess.EndRevoked)
}

// The switch bars what is new and leaves what runs.
func TestSessionManagerOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetOrgSettings(ctx, sess.Settings{SessionsOff: true}.Text(), w.org)
		return err
	})
	w.recheck(false)
	w.recheck(true)
	w.wantState(s.id, sess.StateActive)
	if _, err := w.resume(s, s.key); err != nil {
		t.Errorf("what runs can't be resumed: %v", err)
	}
	_, err := w.Start(t.Context(), w.alice, startIn(t, "web-1", newKey(t)))
	e := wantCode(t, "start", err, sess.CodeDenied)
	if !strings.Contains(e.Message, "Session Manager of the organisation is off") {
		t.Errorf("told %q", e.Message)
	}
}

// Turned off at once, it ends what runs; and nothing is joined or resumed that slipped in.
func TestSessionManagerOffAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetOrgSettings(ctx, sess.Settings{SessionsOff: true, SessionsEnd: true}.Text(), w.org)
		return err
	})
	if _, err := w.resume(s, s.key); err == nil {
		t.Error("it was resumed")
	}
	w.recheck(false)
	w.wantEnd(s.id, sess.EndRevoked)
}

// An organisation that is slow to be looked at, by policies made for that, say, does not keep what another one forbids alive.
func TestSlowOrganisationHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.Postgres(t))
	slow, slowInstance, elsewhere := w.org, w.instance, w.project
	first := w.both(w.connect())
	w.put("no", `forbid (principal, action == Action::"session:start", resource);`)
	held, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	go func() { // its session can't be ended while this goes on
		done <- w.db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.MoveLiveSessions(context.Background(), slow, slowInstance, elsewhere)
			close(held)
			<-release
			return err
		})
	}()
	<-held
	go func() { done <- broker.Recheck(context.Background(), w.Service, false) }()
	for deadline := time.Now().Add(10 * time.Second); !broker.Looking(w.Service, slow); {
		if time.Now().After(deadline) {
			t.Fatal("the slow organisation is not looked at")
		}
		runtime.Gosched()
	}
	w.org, w.project = w.newOrg("quick")
	w.alice = w.member(w.org, "alice@example.com", sess.RoleOperator)
	w.instance, w.agentKey = w.newInstance(w.org, w.project, "web-1")
	second := w.both(w.connect())
	w.put("no", `forbid (principal, action == Action::"session:start", resource);`)
	w.recheck(false)
	w.wantEnd(second.id, sess.EndRevoked)
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	w.org = slow
	w.wantEnd(first.id, sess.EndRevoked)
}
