package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// shell starts the login shell on web-1 at a terminal, with a prompt that does not depend on this machine's files.
func (w *world) shell(t *testing.T, args ...string) *seat {
	t.Helper()
	s := w.sit(t, append([]string{"start", "web-1"}, args...)...)
	s.until("there is a prompt", func() bool { return strings.ContainsAny(s.text(), "$#") })
	s.typ(" PS1='p'\"> \"; clear\r")
	s.until("there is our prompt", func() bool { return s.text() == "p>" })
	return s
}

func TestStartLoginShell(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t, "--env", "E2E=given")
	s.typ("echo \"<$0|$TERM|$E2E|$LC_ALL>\"; shopt -q login_shell && echo lo''gin; [ \"$HOME\" = ~ ] && [ \"$PWD\" = \"$HOME\" ] && echo at ho''me\r")
	s.see("|xterm-256color|given|C.UTF-8>")
	s.see("<-")
	s.see("login")
	s.see("at home")
	s.typ("tty; ls -l $(tty); stty -a | head -1\r")
	s.see("/dev/pts/")
	s.see("rows 30; columns 100")

	s.typ("clear; printf '\\e[1;31mred\\e[0m \\e[38;2;1;2;3mrgb\\e[0m\\n'\r")
	s.see("red rgb")
	if p := s.picture(); !strings.Contains(p, "\x1b[31;1mred") {
		t.Errorf("no colour in %q", p)
	}
	s.typ("clear; echo 'grüße 漢字 🎉'\r")
	s.see("grüße 漢字 🎉")
	s.typ("printf '\\033]2;a tit''le\\007'; clear; echo titl''ed\r")
	s.see("titled")
	s.mu.Lock()
	if s.title != "a title" {
		t.Errorf("the title is %q", s.title)
	}
	s.mu.Unlock()
	s.typ("exit 3\r")
	s.exits(3)
	if strings.Contains(s.text(), "sessctl") {
		t.Errorf("a plain exit says\n%s", s.text())
	}
}

func TestStartResize(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.sit(t, "start", "web-1", "--", "bash", "-c", "trap 'stty size' WINCH; trap 'exit 0' INT; echo ready; while :; do sleep 0.05; done")
	s.see("ready")
	s.resize(90, 20)
	s.see("20 90")
	s.resize(120, 40)
	s.see("40 120")
	s.typ("\x03")
	s.exits(0)
}

func TestStartJobControl(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	s.typ("sleep 1000\r")
	s.came("sleep 1000")
	s.typ("\x03")
	s.came("p> ")
	s.typ("echo $?\r")
	s.see("130")
	s.typ("clear; python3 -c 'import signal\nsignal.signal(signal.SIGCONT, lambda *_: print(\"wo\" \"ken\", flush=True))\nprint(\"rea\" \"dy\", flush=True)\nwhile True: print(\"got\", input(), flush=True)'\r")
	s.see("ready")
	s.typ("typed\r")
	s.see("got typed")
	s.typ("\x1a")
	s.see("Stopped")
	s.typ("fg\r")
	s.see("woken")
	s.typ("more\r")
	s.see("got more")
	s.typ("\x03")
	s.came("KeyboardInterrupt")
	s.came("p> ")
	s.typ("echo ba''ck\r")
	s.came("back\r\n")
	s.came("p> ")
	s.typ("\x04")
	s.exits(0)
}

// TestInterruptUnderFlood: Ctrl-C ends a flood at once, however much is on the way.
func TestInterruptUnderFlood(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	s.typ("yes this is a flood\r")
	s.until("it floods", func() bool { return len(s.bytes()) > 1<<20 })
	began := time.Now()
	s.typ("\x03")
	s.typ("clear; echo ca''lm\r")
	s.see("calm")
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("Ctrl-C took %s", d)
	}
	s.typ("exit\r")
	s.exits(0)
}

func TestEscapes(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	s.typ("\r~?")
	s.see("~.")
	s.see("~d")
	s.typ("\r")
	s.typ("clear; echo a~.b ~~\r") // not behind Enter: no escape
	s.see("a~.b ~~")
	id := w.live(t, s)
	s.typ("\r~.")
	s.exits(255)
	w.ended(t, id, "terminated")
}

// TestKilledClientRestoresTerminal: every signal that can be caught ends the session, its processes, and leaves the terminal as it was.
func TestKilledClientRestoresTerminal(t *testing.T) {
	t.Parallel()
	w := commons(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		s := w.shell(t)
		s.typ("printf '\\e[?1049h\\e[?2004h\\e[?1000h\\e[?25l'; echo $$; exec sleep 1000\r")
		s.came("\x1b[?25l")
		id := w.live(t, s)
		if err := s.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		s.exits(128 + int(sig))
		for _, off := range []string{"\x1b[?1049l", "\x1b[?2004l", "\x1b[?1000l", "\x1b[?25h"} {
			s.until(fmt.Sprintf("%v: %q came", sig, off), func() bool { return strings.Contains(string(s.bytes()), off) })
		}
		w.ended(t, id, "terminated")
	}
}

