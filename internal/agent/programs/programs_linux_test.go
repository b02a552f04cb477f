package programs_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/agent/programs"
	"github.com/sessctl/sess/internal/sess"
)

// open opens a Watcher; where this machine can't, the test is skipped, saying why.
func open(t testing.TB) *programs.Watcher {
	t.Helper()
	w, err := programs.Open(t.Context(), slog.New(slog.DiscardHandler))
	var why *programs.Unavailable
	if errors.As(err, &why) && (os.Getuid() != 0 || why.Code == sess.NoProgramsKernel || why.Code == sess.NoProgramsBTF || why.Code == sess.NoProgramsCapability) {
		t.Skipf("PROGRAMS ARE NOT AVAILABLE HERE (%s): %v", why.Code, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// list is a finished list, by program.
type list struct {
	lines []sess.ProgramLine
	sum   sess.ProgramsSum
}

// follow runs a command as a session's first process, waits for it and for what it left, and gives the list.
func follow(t testing.TB, w *programs.Watcher, cmd *exec.Cmd) list {
	t.Helper()
	var out bytes.Buffer
	trail, err := w.Follow(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := trail.Spawn(cmd.Start); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for len(trail.Pids()) > 0 && time.Now().Before(deadline) {
		<-time.After(5 * time.Millisecond)
	}
	if left := trail.Pids(); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	l := list{sum: trail.Finish()}
	for s := bufio.NewScanner(&out); s.Scan(); {
		var line sess.ProgramLine
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, s.Text())
		}
		l.lines = append(l.lines, line)
	}
	return l
}

// ran finds the run of a command line.
func (l list) ran(t *testing.T, argv ...string) sess.ProgramLine {
	t.Helper()
	for _, line := range l.lines {
		if line.T == sess.ProgramRun && slices.Equal(line.Argv, argv) {
			return line
		}
	}
	t.Errorf("%q is not in the list:\n%s", argv, l)
	return sess.ProgramLine{}
}

// ended finds the end of a program.
func (l list) ended(id int64) *sess.ProgramLine {
	for i := range l.lines {
		if l.lines[i].T == sess.ProgramExit && l.lines[i].ID == id {
			return &l.lines[i]
		}
	}
	return nil
}

func (l list) String() string {
	var b strings.Builder
	for _, line := range l.lines {
		j, _ := json.Marshal(line)
		b.Write(append(j, '\n'))
	}
	return b.String()
}

func TestArgumentsDirectoryTimesAndExit(t *testing.T) {
	w := open(t)
	dir := t.TempDir()
	cmd := exec.Command("/bin/sh", "-c", `/bin/ls / >/dev/null; sleep 0.05; (exit 7); sh -c 'exit 9'; sh -c 'kill -TERM $$'; true`)
	cmd.Dir = dir
	before := time.Now().Add(-time.Second)
	l := follow(t, w, cmd)
	ls := l.ran(t, "/bin/ls", "/")
	if real, _ := filepath.EvalSymlinks("/bin/ls"); ls.Exe != real || ls.Cwd != dir || ls.UID == nil || int(*ls.UID) != os.Getuid() {
		t.Errorf("ls: %+v", ls)
	}
	if at := time.UnixMicro(ls.At); at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("ls ran at %v", at)
	}
	sleep := l.ran(t, "sleep", "0.05")
	end := l.ended(sleep.ID)
	if end == nil || end.At-sleep.At < 45_000 || end.At-sleep.At > 5_000_000 || *end.Status != 0 {
		t.Errorf("sleep: %+v to %+v", sleep, end)
	}
	if end := l.ended(l.ran(t, "sh", "-c", "exit 9").ID); end == nil || *end.Status != 9 || end.Signal != "" {
		t.Errorf("exit 9: %+v", end)
	}
	if end := l.ended(l.ran(t, "sh", "-c", "kill -TERM $$").ID); end == nil || *end.Status != 143 || end.Signal != "SIGTERM" {
		t.Errorf("kill: %+v", end)
	}
	last := l.lines[len(l.lines)-1]
	if l.lines[0].T != sess.ProgramsBegin || last.T != sess.ProgramsEnd || last.Running != 0 || last.Lost != 0 || last.Count != l.sum.Count || l.sum.Digest == "" {
		t.Errorf("list: %+v\n%s", l.sum, l)
	}
}

// TestHidden tries what people do so that nobody sees what they run.
func TestHidden(t *testing.T) {
	w := open(t)
	here, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		script string
		argv   []string
	}{
		"double fork":       {`(setsid sh -c '(sleep 0.1; /bin/echo double) &' &) ; exit 0`, []string{"/bin/echo", "double"}},
		"new session":       {`setsid /bin/echo session`, []string{"/bin/echo", "session"}},
		"nohup":             {`nohup /bin/echo nohup >/dev/null 2>&1 & wait`, []string{"/bin/echo", "nohup"}},
		"empty environment": {`env -i /bin/echo bare`, []string{"/bin/echo", "bare"}},
		"namespace":         {`unshare --pid --fork --mount-proc /bin/echo apart`, []string{"/bin/echo", "apart"}},
		"script":            {`printf '#!/bin/sh\n/bin/echo inner "$1"\n' >s; chmod +x s; ./s 'a b'`, []string{"/bin/echo", "inner", "a b"}},
		"interpreter":       {`perl -e 'system("/bin/echo", "perl")'`, []string{"/bin/echo", "perl"}},
		"own name":          {`perl -e 'exec {"/bin/echo"} "innocent", "x"'`, []string{"innocent", "x"}},
		"file in memory":    {here + ` -test.run=TestMemfd`, []string{"innocent", "in memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", c.script)
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), "SESS_TEST_MEMFD=1")
			out := new(bytes.Buffer)
			cmd.Stdout, cmd.Stderr = out, out
			if strings.Contains(c.script, "unshare") && os.Getuid() != 0 {
				t.Skip("needs root")
			}
			l := follow(t, w, cmd)
			run := l.ran(t, c.argv...)
			if l.ended(run.ID) == nil {
				t.Errorf("no end of %+v\n%s", run, out)
			}
			if name == "file in memory" && !strings.HasPrefix(run.Exe, "memfd:") {
				t.Errorf("its file: %+v", run)
			}
		})
	}
}

