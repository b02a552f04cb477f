package server

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

// The matrix: every operation of the API × everybody who may ask, with the answer that the declarations promise. What an
// operation needs (a login or not) comes from package api's declarations, who may ask for it from policy.Actions; what it
// takes is in matrixEntries, where an operation that is missing fails the test. Nothing here asks the code under test what it
// would answer.

// entry is what the matrix knows of an operation.
type entry struct {
	// act is what the gate is asked, as policy.Actions lists it. An operation that needs no login has none, and says in
	// guarded what guards it instead.
	act     policy.Action
	guarded string
	// kinds are the kinds of things that the parameters of the path stand for, where that is not a parameter's name.
	kinds map[string]string
	// query and body are what is sent. {kind} in them is the id of such a thing, {new} a name that is free, {point} a
	// session's public key.
	query, body string
	// fails are the codes with which somebody who may ask can fail all the same: nothing is online, say.
	fails []sess.Code
	// others are the roles that have an action which is one's own (Info.Own) for what is somebody else's, too. nil: those
	// that the declaration names, but operator.
	others []sess.Role
	// more are the roles that may ask for something less where they may not do it: to be let in by somebody else, say.
	more []sess.Role
	// stages are those in which a login may ask for it, though something has to be done first.
	stages []sess.Stage
	// also is a second action that the caller must hold: who takes a session over must still be allowed to start it.
	also policy.Action
	// locked is set for what takes a password or a code of an account, and so is barred to one that is locked; it gives the body
	// by which somebody asks for their own. nil: a lock changes nothing, for who is logged in already is no guesser.
	locked func(*matrix, member) string
	// person is set for what concerns the person and not one membership: somebody who is in two organisations is told of
	// both.
	person bool
}

// operation is one row: an operation as it is bound, and its entry.
type operation struct {
	entry

	id, method, path string
	public           bool
	info, alsoInfo   policy.Info
}

// matrixRoles are all that come with sess; empty: a member without any.
var matrixRoles = []sess.Role{"", sess.RoleAdmin, sess.RoleProjectAdmin, sess.RoleOperator, sess.RoleSupport, sess.RoleReadOnly, sess.RoleAuditor}

// shownBy says which action makes a thing of a kind visible: who may not see it is told that there is none.
var shownBy = map[string]policy.Action{
	"instance": policy.InstanceShow, "session": policy.SessionShow, "recording": policy.RecordingShow, "token": policy.TokenList,
	"key": policy.KeyList, "group": policy.GroupShow, "project": policy.ProjectShow, "grant": policy.GrantShow, "idp": policy.IDPShow,
	"user": policy.UserShow, "lock": policy.LockShow,
}

var slot = regexp.MustCompile(`\{([a-z_]+)\}`)

// operations gives every operation that is bound, and the downloads beside them.
func operations(t *testing.T, s *Server) []operation {
	t.Helper()
	var ops []operation
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range map[string]any{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete} {
			if id, public, ok := declaredAs(op); ok {
				ops = append(ops, operation{id: id, method: method, path: path, public: public})
			}
		}
	}
	ops = append(ops,
		operation{id: "recording-data", method: http.MethodGet, path: api.PathRecordingData},
		operation{id: "session-commands", method: http.MethodGet, path: api.PathSessionCommands},
		operation{id: "audit-export", method: http.MethodGet, path: api.PathAuditExport},
		operation{id: "audit-watch", method: http.MethodGet, path: api.PathAuditWatch})
	entries, infos := matrixEntries(), map[policy.Action]policy.Info{}
	for _, i := range policy.Actions() {
		infos[i.Action] = i
	}
	var rows []operation
	for _, o := range ops {
		found := false
		for name, e := range entries {
			if id, _, _ := strings.Cut(name, " "); id != o.id {
				continue
			}
			found = true
			delete(entries, name)
			row := operation{id: name, method: o.method, path: o.path, public: o.public, entry: e, info: infos[e.act], alsoInfo: infos[e.also]}
			switch {
			case o.public != (e.guarded != ""):
				t.Errorf("%s: public is %v, guarded is %q", name, o.public, e.guarded)
			case !o.public && row.info.Action == "":
				t.Errorf("%s: policy.Actions has no %q", name, e.act)
			default:
				rows = append(rows, row)
			}
		}
		if !found {
			t.Errorf("the operation %s has no entry: say in matrixEntries (matrix_entries_internal_test.go) which policy.Action it asks the gate for, "+
				"or, if it needs no login, what guards it; what its path's parameters stand for, where that is not their name; and a body that it accepts", o.id)
		}
	}
	for id := range entries {
		t.Errorf("matrixEntries has %s, which is no operation", id)
	}
	slices.SortFunc(rows, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return rows
}

