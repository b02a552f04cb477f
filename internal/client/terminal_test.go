//go:build unix

package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/sess"
)

// user is somebody at a real terminal with a session on it.
type user struct {
	t       *testing.T
	tty     *os.File // the terminal
	keys    *os.File // the keyboard and screen behind it
	screen  *buffer
	signals chan os.Signal
	before  *term.State
	done    chan struct{}
	res     client.Result
	err     error
}

func newUser(t *testing.T) *user {
	t.Helper()
	blocking, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(blocking.Fd())) // pty's own file blocks, so that closing it would wait for a reader
	if err != nil {
		t.Fatal(err)
	}
	_ = blocking.Close()
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	keys := os.NewFile(uintptr(fd), "ptmx")
	u := &user{t: t, tty: tty, keys: keys, screen: &buffer{}, signals: make(chan os.Signal, 4), done: make(chan struct{})}
	if err := pty.Setsize(tty, &pty.Winsize{Cols: 100, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	if u.before, err = term.GetState(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(u.screen, keys) }()
	t.Cleanup(func() {
		_ = keys.Close()
		_ = tty.Close()
	})
	return u
}

func (u *user) size() (uint16, uint16) { return client.TerminalSize(u.tty) }

// sit has the user sit down at s.
func (u *user) sit(s *client.Session) *user {
	go func() {
		defer close(u.done)
		ctx, cancel := context.WithTimeout(u.t.Context(), 30*time.Second)
		defer cancel()
		u.res, u.err = s.Terminal(ctx, client.TerminalIO{In: u.tty, Out: u.tty, Lines: u.tty, Escape: '~', Signals: u.signals})
	}()
	return u
}

func (u *user) start(w *world, argv ...string) *user {
	u.t.Helper()
	cols, rows := u.size()
	s, err := w.open().Start(u.t.Context(), client.StartOptions{
		Instance: "web-1", Kind: sess.KindShell, Size: u.size,
		Params: sess.Params{Argv: argv, TTY: true, Term: "xterm-256color", Cols: cols, Rows: rows},
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return u.sit(s)
}

func (u *user) typ(s string) {
	u.t.Helper()
	if _, err := u.keys.WriteString(s); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) see(s string) {
	u.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(u.screen.String(), s) {
		if time.Now().After(deadline) {
			u.t.Fatalf("never saw %q in %q", s, u.screen.String())
		}
		<-tick.C
	}
}

// leave waits for the end and checks that the terminal is as it was.
func (u *user) leave() client.Result {
	u.t.Helper()
	<-u.done
	after, err := term.GetState(int(u.tty.Fd()))
	if err != nil {
		u.t.Fatal(err)
	}
	if fmt.Sprint(*after) != fmt.Sprint(*u.before) {
		u.t.Errorf("the terminal is %v, was %v", *after, *u.before)
	}
	return u.res
}

func TestTerminalShell(t *testing.T) {
	u := newUser(t).start(newWorld(t))
	u.see("$ ")
	u.typ("stty size; tty -s && echo ye''s\r")
	u.see("30 100")
	u.see("yes")
	u.typ("printf 'gr\\303\\274\\303\\237e\\n'\r")
	u.see("grüße")
	u.typ("sh -c 'trap \"exit 1\" INT; echo rea''dy; while :; do sleep 0.1; done'\r")
	u.see("ready")
	u.typ("\x03")
	u.typ("echo ba''ck\r")
	u.see("back")
	u.typ("exit 3\r")
	if res := u.leave(); res.Exit.Status != 3 || u.err != nil || res.Left || res.Detached {
		t.Errorf("%+v, %v", res, u.err)
	}
	if strings.Contains(u.screen.String(), "sessctl") {
		t.Errorf("a plain exit says %q", u.screen.String())
	}
}

func TestTerminalResize(t *testing.T) {
	u := newUser(t).start(newWorld(t), "sh", "-c", "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done")
	u.see("up")
	if err := pty.Setsize(u.tty, &pty.Winsize{Cols: 61, Rows: 17}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	u.see("17 61")
	u.typ("\r~.")
	if res := u.leave(); !res.Left || res.Exit.Status != 255 || u.err != nil {
		t.Errorf("%+v, %v", res, u.err)
	}
}

func TestTerminalEscapes(t *testing.T) {
	w := newWorld(t)
	u := newUser(t).start(w)
	u.see("$ ")
	u.typ("~?")
	u.see("detach: leave it running")
	u.typ("echo o''ne\r")
	u.see("one")
	u.typ("~d")
	if res := u.leave(); !res.Detached || u.err != nil {
		t.Fatalf("%+v, %v", res, u.err)
	}
	again := newUser(t)
	s, err := w.open().Attach(t.Context(), string(w.only().id), again.size)
	if err != nil {
		t.Fatal(err)
	}
	again.sit(s)
	again.typ("echo tw''o\r")
	again.see("two")
	again.typ("exit 4\r")
	if res := again.leave(); res.Exit.Status != 4 || again.err != nil {
		t.Errorf("%+v, %v", res, again.err)
	}
}

// ~. works while there is no connection, too.
func TestTerminalLeaveWithoutConnection(t *testing.T) {
	w := newWorld(t)
	u := newUser(t).start(w)
	u.see("$ ")
	w.setDown(true)
	u.see("connection lost, reconnecting… (~. to end)")
	u.typ("\r~.")
	if res := u.leave(); !res.Left || res.Exit.Status != 255 {
		t.Errorf("%+v, %v", res, u.err)
	}
}

func TestTerminalSurvivesACut(t *testing.T) {
	w := newWorld(t)
	u := newUser(t).start(w, "sh", "-c", "stty -echo; echo up; while read x; do echo got $x; done")
	u.see("up")
	w.setDown(true)
	u.see("connection lost")
	u.typ("typed while away\r")
	w.setDown(false)
	u.see("got typed while away")
	u.typ("\x04")
	if res := u.leave(); res.Exit.Status != 0 || u.err != nil {
		t.Errorf("%+v, %v", res, u.err)
	}
}

// While a connection is lost that is said below the prompt, and when it is back the screen is as it was, to the last row.
func TestTerminalAfterALossAsBefore(t *testing.T) {
	for name, rows := range map[string]string{"at the top": "3", "at the bottom": "60", "help meanwhile": "2"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			u := newUser(t).start(w, "sh", "-c", "stty -echo; seq "+rows+"; printf 'prompt> '; while read x; do printf \"got $x\"; done")
			u.see("prompt> ")
			before := u.shows()
			w.setDown(true)
			u.see("connection lost, reconnecting… (~. to end)")
			if lost := u.shows(); !strings.HasSuffix(lost, rows+"\nprompt>\n sessctl: connection lost, reconnecting… (~. to end)") {
				t.Errorf("while it is lost:\n%s", lost)
			}
			if name == "help meanwhile" {
				u.typ("\r~?")
				u.see("send ~")
				if s := u.shows(); !strings.Contains(s, "\nprompt> ~?\nEscapes, behind Enter:\n") || !strings.HasSuffix(s, "send ~\n\n sessctl: connection lost, reconnecting… (~. to end)") {
					t.Errorf("help while it is lost:\n%s", s)
				}
				w.setDown(false)
				u.see("got ")
				u.typ("\x04")
				u.leave()
				return
			}
			w.setDown(false)
			u.typ("it\r")
			u.see("got it")
			after := u.shows()
			want := before + "got it"
			if name == "at the bottom" { // a row of it went up by one for the message
				_, want, _ = strings.Cut(want, "\n")
			}
			if after != want {
				t.Errorf("when it is back:\n%s\nwant\n%s", after, want)
			}
			u.typ("\x04")
			if res := u.leave(); res.Exit.Status != 0 || u.err != nil {
				t.Errorf("%+v, %v", res, u.err)
			}
		})
	}
}

// shows is the screen as it stands, without what is empty at its end.
func (u *user) shows() string {
	e := vt.NewEmulator(100, 30)
	defer func() { _ = e.Close() }()
	_, _ = e.Write([]byte(u.screen.String()))
	lines := strings.Split(e.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \r")
	}
	text := strings.TrimRight(strings.Join(lines, "\n"), "\n")
	if strings.HasSuffix(text, ">") {
		text += " "
	}
	return text
}

// Every way out leaves the terminal in its old mode and on its main screen.
func TestTerminalRestored(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			u := newUser(t).start(newWorld(t), "sh", "-c", `printf '\033[?1049h\033[?25l\033[?2004hin'; sleep 1000`)
			u.see("in")
			u.signals <- sig
			if res := u.leave(); res.Exit.Status != 128+int(sig) || !res.Left || u.err != nil {
				t.Errorf("%+v, %v", res, u.err)
			}
			u.see("\x1b[?2004l\x1b[?25h\x1b[?1049l")
		})
	}
}

