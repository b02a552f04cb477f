package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/server"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store/storetest"
)

var update = flag.Bool("update", false, "write docs/reference/openapi.json anew")

// config is a server on loopback in a directory of the test's own.
func config(t *testing.T, dir string) server.Config {
	t.Helper()
	return server.Config{DataDir: dir, Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
}

// testWriter writes to the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}

// start runs a server until the test or the returned function ends it.
func start(t *testing.T, cfg server.Config) (*server.Server, func()) {
	t.Helper()
	s, err := server.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- errors.Join(s.Run(ctx), s.Close()) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// client calls the API of a server, by its URL and pin.
func client(t *testing.T, rawURL, bearer string) *api.Client {
	t.Helper()
	srv, err := link.ParseServer(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	d := &link.Dialer{Server: srv, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }, UserAgent: "test"}
	t.Cleanup(d.CloseIdle)
	return &api.Client{Base: srv.URL, HTTP: d.HTTPClient(), Bearer: bearer, Agent: "test"}
}

const password = "correct horse battery 9"

// accept sets the first admin's password and returns a client that is logged in.
func accept(t *testing.T, s *server.Server) *api.Client {
	t.Helper()
	_, tok, err := sess.ParseInviteLink(s.AdminLink())
	if err != nil {
		t.Fatal(err)
	}
	var in api.AcceptIn
	in.Body.Token, in.Body.Password, in.Body.Email = tok, password, "admin@example.com"
	out, err := api.Call(t.Context(), client(t, s.URL(), ""), api.Accept, in)
	if err != nil {
		t.Fatal(err)
	}
	return client(t, s.URL(), out.Token)
}

func TestFirstAndSecondStart(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, config(t, dir))
	first := s.URL()
	c := accept(t, s)
	who, err := api.Call(t.Context(), c, api.Whoami, api.None{})
	if err != nil || who.Name != "admin@example.com" || who.Address != "127.0.0.1" {
		t.Fatalf("whoami: %+v, %v", who, err)
	}
	stop()

	s, _ = start(t, config(t, dir))
	if s.AdminLink() != "" {
		t.Error("the second start invites an admin, though there is one")
	}
	_, pin, _ := strings.Cut(first, "#")
	if !strings.HasSuffix(s.URL(), pin) {
		t.Errorf("the second start has another pin: %s, %s", first, s.URL())
	}
	if _, err := api.Call(t.Context(), client(t, s.URL(), c.Bearer), api.Whoami, api.None{}); err != nil {
		t.Errorf("the login of before: %v", err)
	}
}

func TestAdminLinkUntilSomebodyAccepts(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, config(t, dir))
	old := s.AdminLink()
	stop()
	s, _ = start(t, config(t, dir))
	if s.AdminLink() == "" || s.AdminLink() == old {
		t.Fatalf("link of the second start: %q", s.AdminLink())
	}
	_, tok, err := sess.ParseInviteLink(old)
	if err != nil {
		t.Fatal(err)
	}
	var in api.AcceptIn
	in.Body.Token, in.Body.Password, in.Body.Email = tok, password, "admin@example.com"
	if _, err := api.Call(t.Context(), client(t, s.URL(), ""), api.Accept, in); err == nil {
		t.Error("the link of the first start still works")
	}
	accept(t, s)
}

// TestWhatStopsAStart: each comes with a next step.
func TestWhatStopsAStart(t *testing.T) {
	running, _ := start(t, config(t, storetest.Dir(t)))
	u, err := url.Parse(running.URL())
	if err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	start(t, config(t, used))
	spoilt := func(file, text string) string {
		dir := t.TempDir()
		_, stop := start(t, config(t, dir))
		stop()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, tc := range []struct {
		name, want string
		change     func(*server.Config)
	}{
		{"directory in use", "in use by another sess-server", func(c *server.Config) { c.DataDir = used }},
		{"port in use", "another program has that port", func(c *server.Config) { c.Listen = u.Host }},
		{"address not ours", "can't listen on", func(c *server.Config) { c.Listen = "192.0.2.1:1" }},
		{"no address", "can't listen on", func(c *server.Config) { c.Listen = "nonsense" }},
		{"directory can't be made", "can't be used", func(c *server.Config) { c.DataDir = "/proc/nowhere" }},
		{"database broken", "", func(c *server.Config) { c.DataDir = spoilt("sess.db", strings.Repeat("rubbish ", 1000)) }},
		{"key broken", "is broken", func(c *server.Config) { c.DataDir = spoilt("keys/audit.key", "rubbish") }},
		{"TLS key broken", "is broken", func(c *server.Config) { c.DataDir = spoilt("keys/tls.key", "rubbish") }},
		{"public URL with a path", "no address of a server", func(c *server.Config) { c.PublicURL = "https://x.example/sess" }},
		{"no binaries", "checksums", func(c *server.Config) { c.AgentBinaries = t.TempDir() }},
		{"certificate without key", "go together", func(c *server.Config) { c.TLSCert = "x.pem" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := config(t, storetest.Dir(t))
			tc.change(&cfg)
			s, err := server.New(t.Context(), cfg)
			if err == nil {
				_ = s.Close()
				t.Fatal("it started")
			}
			var e *sess.Error
			if !errors.As(err, &e) || e.Hint == "" || !strings.Contains(e.Message, tc.want) {
				t.Errorf("error %v, want a *sess.Error with %q and a hint", err, tc.want)
			}
		})
	}
}

// TestEveryOperationIsBound reads the declarations, so that a new one can't be forgotten.
func TestEveryOperationIsBound(t *testing.T) {
	files, err := filepath.Glob("../api/ops*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no declarations", err)
	}
	var want []string
	for _, name := range files {
		want = append(want, declared(t, name)...)
	}
	slices.Sort(want)
	s := assembled(t)
	if got := s.Bound(); !slices.Equal(got, want) {
		t.Errorf("bound are\n%v\ndeclared are\n%v", got, want)
	}
}

