package internal_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxFile bounds a Go file that people write, lines: a longer one tells two stories.
const maxFile = 500

// source is a parsed Go file of the project.
type source struct {
	path      string // from the project's root
	file      *ast.File
	text      []byte
	lines     int
	generated bool
}

func (s source) test() bool {
	return strings.HasSuffix(s.path, "_test.go") || strings.Contains(s.path, "/storetest/")
}

func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || name == "dist" || name == "bin" || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		list = append(list, source{filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator))), file, text, bytes.Count(text, []byte("\n")), ast.IsGenerated(file)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 200 {
		t.Fatalf("found only %d Go files", len(list))
	}
	return list
}

func TestFilesTellOneStory(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxFile && !s.generated {
			t.Errorf("%s has %d lines, more than %d: it tells two stories", s.path, s.lines, maxFile)
		}
	}
}

// excuse is what a line carries that needs what the house does without; the linters want the reason behind it.
const excuse = "//nolint:forbidigo // "

func TestHabits(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init: what it does happens without anybody asking; call it from where it is needed", s.path)
			}
		}
		for i, line := range bytes.Split(s.text, []byte("\n")) {
			for _, name := range []string{"time.Sleep(", "context.Background()", "context.TODO()"} {
				context := strings.HasPrefix(name, "context.")
				if context && (s.test() || s.file.Name.Name == "main") || bytes.Contains(line, []byte(`"`+name)) {
					continue
				}
				if bytes.Contains(line, []byte(name)) && !bytes.Contains(line, []byte(excuse)) {
					t.Errorf("%s:%d: %s: see CONTRIBUTING.md for what to do instead, or give the reason: %sREASON", s.path, i+1, name, excuse)
				}
			}
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	documented := map[string]bool{} // directories whose package has a comment
	dirs := map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if s.test() {
			continue
		}
		dirs[dir] = true
		documented[dir] = documented[dir] || s.file.Doc != nil
		if s.generated {
			continue
		}
		for _, d := range s.file.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no comment", s.path, name)
			}
		}
	}
	for dir := range dirs {
		if !documented[dir] {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

// undocumented lists the exported names of a declaration that no comment belongs to. A comment of a group, or one at the
// end of the line, will do for constants, variables and fields of a table.
func undocumented(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d.Recv)) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(recv *ast.FieldList) bool {
	typ := recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}

// document reads a file of the project's root.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
