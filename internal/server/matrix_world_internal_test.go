package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// matrix is an assembled server, with all its layers, and three organisations.
type matrix struct {
	t           *testing.T
	s           *Server
	ours, other *matrixOrg
	strict      *matrixOrg // demands a second factor
	n           int        // counts names and addresses
	point       string     // a session's public key, in base64
	db          *sql.DB    // beside the server's own, for what no verb does
}

type matrixOrg struct {
	w       *matrix
	org     sess.OrgID
	project sess.ProjectID
	admin   member
	twin    member            // the same person as the admin of ours
	statics map[string]string // things that requests name which get nowhere near them
}

// member is somebody in an organisation.
type member struct {
	org  sess.OrgID
	id   sess.UserID
	name string
}

// thing is something of an organisation.
type thing struct{ id, name string }

func (x thing) refs() []string {
	if x.name == "" || x.name == x.id {
		return []string{x.id}
	}
	return []string{x.id, x.name}
}

// reply is what was answered.
type reply struct {
	status       int
	code         sess.Code // empty: no failure
	detail, body string
}

// String implements fmt.Stringer.
func (r reply) String() string { return fmt.Sprintf("%d %s %.300s", r.status, r.code, r.body) }

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	dir := storetest.Dir(t)
	s, err := New(t.Context(), Config{DataDir: dir, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sess.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &matrix{t: t, s: s, db: db, point: base64.StdEncoding.EncodeToString(point)}
	w.sql("INSERT INTO node (id, url, counter, started_at) VALUES ('nod_elsewhere', 'https://elsewhere.example', 1, 1)")
	w.ours, w.other, w.strict = w.newOrg("ours"), w.newOrg("other"), w.newOrg("strict")
	w.other.twin = w.join(w.other.org, w.ours.admin.id, w.name("twin")+"@example.com", sess.UserLocal, sess.RoleAdmin)
	w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SetOrgSettings(ctx, sess.Settings{RequireMFA: true}.Text(), w.strict.org)
		return err
	})
	return w
}

func (w *matrix) write(f func(context.Context, *store.Tx) error) {
	w.t.Helper()
	if err := w.s.store.Write(w.t.Context(), func(tx *store.Tx) error { return f(w.t.Context(), tx) }); err != nil {
		w.t.Fatal(err)
	}
}

// name gives a name that nothing else has, nor begins with.
func (w *matrix) name(what string) string {
	w.n++
	return fmt.Sprintf("%s-q%05dz", what, w.n)
}

func (w *matrix) newOrg(name string) *matrixOrg {
	w.t.Helper()
	o := &matrixOrg{w: w, org: sess.NewOrgID(), project: sess.NewProjectID(), statics: map[string]string{}}
	w.write(func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreateOrg(ctx, o.org, w.name(name), 1); err != nil {
			return err
		}
		return tx.CreateProject(ctx, o.org, o.project, "default", 1)
	})
	o.admin = o.member(sess.RoleAdmin)
	return o
}

// member makes a member with a role, or with none.
func (o *matrixOrg) member(role sess.Role) member {
	o.w.t.Helper()
	return o.w.join(o.org, sess.NewUserID(), o.w.name("user")+"@example.com", sess.UserLocal, role)
}

// memberOn makes a member with a role on one project.
func (o *matrixOrg) memberOn(role sess.Role, project sess.ProjectID) member {
	o.w.t.Helper()
	m := o.member("")
	o.w.write(func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: o.org, ID: sess.NewGrantID(), UserID: m.id, Role: role, Project: project, CreatedAt: 1}); err != nil {
			return err
		}
		_, err := tx.ChangeRules(ctx, o.org)
		return err
	})
	return m
}

// join makes somebody a member, with a role on the whole organisation unless it is empty. People have a row of their own.
func (w *matrix) join(org sess.OrgID, id sess.UserID, name string, kind sess.UserKind, role sess.Role) member {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		if kind == sess.UserLocal {
			if _, err := tx.CreatePerson(ctx, id, name, "", 1); err != nil && !strings.Contains(err.Error(), "constraint") {
				return err
			}
		}
		if _, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: org, UserID: id, Kind: kind, Name: name, CreatedAt: 1}); err != nil {
			return err
		}
		if role == "" {
			return nil
		}
		_, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: org, ID: sess.NewGrantID(), UserID: id, Role: role, CreatedAt: 1})
		return err
	})
	return member{org, id, name}
}

