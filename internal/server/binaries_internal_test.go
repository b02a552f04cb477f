package server

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// binariesDir makes a directory with one agent binary and its checksum.
func binariesDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sess-agent-linux-amd64"), "program")
	write(t, filepath.Join(dir, "secret"), "secret")
	write(t, filepath.Join(dir, sumsFile), fmt.Sprintf("%x  sess-agent-linux-amd64\n", sha256.Sum256([]byte("program"))))
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAgentBinaries(t *testing.T) {
	dir := binariesDir(t)
	b, err := loadBinaries(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{log: slog.New(slog.DiscardHandler), now: time.Now, binaries: b, cfg: Config{TLS: TLSOff}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /agent/{name}", s.serveAgent)
	mux.HandleFunc("GET /install.sh", s.serveInstall)
	h := s.outer(mux)
	for path, want := range map[string]string{
		"/agent/sess-agent-linux-amd64": "program",
		"/agent/SHA256SUMS":             fmt.Sprintf("%x  sess-agent-linux-amd64\n", sha256.Sum256([]byte("program"))),
		"/install.sh":                   string(installScript),
	} {
		if w := call(h, "GET", path, "", ""); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %.80q", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/agent/secret", "/agent/..%2fsecret", "/agent/%2e%2e", "/agent/sess-agent-linux-arm64", "/agent/sess-agent-linux-amd64%00"} {
		if w := call(h, "GET", path, "", ""); w.Code == 200 || strings.Contains(w.Body.String(), "secret\n") {
			t.Errorf("%s: %d %.80q", path, w.Code, w.Body)
		}
	}
	write(t, filepath.Join(dir, "sess-agent-linux-amd64"), "program, changed")
	if w := call(h, "GET", "/agent/sess-agent-linux-amd64", "", ""); w.Code != 500 {
		t.Errorf("a changed binary is served: %d", w.Code)
	}
	w := call(h, "GET", "/install.sh?x=$(reboot)", "", "")
	if strings.Contains(w.Body.String(), "reboot") && w.Body.String() != string(installScript) {
		t.Error("the request is in the script")
	}
}

func TestBadAgentBinaries(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, string){
		"no directory":  func(t *testing.T, dir string) { _ = os.RemoveAll(dir) },
		"no sums":       func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, sumsFile)) },
		"no sum for it": func(t *testing.T, dir string) { write(t, filepath.Join(dir, sumsFile), "") },
		"another sum":   func(t *testing.T, dir string) { write(t, filepath.Join(dir, "sess-agent-linux-amd64"), "evil") },
		"no binary":     func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, "sess-agent-linux-amd64")) },
		"a directory": func(t *testing.T, dir string) {
			_ = os.Remove(filepath.Join(dir, "sess-agent-linux-amd64"))
			_ = os.Mkdir(filepath.Join(dir, "sess-agent-linux-amd64"), 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := binariesDir(t)
			spoil(t, dir)
			if _, err := loadBinaries(dir); !errors.Is(err, sess.ErrInvalid) {
				t.Errorf("error %v", err)
			}
		})
	}
}
