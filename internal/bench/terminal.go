//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// patience is how long a terminal may stay silent when something is expected of it.
const patience = 20 * time.Second

// terminal is a person's terminal with a program in it. Reads wait in poll(2) and not in Go's poller, which would add
// its own wake-up to what is measured. For one goroutine.
type terminal struct {
	cmd  *exec.Cmd
	file *os.File
	fd   int
	buf  []byte
}

func openTerminal(cmd *exec.Cmd) (*terminal, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, err
	}
	defer slave.Close()
	if err := pty.Setsize(master, &pty.Winsize{Cols: 80, Rows: 24}); err != nil {
		master.Close()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		master.Close()
		return nil, err
	}
	t := &terminal{cmd: cmd, file: master, fd: int(master.Fd()), buf: make([]byte, 64<<10)}
	return t, unix.SetNonblock(t.fd, true)
}

// close hangs up and waits for the program.
func (t *terminal) close() {
	t.file.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = t.cmd.Process.Kill() })
	defer kill.Stop()
	_ = t.cmd.Wait()
}

func (t *terminal) write(keys string) error {
	n, err := unix.Write(t.fd, []byte(keys))
	if err == nil && n < len(keys) {
		err = io.ErrShortWrite
	}
	return err
}

// read gives what is there within the time: nothing and no error if nothing came. Valid until the next read.
func (t *terminal) read(wait time.Duration, most int) ([]byte, error) {
	ok, err := pollIn([]unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}, wait)
	if err != nil || !ok {
		return nil, err
	}
	n, err := unix.Read(t.fd, t.buf[:min(most, len(t.buf))])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the program left the terminal: %w", err)
	}
	return t.buf[:n], nil
}

// pollIn waits until there is something to read.
func pollIn(fds []unix.PollFd, wait time.Duration) (bool, error) {
	ts := unix.NsecToTimespec(max(wait, 0).Nanoseconds())
	n, err := unix.Ppoll(fds, &ts, nil)
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return n > 0, err
}

// expect reads until what was read satisfies ok, which sees at most the last 64 KiB and from where on they are new.
func (t *terminal) expect(what string, ok func(tail []byte) bool) error {
	var tail []byte
	end := time.Now().Add(patience)
	for {
		p, err := t.read(time.Until(end), len(t.buf))
		if err != nil {
			return fmt.Errorf("waiting for %s: %w; last seen: %q", what, err, last(tail, 300))
		}
		if len(p) == 0 && time.Now().After(end) {
			return fmt.Errorf("no %s within %v; last seen: %q", what, patience, last(tail, 300))
		}
		if len(p) > 0 {
			end = time.Now().Add(patience)
		}
		tail = append(last(tail, 1<<10), p...)
		if ok(tail) {
			return nil
		}
	}
}

// expectText reads until the text has come.
func (t *terminal) expectText(text string) error {
	return t.expect(text, func(tail []byte) bool { return bytes.Contains(tail, []byte(text)) })
}

// drain reads until nothing has come for a while.
func (t *terminal) drain(quiet time.Duration) error {
	for {
		p, err := t.read(quiet, len(t.buf))
		if err != nil || len(p) == 0 {
			return err
		}
	}
}

func last(p []byte, n int) []byte { return p[max(0, len(p)-n):] }
