package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// queryArgs are arguments that don't follow from a parameter's name (fixture_test.go), as "Query.parameter"; ORG in a
// text is the org whose rows are meant. Add to it when TestTenancy says that a query finds nothing in its own org.
var queryArgs = map[string]any{
	"FindMembership.ref": "ORG",
	"CreateOrg.id":       "org_new",
	"CreateOrg.name":     "new",
	"UseFactor.kind":     "confirmed", "UseFactor.counter": 5,
	"GuessLoginChallenge.most": 5, "GuessLoginChallenge.now": timeCreated, "PurgeLoginChallenges.expires_at": timeExpires + 1,
	"PutLoginBlock.strikes": 78, "PurgeLoginBlocks.blocked_until": timeExpires + 1,

	"PageSessions.key": "", "PageSessions.value": "", "PageSessions.since": 0, "PageSessions.state": "all", "PageSessions.of_kind": "", "PageSessions.of_project": "", "PageSessions.pattern": "%", "PageSessions.started_only": 0,
	"PageLiveSessions.key": "", "PageLiveSessions.value": "", "PageLiveSessions.since": 0, "PageLiveSessions.state": "all", "PageLiveSessions.of_kind": "", "PageLiveSessions.of_project": "", "PageLiveSessions.pattern": "%", "PageLiveSessions.started_only": 0,
	"PageSessionsOfProject.key": "prj_x", "PageSessionsOfProject.value": "", "PageSessionsOfProject.since": 0, "PageSessionsOfProject.state": "all", "PageSessionsOfProject.of_kind": "", "PageSessionsOfProject.of_project": "", "PageSessionsOfProject.pattern": "%", "PageSessionsOfProject.started_only": 0,
	"PageSessionsOfUser.key": "usr_x", "PageSessionsOfUser.value": "", "PageSessionsOfUser.since": 0, "PageSessionsOfUser.state": "all", "PageSessionsOfUser.of_kind": "", "PageSessionsOfUser.of_project": "", "PageSessionsOfUser.pattern": "%", "PageSessionsOfUser.started_only": 0,
	"PageSessionsOfInstance.key": "ins_x_ORG", "PageSessionsOfInstance.value": "", "PageSessionsOfInstance.since": 0, "PageSessionsOfInstance.state": "all", "PageSessionsOfInstance.of_kind": "", "PageSessionsOfInstance.of_project": "", "PageSessionsOfInstance.pattern": "%", "PageSessionsOfInstance.started_only": 0,
	"PageSessionsOfTag.key": "v_name", "PageSessionsOfTag.value": "v_value", "PageSessionsOfTag.since": 0, "PageSessionsOfTag.state": "all", "PageSessionsOfTag.of_kind": "", "PageSessionsOfTag.of_project": "", "PageSessionsOfTag.pattern": "%", "PageSessionsOfTag.started_only": 0,
	"PageSharedSessions.with_user": "usr_x", "PageSharedSessions.since": 0, "PageSharedSessions.of_kind": "", "PageSharedSessions.of_project": "", "PageSharedSessions.pattern": "%", "PageSharedSessions.now": 1,
	"ListOrgsOfSharesOver.after": 0, "ListOrgsOfSharesOver.upto": timeExpires,
	"ListUsersCalled.ref": "usr_x", "ListInstancesCalled.ref": "ins_x_ORG",
	"InsertLock.id": "lck_new", "InsertBoxLock.id": "lck_new", "ListLocks.kind": "", "ListExpiredLocks.expires_at": timeExpires + 1,
	"InsertParticipant.num": 2, "ListGuestsOfSessions.sessions": ",ses_x_ORG,", "OpenShare.id": "shr_open", "RevokeShares.person": "usr_x",
	"InsertRecordingShare.id": "shr_new", "FindRecordingShare.now": 1, "FindRecordingShare.id": "shr_org",
	"ListOldRecordings.before": timeExpires, "ExpireRecording.id": "ses_recorded_ORG", "ForgetRecording.id": "ses_expired_ORG", "ListRecordingShares.now": 1, "ListRecordingShares.session": "",
	"PurgeRecordingShares.expires_at": timeExpires + 1,

	"InsertSessionParams.session":  "ses_detached_ORG",
	"ListSessionsByPrefix.pattern": "ses_%",
	"AddAlert.num":                 78, "ClaimAlertHook.was": timeCreated, "ClaimAlertHook.until": 78, "PurgeAlertSeen.last_at": timeNow,
	"SumUsage.since": 0, "SumUsage.until": timeExpires, "SumUsage.by": "user", "SumUsage.hidden": ",",
	"SumUsageByTag.since": 0, "SumUsageByTag.until": timeExpires, "SumUsageByTag.tag": "v_name", "SumUsageByTag.hidden": ",",
	"SumUsageOfOrgs.since": 0, "SumUsageOfOrgs.until": timeExpires, "SumUsageOfOrgs.by": "org",
	"ListLingeringSessionsOfNode.ended_at": 0,
	"ListInstanceNames.base":               "v_name",
	"ListInstancesByPrefix.prefix":         "v_name",
	"ListInstances.prefix":                 "", "ListInstances.label_name": "", "ListInstances.projects": "",
	"PutLabel.value":                "new",
	"PurgeLoginFailures.created_at": timeExpires + 1,
	"ListAPIKeys.owner":             "",
	"DeleteTeam.id":                 "grp_other",
	"CountInProject.id":             "prj_x",
	"ListMembers.kind":              "",
	"ReviveMember.user_id":          "usr_gone", "JoinMember.user_id": "usr_invited",
	"CountLiveLogins.used_since": 0, "CountLiveLogins.begun_since": 0,
	"SetTemporaryPassword.id": "usr_temp", "ReplacePassword.was": "v_password_hash",
	"ListResetLinks.created_at": 0,
	"ListGrants.owner":          "", "ListGrants.of_team": "", "ListGrants.of_project": "",
	"DeleteIDP.id":      "idp_lone_ORG",
	"AddTeamByIDP.team": "grp_other",
	"UseLoginFlow.id":   "done", "PurgeLoginFlows.expires_at": timeExpires + 1,
	"LeaseAuditSink.now": timeExpires, "ListDueAuditCursors.after": "",
	"FillAuditEvent.id": "evt_old", "LastAuditIdxBetween.since": 0,
	"ListSessionsOfDeadKeys.now": timeExpires + 1,
	"CountConnectionsOfUser.num": 99, "ListOtherNodes.id": "another",
}

