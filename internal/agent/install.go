package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/sess"
)

// unitName is the service's name in systemd.
const unitName = "sess-agent.service"

// systemctlTimeout bounds one call of systemctl; stopping waits for sessions' last words.
const systemctlTimeout = 60 * time.Second

// Times of stopping an agent that no service runs.
const (
	stopTimeout = 10 * time.Second
	stopStep    = 50 * time.Millisecond
)

// Service is the agent as a service of systemd: the machine's when root installs it, else the user's own.
type Service struct {
	Binary string // absolute path of sess-agent
	State  StateDir
	Config string // configuration file; empty: the default
	User   string // runs as this user, hardened; empty: as whoever installs
	Out    io.Writer
	// Root is put before the paths of the system, for tests; empty: none.
	Root string
}

func (s Service) system() bool { return os.Getuid() == 0 }

// dir is where the unit goes.
func (s Service) dir() (string, error) {
	if s.system() {
		return filepath.Join(s.Root, "/etc/systemd/system"), nil
	}
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "systemd", "user"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find where units go: %w", err)
	}
	return filepath.Join(home, ".config", "systemd", "user"), nil
}

// Install writes the unit, and enables and starts it where systemd runs. Without systemd it says how to run the agent.
func (s Service) Install(ctx context.Context) error {
	if !s.State.Enrolled() {
		_, _, err := s.State.Load()
		return err
	}
	if s.User != "" {
		if err := s.giveState(ctx); err != nil {
			return err
		}
	}
	if _, err := exec.LookPath("systemctl"); err != nil {
		s.say("There is no systemd here. Have your init system run, as %s, and start it again when it ends:\n  %s", s.runsAs(), s.commandLine())
		return nil //nolint:nilerr // to have none is a way to run
	}
	dir, err := s.dir()
	if err != nil {
		return err
	}
	unit, err := s.Unit()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as the system has it
		return fmt.Errorf("make %s: %w", dir, err)
	}
	path := filepath.Join(dir, unitName)
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil { //nolint:gosec // no secret
		return sess.Wrap(err, sess.CodeDenied, "can't write "+path, "run it with sudo, or as a user with a home directory")
	}
	s.say("wrote %s", path)
	return s.start(ctx)
}

func (s Service) start(ctx context.Context) error {
	if !s.systemdRuns() {
		if s.system() {
			if err := s.systemctl(ctx, "enable", unitName); err != nil {
				return err
			}
			s.say("systemd does not run now: the agent starts with the next boot. Until then:\n  %s", s.commandLine())
			return nil
		}
		s.say("your systemd does not run now: systemctl --user enable --now %s starts the agent once it does. Until then:\n  %s", unitName, s.commandLine())
		return nil
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", unitName}, {"restart", unitName}} {
		if err := s.systemctl(ctx, args...); err != nil {
			return err
		}
	}
	s.say("started %s; logs: %s", unitName, s.journal())
	if !s.system() {
		s.say("to keep it running when you are not logged in: sudo loginctl enable-linger %s", s.runsAs())
	}
	return nil
}

// Uninstall stops the service and removes it; with purge the agent's identity too.
func (s Service) Uninstall(ctx context.Context, purge bool) error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, unitName)
	_, err = os.Stat(path)
	installed := err == nil
	if installed {
		if _, err := exec.LookPath("systemctl"); err == nil {
			args := []string{"disable", unitName}
			if s.systemdRuns() {
				args = []string{"disable", "--now", unitName}
			}
			if err := s.systemctl(ctx, args...); err != nil {
				return err
			}
		}
		if err := os.Remove(path); err != nil {
			return sess.Wrap(err, sess.CodeDenied, "can't remove "+path, "run it with sudo")
		}
		if s.systemdRuns() {
			if err := s.systemctl(ctx, "daemon-reload"); err != nil {
				return err
			}
		}
		s.say("removed %s", path)
	} else {
		s.say("no service is installed")
	}
	if err := s.stopRunning(ctx); err != nil || !purge {
		return err
	}
	if err := s.State.remove(); err != nil {
		return err
	}
	s.say("removed the identity in %s; sessctl instance remove makes the server forget it too", s.State)
	return nil
}

// stopRunning stops an agent that was started by hand.
func (s Service) stopRunning(ctx context.Context) error {
	if !s.State.running() {
		return nil
	}
	stuck := sess.New(sess.CodeConflict, "an agent still runs on "+string(s.State), "stop it first")
	st, err := ReadStatus(s.State)
	if err != nil || st.PID <= 1 {
		return stuck
	}
	if err := unix.Kill(st.PID, unix.SIGTERM); err != nil {
		return stuck
	}
	for deadline := time.Now().Add(stopTimeout); s.State.running(); pause(ctx, stopStep) {
		if ctx.Err() != nil || time.Now().After(deadline) {
			return stuck
		}
	}
	s.say("stopped the agent with pid %d", st.PID)
	return nil
}

