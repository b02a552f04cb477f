// Package scripts_test runs the scripts as people do.
package scripts_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// quickstart runs the script and gives what it printed and its exit code.
func quickstart(t *testing.T, as *syscall.Credential, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./quickstart", args...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestQuickstart(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: builds the three programs")
	}
	env := append(os.Environ(), "SESSCTL_SERVER=https://nowhere.example", "SESSCTL_API_KEY=none")
	state := filepath.Join(t.TempDir(), "a state")
	stdout, stderr, code := quickstart(t, nil, env, "--state", state, "--", "sh", "-c", "echo hi; echo oops >&2; exit 7")
	if stdout != "hi\n" || !strings.Contains(stderr, "oops\n") || code != 7 {
		t.Fatalf("exit %d\nstdout %q\nstderr %s", code, stdout, stderr)
	}
	alone(t, state)

	start := time.Now()
	if stdout, stderr, code = quickstart(t, nil, env, "--state", state, "--", "printf", "%s|", "a b", "", "$HOME"); stdout != "a b||$HOME|" || code != 0 {
		t.Fatalf("second run: exit %d\nstdout %q\nstderr %s", code, stdout, stderr)
	}
	t.Logf("the second run took %v", time.Since(start))
	alone(t, state)

	if _, stderr, code = quickstart(t, nil, env, "--state", state, "--detach"); code != 0 {
		t.Fatalf("detach: exit %d, %s", code, stderr)
	}
	script := exec.CommandContext(t.Context(), "sh", "-ec", `. "$1/env"; command -v sess-agent sess-server >&2; sessctl whoami >&2; sessctl exec local -- echo detached; sess-server admin verify-audit >&2; sess-agent status >&2`, "sh", state)
	script.Env = env
	if out, err := script.Output(); err != nil || string(out) != "detached\n" {
		t.Errorf("with the env file: %v, %q", err, out)
	}
	// While it runs, the script uses what runs.
	if stdout, stderr, code = quickstart(t, nil, env, "--state", state, "--", "echo", "again"); stdout != "again\n" || code != 0 {
		t.Errorf("beside what runs: exit %d, %q, %s", code, stdout, stderr)
	}
	if _, stderr, code = quickstart(t, nil, env, "--state", state, "--stop"); code != 0 {
		t.Errorf("stop: exit %d, %s", code, stderr)
	}
	alone(t, state)
	if _, err := os.Stat(filepath.Join(state, "env")); !os.IsNotExist(err) {
		t.Errorf("the env file is still there: %v", err)
	}
}

// TestQuickstartAsSomebodyElse: an ordinary user without a home directory, on a checkout of root's.
func TestQuickstartAsSomebodyElse(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: builds the three programs")
	}
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can become somebody else")
	}
	if _, err := user.Lookup("nobody"); err != nil {
		t.Skip("SKIPPED: there is no user nobody")
	}
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	if exec.CommandContext(t.Context(), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x", strings.TrimSpace(string(cache))).Run() != nil {
		t.Skip("SKIPPED: nobody can't read Go's module cache, and would download it")
	}
	state, err := os.MkdirTemp("", "sess-nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(state); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chown(state, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=", "GOMODCACHE=" + strings.TrimSpace(string(cache)), "GOCACHE=" + filepath.Join(state, "cache")}
	stdout, stderr, code := quickstart(t, &syscall.Credential{Uid: 65534, Gid: 65534}, env, "--state", state, "--", "id", "-u")
	if stdout != "65534\n" || code != 0 {
		t.Errorf("exit %d\nstdout %q\nstderr %s", code, stdout, stderr)
	}
}

func TestQuickstartMistakes(t *testing.T) {
	for _, args := range [][]string{{"--bogus"}, {"--detach"}, {"--stop"}, {"--state"}, {"--"}, {"--state", "/tmp/x", "--stop", "--", "true"}} {
		if stdout, stderr, code := quickstart(t, nil, os.Environ(), args...); code != 255 || stdout != "" || !strings.Contains(stderr, "quickstart: error:") {
			t.Errorf("%q: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

// alone fails when something of the state directory still runs.
func alone(t *testing.T, state string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-eo", "args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), state+"/bin/") {
		t.Errorf("programs still run:\n%s", out)
	}
}