// TestMemfd is a helper: it runs a program from memory.
func TestMemfd(t *testing.T) {
	if os.Getenv("SESS_TEST_MEMFD") == "" {
		t.Skip("a helper of TestHidden")
	}
	fd := memfd(t)
	b, err := os.ReadFile("/bin/echo")
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	t.Fatal(syscall.Exec("/proc/self/fd/"+itoa(fd), []string{"innocent", "in memory"}, nil))
}

func TestLongArguments(t *testing.T) {
	w := open(t)
	long := strings.Repeat("x", 10_000)
	l := follow(t, w, exec.Command("/bin/true", "first", long))
	for _, line := range l.lines {
		if line.T != sess.ProgramRun {
			continue
		}
		if len(line.Argv) != 3 || line.Argv[1] != "first" || !strings.HasPrefix(long, line.Argv[2]) || len(line.Argv[2]) < 4000 {
			t.Errorf("arguments: %d", len(line.Argv))
		}
		if !slices.Contains(line.Cut, "args") || line.ArgvSize != 10_000+1+6+len10 {
			t.Errorf("not said to be cut: %v, %d", line.Cut, line.ArgvSize)
		}
	}
}

const len10 = uint32(len("/bin/true\x00"))

// TestSessionsApart: what one session runs is not in another's list, nor what runs beside.
func TestSessionsApart(t *testing.T) {
	w := open(t)
	done := make(chan list)
	go func() {
		done <- follow(t, w, exec.Command("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do /bin/echo a; done"))
	}()
	b := follow(t, w, exec.Command("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do /bin/echo b; done"))
	for range 5 {
		_ = exec.Command("/bin/echo", "beside").Run()
	}
	a := <-done
	for name, l := range map[string]list{"a": a, "b": b} {
		if l.sum.Count != 10 {
			t.Errorf("%s ran %d programs:\n%s", name, l.sum.Count, l)
		}
		l.ran(t, "/bin/echo", name)
	}
}

// TestNothingLost counts short-lived programs.
func TestNothingLost(t *testing.T) {
	w := open(t)
	const n = 2000
	l := follow(t, w, exec.Command("/bin/sh", "-c", "i=0; while [ $i -lt 2000 ]; do /bin/true $i; i=$((i+1)); done"))
	seen := map[string]bool{}
	for _, line := range l.lines {
		if line.T == sess.ProgramRun && len(line.Argv) == 2 {
			seen[line.Argv[1]] = true
			if l := line.Cut; len(l) > 0 {
				t.Errorf("cut: %+v", line)
			}
		}
	}
	if len(seen) != n || l.sum.Count != n+1 || l.sum.Lost != 0 {
		t.Errorf("%d of %d in the list, %+v", len(seen), n, l.sum)
	}
}