// login makes a login of m and gives its token; set changes its row before.
func (w *matrix) login(m member, set func(*store.CreateLoginParams)) string {
	w.t.Helper()
	token, err := sess.NewToken(sess.TokenLogin, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	now := time.Now()
	p := store.CreateLoginParams{
		Org: m.org, ID: sess.NewLoginID(), Hash: sess.HashToken(token), UserID: m.id, CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(time.Hour)),
	}
	if set != nil {
		set(&p)
	}
	w.write(func(ctx context.Context, tx *store.Tx) error { return tx.CreateLogin(ctx, p) })
	return token
}

// key makes an API key of m and gives it; set changes its row before.
func (w *matrix) key(m member, set func(*store.CreateAPIKeyParams)) (sess.KeyID, string) {
	w.t.Helper()
	token, err := sess.NewToken(sess.TokenAPIKey, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	now := time.Now()
	p := store.CreateAPIKeyParams{
		Org: m.org, ID: sess.NewKeyID(), Hash: sess.HashToken(token), UserID: m.id, Name: w.name("key"),
		CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(time.Hour)),
	}
	if set != nil {
		set(&p)
	}
	w.write(func(ctx context.Context, tx *store.Tx) error { return tx.CreateAPIKey(ctx, p) })
	return p.ID, token
}

// credential is somebody who gets nowhere, and the code that says so.
type credential struct {
	what, bearer, from string
	stage              sess.Stage
	want               sess.Code
}

// sql changes rows in ways that no verb does.
func (w *matrix) sql(query string, args ...any) {
	w.t.Helper()
	if _, err := w.db.ExecContext(w.t.Context(), query, args...); err != nil {
		w.t.Fatal(err)
	}
}