// barren lists queries that do nothing visible in the fixture's own org, with the reason why that is no matter.
var barren = map[string]string{
	"FirstAuditIdxSince": "the first place is 0, which says nothing; TestTenancy looks at that it stays",
	"CreateOrg":          "it makes an org, and touches none that is there",
}

// outcome is what a call did, as far as its caller and the rows can tell.
type outcome struct {
	result string
	rows   map[string][]string // of the org that asks, by table
	others map[string][]string // of the other org
}

var errUndo = errors.New("undo")

// TestTenancy tries every query of every room. It is the proof that an org can neither see nor change another's rows:
// each query is called for org B, with arguments of A's rows and of B's, in a world in which only B exists and in one in
// which A does, too. Both calls must give the same result and leave the same rows of B; and A's rows stay as they were.
func TestTenancy(t *testing.T) {
	t.Parallel()
	queries := loadQueries(t)
	for dialect, open := range map[store.Dialect]func(testing.TB) *store.DB{store.SQLite: storetest.SQLite, store.Postgres: storetest.Postgres} {
		t.Run(string(dialect), func(t *testing.T) {
			both := newWorld(t, open(t), "org_a", "org_b")
			alone := newWorld(t, open(t), "org_b")
			for _, q := range queries {
				t.Run(q.name, func(t *testing.T) { tryQuery(t, q, both, alone) })
			}
		})
	}
}