func TestTerminalEndedByAnother(t *testing.T) {
	w := newWorld(t)
	u := newUser(t).start(w, "sh", "-c", "echo up; sleep 1000")
	u.see("up")
	w.mu.Lock()
	row := w.only2()
	row.kill = nil
	w.mu.Unlock()
	w.relay.Cut(org, row.id, wireEnd(sess.EndEnded, "ann@example.com", "maintenance"))
	u.leave()
	var ended *client.EndedError
	if !errors.As(u.err, &ended) || ended.End.By != "ann@example.com" {
		t.Errorf("err %v", u.err)
	}
}

// An order to end reaches the client as a process that died of a signal: who gave it is told all the same.
func TestTerminalEndedSoftly(t *testing.T) {
	// Started with nohup, the test ignores the signal, and its children inherit that; a handler they do not.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	w := newWorld(t)
	u := newUser(t).start(w, "sh", "-c", "echo up; sleep 1000")
	u.see("up")
	w.mu.Lock()
	row := w.only2()
	f := wireEnd(sess.EndEnded, "ann@example.com", "maintenance")
	row.end = &f
	kill := row.kill
	w.mu.Unlock()
	kill(syscall.SIGHUP)
	u.leave()
	var ended *client.EndedError
	if !errors.As(u.err, &ended) || ended.End.By != "ann@example.com" || u.res.Exit.Status != 129 {
		t.Errorf("%+v, err %v", u.res, u.err)
	}
}