// giveState makes the state directory the service user's own.
func (s Service) giveState(ctx context.Context) error {
	acc, err := process.Accounts{}.Lookup(ctx, s.User)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(string(s.State))
	if err != nil {
		return fmt.Errorf("read state directory: %w", err)
	}
	// The directory comes last: until then nobody but us can put anything else in a file's place.
	var paths []string
	for _, e := range entries {
		if e.Type().IsRegular() && single(e) {
			paths = append(paths, s.State.path(e.Name()))
		}
	}
	for _, p := range append(paths, string(s.State)) {
		if err := os.Lchown(p, int(acc.UID), int(acc.GID)); err != nil {
			return sess.Wrap(err, sess.CodeDenied, "can't give "+p+" to "+s.User, "run it with sudo")
		}
	}
	return nil
}

// single reports whether a file has one name only: one with another may be a file of somebody else's.
func single(e fs.DirEntry) bool {
	info, err := e.Info()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 1
}

// systemdRuns reports whether the systemd we would talk to is there.
func (s Service) systemdRuns() bool {
	if s.system() {
		_, err := os.Stat(filepath.Join(s.Root, "/run/systemd/system"))
		return err == nil
	}
	_, err := os.Stat(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd")) //nolint:gosec // the agent's own directory
	return err == nil && os.Getenv("XDG_RUNTIME_DIR") != ""
}

func (s Service) systemctl(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, systemctlTimeout)
	defer cancel()
	if !s.system() {
		args = append([]string{"--user"}, args...)
	}
	cmd := exec.CommandContext(ctx, "systemctl", args...) //nolint:gosec // fixed words
	out, err := cmd.CombinedOutput()
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return sess.Wrap(err, sess.CodeInternal, "systemctl "+strings.Join(args, " ")+": "+strings.TrimSpace(string(out)), "see "+s.journal())
}

func (s Service) journal() string {
	if s.system() {
		return "journalctl -u sess-agent"
	}
	return "journalctl --user -u sess-agent"
}

func (s Service) runsAs() string {
	switch {
	case s.User != "":
		return s.User
	case s.system():
		return "root"
	default:
		return orElse(os.Getenv("USER"), "yourself")
	}
}

func (s Service) commandLine() string {
	line := s.Binary + " run --state-dir " + string(s.State)
	if s.Config != "" {
		line += " --config " + s.Config
	}
	return line
}

func (s Service) say(format string, args ...any) { _, _ = fmt.Fprintf(s.Out, format+"\n", args...) }

// Unit gives the text of the unit.
//
// What runs in a session is the agent's child and inherits every restriction of the unit. So a root agent, whose sessions
// may be an administrator's, gets none that would make sudo, mount or dmesg fail there; with an ordinary User it is shut
// in as tightly as sessions of that user bear.
func (s Service) Unit() (string, error) {
	for _, p := range []string{s.Binary, string(s.State), s.Config, s.User} {
		if strings.ContainsAny(p, "\n\r\"'\\%$ ;") {
			return "", sess.New(sess.CodeInvalid, fmt.Sprintf("%q can't stand in a unit of systemd", p), "use a path without spaces and quotes")
		}
	}
	var b strings.Builder
	data := struct {
		Service
		System, Shut bool
		Line         string
	}{s, s.system(), s.User != "" || !s.system(), s.commandLine()}
	if err := unitTemplate().Execute(&b, data); err != nil {
		return "", fmt.Errorf("make unit: %w", err)
	}
	return b.String(), nil
}

func unitTemplate() *template.Template {
	return template.Must(template.New("unit").Parse(`# Written by sess-agent install; sess-agent uninstall removes it.
[Unit]
Description=sess agent: sessions on this machine, dialled out to the sess server
Documentation=https://github.com/sessctl/sess
{{- if .System}}
After=network-online.target nss-user-lookup.target
Wants=network-online.target
{{- end}}
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={{.Line}}
{{- if .User}}
User={{.User}}
{{- end}}
Restart=always
RestartSec=2
TimeoutStopSec=10
KillMode=mixed
# Each session gets a cgroup of its own below the service's, so that all its processes end with it.
Delegate=yes
# A session that runs out of memory does not take the agent with it.
OOMPolicy=continue
LimitNOFILE=524288
TasksMax=infinity
UMask=0022
{{- if .Shut}}
# Sessions inherit all of this. NoNewPrivileges means that sudo does not work in them.
NoNewPrivileges=yes
{{- if .System}}
CapabilityBoundingSet=
AmbientCapabilities=
PrivateDevices=yes
ProtectSystem=full
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictRealtime=yes
RestrictSUIDSGID=yes
{{- end}}
LockPersonality=yes
SystemCallArchitectures=native
{{- end}}

[Install]
WantedBy={{if .System}}multi-user.target{{else}}default.target{{end}}
`))
}
