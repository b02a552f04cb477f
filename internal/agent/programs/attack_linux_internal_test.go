package programs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

func openHere(t *testing.T) *Watcher {
	t.Helper()
	w, err := Open(t.Context(), slog.New(slog.DiscardHandler))
	var why *Unavailable
	if errors.As(err, &why) {
		t.Skipf("PROGRAMS ARE NOT AVAILABLE HERE (%s): %v", why.Code, err)
	}
	t.Cleanup(w.Close)
	return w
}

func spawn(t *testing.T, trail *Trail, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	if err := trail.Spawn(cmd.Start); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// closed is a writer that takes nothing until it is opened.
type closed struct {
	open chan struct{}
	bytes.Buffer
}

func (c *closed) Write(p []byte) (int, error) {
	<-c.open
	return c.Buffer.Write(p)
}

// flood starts programs with arguments as long as are kept.
const flood = `x=$(printf %05000d 0); i=0; while [ $i -lt 2000 ]; do /bin/true $x; i=$((i+1)); done`

// checkLoss holds what a list says to what it has.
func checkLoss(t *testing.T, list []byte, sum sess.ProgramsSum) {
	t.Helper()
	var runs, lost, end int64
	for line := range bytes.Lines(list) {
		var l sess.ProgramLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		switch l.T {
		case sess.ProgramRun:
			runs++
		case sess.ProgramsLost:
			lost += l.Lost
		case sess.ProgramsEnd:
			end = l.Lost
		}
	}
	t.Logf("%d programs in the list, %d lost", runs, sum.Lost)
	if sum.Lost == 0 || lost != sum.Lost || end != sum.Lost {
		t.Errorf("lost: %d in the sum, %d in lines, %d at the end", sum.Lost, lost, end)
	}
	if want := int64(2000); runs+sum.Lost < want {
		t.Errorf("%d programs are in the list and %d ends or programs are said to be missing, of %d", runs, sum.Lost, want)
	}
}

// TestFloodWaitsInBoundedMemory: nothing takes the list (the network is away), and programs start as fast as they can.
func TestFloodWaitsInBoundedMemory(t *testing.T) {
	w := openHere(t)
	to := &closed{open: make(chan struct{})}
	trail, err := w.Follow(to)
	if err != nil {
		t.Fatal(err)
	}
	cmd := spawn(t, trail, "/bin/sh", "-c", flood)
	_ = cmd.Wait()
	w.drain()
	trail.lines.mu.Lock()
	size, capacity := trail.lines.queue.Len(), trail.lines.queue.Cap()
	trail.lines.mu.Unlock()
	if size > maxQueued || capacity > 3*maxQueued {
		t.Errorf("%d bytes wait, in %d", size, capacity)
	}
	close(to.open)
	sum := trail.Finish()
	checkLoss(t, to.Bytes(), sum)
}

// TestFloodFasterThanTheAgent: the agent does not get to look, as if it had been stopped.
func TestFloodFasterThanTheAgent(t *testing.T) {
	w := openHere(t)
	var list bytes.Buffer
	trail, err := w.Follow(&list)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	cmd := spawn(t, trail, "/bin/sh", "-c", flood)
	_ = cmd.Wait()
	w.mu.Unlock()
	sum := trail.Finish()
	checkLoss(t, list.Bytes(), sum)
}

// TestOddArguments: thousands, megabytes, none, no text, and what a terminal would act on.
func TestOddArguments(t *testing.T) {
	w := openHere(t)
	var list bytes.Buffer
	trail, err := w.Follow(&list)
	if err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{
		append([]string{"/bin/true"}, strings.Split(strings.Repeat("a ", 20_000), " ")...),
		{"/bin/true", strings.Repeat("b", 100_000), strings.Repeat("c", 100_000)},
		{"/bin/true", "\xff\xfe\x80", "\x1b]2;title\a\x1b[2J", "line\nline\r", "", "\u202e\u009b31m"},
	} {
		if err := spawn(t, trail, argv...).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	// As no shell would: no arguments at all, not even a name.
	nameless := &exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", `exec python3 -c 'import os; os.execve("/bin/true", [""], {})'`}}
	if err := trail.Spawn(nameless.Start); err != nil {
		t.Fatal(err)
	}
	_ = nameless.Wait()
	sum := trail.Finish()
	var runs []sess.ProgramLine
	for line := range bytes.Lines(list.Bytes()) {
		var l sess.ProgramLine
		if err := json.Unmarshal(line, &l); err != nil || len(line) > 128<<10 || !utf8.Valid(line) {
			t.Fatalf("%v: %d bytes: %.200q", err, len(line), line)
		}
		if l.T == sess.ProgramRun {
			runs = append(runs, l)
		}
	}
	if len(runs) < 5 || sum.Lost != 0 || sum.Count != int64(len(runs)) {
		t.Fatalf("%d runs, %+v", len(runs), sum)
	}
	for i, size := range []uint32{50_011 - 1, 200_012} {
		if r := runs[i]; len(r.Cut) != 1 || r.Cut[0] != "args" || r.ArgvSize < size-10_000 {
			t.Errorf("argument %d: %v, %d bytes", i, r.Cut, r.ArgvSize)
		}
	}
	if got := runs[2].Argv; len(got) != 6 || got[1] != "\ufffd" || got[2] != "\x1b]2;title\a\x1b[2J" || got[4] != "" {
		t.Errorf("arguments %q", got)
	}
	if line := runs[2].CommandLine(0); strings.ContainsAny(line, "\x1b\a\n\r\u202e\u009b") {
		t.Errorf("for people: %q", line)
	}
}

// TestReusedPidIsNobodys: a process of a session has ended, and its number goes to somebody outside.
func TestReusedPidIsNobodys(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	w := openHere(t)
	trail, err := w.Follow(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	stays := spawn(t, trail, "sleep", "1000")
	defer func() { _ = stays.Wait() }()
	for range 200 {
		goes := spawn(t, trail, "/bin/true")
		pid := goes.Process.Pid
		_ = goes.Wait()
		last := filepath.Join("/proc/sys/kernel", "ns_last_pid")
		if err := os.WriteFile(last, []byte(strconv.Itoa(pid-1)), 0); err != nil {
			t.Skip("NOBODY MAY CHOOSE NUMBERS HERE")
		}
		other := exec.Command("sleep", "1000")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		if other.Process.Pid != pid { // somebody else was faster
			_ = other.Process.Kill()
			_ = other.Wait()
			continue
		}
		for _, p := range trail.Pids() {
			if p == pid {
				t.Error("who has the number now is taken for the session's")
			}
		}
		if n := trail.Kill(); n != 1 {
			t.Errorf("killed %d, one was there", n)
		}
		_ = stays.Wait()
		if err := unix.Kill(pid, 0); err != nil {
			t.Error("somebody else was killed")
		}
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err != nil || bytes.Contains(b, []byte(") Z ")) {
			t.Errorf("somebody else was killed: %s", b)
		}
		_ = other.Process.Kill()
		_ = other.Wait()
		trail.Finish()
		return
	}
	trail.Kill()
	t.Skip("NO NUMBER CAME BACK: too much is started here meanwhile")
}

// TestBombDiesOfItsForks: processes of a session that is over, which fork faster than anybody kills.
func TestBombDiesOfItsForks(t *testing.T) {
	w := openHere(t)
	trail, err := w.Follow(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	// Each has two children and no more than eight generations: 500 at once, which are born anew all the time.
	const bomb = `use POSIX; sub f { my $n = shift; POSIX::setsid(); while (1) { if ($n > 0) { for (1..2) { if (!fork) { f($n-1) } } } while (wait() > 0) {} select(undef,undef,undef,0.001) if $n == 0; exit if $n == 0 } } f(7)`
	cmd := spawn(t, trail, "perl", "-e", bomb)
	for deadline := time.Now().Add(20 * time.Second); len(trail.Pids()) < 100; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is no bomb")
		}
	}
	began := time.Now()
	for trail.Kill() > 0 {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("it lives on: %d", len(trail.Pids()))
		}
		<-time.After(time.Millisecond)
	}
	t.Logf("dead after %v", time.Since(began))
	_ = cmd.Wait()
	trail.Finish()
}

// TestReasonsOfTheKernel: what can't be had here, an old kernel and a locked down one, by what they say.
func TestReasonsOfTheKernel(t *testing.T) {
	for release, want := range map[string]bool{"4.19.0-27-amd64": true, "5.7.19": true, "5.8.0": false, "6.18.44-fc": false, "": false, "6": false} {
		if tooOld(release) != want {
			t.Errorf("tooOld(%q) = %v", release, !want)
		}
	}
	file := filepath.Join(t.TempDir(), "lockdown")
	for text, want := range map[string]bool{"[none] integrity confidentiality\n": false, "none [integrity] confidentiality\n": false, "none integrity [confidentiality]\n": true} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if lockedDown(file) != want {
			t.Errorf("lockedDown(%q) = %v", text, !want)
		}
	}
	if lockedDown(file + ".none") {
		t.Error("locked down without a word of it")
	}
}
