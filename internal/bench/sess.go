//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// startSess starts a real server and a real agent as scripts/quickstart does it for everybody: TLS, SQLite, recording on.
func (b *bench) startSess() (*system, error) {
	script := filepath.Join(b.root, "scripts", "quickstart")
	if b.state == "" {
		b.state = filepath.Join(b.dir, "sess")
		cmd := exec.Command(script, "--state", b.state, "--detach")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("scripts/quickstart: %w", err)
		}
		b.ends = append(b.ends, func() { _ = exec.Command(script, "--state", b.state, "--stop").Run() })
	}
	s := &system{name: ours, client: "sessctl"}
	for _, d := range []daemon{{name: "server"}, {name: "agent"}} {
		text, err := os.ReadFile(filepath.Join(b.state, d.name+".pid"))
		if err != nil {
			return nil, fmt.Errorf("it does not run in %s: %w", b.state, err)
		}
		if d.pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return nil, err
		}
		s.parts = append(s.parts, daemon{"sess-" + d.name, d.pid})
	}
	sessctl := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(b.state, "bin", "sessctl"), args...)
		cmd.Env = append(os.Environ(), "SESSCTL_CONFIG_DIR="+filepath.Join(b.state, "sessctl"), "SESSCTL_SERVER=", "SESSCTL_API_KEY=")
		return cmd
	}
	s.shell = func(script string) *exec.Cmd { return sessctl("start", "local", "--", "sh", "-c", script) }
	s.exec = func(argv ...string) *exec.Cmd { return sessctl(append([]string{"exec", "local", "--"}, argv...)...) }
	return s, nil
}

// prepare starts everything and sees that it works.
func (b *bench) prepare() error {
	if err := adopt(); err != nil {
		return err
	}
	sess, err := b.startSess()
	if err != nil {
		return fmt.Errorf("sess: %w", err)
	}
	b.idleMemory(sess) // before any session
	if !b.compares() {
		b.systems = []*system{sess}
		return sess.check()
	}
	ssh, err := b.startSSH()
	if err != nil {
		return fmt.Errorf("ssh: %w", err)
	}
	splice, err := b.startSplice()
	if err != nil {
		return fmt.Errorf("splice: %w", err)
	}
	b.systems = append([]*system{bareSystem()}, append(ssh, splice, sess)...)
	for _, s := range b.systems {
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}
