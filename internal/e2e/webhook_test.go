package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sessctl/sess/internal/outbound"
)

// hook is a receiver of webhooks: it takes what is signed with the secret in a file, and writes each message into a file of its own.
type hook struct {
	mu     sync.Mutex // protects the following
	dir    string
	status int // what it answers instead of taking; 0: it takes
	seen   map[string]bool
	log    []string
}

type hookKey struct{}

// ServeHTTP implements http.Handler.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || h.status != 0 {
		w.WriteHeader(max(h.status, http.StatusBadRequest))
		return
	}
	secret, err := os.ReadFile(filepath.Join(h.dir, "secret"))
	if err == nil {
		err = outbound.VerifyWebhook(strings.TrimSpace(string(secret)), r.Header, b, time.Now(), 5*time.Minute)
	}
	if err != nil {
		h.log = append(h.log, "refused: "+err.Error())
		w.WriteHeader(http.StatusUnauthorized)
	} else if id := r.Header.Get(outbound.HeaderID); !h.seen[id] {
		h.seen[id] = true
		var m struct {
			Kind    string `json:"kind"`
			Summary string `json:"summary"`
			ID      string `json:"id"`
			Event   struct {
				Action string `json:"action"`
			} `json:"event"`
		}
		_ = json.Unmarshal(b, &m) // what does not read is seen in the file
		h.log = append(h.log, m.Kind+"\t"+m.Event.Action+"\t"+m.Summary)
		_ = os.WriteFile(filepath.Join(h.dir, m.Kind+".json"), b, 0o600) // the script misses it
	} else {
		h.log = append(h.log, "again: "+id)
	}
	_ = os.WriteFile(filepath.Join(h.dir, "told"), []byte(strings.Join(h.log, "\n")+"\n"), 0o600)
}

// cmdHook runs a receiver for a script: hook start, hook refuse STATUS (0: no more). $HOOK is its URL, $TOLD the directory with the
// file told, a line for each message, and KIND.json; the file secret in it has to hold the secret.
func cmdHook(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: hook start | hook refuse STATUS")
	}
	of := ts.Value(hookKey{}).(*hook)
	switch {
	case args[0] == "start" && len(args) == 1:
		of.dir = filepath.Join(ts.Getenv("WORK"), "told")
		of.seen = map[string]bool{}
		ts.Check(os.MkdirAll(of.dir, 0o755))
		ts.Check(os.WriteFile(filepath.Join(of.dir, "told"), nil, 0o600))
		s := httptest.NewServer(of)
		ts.Defer(s.Close)
		w := ownWorld(ts)
		w.flags = append(w.flags, "--webhook-allow-private") // from its next start on
		ts.Setenv("HOOK", s.URL+"/in")
		ts.Setenv("TOLD", of.dir)
	case args[0] == "refuse" && len(args) == 2:
		of.mu.Lock()
		defer of.mu.Unlock()
		of.status = map[string]int{"0": 0, "503": http.StatusServiceUnavailable, "410": http.StatusGone}[args[1]]
	default:
		ts.Fatalf("hook %s?", strings.Join(args, " "))
	}
}
