package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"
)

// seat is a person at a terminal that runs a program: a real PTY, and an emulator of the screen behind it.
type seat struct {
	t      *testing.T
	cmd    *exec.Cmd
	ptmx   *os.File
	tty    *os.File // kept open, to look at its modes and so that the screen outlives the program
	before *term.State
	done   chan struct{} // closed when the program has ended
	reason string        // of the session it started

	mu     sync.Mutex // protects the following
	screen *vt.Emulator
	raw    []byte
	title  string
}

// sit runs sessctl as the admin on a terminal of 100 columns and 30 rows.
func (w *world) sit(t *testing.T, args ...string) *seat {
	t.Helper()
	reason := ""
	if args[0] == "start" || args[0] == "exec" {
		reason = fmt.Sprintf("%s %d", t.Name(), reasons.Add(1))
		args = append([]string{args[0], "--reason", reason}, args[1:]...)
	}
	s := sitAt(t, w.env(), 100, 30, filepath.Join(binaries, "sessctl"), args...)
	s.reason = reason
	return s
}

// reasons counts sessions, so that each has a reason of its own to be found by.
var reasons atomic.Int64

func sitAt(t *testing.T, env []string, cols, rows int, name string, args ...string) *seat {
	t.Helper()
	ptmx, tty, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	s := &seat{t: t, ptmx: ptmx, tty: tty, done: make(chan struct{}), screen: vt.NewEmulator(cols, rows)}
	s.screen.SetCallbacks(vt.Callbacks{Title: func(v string) { s.title = v }})
	if s.before, err = term.GetState(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(name, args...)
	s.cmd.Env = env
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.cmd.Wait(); close(s.done) })
	var shown sync.WaitGroup
	shown.Go(s.show)
	wg.Go(s.answer)
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.done
		_ = ptmx.Close()
		_ = tty.Close()
		shown.Wait()
		_ = s.screen.Close()
		wg.Wait()
		if t.Failed() {
			t.Logf("the last screen of %.80q:\n%s\nthe last bytes: %q", args, s.text(), s.bytes()[max(0, len(s.bytes())-600):])
		}
	})
	return s
}

// openPTY opens a PTY whose controlling side obeys deadlines and close.
func openPTY() (ptmx, tty *os.File, err error) {
	blocking, tty, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer blocking.Close()
	fd, err := syscall.Dup(int(blocking.Fd()))
	if err != nil {
		return nil, nil, err
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), "ptmx"), tty, nil
}

// show brings what programs write onto the screen.
func (s *seat) show() {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.ptmx.Read(buf)
		s.mu.Lock()
		s.raw = append(s.raw, buf[:n]...)
		_, _ = s.screen.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// answer passes on what the terminal says by itself, when programs ask it.
func (s *seat) answer() {
	buf := make([]byte, 4<<10)
	for {
		n, err := s.screen.Read(buf)
		if n > 0 {
			_, _ = s.ptmx.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// typ types keys.
func (s *seat) typ(keys string) {
	s.t.Helper()
	if _, err := s.ptmx.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// text is the screen as text, without blanks at the ends of lines.
func (s *seat) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(s.screen.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \r")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// picture is the screen with its colours, and where the cursor is.
func (s *seat) picture() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.screen.CursorPosition()
	return fmt.Sprintf("%s\ncursor %d,%d", s.screen.Render(), at.X, at.Y)
}

func (s *seat) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(nil), s.raw...)
}

// see waits until the screen shows text.
func (s *seat) see(text string) {
	s.t.Helper()
	s.until("the screen shows "+fmt.Sprintf("%q", text), func() bool { return strings.Contains(s.text(), text) })
}

func (s *seat) until(what string, ok func() bool) {
	s.t.Helper()
	err := poll(what, func() error {
		if ok() {
			return nil
		}
		return errors.New("no")
	})
	if err != nil {
		s.t.Fatalf("%v; the screen:\n%s", err, s.text())
	}
}

// came waits until text came, wherever on the screen it went, and forgets everything before its end.
func (s *seat) came(text string) {
	s.t.Helper()
	s.until("there came "+fmt.Sprintf("%q", text), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := strings.Index(string(s.raw), text)
		if i >= 0 {
			s.raw = s.raw[i+len(text):]
		}
		return i >= 0
	})
}

func (s *seat) resize(cols, rows int) {
	s.t.Helper()
	s.mu.Lock()
	s.screen.Resize(cols, rows)
	s.mu.Unlock()
	if err := pty.Setsize(s.tty, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil {
		s.t.Fatal(err)
	}
}

// leave waits for the end of the program, checks that the terminal is as it was, and gives the exit code.
func (s *seat) leave() int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatalf("it did not end; the screen:\n%s", s.text())
	}
	after, err := term.GetState(int(s.tty.Fd()))
	if err != nil {
		s.t.Fatal(err)
	}
	if fmt.Sprint(*after) != fmt.Sprint(*s.before) {
		s.t.Errorf("the terminal's modes are %v, were %v", *after, *s.before)
	}
	return s.cmd.ProcessState.ExitCode()
}

// exits says which exit code is right.
func (s *seat) exits(code int) {
	s.t.Helper()
	if got := s.leave(); got != code {
		s.t.Errorf("exit code %d, want %d; the screen:\n%s", got, code, s.text())
	}
}