// What is pasted arrives whole, however slowly the program takes it.
func TestTerminalPaste(t *testing.T) {
	const n = 10 << 20
	w := newWorld(t)
	u := newUser(t).start(w, "sh", "-c", fmt.Sprintf("stty raw -echo; echo up; head -c %d | sha256sum", n))
	u.see("up")
	line := []byte("0123456789 ~.\r\n~~x~.\n\t\xc3\xbc\x03\x04\x1a\x00\xff")
	paste := append([]byte("\x1b[200~"), bytes.Repeat(line, n/len(line)+1)...)[:n-6]
	paste = append(paste, "\x1b[201~"...)
	if _, err := u.keys.Write(paste); err != nil {
		t.Fatal(err)
	}
	u.see(fmt.Sprintf("%x", sha256.Sum256(paste)))
	if res := u.leave(); res.Exit.Status != 0 || u.err != nil {
		t.Errorf("%+v, %v", res, u.err)
	}
}

func TestTerminalGone(t *testing.T) {
	w := newWorld(t)
	u := newUser(t).start(w, "sh", "-c", "echo up; sleep 1000")
	u.see("up")
	_ = u.keys.Close()
	<-u.done
	if u.res.Exit.Status != 129 || !u.res.Left {
		t.Errorf("%+v, %v", u.res, u.err)
	}
	if w.only().end == nil {
		t.Error("the session goes on")
	}
}

func TestNeedTerminal(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := client.NeedTerminal(f); !errors.Is(err, sess.ErrInvalid) {
		t.Errorf("err %v", err)
	}
}

func TestTerminalEnv(t *testing.T) {
	got := client.TerminalEnv([]string{"LANG=C.UTF-8", "LC_ALL=C", "LC_=x", "COLORTERM=truecolor", "SECRET=1", "LANGUAGE=de", "=C:=x"})
	if len(got) != 3 || got["LANG"] != "C.UTF-8" || got["LC_ALL"] != "C" || got["COLORTERM"] != "truecolor" {
		t.Errorf("%v", got)
	}
}
