package pty_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/agent/pty"
)

func open(t *testing.T, cols, rows uint16) *pty.PTY {
	t.Helper()
	p, err := pty.Open(cols, rows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func run(t *testing.T, p *pty.PTY, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Slave, p.Slave, p.Slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.CloseSlave()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestMasterIsPollable(t *testing.T) {
	p := open(t, 0, 0)
	for range 2 { // Resize must not undo it
		if err := p.Master.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Master.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read with deadline: %v, want deadline exceeded", err)
		}
		if err := p.Resize(10, 10); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSizeAndResize(t *testing.T) {
	for _, c := range []struct {
		cols, rows uint16
		want       string
	}{{0, 0, "24 80"}, {132, 43, "43 132"}} {
		p := open(t, c.cols, c.rows)
		run(t, p, "stty", "size")
		out, _ := io.ReadAll(p.Master) // ends with EIO
		if got := strings.TrimSpace(string(out)); got != c.want {
			t.Errorf("stty size on %dx%d = %q, want %q", c.cols, c.rows, got, c.want)
		}
	}
}

func TestForegroundAndEOF(t *testing.T) {
	p := open(t, 0, 0)
	if eof := p.EOF(); string(eof) != "\x04" {
		t.Errorf("EOF() = %q, want ^D", eof)
	}
	cmd := run(t, p, "sleep", "60")
	if pgrp, err := p.Foreground(); err != nil || pgrp != cmd.Process.Pid {
		t.Errorf("Foreground() = %d, %v, want %d", pgrp, err, cmd.Process.Pid)
	}
	raw := open(t, 0, 0)
	c := run(t, raw, "stty", "raw")
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if eof := raw.EOF(); eof != nil {
		t.Errorf("EOF() of a raw terminal = %q, want none", eof)
	}
}
