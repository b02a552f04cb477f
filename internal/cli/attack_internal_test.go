package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
