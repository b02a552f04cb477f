package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// The fixture is one row (of session: several) in every table for an organisation. Values follow from the column: what
// must be unique on the whole server carries the org's name, all else is the same in every org, so that a statement that
// forgets the org finds the other one's rows.

// Times of the fixture, in microseconds.
const (
	timeCreated = 1_000_000
	timeNow     = 5_000_000
	timeExpires = 9_000_000
)

// world is a database with the rows of some orgs.
type world struct {
	db     *store.DB
	tables []string
	cols   map[string][]column // by table
	tenant map[string]string   // the column that says whose a row is, by table; none for tables of the box
}

type column struct {
	name     string
	text     bool
	nullable bool
}

func newWorld(t *testing.T, db *store.DB, orgs ...string) *world {
	t.Helper()
	w := &world{db: db, tables: tableNames(t), cols: map[string][]column{}, tenant: map[string]string{}}
	for _, table := range w.tables {
		w.tenant[table] = tenantColumn(t, table)
		if table == "org" {
			w.tenant[table] = "id"
		}
		w.cols[table] = columnsOf(t, table)
	}
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for _, table := range w.tables {
			if slices.Contains([]string{"node", "login_failure", "login_flow", "login_place", "login_block", "box_lock"}, table) {
				for _, variant := range append([]map[string]any{nil}, variants[table]...) {
					if err := w.insert(t.Context(), tx.SQL(), table, w.row(table, orgs[0], variant)); err != nil {
						return err
					}
				}
				continue
			}
			for _, org := range orgs {
				for _, variant := range slices.Concat(variants[table], onlyA[table][org]) {
					if err := w.insert(t.Context(), tx.SQL(), table, w.row(table, org, variant)); err != nil {
						return err
					}
				}
				if err := w.insert(t.Context(), tx.SQL(), table, w.row(table, org, nil)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// columnsOf reads a table's columns from the migrations; ALTER TABLE … ADD COLUMN counts.
func columnsOf(t *testing.T, table string) []column {
	t.Helper()
	var cols []column
	_, rest, _ := strings.Cut(schema(t), "CREATE TABLE "+table+" (")
	body, _, _ := strings.Cut(rest, ");")
	defs := regexp.MustCompile(`(?:^|, )([a-z_]+ (?:TEXT|BIGINT)[^,;]*)`).FindAllStringSubmatch(strings.TrimSpace(body), -1)
	defs = append(defs, regexp.MustCompile(`ALTER TABLE `+table+` ADD COLUMN ([a-z_]+ (?:TEXT|BIGINT)[^,;]*)`).FindAllStringSubmatch(schema(t), -1)...)
	for _, def := range defs {
		words := strings.Fields(def[1])
		cols = append(cols, column{
			name: words[0], text: words[1] == "TEXT",
			nullable: !strings.Contains(def[1], "NOT NULL") && !strings.Contains(def[1], "PRIMARY KEY"),
		})
	}
	if len(cols) < 2 {
		t.Fatalf("table %s: found only the columns %v", table, cols)
	}
	return cols
}

// variants are further rows of a table beside the plain one: the columns in which they differ.
var variants = map[string][]map[string]any{
	"session": {
		{"id": "ses_detached", "state": "detached", "detached_at": timeCreated},
		{"id": "ses_exited", "state": "ended", "end_reason": "exit", "ended_at": timeCreated + 1, "recording": "recording", "started_at": timeCreated},
		{"id": "ses_recorded", "state": "ended", "end_reason": "exit", "ended_at": timeCreated + 1, "recording": "complete", "rec_stored": 5, "rec_held_at": nil, "started_at": timeCreated},
		{"id": "ses_expired", "state": "ended", "end_reason": "exit", "ended_at": timeCreated + 1, "recording": "expired", "rec_stored": 5, "started_at": timeCreated},
	},
	"audit_event":     {{"id": "evt_placed", "idx": 0}, {"id": "evt_placed1", "idx": 1}, {"id": "evt_start", "action": "session:start", "outcome": "allowed"}, {"id": "evt_old", "area": ""}},
	"participant":     {{"num": 3, "joined_at": timeCreated}},
	"session_share":   {{"id": "shr_open", "hash": "open", "user_id": ""}},
	"recording_share": {{"id": "shr_org", "with_kind": "org", "made_by": "usr_x"}},
	// Of a session that ended: housekeeping takes them.
	"session_params": {{"session": "ses_exited"}},
	"resume_nonce":   {{"session": "ses_exited", "nonce": "other"}},
	"ticket":         {{"hash": "old", "expires_at": timeCreated + 1}},
	"idp":            {{"id": "idp_lone", "name": "lone"}},
	"factor":         {{"kind": "confirmed", "confirmed_at": timeCreated, "last_counter": 0}},
	"person":         {{"id": "usr_temp", "email": "temp", "password_expires_at": timeExpires}},
	"member":         {{"user_id": "usr_gone", "name": "gone", "deleted_at": timeCreated}, {"user_id": "usr_invited", "name": "invited", "pending": 1}},
	"team":           {{"id": "grp_other", "name": "other"}},
	"lock":           {{"id": "lck_short", "expires_at": timeExpires}},
	"team_member":    {{"source": "idp"}},
	"login":          {{"id": "log_old", "hash": "old", "expires_at": timeCreated, "credential_id": ""}, {"id": "log_mfa", "hash": "mfa", "mfa_at": timeCreated}},
	"login_flow": {
		{"id": "done", "done_at": timeCreated, "token": "tok_done", "state": "", "user_code": ""},
		{"id": "of_b", "org": "org_b", "done_at": timeCreated, "token": "tok_b", "state": "", "user_code": ""},
	},
}

// onlyA are further rows of org_a, where a statement's result would otherwise be the same for both.
var onlyA = map[string]map[string][]map[string]any{
	"audit_event": {"org_a": {{"id": "evt_placed2", "idx": 2}}},
}

// perOrg tells the columns whose values are unique on the server.
func perOrg(table, col string) bool {
	switch table + "." + col {
	case "org.id", "org.name", "lock.id", "instance.id", "idp.id", "session.id", "member.name", "org_former_name.name":
		return true
	case "login_flow.org":
		return false
	}
	return slices.Contains([]string{"org", "log", "hash", "instance", "session", "idp", "sink"}, col)
}

// value gives what a column of the plain row of org holds.
func (w *world) value(table string, c column, org string) any {
	if v, ok := plain[table+"."+c.name]; ok {
		return v
	}
	switch {
	case c.nullable:
		return nil
	case !c.text && strings.HasSuffix(c.name, "expires_at"):
		return timeExpires
	case !c.text && strings.HasSuffix(c.name, "_at"):
		return timeCreated
	case !c.text:
		return 1
	}
	v := text(table, c.name)
	if c.name == "org" || c.name == "log" || table == "org" && c.name == "id" {
		return org
	}
	if perOrg(table, c.name) {
		v += "_" + org
	}
	return v
}

// plain are the values that don't follow from the column's name.
var plain = map[string]any{
	"org.settings": `{"recording_seconds":9}`, "session.state": "pending", "session.credential": "api_key", "session.end_reason": "", "enrol_token.uses": 5, "enrol_token.used": 0,
	"role_grant.role": "org-admin", "role_grant.project": "", "role_grant.team": "", "member.kind": "local", "audit_hash.idx": 0,
	"login_flow.org": "", "login_flow.idp": "",
	"login.last_used_at": timeCreated, "login.stage": "", "member.pending": 0, "instance.link": 1, "person.id": "usr_x", "login_failure.created_at": timeExpires, "session.started_at": nil,
}

// text gives the text that stands for a column, whatever the table: identifiers by what they name.
func text(table, col string) string {
	if col == "id" {
		col = table
	}
	switch col {
	case "instance":
		return "ins_x"
	case "session":
		return "ses_x"
	case "project":
		return "prj_x"
	case "user_id":
		return "usr_x"
	case "team":
		return "grp_x"
	case "node":
		return "nod_x"
	case "token", "enrol_token":
		return "tok_x"
	case "login", "api_key", "credential_id":
		return "cred_x"
	}
	return "v_" + col
}

func (w *world) row(table, org string, variant map[string]any) map[string]any {
	row := map[string]any{}
	for _, c := range w.cols[table] {
		row[c.name] = w.value(table, c, org)
		if v, ok := variant[c.name]; ok {
			if s, ok := v.(string); ok && perOrg(table, c.name) {
				v = s + "_" + org
			}
			row[c.name] = v
		}
	}
	return row
}

func (w *world) insert(ctx context.Context, tx *sql.Tx, table string, row map[string]any) error {
	var names, marks []string
	var args []any
	for _, c := range w.cols[table] {
		args = append(args, row[c.name])
		names = append(names, c.name)
		marks = append(marks, fmt.Sprintf("$%d", len(args)))
	}
	q := "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
	if table == "person" {
		q += " ON CONFLICT DO NOTHING" // one person, many orgs
	}
	if _, err := tx.ExecContext(ctx, q, args...); err != nil {
		return fmt.Errorf("fixture of %s: %w", table, err)
	}
	return nil
}

// rows gives the rows of org in a table, as text, sorted. Tables of the box give all.
func (w *world) rows(t *testing.T, tx *store.Tx, table, org string) []string {
	t.Helper()
	q := "SELECT * FROM " + table
	var args []any
	if c := w.tenant[table]; c != "" {
		q += " WHERE " + c + " = $1"
		args = append(args, org)
	}
	rows, err := tx.SQL().QueryContext(t.Context(), q, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		vals := make([]any, len(w.cols[table]))
		for i := range vals {
			vals[i] = new(any)
		}
		if err := rows.Scan(vals...); err != nil {
			t.Fatal(err)
		}
		line := ""
		for i, c := range w.cols[table] {
			line += fmt.Sprintf("%s=%v ", c.name, *vals[i].(*any))
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// args makes the arguments of a query: the org asks, and everything else is of whose.
func (w *world) args(t *testing.T, q query, asks, whose string) []reflect.Value {
	t.Helper()
	types := q.types()
	vals := make([]reflect.Value, len(types))
	for i, typ := range types {
		vals[i] = reflect.ValueOf(w.arg(q, q.params[i], typ, asks, whose)).Convert(typ)
	}
	s, ok := q.structArg()
	if !ok {
		return vals
	}
	arg := reflect.New(s).Elem()
	for i, v := range vals {
		arg.Field(i).Set(v)
	}
	return []reflect.Value{arg}
}

// arg makes one argument, from its name and type.
func (w *world) arg(q query, name string, typ reflect.Type, asks, whose string) any {
	if v, ok := queryArgs[q.name+"."+name]; ok {
		if n, ok := v.(int); ok && typ.Kind() == reflect.Pointer {
			return new(int64(n))
		}
		if s, ok := v.(string); ok {
			v = strings.ReplaceAll(s, "ORG", whose)
		}
		return v
	}
	if typ == orgType || name == "log" {
		return asks
	}
	table := ""
	if len(q.tables) > 0 {
		table = q.tables[0]
	}
	fresh := q.sets(name) || q.inserts() && slices.Contains(freshColumns[table], name)
	switch typ.Kind() {
	case reflect.Pointer:
		return new(int64(timeNow))
	case reflect.Int64, reflect.Int32:
		return numberArg(q, name)
	}
	if fresh {
		return "new_" + name + "_" + whose
	}
	switch typ {
	case reflect.TypeFor[sess.InstanceID](), reflect.TypeFor[sess.SessionID]():
		return text(map[string]string{"InstanceID": "instance", "SessionID": "session"}[typ.Name()], "id") + "_" + whose
	}
	for _, c := range w.cols[table] {
		if c.name == name && c.text {
			return fmt.Sprint(w.value(table, c, whose))
		}
	}
	return text(table, name)
}

// freshColumns get values of their own in an INSERT, because the fixture's are taken.
var freshColumns = map[string][]string{
	"session_share": {"id", "hash"},
	"person":        {"id", "email"}, "member": {"user_id", "name"}, "project": {"id", "name"}, "role_grant": {"id", "role"},
	"invite": {"id", "hash"}, "reset_link": {"hash"}, "team": {"id", "name"}, "team_member": {"source"}, "login": {"id", "hash"}, "api_key": {"id", "hash"}, "enrol_token": {"id", "hash"},
	"instance": {"id", "name"}, "session": {"id"}, "ticket": {"hash"}, "resume_nonce": {"nonce"}, "audit_event": {"id"},
	"login_failure": {"id"}, "audit_sink": {"id", "name"}, "audit_sink_cursor": {"sink"}, "role": {"name"}, "recovery_code": {"hash"}, "login_challenge": {"hash"}, "idp": {"id", "name"}, "idp_account": {"subject"}, "session_tag": {"name"}, "alert_hook": {"id"}, "session_join": {"side"}, "login_flow": {"id", "token"},
}

// numberArg guesses a number from the parameter's name.
func numberArg(q query, name string) any {
	switch {
	case q.sets(name) && !strings.HasSuffix(name, "_at"):
		return 78
	case slices.Contains([]string{"page", "limit", "last", "uses"}, name):
		return 100
	case slices.Contains([]string{"before_at", "first_at"}, name):
		return int64(timeExpires * 10)
	case name == "first", name == "last_at":
		return 0
	case slices.Contains([]string{"idx", "size"}, name) && q.writes():
		return 77
	case name == "idx":
		return 0
	case strings.HasSuffix(name, "expires_at") && q.inserts():
		return timeExpires
	case strings.HasSuffix(name, "_at"), name == "now", name == "older", strings.HasSuffix(name, "since"):
		return timeNow
	}
	return 1
}
