package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programs are what scripts and screens drive; scripts/deps installs them.
var programs = []string{"vim", "tmux", "asciinema", "bash", "setpriv", "python3", "sha256sum", "ps", "nginx", "tinyproxy", "node", "chromium"}

// binaries is where the three programs under test are; TestMain builds them before any test runs.
var binaries string

// raced says that they were built with the race detector.
func raced() bool { return os.Getenv("SESS_E2E_RACE") == "1" }

func long() bool { return os.Getenv("SESS_E2E_LONG") == "1" }

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	// Started with nohup or &, the tests ignore what they send: a handler is not inherited, so the programs start as ever.
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	// Where Debian has daemons; not everybody's PATH has it.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"); err != nil {
		return 1, err
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return 1, fmt.Errorf("%s is not installed: run scripts/deps", p)
		}
	}
	dir, err := os.MkdirTemp("", "sess-e2e.")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other accounts run the programs too
		return 1, err
	}
	binaries = filepath.Join(dir, "bin")
	if err := build(); err != nil {
		return 1, err
	}
	code = m.Run()
	return code, closeShared()
}

func build() error {
	args := []string{"build", "-buildvcs=false", "-o", binaries + "/"}
	env := append(os.Environ(), "CGO_ENABLED=0") // as they are released
	if raced() {
		args, env = append(args, "-race"), os.Environ()
	}
	began := time.Now()
	cmd := exec.Command("go", append(args, "../../cmd/sessctl", "../../cmd/sess-server", "../../cmd/sess-agent")...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	fmt.Fprintf(os.Stderr, "e2e: built the programs in %s\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// closeShared ends what the tests shared, and fails when its evidence is not as it should be.
func closeShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.w == nil {
		return nil
	}
	defer shared.w.close()
	return errors.Join(shared.w.evidence(), shared.w.races())
}

// races looks for reports of the race detector in the logs of server and agents.
func (w *world) races() error {
	if !raced() {
		return nil
	}
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.log"))
	if err != nil {
		return err
	}
	for _, l := range logs {
		b, err := os.ReadFile(l)
		if err != nil {
			return err
		}
		if i := strings.Index(string(b), "WARNING: DATA RACE"); i >= 0 {
			return fmt.Errorf("data race in %s:\n%s", filepath.Base(l), b[i:min(len(b), i+6000)])
		}
	}
	return nil
}
