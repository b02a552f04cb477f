package process

import (
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

// heldBy starts a command in the cgroups of a kind, as whoever runs the test.
func heldBy(t *testing.T, cfg Config, argv ...string) *Process {
	t.Helper()
	cfg.Instance, cfg.Boot, cfg.Log = sess.NewInstanceID(), sess.NewBootID(), slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := NewSupervisor(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Start(Spec{Session: sess.NewSessionID(), Account: mustSelf(t), Argv: argv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); p.Close() })
	return p
}

func mustSelf(t *testing.T) Account {
	t.Helper()
	acc, err := Accounts{}.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return acc
}

func readLine(t *testing.T, r io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := r.Read(b); err != nil {
			t.Fatalf("%v behind %q", err, line)
		}
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}

// TestAgentDoesNotKillItself: the thread that starts a process in a v1 cgroup may be there still when the session ends, and then
// the kernel lists the agent as one of its processes.
func TestAgentDoesNotKillItself(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	p := heldBy(t, Config{NoCgroupV2: true}, "sleep", "1000")
	if p.tree.dir == "" {
		t.Skip("NO CGROUPS OF VERSION 1 HERE")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := []byte(strconv.Itoa(unix.Gettid()))
	dirs := p.tree.dirs()[1:] // not the freezer: this thread has to go on
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "tasks"), thread, 0); err != nil {
			t.Fatal(err)
		}
		defer os.WriteFile(filepath.Join(filepath.Dir(dir), "tasks"), thread, 0) // back again
	}
	p.Kill() // and we live
	if p.Left() != 0 {
		t.Errorf("%d left", p.Left())
	}
	select {
	case <-p.Done():
	case <-time.After(5 * time.Second):
		t.Error("it was not killed")
	}
}

// TestSubCgroupIsKilled: root may make cgroups below its session's, as container engines do, and freeze them.
func TestSubCgroupIsKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for name, cfg := range map[string]Config{"best": {}, "v1": {NoCgroupV2: true}} {
		t.Run(name, func(t *testing.T) {
			p := heldBy(t, cfg, "sh", "-c", "read x; sleep 1001 & echo $!; wait")
			if p.tree.dir == "" {
				t.Skip("NO CGROUPS HERE")
			}
			below := filepath.Join(p.tree.dir, "below", "it")
			if err := os.MkdirAll(below, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(below, "cgroup.procs"), []byte(strconv.Itoa(p.Pid())), 0); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(p.Input(), "go\n"); err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(readLine(t, p.Output()))
			if err != nil {
				t.Fatal(err)
			}
			_ = os.WriteFile(filepath.Join(below, "freezer.state"), []byte("FROZEN"), 0)
			_ = os.WriteFile(filepath.Join(below, "cgroup.freeze"), []byte("1"), 0)
			dirs := p.tree.dirs()
			p.Kill()
			if b, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat"); err == nil && !strings.Contains(string(b), ") Z ") && !strings.Contains(string(b), ") X ") {
				t.Errorf("it runs on: %s", b)
			}
			p.Close()
			for _, dir := range dirs {
				if _, err := os.Stat(dir); err == nil {
					t.Errorf("%s is left", dir)
				}
			}
		})
	}
}

// TestLeftCgroupIsKilled: root can leave the cgroups of its session. Without the kernel's word on who descends from whom, marks
// and descent tell.
func TestLeftCgroupIsKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for name, cfg := range map[string]Config{"best": {}, "v1": {NoCgroupV2: true}} {
		t.Run(name, func(t *testing.T) {
			leave := `for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do echo $$ 2>/dev/null >$f; done`
			p := heldBy(t, cfg, "sh", "-c", "setsid sh -c '"+leave+"; echo $$; exec sleep 1002' & wait")
			pid, err := strconv.Atoi(readLine(t, p.Output()))
			if err != nil {
				t.Fatal(err)
			}
			p.Kill()
			if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && !strings.Contains(string(b), ") Z ") {
				t.Errorf("it runs on: %s", b)
			}
		})
	}
}

// TestReusedPidIsSpared: a session's first process has ended, and somebody else's has its number now, and leads a terminal
// session of that number.
func TestReusedPidIsSpared(t *testing.T) {
	p := heldBy(t, Config{NoCgroup: true}, "true")
	<-p.Done()
	beside, err := p.sup.Start(Spec{Session: sess.NewSessionID(), Argv: []string{"sleep", "1004"}, Account: mustSelf(t)}) // so that orphans can't be ours by guess
	if err != nil {
		t.Fatal(err)
	}
	defer func() { beside.Kill(); beside.Close() }()
	other := exec.Command("sleep", "1003")
	other.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	p.pid, p.born = other.Process.Pid, birth(other.Process.Pid)-1
	p.Kill()
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(other.Process.Pid) + "/stat"); err != nil || strings.Contains(string(b), ") Z ") {
		t.Errorf("somebody else's process was killed: %s", b)
	}
}