// declared lists the ids of the operations that a file declares.
func declared(t *testing.T, file string) (ids []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == "ID" {
				s, err := strconv.Unquote(kv.Value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, s)
			}
		}
		return true
	})
	return ids
}

// assembled makes a server that is not run.
func assembled(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.New(t.Context(), config(t, storetest.Dir(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestOpenAPIDocumentIsCurrent(t *testing.T) {
	const path = "../../docs/reference/openapi.json"
	got, err := assembled(t).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/reference/openapi.json is not current: go test ./internal/server -run OpenAPI -update")
	}
	var doc struct {
		OpenAPI string         `json:"openapi"`
		Paths   map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(want, &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) == 0 {
		t.Errorf("document: %+v, %v", doc, err)
	}
	if bytes.Contains(want, []byte("ErrorModel")) || bytes.Contains(want, []byte("$schema")) {
		t.Error("the document speaks of huma's own errors")
	}
}

func get(t *testing.T, s *server.Server, path string) *http.Response {
	t.Helper()
	c := client(t, s.URL(), "")
	u := *c.Base
	u.Path = path
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestHealthAndReadiness(t *testing.T) {
	s, _ := start(t, config(t, storetest.Dir(t)))
	for _, path := range []string{"/healthz", "/readyz", "/install.sh"} {
		if resp := get(t, s, path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	for _, path := range []string{"/", "/v1/stream", "/v1/agent", "/agent/sess-agent-linux-amd64", api.PathAuditExport, "/v1/recordings/ses_x/data"} {
		resp := get(t, s, path)
		var e *sess.Error
		if err := api.ReadProblem(resp); !errors.As(err, &e) || e.Code == sess.CodeUnavailable || e.Code == sess.CodeInternal {
			t.Errorf("%s: %s, %v", path, resp.Status, err)
		}
	}
}

func TestTLSOff(t *testing.T) {
	cfg := config(t, storetest.Dir(t))
	cfg.TLS = server.TLSOff
	cfg.PublicURL = "https://sess.example.com"
	s, _ := start(t, cfg)
	if s.URL() != "https://sess.example.com" {
		t.Errorf("URL %s: a pin of a certificate that is not ours?", s.URL())
	}
	if !strings.HasPrefix(s.AdminLink(), "https://sess.example.com/accept#") {
		t.Errorf("link %s", s.AdminLink())
	}
}

// TestStopEndsOpenConnections: a client that holds a connection open does not hold the server up.
func TestStopEndsOpenConnections(t *testing.T) {
	s, stop := start(t, config(t, storetest.Dir(t)))
	if _, err := io.Copy(io.Discard, get(t, s, "/healthz").Body); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestAuditOverTheAPI(t *testing.T) {
	s, _ := start(t, config(t, storetest.Dir(t)))
	c := accept(t, s)
	if _, err := api.Call(t.Context(), client(t, s.URL(), "sess_nonsense"), api.Whoami, api.None{}); !errors.Is(err, sess.ErrUnauthenticated) {
		t.Errorf("a key that is none: %v", err)
	}
	list, err := api.Call(t.Context(), c, api.ListAudit, api.AuditIn{})
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("list: %d events, %v", len(list.Items), err)
	}
	seen := map[string]bool{}
	for after := ""; ; {
		page, err := api.Call(t.Context(), c, api.ListAudit, api.AuditIn{Page: api.Page{Limit: 1, After: after}, AuditFilter: api.AuditFilter{Outcome: "allowed", Action: "login"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			if seen[string(e.Raw)] {
				t.Fatal("an event is on two pages")
			}
			seen[string(e.Raw)] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	out, err := api.Call(t.Context(), c, api.VerifyAudit, api.None{})
	if err != nil || !out.OK || out.Size == 0 || out.Unplaced != 0 {
		t.Errorf("verify: %+v, %v", out, err)
	}
	resp, err := c.Do(t.Context(), http.MethodGet, api.PathAuditExport, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(b, []byte("sess_audit_export")) {
		t.Errorf("export: %v, %.200s", err, b)
	}
}
