//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What is locked, each in turn.
var lockKinds = []string{"user", "instance", "address", "org"}

// A lock under many sessions.
const (
	lockInstance = "bench-lock"             // the instance that they run on, with an agent of its own
	lockUser     = "bench-lock-user"        // the machine user that runs them
	lockEvery    = "200ms"                  // how often each prints
	lockMost     = 30 * time.Second         // until all are cut
	lockReady    = 20 * time.Second         // until the agent is there
	lockTarget   = 1000.0                   // ms, from the call to the last byte
	lockTTL      = "10m"                    // of locks that bar the caller, who has to say one
	lockReason   = "a measurement, INC-500" // clients are told
)

// lockSize is how many sessions are live.
func (b *bench) lockSize() int {
	if b.quick {
		return 100
	}
	return 500
}

// lockWorld is what the measurement of locks needs beside what scripts/quickstart starts.
type lockWorld struct {
	sessctl func(args ...string) *exec.Cmd
	user    func(args ...string) *exec.Cmd // by the machine user's key
	dir     string                         // of the agent
	server  string                         // the data directory
	admin   string                         // the program sess-server
}

// makeLockWorld enrols an instance that runs as many sessions as it takes, and makes the user that starts them.
func (b *bench) makeLockWorld() error {
	bin := func(name string) string { return filepath.Join(b.state, "bin", name) }
	w := &lockWorld{dir: filepath.Join(b.dir, "lock-agent"), server: filepath.Join(b.state, "server"), admin: bin("sess-server")}
	url, err := os.ReadFile(filepath.Join(w.server, "url"))
	if err != nil {
		return err
	}
	w.sessctl = func(args ...string) *exec.Cmd {
		cmd := exec.Command(bin("sessctl"), args...)
		cmd.Env = append(os.Environ(), "SESSCTL_CONFIG_DIR="+filepath.Join(b.state, "sessctl"), "SESSCTL_SERVER=", "SESSCTL_API_KEY=")
		return cmd
	}
	for _, args := range [][]string{{"instance", "remove", lockInstance}, {"user", "delete", lockUser, "--yes"}} { // of a run that was cut short
		_ = w.sessctl(args...).Run()
	}
	key, err := w.makeUser()
	if err != nil {
		return err
	}
	w.user = func(args ...string) *exec.Cmd {
		cmd := exec.Command(bin("sessctl"), args...)
		cmd.Env = append(os.Environ(), "SESSCTL_CONFIG_DIR="+filepath.Join(b.dir, "lock-user"), "SESSCTL_SERVER="+strings.TrimSpace(string(url)), "SESSCTL_API_KEY="+key)
		return cmd
	}
	b.locks = w
	return b.startLockAgent(bin("sess-agent"), strings.TrimSpace(string(url)))
}

func (w *lockWorld) makeUser() (key string, err error) {
	if _, err := w.ask("user", "create", "--machine", lockUser, "--role", "operator"); err != nil {
		return "", err
	}
	out, err := w.ask("key", "create", "--user", lockUser, "--name", "bench")
	return strings.TrimSpace(out), err
}

// ask runs sessctl as the admin and gives what it prints.
func (w *lockWorld) ask(args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := w.sessctl(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("sessctl %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func (b *bench) startLockAgent(program, url string) error {
	w := b.locks
	token, err := w.ask("token", "create")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	config := filepath.Join(w.dir, "conf")
	text := fmt.Sprintf("default_user = %s\nmax_sessions = 1000\n", versionOf("id", "-un"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	state := filepath.Join(w.dir, "state")
	enrol := exec.Command(program, "enroll", "--state-dir", state, "--server", url, "--token-file", "-", "--name", lockInstance)
	enrol.Stdin = strings.NewReader(token)
	if out, err := enrol.CombinedOutput(); err != nil {
		return fmt.Errorf("sess-agent enroll: %w: %s", err, out)
	}
	run := exec.Command(program, "run", "--state-dir", state, "--config", config)
	log, err := os.Create(filepath.Join(w.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	run.Stdout, run.Stderr = log, log
	if err := run.Start(); err != nil {
		return err
	}
	b.ends = append(b.ends, func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		_ = run.Wait()
		_ = w.sessctl("instance", "remove", lockInstance).Run()
		_ = w.sessctl("user", "delete", lockUser, "--yes").Run()
	})
	for end := time.Now().Add(lockReady); ; <-time.After(50 * time.Millisecond) {
		if w.user("exec", lockInstance, "--", "true").Run() == nil {
			return nil
		}
		if time.Now().After(end) {
			return errors.New("the agent for the sessions does not come")
		}
	}
}

// lock opens many sessions, locks what they have in common, and notes when each client got its last byte and when each
// process on the instance was gone, both from the start of the command that locks.
func (b *bench) lock(s *system, round int) error {
	if s.name != ours {
		return nil
	}
	for _, kind := range lockKinds {
		if err := b.lockOne(kind, round); err != nil {
			return fmt.Errorf("lock of %s: %w", kind, err)
		}
	}
	return nil
}

func (b *bench) lockOne(kind string, round int) error {
	began := time.Now()
	c, err := openCut(b.locks, b.lockSize())
	defer c.close()
	if err != nil {
		return err
	}
	b.say("lock of %s: %d sessions are live after %.0f s", kind, b.lockSize(), time.Since(began).Seconds())
	if err := c.watch(time.Second, nil); err != nil { // all print, and nothing is being started any more
		return err
	}
	add := b.locks.sessctl(append([]string{"lock", "add", "--json", "--reason", lockReason}, lockFlags(kind)...)...)
	var out, errs bytes.Buffer
	add.Stdout, add.Stderr = &out, &errs
	at := time.Now()
	if err := add.Start(); err != nil {
		return err
	}
	werr := c.watch(lockMost, func() bool { return c.left() == 0 })
	if err := add.Wait(); err != nil {
		return fmt.Errorf("sessctl lock add: %w: %s", err, errs.String())
	}
	var l struct{ ID string }
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		return err
	}
	if err := b.locks.lift(l.ID); err != nil {
		return err
	}
	if werr != nil {
		return werr
	}
	for what, millis := range map[string][]float64{"bytes": c.lastBytes(at), "processes": c.goneAfter(at)} {
		for stat, q := range lockStats {
			b.results.add(lockMetric(kind, what, stat), ours, round, quantile(millis, q))
		}
	}
	return nil
}

// lockStats are what is told of a lock.
var lockStats = map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1}

func lockFlags(kind string) []string {
	switch kind {
	case "user":
		return []string{"--user", lockUser}
	case "instance":
		return []string{"--instance", lockInstance}
	case "address": // which is the caller's own
		return []string{"--address", "127.0.0.1", "--force", "--ttl", lockTTL}
	}
	return []string{"--whole-org"}
}

// lift lifts a lock as the box's owner: one on the address bars the admin, too.
func (w *lockWorld) lift(id string) error {
	out, err := exec.Command(w.admin, "admin", "lock", "remove", id, "--data-dir", w.server).CombinedOutput()
	if err != nil {
		return fmt.Errorf("sess-server admin lock remove: %w: %s", err, out)
	}
	return nil
}