// kind gives the kind of thing that a parameter of o stands for.
func (o operation) kind(param string) string {
	if k := o.kinds[param]; k != "" {
		return k
	}
	return param
}

// things lists the parameters of o's path, query and body that stand for things.
func (o operation) things() []string {
	var out []string
	for _, m := range slot.FindAllStringSubmatch(o.path+o.query+o.body, -1) {
		if !slices.Contains([]string{"new", "point"}, m[1]) && !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}

// subject is the parameter of the path that o is about; empty: none.
func (o operation) subject() string {
	if m := slot.FindStringSubmatch(o.path); m != nil {
		return m[1]
	}
	return ""
}

// may says whether a role has the action of o for something that is its own, or somebody else's.
func (o operation) may(role sess.Role, own bool) bool {
	if o.also != "" && !holds(o.alsoInfo, role) {
		return false
	}
	if slices.Contains(o.more, role) {
		return true
	}
	if !o.info.Own || own || o.subject() == "" {
		return holds(o.info, role)
	}
	if o.others != nil {
		return slices.Contains(o.others, role)
	}
	return role != sess.RoleOperator && slices.Contains(o.info.Roles, role)
}

func holds(i policy.Info, role sess.Role) bool {
	return slices.Contains(i.Roles, policy.Everyone) || role != "" && slices.Contains(i.Roles, role)
}

// refusal is the code that a role gets which may not do what o does: who can't see the thing is told that there is none. Who
// has no role at all may be told either.
func (o operation) refusal(role sess.Role, own bool) []sess.Code {
	switch {
	case role == "":
		return []sess.Code{sess.CodeDenied, sess.CodeNotFound}
	case o.subject() == "" && len(o.things()) > 0: // what the body names may be looked for first
		return []sess.Code{sess.CodeDenied, sess.CodeNotFound}
	}
	show := shownBy[o.kind(o.subject())]
	if show == "" {
		return []sess.Code{sess.CodeDenied}
	}
	for _, i := range policy.Actions() {
		if i.Action != show {
			continue
		}
		seen := operation{info: i, path: o.path, entry: entry{others: seesOthers(i)}}
		if seen.may(role, own) {
			return []sess.Code{sess.CodeDenied}
		}
	}
	return []sess.Code{sess.CodeNotFound}
}

// seesOthers are the roles that see somebody else's things of the kind that i shows.
func seesOthers(i policy.Info) []sess.Role {
	if i.Action == policy.KeyList {
		return []sess.Role{sess.RoleAdmin}
	}
	return nil
}

// TestMatrixOfCredentials: whoever has not shown who they are, or may not ask any more, gets the same from every operation.
func TestMatrixOfCredentials(t *testing.T) {
	t.Parallel()
	w := newMatrix(t)
	for _, o := range operations(t, w.s) {
		things := w.ours.static(o)
		for _, c := range w.credentials() {
			got := w.ask(o, c.bearer, things, c.from)
			switch want := c.want; {
			case o.public:
				// It is not asked for, and does not count.
				if plain := w.ask(o, "", things, c.from); got.code != plain.code || got.status != plain.status {
					t.Errorf("%s by %s: %s, and without a credential %s", o.id, c.what, got, plain)
				}
			case slices.Contains(o.stages, c.stage) && c.stage != "":
				if got.code == sess.CodeDenied || got.code == sess.CodeUnauthenticated {
					t.Errorf("%s by %s, which it is for: %s", o.id, c.what, got)
				}
			case got.code != want:
				t.Errorf("%s by %s: %s, want %s", o.id, c.what, got, want)
			}
		}
	}
}

// TestMatrixOfRoles: each role may do what the declarations say, to what is its own and to what is not, and nothing else.
func TestMatrixOfRoles(t *testing.T) {
	t.Parallel()
	w := newMatrix(t)
	for _, o := range operations(t, w.s) {
		if o.public {
			continue
		}
		for _, role := range matrixRoles {
			owns := []bool{false}
			if o.info.Own && slices.Contains([]string{"session", "recording", "key"}, o.kind(o.subject())) {
				owns = append(owns, true)
			}
			for _, own := range owns {
				m := w.ours.member(role)
				bearer := w.login(m, nil)
				got := w.ask(o, bearer, w.ours.fresh(o, m, own), "")
				what := fmt.Sprintf("%s by %q, own %v", o.id, role, own)
				if o.may(role, own) {
					if got.status/100 != 2 && !slices.Contains(o.fails, got.code) {
						t.Errorf("%s: %s, want it done", what, got)
					}
					continue
				}
				if want := o.refusal(role, own); !slices.Contains(want, got.code) {
					t.Errorf("%s: %s, want %v", what, got, want)
				}
			}
		}
	}
}

// TestMatrixOfProjects: a role on one project says nothing about the things of another, which are like things that don't
// exist; org-admin and the others on that other project, too.
func TestMatrixOfProjects(t *testing.T) {
	t.Parallel()
	w := newMatrix(t)
	elsewhere := sess.ProjectID(w.ours.make("project", w.ours.admin).id)
	for _, o := range operations(t, w.s) {
		about := o.subject()
		if about == "" && len(o.things()) > 0 && o.body != "" {
			about = o.things()[0]
		}
		if o.public || !slices.Contains([]string{"instance", "session", "recording", "token", "project"}, o.kind(about)) || o.act == policy.PolicyExplain {
			continue
		}
		for _, role := range matrixRoles[1:] {
			m := w.ours.memberOn(role, elsewhere)
			got := w.ask(o, w.login(m, nil), w.ours.fresh(o, m, false), "")
			want := []sess.Code{sess.CodeNotFound}
			if o.subject() == "" { // the organisation may be asked first
				want = append(want, sess.CodeDenied)
			}
			if !slices.Contains(want, got.code) {
				t.Errorf("%s by %q of another project: %s, want %v", o.id, role, got, want)
			}
		}
	}
}

// TestMatrixOfOrganisations: an admin of another organisation, a stranger or the same person as an admin of this one, finds
// nothing here by any operation: naming something of this organisation is like naming nothing, no answer speaks of it,
// and nothing of it changes.
func TestMatrixOfOrganisations(t *testing.T) {
	t.Parallel()
	w := newMatrix(t)
	ours := map[string]thing{}
	for _, o := range operations(t, w.s) {
		for _, p := range o.things() {
			if k := o.kind(p); ours[k].id == "" && k != "participant" { // a number names nothing by itself
				ours[k] = w.ours.make(k, w.ours.admin)
			}
		}
	}
	before := w.rows(w.ours.org)
	for _, o := range operations(t, w.s) {
		for _, m := range []member{w.other.admin, w.other.twin} {
			if o.person && m == w.other.twin {
				continue
			}
			bearer := w.bearer(o, m)
			if len(o.things()) == 0 {
				w.tellsNothing(o, w.ask(o, bearer, nil, ""), ours, nil)
			}
			for _, p := range o.things() {
				w.likeNothing(o, m, p, ours)
			}
		}
	}
	for table, rows := range w.rows(w.ours.org) {
		if !slices.Equal(rows, before[table]) {
			t.Errorf("another organisation's admin changed %s:\n%s\nbecame\n%s", table, strings.Join(before[table], "\n"), strings.Join(rows, "\n"))
		}
	}
}

// likeNothing has m name our thing, by id and by name, where parameter p stands, and something that does not exist.
func (w *matrix) likeNothing(o operation, m member, p string, ours map[string]thing) {
	w.t.Helper()
	bearer := w.bearer(o, m)
	for _, name := range ours[o.kind(p)].refs() {
		things := w.other.fresh(o, m, false)
		things[p] = name
		real := w.ask(o, bearer, things, "")
		w.tellsNothing(o, real, ours, []string{name})
		things = w.other.fresh(o, m, false)
		things[p] = nothingLike(name)
		none := w.ask(o, bearer, things, "")
		same := strings.ReplaceAll(real.detail, name, "…") == strings.ReplaceAll(none.detail, things[p], "…")
		if real.status != none.status || real.code != none.code || !same {
			w.t.Errorf("%s with {%s} of another organisation, %s: %s; with one that does not exist: %s", o.id, p, name, real, none)
		}
	}
}

// bearer gives m a login for o; an operation that needs none gets none.
func (w *matrix) bearer(o operation, m member) string {
	if o.public {
		return ""
	}
	return w.login(m, nil)
}

// tellsNothing fails when an answer to somebody else has the id or the name of something of ours that was not asked for.
func (w *matrix) tellsNothing(o operation, got reply, ours map[string]thing, asked []string) {
	w.t.Helper()
	for kind, x := range ours {
		for _, ref := range x.refs() {
			if !slices.Contains(asked, ref) && strings.Contains(got.body, ref) {
				w.t.Errorf("%s tells another organisation of our %s %s: %s", o.id, kind, ref, got)
			}
		}
	}
}

// besides lists what is answered beside the operations, each with the reason why the matrix need not know it.
func besides() map[string]string {
	const page = "a page of a login in a browser: it asks for the credential itself"
	return map[string]string{
		"GET PathStream":          "guarded by the ticket",
		"GET /admin/orgs":         "at the socket of the box's owner",
		"POST /admin/orgs":        "at the socket of the box's owner",
		"GET PathAgent":           "guarded by the instance's key",
		"GET PathRecordingData":   "in the matrix as recording-data",
		"GET PathSharedData":      "what a share is found by: tried in broker",
		"GET PathRecordingLink":   "the same for every link",
		"GET PathSessionCommands": "in the matrix as session-commands",
		"GET PathAuditExport":     "in the matrix as audit-export",
		"GET PathAuditWatch":      "in the matrix as audit-watch",
		"GET /admin/usage":        "at the socket of the box's owner",

		"GET /install.sh":   "public",
		"GET /agent/{name}": "public",
		"GET /healthz":      "public",
		"GET /readyz":       "public",
		"/":                 "nothing",

		"GET /admin/locks":    "at the socket of the box's owner",
		"POST /admin/locks":   "at the socket of the box's owner",
		"DELETE /admin/locks": "at the socket of the box's owner",

		"GET /admin/sinks":      "at the socket of the box's owner",
		"POST /admin/sinks":     "at the socket of the box's owner",
		"GET /admin/sink":       "at the socket of the box's owner",
		"POST /admin/sink/test": "at the socket of the box's owner",
		"DELETE /admin/sink":    "at the socket of the box's owner",

		"POST /admin/link":        "on the data directory's socket, for who may open that",
		"GET /admin/verify-audit": "on the data directory's socket, for who may open that",

		"GET /authorize":                    page,
		"GET /login/{flow}":                 page,
		"POST /login/{flow}/org":            page,
		"POST /login/{flow}/password":       page,
		"POST /login/{flow}/code":           page,
		"POST /login/{flow}/restart":        page,
		"POST /login/{flow}/confirm":        page,
		"POST /login/{flow}/deny":           page,
		"GET /login/{flow}/provider/{name}": page,
		"GET /login/{flow}/finish":          page,
		"GET /device":                       page,
		"POST /device":                      page,
		"GET /idp/{idp}/callback":           page,
		"POST /idp/{idp}/acs":               "guarded by the signature of what the provider sends",
		"GET /idp/{idp}/metadata":           "public",
		"GET /ui/style.css":                 "public",
	}
}

// TestNothingBesideTheMatrix: what is answered beside the operations is known, so that nobody adds a door there.
func TestNothingBesideTheMatrix(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	known, seen := besides(), map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			what := ""
			switch fun := call.Fun.(type) {
			case *ast.Ident:
				what = fun.Name
			case *ast.SelectorExpr:
				what = fun.Sel.Name
			}
			if !slices.Contains([]string{"Handle", "HandleFunc", "handle"}, what) {
				return true
			}
			if p := pattern(call.Args[0]); p != "" {
				seen[p] = true
				if known[p] == "" {
					t.Errorf("%s answers to %q: list it in besides, with the reason why it needs no row in the matrix", name, p)
				}
			}
			return true
		})
	}
	for p := range known {
		if !seen[p] {
			t.Errorf("besides lists %q, which nothing answers to", p)
		}
	}
}

// pattern reads the pattern of a route: a text, perhaps with a constant of package api behind it.
func pattern(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		return s
	case *ast.BinaryExpr:
		return pattern(e.X) + pattern(e.Y)
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