// TestPaste: 10 MB pasted at once into a program that reads raw arrive whole.
func TestPaste(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.sit(t, "start", "web-1", "--", "bash", "-c", "stty raw -echo; printf 'go\\r\\n'; head -c 10000000 | sha256sum; stty sane")
	s.see("go")
	data := make([]byte, 10_000_000)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	for i := range data { // an escape is only behind Enter, and this is no bracketed paste
		if data[i] == '~' {
			data[i] = '-'
		}
	}
	sum := sha256.Sum256(data)
	go func() { _, _ = s.ptmx.Write(data) }()
	s.see(hex.EncodeToString(sum[:]))
	s.exits(0)
}

// TestBracketedPaste: what is pasted reaches the program with its marks, and nothing in it is an escape.
func TestBracketedPaste(t *testing.T) {
	t.Parallel()
	w := commons(t)
	const pasted = "\x1b[200~echo one\n~.echo two\r~.\n\x1b[201~"
	s := w.sit(t, "start", "web-1", "--", "bash", "-c", fmt.Sprintf("stty raw -echo; printf '\\e[?2004hready'; head -c %d | od -An -c; stty sane", len(pasted)))
	s.see("ready")
	s.typ("\r" + pasted[:len(pasted)-1]) // an Enter, which makes the next byte the place for an escape
	s.see("033   [   2   0   0   ~   e   c   h   o")
	s.see("~   .   e   c   h   o")
	s.exits(0)
}

// TestVim: edit a file in vim, through the session, with the screen that vim shows on a terminal of its own.
func TestVim(t *testing.T) {
	t.Parallel()
	w := commons(t)
	file := filepath.Join(t.TempDir(), "a.go")
	if err := os.WriteFile(file, []byte("package a\n\nfunc f() {\n\treturn\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	argv := []string{"vim", "-u", "NONE", "-i", "NONE", "-n", "--cmd", "set nocompatible laststatus=2 number ruler t_Co=256", "-c", "syntax on", file}
	s := w.sit(t, append([]string{"start", "web-1", "--"}, argv...)...)
	direct := sitAt(t, w.env(), 100, 30, argv[0], argv[1:]...)
	for _, x := range []*seat{s, direct} {
		x.see("func f()")
		x.typ("3GA // grüße\x1b")
		x.see("grüße")
		x.typ(":set cursorline\r")
		x.typ("gg")
		x.see("1,1")
	}
	same(t, s, direct)
	for _, x := range []*seat{s, direct} {
		x.resize(80, 24)
		x.typ("G")
		x.see("5,1")
		x.until("vim has the new size", func() bool { return strings.Count(x.text(), "\n") >= 22 })
	}
	same(t, s, direct)
	s.typ(":wq\r")
	s.exits(0)
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), "func f() { // grüße\n") {
		t.Errorf("%q, %v", b, err)
	}
	direct.typ(":q!\r")
}

// same waits until two terminals show the same.
func same(t *testing.T, a, b *seat) {
	t.Helper()
	a.until("the two screens are the same", func() bool { return a.picture() == b.picture() })
}

func TestTmux(t *testing.T) {
	t.Parallel()
	w := commons(t)
	sock := filepath.Join(t.TempDir(), "tmux")
	s := w.sit(t, "start", "web-1", "--", "tmux", "-u", "-S", sock, "-f", "/dev/null", "new-session", "bash --norc --noprofile")
	s.see("[0]")
	s.typ("PS1='p'\"> \"; clear\r")
	s.see("p>")
	s.typ("\x02%")
	s.see("│")
	s.typ("echo ri''ght\r")
	s.see("right")
	s.typ("\x02\"")
	s.see("├")
	s.resize(70, 20)
	s.until("tmux has the new size", func() bool {
		lines := strings.Split(s.text(), "\n")
		return len(lines) == 20 && strings.Contains(lines[19], "[0]")
	})
	s.typ("until stty size | grep -q '^9 '; do sleep 0.1; done; echo si''ze 9 it is\r") // tmux tells panes a moment later
	s.see("size 9 it is")
	s.typ("\x02d")
	s.see("[detached")
	s.exits(0)
	if out, err := exec.Command("tmux", "-S", sock, "list-sessions").CombinedOutput(); err == nil {
		t.Errorf("tmux's server outlived the session: %s", out)
	}
}

