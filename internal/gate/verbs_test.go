package gate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// guards are the methods of Gate that a verb may begin with.
var guards = map[string]bool{"Do": true, "DoFind": true, "Read": true, "ReadFind": true}

// ungated are the exported methods that take a principal and don't begin with the gate, each with its reason. What is
// here and needn't be fails the test.
var ungated = map[string]string{
	"identity.Service.ChangePassword": "the present password is proved before anything is asked for: a hash takes too long for a transaction; then it asks the gate",

	"broker.Service.Resume": "public: the principal is where the request comes from; the session's key proves it, and then it asks the gate for the session's owner",
}

// Every exported method of identity's and broker's types that takes a sess.Principal asks the gate before it does
// anything: its first statement calls the gate (Do, DoFind, Read, ReadFind), or another method or function of its package
// that takes the principal and does. Before it may stand declarations and assignments (in an if, too) with calls of
// functions that can do nothing: without a context and without the receiver nobody reaches the database or the network.
func TestEveryVerbBeginsWithTheGate(t *testing.T) {
	seen := map[string]bool{}
	for _, room := range []string{"identity", "broker", "trail", "alert"} {
		dir := filepath.Join("..", room)
		if _, err := os.Stat(dir); err != nil {
			t.Logf("%s does not exist", room)
			continue
		}
		funcs, errs := verbs(t, dir)
		for name, err := range errs {
			full := room + "." + name
			seen[full] = true
			if err != nil && ungated[full] == "" {
				t.Errorf("%s does not begin with the gate: %v", full, err)
			}
			if err == nil && ungated[full] != "" {
				t.Errorf("%s is listed in ungated and begins with the gate", full)
			}
		}
		t.Logf("%s: %d verbs in %d functions", room, len(errs), funcs)
	}
	for name := range ungated {
		if !seen[name] {
			t.Errorf("ungated lists %s, which is no verb", name)
		}
	}
}

// verbs judges the exported methods of dir that take a principal.
func verbs(t *testing.T, dir string) (funcs int, verdicts map[string]error) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	p := pkg{fset: token.NewFileSet(), funcs: map[string]*ast.FuncDecl{}}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(p.fset, f, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Logf("%s is being edited: %v", f, err)
		}
		if file != nil {
			p.add(file)
		}
	}
	verdicts = map[string]error{}
	for name, d := range p.funcs {
		if d.Recv != nil && d.Name.IsExported() && principal(d) != "" {
			verdicts[name] = p.judge(d, 0)
		}
	}
	return len(p.funcs), verdicts
}

type pkg struct {
	fset  *token.FileSet
	funcs map[string]*ast.FuncDecl // by name, methods as Type.Name
}

func (p pkg) add(f *ast.File) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			p.funcs[nameOf(fn)] = fn
		}
	}
}

func nameOf(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	typ := d.Recv.List[0].Type
	if s, ok := typ.(*ast.StarExpr); ok {
		typ = s.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

// principal gives the name of the parameter of type sess.Principal; empty: there is none.
func principal(d *ast.FuncDecl) string {
	for _, f := range d.Type.Params.List {
		if s, ok := f.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Principal" {
			if len(f.Names) == 0 {
				return "_"
			}
			return f.Names[0].Name
		}
	}
	return ""
}

// judge says why d does not begin with the gate.
func (p pkg) judge(d *ast.FuncDecl, depth int) error {
	who := principal(d)
	for _, stmt := range d.Body.List {
		var at ast.Node = stmt
		if i, ok := stmt.(*ast.IfStmt); ok && i.Init != nil {
			at = i.Init // if err := s.gate.Do(…); err != nil
		}
		call := p.firstCall(at, d)
		if call == nil {
			if escapes(stmt) || p.firstCall(stmt, d) != nil {
				return fmt.Errorf("%s: returns or acts before it asks the gate", p.fset.Position(stmt.Pos()))
			}
			continue
		}
		if i, ok := stmt.(*ast.IfStmt); ok && i.Init == nil {
			return fmt.Errorf("%s: asks the gate, or something else, under a condition", p.fset.Position(stmt.Pos()))
		}
		sel, _ := call.Fun.(*ast.SelectorExpr)
		if sel != nil && guards[sel.Sel.Name] && isGate(sel.X) {
			if !passes(call, who) {
				return fmt.Errorf("%s: asks the gate for somebody else", p.fset.Position(call.Pos()))
			}
			return nil
		}
		// A helper of the same package that is handed the principal may do it.
		if next := p.local(call, d); next != nil && passes(call, who) && depth < 4 {
			return p.judge(next, depth+1)
		}
		return fmt.Errorf("%s: calls something else first", p.fset.Position(call.Pos()))
	}
	return fmt.Errorf("%s: never asks the gate", p.fset.Position(d.Pos()))
}

// harmless are calls that only make values.
var harmless = map[string]bool{"make": true, "len": true, "min": true, "max": true, "new": true, "string": true, "int64": true, "append": true}

// firstCall finds the first call under n that could do something, not looking into function literals.
func (p pkg) firstCall(n ast.Node, in *ast.FuncDecl) *ast.CallExpr {
	var first *ast.CallExpr
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			if first == nil && !p.pure(n, in) {
				first = n
			}
		}
		return first == nil
	})
	return first
}

