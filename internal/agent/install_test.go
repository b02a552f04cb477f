package agent_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/agent"
)

func service(t *testing.T, w *world) (agent.Service, *bytes.Buffer) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	var out bytes.Buffer
	return agent.Service{Binary: "/usr/local/bin/sess-agent", State: w.state, Out: &out, Root: t.TempDir()}, &out
}

func unitPath(s agent.Service) string {
	if os.Getuid() == 0 {
		return filepath.Join(s.Root, "etc/systemd/system/sess-agent.service")
	}
	return filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "systemd/user/sess-agent.service")
}

// fakeSystemctl puts a systemctl on PATH that notes how it is called.
func fakeSystemctl(t *testing.T) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho \"$@\" >> " + log + "\n"
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string { b, _ := os.ReadFile(log); return string(b) }
}

func TestInstallNeedsEnrolment(t *testing.T) {
	w := newWorld(t)
	s, _ := service(t, w)
	if err := s.Install(t.Context()); err == nil || !strings.Contains(err.Error(), "not enrolled") {
		t.Errorf("install before enrolment: %v", err)
	}
}

func TestInstallAndUninstall(t *testing.T) {
	w := newWorld(t)
	if _, err := agent.Enroll(t.Context(), w.enrolment()); err != nil {
		t.Fatal(err)
	}
	s, out := service(t, w)
	calls := fakeSystemctl(t)
	for _, dir := range []string{filepath.Join(s.Root, "run/systemd/system"), filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile(unitPath(s))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "ExecStart=/usr/local/bin/sess-agent run --state-dir "+string(w.state)+"\n") {
		t.Errorf("unit:\n%s", unit)
	}
	for _, want := range []string{"daemon-reload", "enable sess-agent.service", "restart sess-agent.service"} {
		if !strings.Contains(calls(), want) {
			t.Errorf("systemctl was called with %q, want %q among it", calls(), want)
		}
	}
	if err := s.Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(unitPath(s)); err == nil || w.state.Enrolled() {
		t.Errorf("left after uninstall --purge: unit %v, enrolled %v\n%s", err == nil, w.state.Enrolled(), out)
	}
	if !strings.Contains(calls(), "disable --now sess-agent.service") {
		t.Errorf("systemctl was called with %q", calls())
	}
}

func TestInstallWithoutSystemd(t *testing.T) {
	w := newWorld(t)
	if _, err := agent.Enroll(t.Context(), w.enrolment()); err != nil {
		t.Fatal(err)
	}
	s, out := service(t, w)
	t.Setenv("PATH", t.TempDir())
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "no systemd here") || !strings.Contains(out.String(), "sess-agent run --state-dir") {
		t.Errorf("says %q", out)
	}
	if _, err := os.Stat(unitPath(s)); err == nil {
		t.Error("wrote a unit without systemd")
	}
}

func TestUninstallStopsAnAgentStartedByHand(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "sess-agent")
	build := exec.Command("go", "build", "-o", bin, "github.com/sessctl/sess/cmd/sess-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w := newWorld(t)
	if _, err := agent.Enroll(t.Context(), w.enrolment()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "run", "--state-dir", string(w.state))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.link()
	s, _ := service(t, w)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := s.Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, done, "the agent's end"); err != nil {
		t.Errorf("the agent ended with %v, want success", err)
	}
	if w.state.Enrolled() {
		t.Error("still enrolled")
	}
}

// TestUnitsAreValid has systemd itself look at them.
func TestUnitsAreValid(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	for _, user := range []string{"", "root"} {
		s := agent.Service{Binary: "/bin/true", State: "/var/lib/sess-agent", Config: "/etc/sess-agent/config", User: user}
		unit, err := s.Unit()
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "sess-agent.service")
		if err := os.WriteFile(name, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", name).CombinedOutput()
		if err != nil || strings.Contains(string(out), "sess-agent.service:") {
			t.Errorf("systemd-analyze verify (user %q): %v\n%s", user, err, out)
		}
	}
	s := agent.Service{Binary: "/bin/tr ue", State: "/x"}
	if _, err := s.Unit(); err == nil {
		t.Error("a path with a space got into a unit")
	}
}
