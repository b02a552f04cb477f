package cli

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// TestErrorsOfAServerCannotDriveTheTerminal: message and hint are a server's words.
func TestErrorsOfAServerCannotDriveTheTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "err"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{err: f}
	a.tell(sess.New(sess.CodeDenied, "no\x1b]52;c;ZXZpbA==\a\x1b[2J\u009b1m\rsessctl: all is well", "run\x1b[8m this\u202e"))
	_ = a.several([]error{sess.New(sess.CodeDenied, "one\x1b[2J", ""), sess.New(sess.CodeDenied, "two", "")})
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(b), "\x1b\a\r\u009b\u202e") {
		t.Errorf("a terminal would act on %q", b)
	}
	if !strings.HasPrefix(string(b), "sessctl: no") || !strings.Contains(string(b), "\nhint: run") {
		t.Errorf("told %q", b)
	}
}

// TestNoCredentialInTheClear: neither a password nor a key goes to a server over http, but on this machine.
func TestNoCredentialInTheClear(t *testing.T) {
	for url, want := range map[string]bool{
		"https://sess.example.com": true, "http://127.0.0.1:1": true, "http://localhost:1": true, "http://[::1]:1": true,
		"http://sess.example.com": false, "http://10.0.0.1": false, "http://localhost.example.com": false,
	} {
		server, err := link.ParseServer(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := encrypted(server) == nil; got != want {
			t.Errorf("%s: %v", url, got)
		}
		a := &app{getenv: func(name string) string {
			return map[string]string{"SESSCTL_API_KEY": "key", "SESSCTL_SERVER": url, "SESSCTL_CONFIG_DIR": t.TempDir()}[name]
		}}
		if _, err := a.open(); (err == nil) != want {
			t.Errorf("open %s: %v", url, err)
		}
	}
}

// TestCompletionTakesPlainWordsOnly: a server must not complete a command line with a command.
func TestCompletionTakesPlainWordsOnly(t *testing.T) {
	for s, want := range map[string]bool{
		"web-1": true, "ses_abc123": true, "": false, "-x": false, "$(id)": false, "a b": false, "a;b": false, "a`b": false, "a\nb": false, "a\x1b[2J": false,
	} {
		if got := word(s); got != want {
			t.Errorf("word(%q) = %v", s, got)
		}
	}
}

// hostile is what somebody may put into a name, a reason, a tag, a command or a title: C0 and C1 controls, as bytes too, and
// marks that turn text around.
const hostile = "a\x1b]52;c;ZXZpbA==\a\x1b[2J\u009b2Jb\u202ec\x9b1m\U000e0001d\u007f"

// TestJSONCannotDriveTheTerminal: --json is looked at on terminals, too, and JSON may leave C1 controls as they are. To programs
// it says the same.
func TestJSONCannotDriveTheTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{out: f}
	raw := json.RawMessage("{\"name\":\"raw \u009b2J\x9b\u202e\"}")
	if err := a.printJSON(map[string]any{"name": hostile, "raw": raw}); err != nil {
		t.Fatal(err)
	}
	s := &search{grepping: &grepping{match: regexp.MustCompile("x")}, a: a}
	if err := s.line(&recording.Meta{Session: sess.SessionID(hostile)}, recording.Line{Text: "x" + hostile}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(b) || strings.ContainsAny(string(b), "\x1b\a\r\u009b\u202e\u007f\U000e0001") {
		t.Errorf("a terminal would act on %q", b)
	}
	var back struct {
		Name string
		Raw  struct{ Name string }
	}
	if err := json.NewDecoder(strings.NewReader(string(b))).Decode(&back); err != nil {
		t.Fatal(err)
	}
	if back.Name != strings.ToValidUTF8(hostile, "\ufffd") || back.Raw.Name != "raw \u009b2J\ufffd\u202e" {
		t.Errorf("programs read %q and %q", back.Name, back.Raw.Name)
	}
}

// TestExportsCannotDriveTheTerminal: an export, or a raw answer of the API, that goes to a terminal is text.
func TestExportsCannotDriveTheTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	w := &inertWriter{to: f}
	for _, c := range []byte("é\t" + hostile + "\n日本") { // byte by byte: characters come in pieces
		if n, err := w.Write([]byte{c}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(b) || strings.ContainsAny(string(b), "\x1b\a\r\u009b\u202e\u007f\U000e0001") || !strings.HasPrefix(string(b), "é\ta") || !strings.HasSuffix(string(b), "\n日本") {
		t.Errorf("written %q", b)
	}
}

// TestUsageHasNoFormulas: names and tags in a file for spreadsheets are what somebody wrote.
func TestUsageHasNoFormulas(t *testing.T) {
	for _, s := range []string{"=cmd|' /C calc'!A0", " =1+1", "\t=1", "＝1", "+1", "-1", "@SUM(A1)", "|calc"} {
		if got := spreadsheet(s); !strings.HasPrefix(got, "'") {
			t.Errorf("%q stands as %q", s, got)
		}
	}
}

// TestARecordingIsClosedOnce: a second digest for a recording, which whoever holds the server's key can append to its log, must
// not make an altered recording pass.
func TestARecordingIsClosedOnce(t *testing.T) {
	signer, err := audit.NewSigner("sess.example", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := audit.NewWriter(f, audit.Header{Log: "org_a", Size: 3, Key: signer.VerifierKey(), Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var tree audit.Tree
	for i, digest := range []string{"was", "was", "is"} {
		body, err := audit.Event{
			ID: sess.NewEventID(), Time: time.Now(), Action: string(policy.RecordingClosed), Outcome: audit.Allowed, Session: "ses_a", Details: map[string]string{"digest": digest},
		}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Event(int64(i), body, tree.Append(body)); err != nil {
			t.Fatal(err)
		}
	}
	note, err := signer.Checkpoint(audit.Checkpoint{Log: "org_a", Size: tree.Size(), Root: tree.Root()})
	if err == nil {
		err = errors.Join(w.Checkpoint(note), w.Close(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	a := &app{}
	digests, err := a.auditedDigests(verifying{auditFile: path, key: signer.VerifierKey()})
	if err != nil {
		t.Fatal(err)
	}
	v := recordingVerdict{Session: "ses_a", Digest: "is"}
	if err := a.expect(t.Context(), &v, digests); err == nil {
		t.Error("of two digests one is taken")
	}
}

// TestALinkTakesNoCredentialAnywhere: a link to a session is somebody's word. Neither the host in it nor the pin of its
// token decides where an API key or a login goes: the one may be anybody's, the other that of whoever sits in between.
func TestALinkTakesNoCredentialAnywhere(t *testing.T) {
	var mu sync.Mutex
	var got []string
	evil := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Authorization"))
		http.Error(w, "{}", http.StatusTeapot)
	}))
	evil.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer evil.Close()
	at, _ := url.Parse(evil.URL)
	token, err := sess.NewToken(sess.TokenShare, link.Pin(evil.Certificate()))
	if err != nil {
		t.Fatal(err)
	}
	raw := sess.ShareLink(at, token)
	for name, servers := range map[string]map[string]serverConf{
		"an unknown host":       {"https://sess.example.com": {}},
		"another pin":           {at.String(): {Pin: pinScheme + strings.Repeat("ab", 32)}},
		"one the system trusts": {at.String(): {}},
	} {
		for _, env := range []map[string]string{{"SESSCTL_API_KEY": "the key"}, {}} {
			dir := t.TempDir()
			a := &app{getenv: func(name string) string {
				if name == "SESSCTL_CONFIG_DIR" {
					return dir
				}
				return env[name]
			}, now: time.Now}
			for u, s := range servers {
				s.Org, s.OrgID = "acme", "org_a"
				s.Logins = map[string]loginConf{"org_a": {Org: "acme", ExpiresAt: time.Now().Add(time.Hour)}}
				a.conf = &config{Current: u, Servers: map[string]serverConf{u: s}}
				if err := errors.Join(a.saveConfig(), os.WriteFile(filepath.Join(dir, "credentials.json"), []byte(`{"`+credentialName(u, "org_a")+`":"the login"}`), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.openLink(t.Context(), raw); err == nil {
				t.Errorf("%s: opened", name)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) > 0 {
		t.Errorf("it was sent %q", got)
	}
}

// TestTheRecordingOfAnotherSessionIsNotTheOne: a server that is asked for one session's recording and sends another's, whole
// and with the digest that the audit log has for it, must not have the one that was asked for pass as verified.
func TestTheRecordingOfAnotherSessionIsNotTheOne(t *testing.T) {
	dir, err := recording.OpenDir(t.TempDir(), recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	org, harmless, evil := sess.NewOrgID(), sess.NewSessionID(), sess.NewSessionID()
	j, err := dir.Open(org, harmless, recording.Meta{Kind: sess.KindExec, Started: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := j.Close(true)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r, err := dir.OpenReader(org, harmless)
		if err == nil {
			_, err = r.WriteTo(w)
			_ = r.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	a := &app{client: client.Open(client.Profile{Server: link.Server{URL: u}}), in: out, out: out, err: out}
	defer a.client.Close()
	digests := map[sess.SessionID]string{harmless: sum.Digest}
	if v := a.verifyRecording(t.Context(), string(harmless), digests, nil); !v.OK {
		t.Fatalf("the one that was asked for: %q", v.Problems)
	}
	if v := a.verifyRecording(t.Context(), string(harmless)[:9], digests, nil); !v.OK {
		t.Fatalf("by the beginning of its id: %q", v.Problems)
	}
	if v := a.verifyRecording(t.Context(), string(evil), digests, nil); v.OK {
		t.Error("the recording of another session passes")
	}
	if err := a.play(t.Context(), string(evil), recording.Player{Speed: 1000}, nil); err == nil {
		t.Error("the recording of another session is replayed without a word")
	}
}

// TestAWitnessSeesALogThatStandsStill: each look of a witness is an event in the log. A server that shows a witness the state
// of some day, always the same, and goes on with another log behind it, is found by that.
func TestAWitnessSeesALogThatStandsStill(t *testing.T) {
	signer, err := audit.NewSigner("sess.example", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	note, err := signer.Checkpoint(audit.Checkpoint{Log: "org_a\u009b2J", Size: 7})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.Checkpoint{Log: "org_a\u009b2J", Size: 7, Checkpoint: note, Key: signer.VerifierKey()})
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	a := &app{client: client.Open(client.Profile{Server: link.Server{URL: u}}), out: out, err: out, now: time.Now}
	defer a.client.Close()
	path := filepath.Join(t.TempDir(), "witness")
	for i, want := range []bool{true, false, false} {
		w := &witness{a: a, path: path}
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		if err := w.look(t.Context()); (err == nil) != want {
			t.Errorf("look %d: %v", i, err)
		}
	}
	if b, err := os.ReadFile(out.Name()); err != nil || strings.Contains(string(b), "\u009b") {
		t.Errorf("a terminal would act on %q, %v", b, err)
	}
}