// pure reports whether call can only make a value: a builtin, a conversion, a maker of packages policy and sess, or a
// function of the package that is handed neither a context nor the receiver.
func (p pkg) pure(call *ast.CallExpr, in *ast.FuncDecl) bool {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		if harmless[f.Name] {
			return true
		}
		recv := ""
		if in.Recv != nil && len(in.Recv.List[0].Names) > 0 {
			recv = in.Recv.List[0].Names[0].Name
		}
		return p.funcs[f.Name] != nil && !passes(call, "ctx") && !passes(call, recv)
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		return ok && (x.Name == "policy" || x.Name == "sess")
	}
	return false
}

// escapes reports whether stmt does more than to declare or assign values.
func escapes(stmt ast.Stmt) bool {
	switch s := stmt.(type) {
	case *ast.DeclStmt:
		return false
	case *ast.AssignStmt:
		for _, l := range s.Lhs {
			if _, ok := l.(*ast.Ident); !ok {
				return true // writes into something that others may see
			}
		}
		return false
	case *ast.BlockStmt:
		for _, x := range s.List {
			if escapes(x) {
				return true
			}
		}
		return false
	case *ast.IfStmt:
		return (s.Init != nil && escapes(s.Init)) || escapes(s.Body) || (s.Else != nil && escapes(s.Else))
	}
	return true
}

// isGate reports whether x is called gate or a field of that name: g, s.gate, s.Gate.
func isGate(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.EqualFold(x.Name, "gate") || x.Name == "g"
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "gate")
	}
	return false
}

// passes reports whether who is an argument of call.
func passes(call *ast.CallExpr, who string) bool {
	for _, a := range call.Args {
		if id, ok := a.(*ast.Ident); ok && id.Name == who {
			return true
		}
	}
	return false
}

// local finds the function of the same package that call calls: f(…), or recv.f(…).
func (p pkg) local(call *ast.CallExpr, from *ast.FuncDecl) *ast.FuncDecl {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return p.funcs[f.Name]
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok && from.Recv != nil && len(from.Recv.List[0].Names) > 0 && x.Name == from.Recv.List[0].Names[0].Name {
			typ, _, _ := strings.Cut(nameOf(from), ".")
			return p.funcs[typ+"."+f.Sel.Name]
		}
	}
	return nil
}

// The test must be able to fail.
func TestVerbsWithoutTheGateAreFound(t *testing.T) {
	dir := t.TempDir()
	src := `package x
func (s *Service) Good(ctx context.Context, who sess.Principal) (out int, err error) {
	var n int
	list := make([]string, 0, 3)
	on := policy.Org(who.Org)
	if n == 0 { on = policy.Resource{} } else { n = plan(list) }
	err = s.gate.Do(ctx, who, policy.Whoami, on, func(tx *gate.Tx) error { return do(tx) })
	return n, err
}
func (s *Service) GoodByHelper(ctx context.Context, who sess.Principal) error { return s.helper(ctx, who, 1) }
func (s *Service) helper(ctx context.Context, who sess.Principal, n int) error { return s.gate.ReadFind(ctx, who, "x", f, nil) }
func (s *Service) BadCall(ctx context.Context, who sess.Principal) error {
	if err := s.db.Write(ctx, nil); err != nil { return err }
	return s.gate.Do(ctx, who, "x", on, nil)
}
func (s *Service) BadEarlyReturn(ctx context.Context, who sess.Principal) error {
	if who.User == "usr_backdoor" { return nil }
	return s.gate.Do(ctx, who, "x", on, nil)
}
func (s *Service) BadWho(ctx context.Context, who sess.Principal) error {
	return s.gate.Do(ctx, sess.System(who.Org), "x", on, nil)
}
func (s *Service) BadNever(ctx context.Context, who sess.Principal) error { return nil }
func (s *Service) BadHelper(ctx context.Context, who sess.Principal) error { return s.other(ctx, who) }
func (s *Service) other(ctx context.Context, who sess.Principal) error { s.n++; return s.gate.Do(ctx, who, "x", on, nil) }
func (s *Service) BadBranch(ctx context.Context, who sess.Principal) error {
	if who.User != "" { return s.gate.Do(ctx, who, "x", on, nil) }
	return s.db.Write(ctx, nil)
}
func plan(l []string) int { return len(l) }
func load(ctx context.Context) int { return 1 }
func (s *Service) GoodIf(ctx context.Context, who sess.Principal) error {
	if err := s.gate.Do(ctx, who, "x", policy.Org(who.Org), nil); err != nil { return err }
	return nil
}
func (s *Service) BadLoad(ctx context.Context, who sess.Principal) error {
	n := load(ctx)
	return s.gate.Do(ctx, who, "x", on, func(tx *gate.Tx) error { return f(n) })
}
func (s *Service) BadAssign(ctx context.Context, who sess.Principal) error {
	s.last = who
	return s.gate.Do(ctx, who, "x", on, nil)
}
func (s *Service) Public(ctx context.Context, token string) error { return nil }
`
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	_, verdicts := verbs(t, dir)
	for name, err := range verdicts {
		if want := strings.HasPrefix(name, "Service.Bad"); (err != nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(verdicts) != 11 {
		t.Errorf("%d verbs found", len(verdicts))
	}
}