// TestAttachVim: whoever attaches sees the exact screen, and the client before is told.
func TestAttachVim(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.sit(t, "start", "web-1", "--", "vim", "-u", "NONE", "-i", "NONE", "-n", "--cmd", "set nocompatible laststatus=2 number", "-c", "syntax on", os.Args[0]+"-no-such.go")
	s.see("[New]")
	s.typ("ipackage main // grüße\r\tfunc main() {}\x1b")
	s.see("main() {}")
	id := w.live(t, s)

	// Taken over from another terminal, of the same size.
	other := w.sit(t, "attach", id)
	other.see("main() {}")
	s.exits(255)
	s.see("taken over")
	s.see("sessctl attach " + id)
	other.typ("o// more\x1b")
	other.see("// more")
	other.until("vim is out of insert mode", func() bool { return !strings.Contains(other.text(), "INSERT") })
	top := func(x *seat) {
		x.typ("gg")
		x.until("the cursor is at the top", func() bool { return strings.HasSuffix(x.picture(), "cursor 4,0") })
	}
	top(other)

	// Detached and attached: the same picture.
	before := other.picture()
	other.typ("\r~d")
	if code := other.leave(); code != 0 {
		t.Errorf("~d gives %d", code)
	}
	other.see("sessctl attach " + id)
	third := w.sit(t, "attach", id)
	third.see("main() {}")
	top(third) // Enter moved down
	third.until("the picture is as before", func() bool { return third.picture() == before })
	third.typ(":q!\r")
	third.exits(0)
	w.ended(t, id, "exit")
}

// TestSessionEndTellsTheUser: who is at a terminal is told who ended the session and why, within a second, and has the terminal back.
func TestSessionEndTellsTheUser(t *testing.T) {
	t.Parallel()
	w := commons(t)
	s := w.shell(t)
	id := w.live(t, s)
	s.typ("vim -u NONE -n\r")
	s.see("VIM - Vi IMproved")
	began := time.Now()
	if err := w.do("session", "end", id, "--reason", "lunch"); err != nil {
		t.Fatal(err)
	}
	s.exits(128 + int(syscall.SIGHUP)) // how its shell took it
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %s", d)
	}
	s.see("ended by " + adminEmail + ": lunch")
}

func TestLoginAtTerminal(t *testing.T) {
	t.Parallel()
	w := commons(t)
	config := filepath.Join(t.TempDir(), "config")
	bare, pin, _ := strings.Cut(w.url(), "#pin=")
	sit := func(args ...string) *seat {
		return sitAt(t, w.env("SESSCTL_CONFIG_DIR="+config), 100, 30, filepath.Join(binaries, "sessctl"), args...)
	}
	s := sit("login", "--server", bare)
	s.until("the pin is shown", func() bool { return strings.Contains(strings.ReplaceAll(s.text(), "\n", ""), pin) })
	s.typ("no\r")
	if s.leave() == 0 {
		t.Error("no is no refusal")
	}
	if _, err := os.Stat(filepath.Join(config, "credentials.json")); err == nil {
		t.Error("there are credentials")
	}
	s = sit("login", "--server", bare)
	s.until("the pin is shown", func() bool { return strings.Contains(strings.ReplaceAll(s.text(), "\n", ""), pin) })
	s.typ("yes\r")
	s.until("it asks for the address", func() bool { return strings.Contains(strings.ToLower(s.text()), "mail") })
	s.typ(adminEmail + "\r")
	s.until("it asks for the password", func() bool { return strings.Contains(strings.ToLower(s.text()), "password") })
	s.typ(adminPassword + "\r")
	s.exits(0)
	if strings.Contains(s.text(), adminPassword) {
		t.Error("the password is on the screen")
	}
	sit("whoami").exits(0)
}

// live gives the session that a seat's sessctl started: its reason says so.
func (w *world) live(t *testing.T, s *seat) string {
	t.Helper()
	return w.sessionFor(t, s.reason)
}

// sessionFor waits for the session that was started for a reason.
func (w *world) sessionFor(t *testing.T, reason string) string {
	t.Helper()
	var id string
	err := poll("there is a session for "+reason, func() error {
		list, err := get[[]api.Session](w, "session", "list", "--all", "--limit", "0")
		if err != nil {
			return err
		}
		for _, x := range list {
			if x.Reason == reason {
				id = string(x.ID)
				return nil
			}
		}
		return errors.New("none")
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// ended waits until a session has ended for a reason, and gives it.
func (w *world) ended(t *testing.T, id string, reason sess.EndReason) api.Session {
	t.Helper()
	var x api.Session
	err := poll("session "+id+" ended", func() (err error) {
		if x, err = get[api.Session](w, "session", "show", id); err == nil && x.EndedAt == nil {
			err = fmt.Errorf("it is %s", x.State)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if x.EndReason != reason {
		t.Errorf("session %s ended: %s %s, want %s", id, x.EndReason, x.EndMessage, reason)
	}
	return x
}
