package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// TestAgentKilled: the client says so within seconds, in one line, and the session ended once.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	s := w.sit(t, "start", "web-1", "--", "bash", "-c", "echo up; exec -a e2e-orphan sleep 1000")
	s.see("up")
	began := time.Now()
	if err := w.stopAgent("web-1", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Log("without a new agent the server can't know that it will not come back")
	if err := w.startAgent("web-1"); err != nil {
		t.Fatal(err)
	}
	s.exits(255)
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
	s.see("the agent on web-1 stopped or was restarted")
	w.ended(t, w.live(t, s), sess.EndAgentLost)
}

// TestAgentKilledForGood: while no agent comes back the user is told what is being waited for, and can leave.
func TestAgentKilledForGood(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	s := w.sit(t, "start", "web-1", "--", "bash", "-c", "echo up; exec sleep 1000")
	s.see("up")
	if err := w.stopAgent("web-1", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.see("web-1 is not connected to the server")
	s.typ("\r~.")
	s.exits(255)
	w.ended(t, w.live(t, s), sess.EndEnded)
}

// TestStatusWaitsForTheClient: a command that ends while its client is away keeps its output and status for it.
func TestStatusWaitsForTheClient(t *testing.T) {
	t.Parallel()
	r := roughWorld(t)
	dir := t.TempDir()
	x := r.exec(nil, "sh", "-c", "echo begin; until [ -e "+dir+"/go ]; do sleep 0.02; done; seq 1 50000; echo x >"+dir+"/done; exit 9")
	x.passed(1)
	id := r.sessionFor(t, x.reason)
	r.client.refuse(true)
	r.client.cut()
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.ended(t, id, sess.EndExit)
	r.client.refuse(false)
	x.exits(9, sha(append([]byte("begin\n"), numbers(50000)...)))

	// The same, when the client was killed and another picks it up.
	x = r.exec(nil, "sh", "-c", "echo begin; until [ -e "+dir+"/go2 ]; do sleep 0.02; done; seq 1 50000; exit 9")
	x.passed(6)
	id = r.sessionFor(t, x.reason)
	if err := x.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-x.done
	if err := os.WriteFile(dir+"/go2", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.ended(t, id, sess.EndExit)
	a := r.ask(nil, "attach", id)
	out := bytes.TrimPrefix(a.out, []byte("begin\n")) // what a killed client wrote last may not have been noted
	if a.code != 9 || !bytes.Equal(out, numbers(50000)) {
		t.Errorf("attach: exit %d, %d bytes, %q", a.code, len(a.out), a.err)
	}
}

// TestGrace: a command whose client does not come back ends when its grace is over, which is a minute.
func TestGrace(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes the minute of an exec's grace: SESS_E2E_LONG=1")
	}
	r := roughWorld(t)
	x := r.exec(nil, "sh", "-c", "echo $$; exec sleep 1000")
	x.passed(1)
	id := r.sessionFor(t, x.reason)
	_ = x.cmd.Process.Kill()
	<-x.done
	deadline := time.Now().Add(90 * time.Second)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s, err := get[api.Session](r.world, "session", "show", id)
		if err != nil {
			t.Fatal(err)
		}
		if s.EndedAt != nil {
			if s.EndReason != sess.EndDetached || time.Since(*s.DetachedAt) < time.Minute {
				t.Errorf("%+v", s)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it lives on: %+v", s)
		}
		<-tick.C
	}
}

// TestGigabyte: 1 GiB passes in and out byte for byte, in constant memory of client, agent and server.
func TestGigabyte(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes minutes: SESS_E2E_LONG=1")
	}
	w := testWorld(t, "web-1")
	const size = 1 << 30
	random := rand.NewChaCha8([32]byte{7})
	in, out := sha256.New(), sha256.New()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := w.ctl(ctx, "exec", "web-1", "--", "cat")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = io.TeeReader(io.LimitReader(random, size), in), out, &stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if a, b := sha(in.Sum(nil)), sha(out.Sum(nil)); a != b {
		t.Error("other bytes came back")
	}
	t.Logf("%s", time.Since(began))
	client := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	for name, peak := range map[string]int64{"client": client, "server": peakOf(t, w.server), "agent": peakOf(t, w.agents["web-1"])} {
		t.Logf("%s: %d MiB at most", name, peak>>20)
		if peak > 128<<20 && !raced() {
			t.Errorf("the %s took %d MiB", name, peak>>20)
		}
	}
}

// peakOf is the most memory a process had.
func peakOf(t *testing.T, p *process) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib int64
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(v, &kib); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kib << 10
}
