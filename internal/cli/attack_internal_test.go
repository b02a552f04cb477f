package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/link"
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
