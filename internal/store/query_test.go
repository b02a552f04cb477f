package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// query is one statement of queries/*.sql, with the method that sqlc made of it.
type query struct {
	file, name, kind string
	text             string   // without comments
	tables           []string // that it names, in this order
	params           []string // names of the method's parameters behind ctx; a single struct has its fields for names

	method reflect.Method
}

var orgType = reflect.TypeFor[sess.OrgID]()

// takesOrg reports whether the method takes an organisation, or the log of one.
func (q query) takesOrg() bool {
	for i, t := range q.types() {
		if t == orgType || q.params[i] == "log" {
			return true
		}
	}
	return false
}

// writes reports whether the statement may change rows.
func (q query) writes() bool {
	return !strings.HasPrefix(q.text, "SELECT") && !strings.HasPrefix(q.text, "WITH")
}

// sets reports whether the statement gives the column a new value from its parameter.
func (q query) sets(col string) bool {
	head, _, _ := strings.Cut(q.text, " WHERE ")
	return strings.HasPrefix(q.text, "UPDATE") && regexp.MustCompile(`\b`+col+` = (\$|sqlc)`).MatchString(head)
}

func (q query) inserts() bool { return strings.HasPrefix(q.text, "INSERT") }

// structArg gives the type of the single struct parameter, if the method has one.
func (q query) structArg() (reflect.Type, bool) {
	t := q.method.Type
	if t.NumIn() == 3 && t.In(2).Kind() == reflect.Struct {
		return t.In(2), true
	}
	return nil, false
}

// types gives the types that belong to params.
func (q query) types() []reflect.Type {
	var types []reflect.Type
	if s, ok := q.structArg(); ok {
		for i := range s.NumField() {
			types = append(types, s.Field(i).Type)
		}
		return types
	}
	for i := 2; i < q.method.Type.NumIn(); i++ {
		types = append(types, q.method.Type.In(i))
	}
	return types
}

// snake turns a Go name into the name of a column: UserID and userID into user_id.
func snake(name string) string {
	name = strings.Replace(name, "iDP", "idp", 1)
	name = strings.Replace(name, "iD", "id", 1) // sqlc's way with a parameter called id
	name = regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(name, "${1}_${2}")
	name = regexp.MustCompile(`([A-Z])([A-Z][a-z])`).ReplaceAllString(name, "${1}_${2}")
	return strings.ToLower(name)
}

// loadQueries reads every query, and fails when a statement and the generated code don't belong together.
func loadQueries(t *testing.T) []query {
	t.Helper()
	files, err := filepath.Glob("queries/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no queries", err)
	}
	tables, params := tableNames(t), generatedParams(t)
	methods := reflect.TypeFor[*store.Queries]()
	var queries []query
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(b), "-- name: ")[1:] {
			head, body, _ := strings.Cut(part, "\n")
			name, kind, _ := strings.Cut(head, " ")
			q := query{file: file, name: name, kind: strings.TrimSpace(kind), text: clean(body)}
			q.tables = tablesIn(q.text, tables)
			var ok bool
			if q.method, ok = methods.MethodByName(name); !ok {
				t.Fatalf("%s: %s has no method: run sqlc generate", file, name)
			}
			q.params = params[name]
			if s, ok := q.structArg(); ok {
				q.params = nil
				for i := range s.NumField() {
					q.params = append(q.params, snake(s.Field(i).Name))
				}
			}
			queries = append(queries, q)
		}
	}
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if name != "WithTx" && !slices.ContainsFunc(queries, func(q query) bool { return q.name == name }) {
			t.Errorf("method %s has no query: run sqlc generate", name)
		}
	}
	return queries
}

// tablesIn gives the tables that a statement names, in that order.
func tablesIn(text string, tables []string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE|INTO)\s+(\w+)`).FindAllStringSubmatch(text, -1) {
		if slices.Contains(tables, m[1]) && !slices.Contains(found, m[1]) {
			found = append(found, m[1])
		}
	}
	return found
}

// clean removes comments and joins the lines.
func clean(sql string) string {
	sql = regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(sql, "")
	return strings.TrimSpace(regexp.MustCompile(`\s+`).ReplaceAllString(sql, " "))
}

// generatedParams reads the parameter names of the generated methods, which reflection doesn't know.
func generatedParams(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.sql.go")
	if err != nil {
		t.Fatal(err)
	}
	params := map[string][]string{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			for _, field := range fn.Type.Params.List[1:] {
				for _, name := range field.Names {
					params[fn.Name.Name] = append(params[fn.Name.Name], snake(name.Name))
				}
			}
		}
	}
	return params
}

// schema is the text of the migrations up to date, comments removed.
func schema(t *testing.T) string {
	t.Helper()
	text, err := readSchema()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var readSchema = sync.OnceValues(func() (string, error) {
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		up, _, _ := strings.Cut(string(b), "-- +goose Down")
		all.WriteString(up)
	}
	return clean(all.String()), nil
})

// tableNames lists the tables in the order of their creation.
func tableNames(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range regexp.MustCompile(`CREATE TABLE (\w+)`).FindAllStringSubmatch(schema(t), -1) {
		names = append(names, m[1])
	}
	if len(names) < 10 {
		t.Fatalf("found only the tables %v", names)
	}
	return names
}
