package process_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/agent/programs"
	"github.com/sessctl/sess/internal/sess"
)

// modes are the ways in which a session's processes are held together.
func modes(t *testing.T) map[string]process.Config {
	t.Helper()
	all := map[string]process.Config{"none": {NoCgroup: true}}
	if os.Getuid() == 0 {
		all["best"] = process.Config{}
		all["v1"] = process.Config{NoCgroupV2: true}
	}
	return all
}

func withMode(t *testing.T, c process.Config) *process.Supervisor {
	t.Helper()
	c.Instance, c.Boot, c.Log = sess.NewInstanceID(), sess.NewBootID(), slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := process.NewSupervisor(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// marked counts the living processes that have a word in their arguments.
func marked(t *testing.T, word string) int {
	t.Helper()
	n := 0
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f, "/proc/"+strconv.Itoa(os.Getpid())+"/") {
			continue
		}
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(word)) {
			n++
		}
	}
	return n
}

// evading are ways to outlive a session. Each shows MARK in the arguments of what should live on, and prints "up".
var evading = map[string]string{
	"double fork": `(setsid sh -c '(exec sleep 1000 & exec sh -c "echo up; sleep 1001; : MARK")' </dev/null >&1 2>&1 &) ; sleep 1000; : MARK`,
	"deaf":        `trap "" HUP TERM INT QUIT; sh -c 'trap "" HUP TERM INT QUIT; echo up; while :; do sleep 0.01; : MARK; done' & wait; sleep 1000; : MARK`,
	"stopped":     `sh -c 'echo up; kill -STOP $$; : MARK' & wait; sleep 1000; : MARK`,
	"chain":       `perl -e 'for (1..8) { last if !fork } $| = 1; print "up\n"; while (1) { exit if fork }' MARK & sleep 1000; : MARK`,
	"bare":        `env -i setsid sh -c 'echo up; sleep 1000; : MARK' & wait`,
	"reborn":      `f() { sh -c 'sleep 0.02; : MARK'; }; echo up; while :; do setsid sh -c 'sleep 0.05; : MARK' & f; done`,
}

func TestNothingRunsOn(t *testing.T) {
	for mode, cfg := range modes(t) {
		for name, script := range evading {
			t.Run(mode+" "+name, func(t *testing.T) {
				word := fmt.Sprintf("mark-%d-%s", time.Now().UnixNano(), mode)
				s := withMode(t, cfg)
				p := start(t, s, process.Spec{Argv: []string{"sh", "-c", strings.ReplaceAll(script, "MARK", word)}})
				expect(t, p.Output(), "up")
				if marked(t, word) == 0 {
					t.Fatal("nothing runs that could be killed")
				}
				p.Kill()
				if n := marked(t, word); n != 0 {
					t.Errorf("%d processes run on, held by %s", n, s.Holds())
				}
			})
		}
	}
}

// TestEscapedAreKilled: root can leave a cgroup, but not its ancestry.
func TestEscapedAreKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	w, err := programs.Open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Skipf("PROGRAMS ARE NOT AVAILABLE HERE: %v", err)
	}
	defer w.Close()
	for mode, cfg := range modes(t) {
		t.Run(mode, func(t *testing.T) {
			word := fmt.Sprintf("mark-%d-%s", time.Now().UnixNano(), mode)
			var list bytes.Buffer
			trail, err := w.Follow(&list)
			if err != nil {
				t.Fatal(err)
			}
			s := withMode(t, cfg)
			other := start(t, s, process.Spec{Argv: []string{"sleep", "1000"}}) // so that orphans can't be ours by guess
			script := `env -i setsid sh -c 'for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do echo $$ 2>/dev/null >$f; done; (sleep 1000; : ` + word + `) & echo up; exit' & wait; sleep 1000`
			p := start(t, s, process.Spec{Argv: []string{"sh", "-c", script}, Trail: trail})
			expect(t, p.Output(), "up")
			p.Kill()
			if n := marked(t, word); n != 0 {
				t.Errorf("%d processes escaped, held by %s", n, s.Holds())
			}
			if sum := trail.Finish(); sum.Count == 0 {
				t.Errorf("programs: %+v", sum)
			}
			if !alive(other.Pid()) {
				t.Error("another session's process was killed")
			}
		})
	}
}

func TestForkBombIsBounded(t *testing.T) {
	for mode, cfg := range modes(t) {
		t.Run(mode, func(t *testing.T) {
			cfg.Limits.Processes = 40
			s := withMode(t, cfg)
			if len(s.Unenforced()) > 0 {
				if mode != "none" && os.Getuid() == 0 {
					t.Errorf("not enforced: %v", s.Unenforced())
				}
				t.Skip("not enforced, and said so")
			}
			word := fmt.Sprintf("bomb-%d", time.Now().UnixNano())
			p := start(t, s, process.Spec{Argv: []string{"perl", "-e", `$| = 1; print "up\n"; while (1) { fork }`, word}})
			expect(t, p.Output(), "up")
			peak := 0
			began := time.Now() // on a busy machine it takes its time
			for time.Since(began) < 500*time.Millisecond || peak < 3 && time.Since(began) < 10*time.Second {
				peak = max(peak, marked(t, word))
			}
			if peak > 40 || peak < 3 {
				t.Errorf("%d processes, the limit is 40", peak)
			}
			p.Kill()
			if n := marked(t, word); n != 0 {
				t.Errorf("%d run on", n)
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for mode, cfg := range modes(t) {
		if mode == "none" {
			continue
		}
		t.Run(mode, func(t *testing.T) {
			cfg.Limits.Memory = 64 << 20
			s := withMode(t, cfg)
			if len(s.Unenforced()) > 0 {
				t.Fatalf("not enforced: %v", s.Unenforced())
			}
			p := start(t, s, process.Spec{Argv: []string{"perl", "-e", `my $x = "x" x (400 << 20); print "survived\n"`}})
			if out := readAll(t, p.Output()); len(out) > 0 {
				t.Errorf("printed %q", out)
			}
			if x := p.Wait(); x.Signal != "SIGKILL" {
				t.Errorf("exit %+v", x)
			}
			p.Kill()
			if got := p.Spent(); got.MemPeak < 32<<20 || got.MemPeak > 65<<20 {
				t.Errorf("peak %d", got.MemPeak)
			}
		})
	}
}

func TestSpent(t *testing.T) {
	for mode, cfg := range modes(t) {
		t.Run(mode, func(t *testing.T) {
			s := withMode(t, cfg)
			p := start(t, s, process.Spec{Argv: []string{"sh", "-c", `perl -e 'select(undef,undef,undef,0.1); my $x = "x" x (60 << 20); my $e = (times)[0] + 0.3; 1 while (times)[0] < $e'; true`}})
			readAll(t, p.Output())
			p.Wait()
			p.Kill()
			got := p.Spent()
			if got.CPUMicros < 290_000 || got.CPUMicros > 5_000_000 {
				t.Errorf("CPU %d µs", got.CPUMicros)
			}
			if got.MemPeak < 60<<20 || got.MemPeak > 400<<20 {
				t.Errorf("memory %d", got.MemPeak)
			}
		})
	}
}
