//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// The systems, as reports name them.
const (
	bare      = "bare PTY"
	sshDirect = "ssh"
	sshJump   = "ssh -J"
	rawSplice = "TLS splice"
	ours      = "sess"
)

// system is one way to the shell of this machine.
type system struct {
	name string
	// client names the process that people start, as ps does.
	client string
	// shell gives the command that runs a script of sh on a remote terminal.
	shell func(script string) *exec.Cmd
	// exec gives the command that runs a program without a terminal, nil if there is no such thing.
	exec func(argv ...string) *exec.Cmd
	// parts are the processes that stay, from the operator's side to the instance's.
	parts []daemon
}

// daemon is a process that serves sessions, with all its children.
type daemon struct {
	name string
	pid  int
}

// use is what the processes of a system have used of the CPU.
type use map[string]time.Duration

// used reads the CPU times of all processes that stay.
func (s *system) used() (use, error) {
	t, err := processes()
	if err != nil {
		return nil, err
	}
	u := use{}
	for _, d := range s.parts {
		u[d.name] += t.cpu(d.pid)
	}
	return u, nil
}

// Waiting for a system that still works on what is behind it: a recording is compressed after the session.
const (
	calm     = 300 * time.Millisecond
	calmPoll = 50 * time.Millisecond
	calmMost = 15 * time.Second
)

// settle waits until no process of the system has used the CPU for a while, and gives what they used.
func (s *system) settle() (use, error) {
	ticker := time.NewTicker(calmPoll)
	defer ticker.Stop()
	before, err := s.used()
	since := time.Now()
	for end := since.Add(calmMost); err == nil && time.Since(since) < calm && time.Now().Before(end); {
		<-ticker.C
		var now use
		if now, err = s.used(); err != nil {
			break
		}
		for name, v := range now {
			if v != before[name] {
				since = time.Now()
			}
		}
		before = now
	}
	return before, err
}

// resources runs f, which gives what the client used, and reports what each process used for it, with all that it did
// behind it.
func (s *system) resources(f func() (client time.Duration, err error)) (use, error) {
	if _, err := reap(s.client); err != nil { // of earlier sessions
		return nil, err
	}
	before, err := s.settle()
	if err != nil {
		return nil, err
	}
	client, err := f()
	if err != nil {
		return nil, err
	}
	after, err := s.settle()
	if err != nil {
		return nil, err
	}
	u := use{s.client: client}
	for name := range after {
		u[name] += after[name] - before[name]
	}
	return u, nil
}

// finish runs a started client to its end and gives the CPU time of it and of what it leaves behind.
func (s *system) finish(cmd *exec.Cmd) (time.Duration, error) {
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("%s: %w", s.client, err)
	}
	orphans, err := reap(s.client)
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() + orphans, err
}

// check runs bytes through a system once, both ways: a system that loses some is not measured.
func (s *system) check() error {
	if s.exec == nil {
		return nil
	}
	const n = 1 << 20
	var errs bytes.Buffer
	out := s.exec("head", "-c", fmt.Sprint(n), "/dev/zero")
	out.Stderr = &errs
	got, err := out.Output()
	if err != nil || len(got) != n {
		return fmt.Errorf("%s: %d bytes of %d arrived: %w: %s", s.name, len(got), n, err, errs.String())
	}
	in := s.exec("wc", "-c")
	in.Stdin, in.Stderr = bytes.NewReader(got), &errs
	count, err := in.Output()
	if err != nil || strings.TrimSpace(string(count)) != fmt.Sprint(n) {
		return fmt.Errorf("%s: %s bytes of %d were sent: %w: %s", s.name, count, n, err, errs.String())
	}
	_, err = reap(s.client)
	return err
}

// bareSystem is this machine without anything between.
func bareSystem() *system {
	return &system{
		name: bare, client: "sh",
		shell: func(script string) *exec.Cmd { return exec.Command("sh", "-c", script) },
	}
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
