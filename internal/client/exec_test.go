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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/sess"
)

// ran is what a command left.
type ran struct {
	exit     sess.Exit
	err      error
	out, log string
	errs     string
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func startExec(t *testing.T, w *world, argv ...string) *client.Session {
	t.Helper()
	s, err := w.open().Start(t.Context(), client.StartOptions{Instance: "web-1", Kind: sess.KindExec, Params: sess.Params{Argv: argv}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func runExec(t *testing.T, w *world, in io.Reader, argv ...string) ran {
	t.Helper()
	return drive(t, startExec(t, w, argv...), in, nil)
}

func drive(t *testing.T, s *client.Session, in io.Reader, signals <-chan os.Signal) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, errs, lines buffer
	exit, err := s.Exec(ctx, client.ExecIO{In: in, Out: &out, Err: &errs, Lines: &lines, Signals: signals})
	return ran{exit: exit, err: err, out: out.String(), errs: errs.String(), log: lines.String()}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
		<-tick.C
	}
}

func TestExecStreamsAndStatus(t *testing.T) {
	r := runExec(t, newWorld(t), strings.NewReader("in\x00put"), "sh", "-c", "cat; echo oops >&2; exit 7")
	if r.err != nil || r.exit.Status != 7 || r.out != "in\x00put" || r.errs != "oops\n" || r.log != "" {
		t.Errorf("%+v", r)
	}
}

func TestExecWithoutInput(t *testing.T) {
	if r := runExec(t, newWorld(t), nil, "cat"); r.err != nil || r.exit.Status != 0 || r.out != "" {
		t.Errorf("%+v", r)
	}
}

func TestExecArgumentsArriveAsGiven(t *testing.T) {
	args := []string{"a b", "", "$HOME", "'\"\\", "*", "ü\n"}
	r := runExec(t, newWorld(t), nil, append([]string{"printf", "[%s]"}, args...)...)
	if want := "[" + strings.Join(args, "][") + "]"; r.out != want {
		t.Errorf("out %q, want %q (%v)", r.out, want, r.err)
	}
}

func TestExecMessageOfTheAgent(t *testing.T) {
	if r := runExec(t, newWorld(t), nil, "/no/such/program"); r.err != nil || r.exit.Status != 127 || r.exit.Message != "command not found" {
		t.Errorf("%+v", r)
	}
}

func TestExecUnknownInstance(t *testing.T) {
	_, err := newWorld(t).open().Start(t.Context(), client.StartOptions{Instance: "web-2", Kind: sess.KindExec, Params: sess.Params{Argv: []string{"true"}}})
	if !errors.Is(err, sess.ErrNotFound) {
		t.Errorf("err %v", err)
	}
}

func TestExecMegabyteOfArguments(t *testing.T) {
	big := strings.Repeat("x", 120<<10) // the kernel's limit of one argument
	argv := []string{"sh", "-c", `printf %s "$@" | wc -c`, "sh"}
	for range 8 {
		argv = append(argv, big)
	}
	if r := runExec(t, newWorld(t), nil, argv...); strings.TrimSpace(r.out) != fmt.Sprint(8*120<<10) {
		t.Errorf("out %q, err %v", r.out, r.err)
	}
}

// A command that does not read its input to the end must not hang the client, nor one that closes it.
func TestExecInputStopped(t *testing.T) {
	r, pw := io.Pipe()
	defer pw.Close()
	go func() {
		for {
			if _, err := pw.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	if got := runExec(t, newWorld(t), r, "sh", "-c", "head -c 10 >/dev/null; exec <&-; echo done"); got.err != nil || got.out != "done\n" {
		t.Errorf("%+v", got)
	}
}

type brokenPipe struct{ n int }

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.n -= len(p); b.n < 0 {
		return 0, &os.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}
	}
	return len(p), nil
}

func TestExecClosedOutputEndsTheCommand(t *testing.T) {
	for name, script := range map[string]string{"writes on": "yes", "writes no more": "echo x; sleep 1000"} {
		t.Run(name, func(t *testing.T) {
			s := startExec(t, newWorld(t), "sh", "-c", script)
			exit, err := s.Exec(t.Context(), client.ExecIO{Out: &brokenPipe{}, Err: io.Discard, Lines: io.Discard})
			if err != nil || exit.Status != 128+13 {
				t.Errorf("exit %+v, err %v", exit, err)
			}
		})
	}
}

func TestExecFullDisk(t *testing.T) {
	w := newWorld(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	s := startExec(t, w, "sh", "-c", "echo x; sleep 1000")
	_, err = s.Exec(t.Context(), client.ExecIO{Out: full, Err: io.Discard, Lines: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("err %v", err)
	}
	if w.only().end == nil {
		t.Error("the command goes on")
	}
}

func TestExecInterrupt(t *testing.T) {
	w := newWorld(t)
	signals := make(chan os.Signal, 2)
	s := startExec(t, w, "sh", "-c", "echo up; exec sleep 1000")
	go func() {
		eventually(t, "the command", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.only2().kill != nil })
		signals <- os.Interrupt
	}()
	r := drive(t, s, nil, signals)
	if r.err != nil || r.exit.Status != 130 {
		t.Errorf("%+v", r)
	}
}

// only2 is only for callers that hold mu.
func (w *world) only2() *session {
	for _, s := range w.sessions {
		return s
	}
	return &session{}
}

func TestExecSecondInterruptEnds(t *testing.T) {
	w := newWorld(t)
	signals := make(chan os.Signal, 2)
	out, pw := io.Pipe()
	s := startExec(t, w, "sh", "-c", "trap '' INT TERM; echo up; while :; do sleep 0.1; done")
	go func() {
		b := make([]byte, 10)
		_, _ = out.Read(b)
		signals <- os.Interrupt
		signals <- os.Interrupt // the same
		<-time.After(300 * time.Millisecond)
		if w.only().end != nil {
			t.Error("one Ctrl-C ended it")
		}
		signals <- os.Interrupt
	}()
	exit, err := s.Exec(t.Context(), client.ExecIO{Out: pw, Err: io.Discard, Lines: io.Discard, Signals: signals})
	if err != nil || exit.Status != 130 {
		t.Errorf("exit %+v, err %v", exit, err)
	}
	if w.only().end == nil {
		t.Error("the server was not told")
	}
}

func TestExecTerminateEndsAfterASecond(t *testing.T) {
	w := newWorld(t)
	signals := make(chan os.Signal, 2)
	out, pw := io.Pipe()
	s := startExec(t, w, "sh", "-c", "trap '' TERM HUP; echo up; while :; do sleep 0.1; done")
	go func() {
		b := make([]byte, 10)
		_, _ = out.Read(b)
		signals <- syscall.SIGTERM
	}()
	began := time.Now()
	exit, err := s.Exec(t.Context(), client.ExecIO{Out: pw, Err: io.Discard, Lines: io.Discard, Signals: signals})
	if err != nil || exit.Status != 143 || time.Since(began) > 5*time.Second {
		t.Errorf("exit %+v, err %v after %s", exit, err, time.Since(began))
	}
}

// Cut again and again in a flood both ways: every byte arrives, once.
func TestExecSurvivesCuts(t *testing.T) {
	w := newWorld(t)
	s := startExec(t, w, "cat")
	in := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)
	sent := 0
	slow := readerFunc(func(p []byte) (int, error) {
		if len(in) == 0 {
			return 0, io.EOF
		}
		n := copy(p[:min(len(p), 32<<10)], in)
		in = in[n:]
		if before := sent; before/(5<<19) != (before+n)/(5<<19) {
			w.cut()
		}
		sent += n
		return n, nil
	})
	want := sha256.Sum256(in)
	r := drive(t, s, slow, nil)
	if got := sha256.Sum256([]byte(r.out)); got != want || r.err != nil || r.exit.Status != 0 {
		t.Errorf("%d bytes, exit %+v, err %v", len(r.out), r.exit, r.err)
	}
	if w.resumes == 0 {
		t.Error("nothing was cut")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestExecSaysWhenTheConnectionIsLost(t *testing.T) {
	w := newWorld(t)
	s := startExec(t, w, "cat")
	in, pw := io.Pipe()
	var lines buffer
	var out buffer
	go func() {
		_, _ = pw.Write([]byte("one\n"))
		eventually(t, "echo", func() bool { return out.String() == "one\n" })
		w.setDown(true)
		eventually(t, "the line", func() bool { return strings.Contains(lines.String(), "connection lost, reconnecting") })
		w.setDown(false)
		eventually(t, "the other line", func() bool { return strings.Contains(lines.String(), "connected again") })
		_ = pw.Close()
	}()
	exit, err := s.Exec(t.Context(), client.ExecIO{In: in, Out: &out, Err: io.Discard, Lines: &lines})
	if err != nil || exit.Status != 0 {
		t.Errorf("exit %+v, err %v", exit, err)
	}
}

func TestExecGraceEnds(t *testing.T) {
	w := newWorld(t)
	s := startExec(t, w, "sh", "-c", "echo up; sleep 1000")
	s.Grace = 300 * time.Millisecond
	out, pw := io.Pipe()
	go func() {
		_, _ = out.Read(make([]byte, 10))
		w.setDown(true)
	}()
	_, err := s.Exec(t.Context(), client.ExecIO{Out: pw, Err: io.Discard, Lines: io.Discard})
	if !errors.Is(err, sess.ErrUnavailable) || !strings.Contains(err.Error(), "longer than the session lives") {
		t.Errorf("err %v", err)
	}
}

func TestExecEndedByOthers(t *testing.T) {
	w := newWorld(t)
	s := startExec(t, w, "sh", "-c", "echo up; sleep 1000")
	out, pw := io.Pipe()
	go func() {
		_, _ = out.Read(make([]byte, 10))
		w.mu.Lock()
		row := w.only2()
		row.kill = nil // the process's own end must not come first
		w.mu.Unlock()
		w.relay.Cut(org, row.id, wireEnd(sess.EndEnded, "ann@example.com", "maintenance\x1b[2J"))
	}()
	_, err := s.Exec(t.Context(), client.ExecIO{Out: pw, Err: io.Discard, Lines: io.Discard})
	var ended *client.EndedError
	if !errors.As(err, &ended) || err.Error() != "the session was ended by ann@example.com: maintenance[2J" {
		t.Errorf("err %v", err)
	}
}

// What ended while the client was away is told when it asks for a ticket.
func TestExecEndedWhileAway(t *testing.T) {
	w := newWorld(t)
	s := startExec(t, w, "sh", "-c", "echo up; sleep 1000")
	out, pw := io.Pipe()
	go func() {
		_, _ = out.Read(make([]byte, 10))
		w.setDown(true)
		w.mu.Lock()
		f := wireEnd(sess.EndAgentLost, "", "")
		w.only2().end = &f
		w.mu.Unlock()
		w.setDown(false)
	}()
	_, err := s.Exec(t.Context(), client.ExecIO{Out: pw, Err: io.Discard, Lines: io.Discard})
	if !errors.Is(err, sess.ErrEnded) || !strings.Contains(err.Error(), "the agent on web-1 stopped") {
		t.Errorf("err %v", err)
	}
}

func TestExecTakenOver(t *testing.T) {
	w := newWorld(t)
	s := startExec(t, w, "sh", "-c", "echo up; sleep 0.3; echo down; exit 3")
	out, pw := io.Pipe()
	second := make(chan ran, 1)
	go func() {
		_, _ = out.Read(make([]byte, 10))
		s2, err := w.open().Attach(t.Context(), string(s.ID), nil)
		if err != nil {
			t.Error(err)
		}
		second <- drive(t, s2, nil, nil)
	}()
	_, err := s.Exec(t.Context(), client.ExecIO{Out: pw, Err: io.Discard, Lines: io.Discard})
	if !errors.Is(err, sess.ErrSuperseded) {
		t.Errorf("the first client: err %v", err)
	}
	if r := <-second; r.err != nil || r.exit.Status != 3 || !strings.Contains(r.out, "down\n") {
		t.Errorf("the second client: %+v, %v", r, r.err)
	}
}

// The agent's machine goes away: the user is told, and what comes of it.
func TestExecAgentAway(t *testing.T) {
	w := newWorld(t)
	s := startExec(t, w, "sh", "-c", "echo up; sleep 1000")
	out, pw := io.Pipe()
	var lines buffer
	go func() {
		_, _ = out.Read(make([]byte, 10))
		w.mu.Lock()
		row := w.only2()
		gone := row.gone
		w.mu.Unlock()
		gone()
		eventually(t, "the line", func() bool { return strings.Contains(lines.String(), "web-1 is not connected to the server") })
		w.end(row, wireEnd(sess.EndAgentGone, "", ""))
	}()
	_, err := s.Exec(t.Context(), client.ExecIO{Out: pw, Err: io.Discard, Lines: &lines})
	if strings.Contains(lines.String(), "connected again") {
		t.Errorf("it says %q", lines.String())
	}
	if !errors.Is(err, sess.ErrOffline) || !strings.Contains(err.Error(), "not heard of") {
		t.Errorf("err %v", err)
	}
}