func tryQuery(t *testing.T, q query, both, alone *world) {
	before := both.call(t, query{tables: q.tables}, "")
	own := both.call(t, q, "org_b")
	if reason := barren[q.name]; !didSomething(q, own, before) && reason == "" {
		t.Errorf("it finds and changes nothing in its own org, so this test proves nothing: see queryArgs\n%s\nresult: %s", q.text, own.result)
	}
	ask := []string{"org_a", "org_b"}
	if _, every := everyOrg[q.name]; every || !q.takesOrg() {
		if q.kind != ":one" || q.name == "GetOrgFrom" {
			return // it ran, and that is all that can be said
		}
		ask = ask[1:] // what belongs to one org gives that one's row
	}
	for _, whose := range ask {
		with, without := both.call(t, q, whose), alone.call(t, q, whose)
		if with.result != without.result {
			t.Errorf("org_b, asking with values of %s, gets\n\t%s\nand without org_a on the server\n\t%s", whose, with.result, without.result)
		}
		for table := range with.rows {
			if both.tenant[table] == "" {
				continue // of the box
			}
			if !slices.Equal(with.rows[table], without.rows[table]) {
				t.Errorf("with values of %s, rows of org_b in %s become\n\t%s\nand without org_a on the server\n\t%s", whose, table,
					strings.Join(with.rows[table], "\n\t"), strings.Join(without.rows[table], "\n\t"))
			}
			if !slices.Equal(with.others[table], before.others[table]) {
				t.Errorf("with values of %s, org_b changed rows of org_a in %s:\n\t%s", whose, table, strings.Join(with.others[table], "\n\t"))
			}
		}
	}
}

// call runs q for org_b with values of whose, looks, and takes everything back. With whose empty it only looks.
func (w *world) call(t *testing.T, q query, whose string) outcome {
	t.Helper()
	o := outcome{rows: map[string][]string{}, others: map[string][]string{}}
	err := w.db.Write(t.Context(), func(tx *store.Tx) error {
		if whose != "" {
			var err error
			if o.result, err = w.invoke(t, tx, q, whose); err != nil {
				o.result = "error: " + class(err)
				if !errors.Is(err, store.ErrNotFound) {
					return errUndo // the transaction is spoilt
				}
			}
		}
		if whose == "" || q.writes() {
			for _, table := range q.tables {
				o.rows[table] = w.rows(t, tx, table, "org_b")
				o.others[table] = w.rows(t, tx, table, "org_a")
			}
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		t.Fatal(err)
	}
	return o
}

func (w *world) invoke(t *testing.T, tx *store.Tx, q query, whose string) (string, error) {
	t.Helper()
	in := append([]reflect.Value{reflect.ValueOf(tx.Queries), reflect.ValueOf(t.Context())}, w.args(t, q, "org_b", whose)...)
	out := q.method.Func.Call(in)
	if err, _ := out[len(out)-1].Interface().(error); err != nil {
		return "", err
	}
	if len(out) == 1 {
		return "", nil
	}
	b, err := json.Marshal(out[0].Interface())
	if err != nil {
		t.Fatal(err)
	}
	var list []json.RawMessage
	if json.Unmarshal(b, &list) != nil {
		return string(b), nil //nolint:nilerr // no list: one value
	}
	var lines []string // a RETURNING has no order
	for _, l := range list {
		lines = append(lines, string(l))
	}
	slices.Sort(lines)
	return "[" + strings.Join(lines, ", ") + "]", nil
}

// class gives the part of an error that is the same in two databases.
func class(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Sprint(pg.Code, " ", pg.ConstraintName)
	}
	return regexp.MustCompile(`^sql: .*|^constraint failed: [^(]*`).FindString(err.Error()) + " of " + err.Error()
}

// didSomething reports whether a call had a visible effect or result.
func didSomething(q query, o, before outcome) bool {
	if strings.HasPrefix(o.result, "error: ") {
		return false
	}
	if q.kind == ":exec" || q.kind == ":execrows" {
		for table := range o.rows {
			if !slices.Equal(o.rows[table], before.rows[table]) {
				return true
			}
		}
		return false
	}
	return o.result != "[]" && o.result != "0" && o.result != `""`
}