// credentials lists those who may not ask for anything, each an admin otherwise.
func (w *matrix) credentials() []credential {
	w.t.Helper()
	no := sess.CodeUnauthenticated
	out := []credential{{what: "nobody", want: no}, {what: "rubbish", bearer: "rubbish", want: no}}
	add := func(what, bearer string, want sess.Code) {
		out = append(out, credential{what: what, bearer: bearer, want: want})
	}
	for _, k := range sess.TokenKinds() {
		unknown, err := sess.NewToken(k, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		add("an unknown "+string(k), unknown, no)
	}
	past := store.Micros(time.Now().Add(-time.Minute))
	admin := func() member { return w.ours.member(sess.RoleAdmin) }
	hash := sess.HashToken

	m := admin()
	add("an expired login", w.login(m, func(p *store.CreateLoginParams) { p.ExpiresAt = past }), no)
	add("a login not used for long", w.login(m, func(p *store.CreateLoginParams) { p.CreatedAt = store.Micros(time.Now().Add(-2 * time.Hour)) }), no)
	ended := w.login(m, nil)
	w.sql("UPDATE login SET revoked_at = $1 WHERE hash = $2", past, hash(ended))
	add("a login that was ended", ended, no)
	_, expired := w.key(m, func(p *store.CreateAPIKeyParams) { p.ExpiresAt = past })
	add("an expired key", expired, no)
	_, deleted := w.key(m, nil)
	w.sql("UPDATE api_key SET revoked_at = $1 WHERE hash = $2", past, hash(deleted))
	add("a deleted key", deleted, no)
	_, away := w.key(m, func(p *store.CreateAPIKeyParams) { p.Addresses = "192.0.2.0/24" })
	out = append(out, credential{what: "a key from an address it is not for", bearer: away, from: "198.51.100.201", want: sess.CodeDenied})

	for state, change := range map[string]string{
		"deactivated": "UPDATE member SET active = 0 WHERE org = $1 AND user_id = $2",
		"deleted":     "UPDATE member SET active = 0, deleted_at = 5 WHERE org = $1 AND user_id = $2",
	} {
		m := admin()
		login := w.login(m, nil)
		_, key := w.key(m, nil)
		w.sql(change, m.org, m.id)
		add("the login of a "+state+" user", login, no)
		add("the key of a "+state+" user", key, no)
	}
	for _, stage := range []sess.Stage{sess.StagePassword, sess.StageMFA} {
		bearer := w.login(admin(), func(p *store.CreateLoginParams) { p.Stage = stage })
		want := sess.CodeDenied
		if stage == sess.StageMFA {
			want = sess.CodeMFA
		}
		out = append(out, credential{what: "a login of stage " + string(stage), bearer: bearer, stage: stage, want: want})
	}
	out = append(out, w.locked()...)
	_, key := w.key(w.strict.admin, nil)
	return append(out,
		credential{what: "a login without the second factor that is demanded", bearer: w.login(w.strict.admin, nil), stage: sess.StageMFA, want: sess.CodeMFA},
		credential{what: "a key of somebody without the second factor that is demanded", bearer: key, stage: sess.StageMFA, want: sess.CodeMFA})
}

// locked lists those whom a lock is on, each an admin otherwise.
func (w *matrix) locked() []credential {
	w.t.Helper()
	lock := func(kind sess.LockKind, target, name string) {
		w.write(func(ctx context.Context, tx *store.Tx) error {
			if err := tx.InsertLock(ctx, store.InsertLockParams{Org: w.ours.org, ID: sess.NewLockID(), Kind: kind, Target: target, Name: name, OrgWide: 1, CreatedAt: 1}); err != nil {
				return err
			}
			_, err := tx.ChangeRules(ctx, w.ours.org)
			return err
		})
	}
	m, other := w.ours.member(sess.RoleAdmin), w.ours.member(sess.RoleAdmin)
	_, key := w.key(m, nil)
	lock(sess.LockUser, string(m.id), m.name)
	id, lockedKey := w.key(other, nil)
	lock(sess.LockKey, string(id), "k")
	lock(sess.LockAddress, "198.51.100.0/28", "198.51.100.0/28")
	return []credential{
		{what: "the login of a locked user", bearer: w.login(m, nil), want: sess.CodeLocked},
		{what: "the key of a locked user", bearer: key, want: sess.CodeLocked},
		{what: "a locked key", bearer: lockedKey, want: sess.CodeLocked},
		{what: "a login from a locked address", bearer: w.login(other, nil), from: "198.51.100.7", want: sess.CodeLocked},
	}
}

// ask sends a request through all layers, from an address of its own: limits on how often one may ask are not meant here.
func (w *matrix) ask(o operation, bearer string, things map[string]string, from string) reply {
	w.t.Helper()
	w.n++
	if from == "" {
		from = netip.AddrFrom4([4]byte{10, byte(w.n >> 16), byte(w.n >> 8), byte(w.n)}).String()
	}
	fill := func(text string) string {
		return slot.ReplaceAllStringFunc(text, func(m string) string {
			switch name := m[1 : len(m)-1]; name {
			case "new":
				return w.name("new")
			case "point":
				return w.point
			default:
				return things[name]
			}
		})
	}
	target := fill(o.path)
	if o.query != "" {
		target += "?" + fill(o.query)
	}
	r := httptest.NewRequest(o.method, "http://x"+target, strings.NewReader(fill(o.body)))
	r.RemoteAddr = from + ":1"
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if o.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	w.s.handler.ServeHTTP(rec, r.WithContext(context.WithoutCancel(w.t.Context())))
	got := reply{status: rec.Code, body: rec.Body.String()}
	if rec.Code >= 400 {
		var p api.Problem
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Code == "" || rec.Code >= 500 && p.Code == sess.CodeInternal {
			w.t.Errorf("%s: %d, %.300s", o.id, rec.Code, rec.Body)
		}
		got.code, got.detail = p.Code, p.Detail
	}
	return got
}

// rows gives all rows of an organisation, by table.
func (w *matrix) rows(org sess.OrgID) map[string][]string {
	w.t.Helper()
	out := map[string][]string{"org": w.lines("SELECT * FROM org WHERE id = $1", org)}
	for _, table := range w.lines("SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'org'") {
		table = strings.TrimSpace(table)
		out[table] = w.lines("SELECT * FROM "+table+" WHERE org = $1", org)
	}
	if len(out["instance"]) == 0 || len(out["member"]) == 0 {
		w.t.Fatalf("rows of %v: this test does not see what is there", out)
	}
	return out
}

// lines gives rows as text, sorted.
func (w *matrix) lines(query string, args ...any) []string {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.t.Context(), query, args...)
	if err != nil {
		w.t.Fatal(query, err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		vals, into := make([]any, len(cols)), make([]any, len(cols))
		for i := range vals {
			into[i] = &vals[i]
		}
		if err := rows.Scan(into...); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintln(vals...))
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// nothingLike gives a reference of the same form to nothing.
func nothingLike(ref string) string {
	if prefix, rest, ok := strings.Cut(ref, "_"); ok && !strings.Contains(ref, "@") {
		return prefix + "_" + strings.Repeat("z", len(rest))
	}
	return strings.NewReplacer("q0", "q9").Replace(ref)
}

// declaredAs gives the id of an operation of the OpenAPI document, and whether it needs no login.
func declaredAs(op any) (id string, public, ok bool) {
	o, _ := op.(*huma.Operation)
	if o == nil {
		return "", false, false
	}
	return o.OperationID, len(o.Security) == 0, true
}
