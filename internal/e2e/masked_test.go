package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sessctl/sess/internal/sess"
)

// prompts asks for passwords in the ways that programs do, and for other things.
const prompts = `
stty echo icanon
printf 'name? '; read a; echo "hello $a."
python3 -c 'import getpass; print("getpass %d." % len(getpass.getpass("p1: ")))'
read -s -p 'p2: ' b; echo; echo "read ${#b}."
stty -echo; printf 'p3: '; read c; stty echo; echo; echo "stty ${#c}."
printf 'more? '; read d; echo "more $d."
printf 'p4: '; read -s d; echo; echo "killed ${#d}."
perl -e 'system "stty -echo -icanon min 1"; print STDERR "p5: "; while (sysread(STDIN, $k, 1) && $k ne "\n") { print STDERR "*"; $n++ } system "stty echo icanon"; print STDERR "\n"; print "stars $n.\n"'
printf 'ahead? '; read e; sleep 0.2; read -s -p 'p6: ' f; echo; echo "ahead $e ${#f}."
printf 'last? '; read g; echo "last $g."
printf 'p7: '; read -s h; echo "never."
`

// TestMaskedInput types passwords where programs ask for them and other things beside, kills server and agent in the middle,
// and looks into all that is kept: what was echoed is on record as input, and no password is anywhere.
func TestMaskedInput(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	w := testWorld(t, "web-1")
	if err := w.do("org", "set", "session-record-input", "masked"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "prompts.sh") // not in argv: the terminal is what asks
	if err := os.WriteFile(file, []byte(prompts), 0o600); err != nil {
		t.Fatal(err)
	}
	s := w.sit(t, "start", "web-1", "--", "bash", file)
	var kept, secrets string
	answer := func(prompt, text, reply string, keep bool) {
		t.Helper()
		s.see(strings.TrimSpace(prompt))
		half := len(text) / 2 // as a person types; the rest at once, as one pastes
		for _, k := range text[:half] {
			s.typ(string(k))
		}
		s.typ(text[half:])
		if reply != "" {
			s.see(reply)
		}
		if keep {
			kept += text
		} else {
			secrets += " " + strings.TrimSpace(text)
		}
	}
	answer("name? ", "Ann Ässig\x7f\x7fx of the north\r", "hello ", true)
	answer("p1: ", "first-Secret1\r", "getpass 13.", false)
	answer("p2: ", "second-Secret2\r", "read 14.", false)
	answer("p3: ", "third-Secret3\r", "stty 13.", false)
	answer("more? ", "of it\r", "more of it.", true)
	s.see("p4:")
	s.typ("fourth-")
	if err := w.stopServer(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.typ("Sec")
	if err := w.startServer(); err != nil {
		t.Fatal(err)
	}
	answer("p4: ", "ret4\r", "killed 14.", false)
	answer("p5: ", "fifth-Secret5\r", "stars 13.", false)
	// Ahead of its prompt the terminal shows it, and so the output holds it.
	answer("ahead? ", "cmd\rshown-Before6\r", "ahead cmd 13.", true)
	answer("last? ", "words\r", "last words.", true)
	s.see("p7:")
	id := w.live(t, s)
	s.typ("seventh-Secret7")
	secrets += " fourth-Secret4 fourth-Sec seventh-Secret7"
	if err := poll("the password to be on its way to the record", func() error { return hasInput(w, id, len(kept)+len(secrets)-30) }); err != nil {
		t.Fatal(err)
	}
	if err := w.stopAgent("web-1", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := w.startAgent("web-1"); err != nil {
		t.Fatal(err)
	}
	<-s.done
	w.ended(t, id, sess.EndAgentLost)

	if got := typedIn(t, w, id); got != kept {
		t.Errorf("kept of the input\n%q, want\n%q", got, kept)
	}
	raw := w.ask(nil, "recording", "export", id, "--format", "raw")
	cast := w.ask(nil, "recording", "export", id, "--format", "cast", "--input", "--commands")
	text := w.ask(nil, "recording", "export", id, "--format", "text")
	if !bytes.Contains(text.out, []byte("shown-Before6")) {
		t.Errorf("what the terminal showed is not there: %s", text.out)
	}
	places := map[string][]byte{"raw": raw.out, "cast": cast.out, "text": text.out}
	err := filepath.WalkDir(w.path(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			places[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || len(places) < 10 {
		t.Fatalf("%d places, %v", len(places), err)
	}
	for _, secret := range strings.Fields(secrets) {
		for _, form := range forms(secret) {
			for place, b := range places {
				if bytes.Contains(b, []byte(form)) {
					t.Errorf("%s is in %s", secret, place)
				}
			}
		}
	}
}

// hasInput fails until so many bytes of input came to a session's record.
func hasInput(w *world, id string, n int) error {
	s, err := get[struct {
		Bytes sess.Traffic `json:"bytes"`
	}](w, "session", "show", id)
	if err == nil && s.Bytes.In < int64(n) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// typedIn gives what a recording holds of the input.
func typedIn(t *testing.T, w *world, id string) string {
	t.Helper()
	var in strings.Builder
	for line := range strings.Lines(string(w.ask(nil, "recording", "export", id, "--format", "cast", "--input").out)) {
		var e []any
		if json.Unmarshal([]byte(line), &e) == nil && len(e) == 3 && e[1] == "i" {
			in.WriteString(e[2].(string))
		}
	}
	return in.String()
}
