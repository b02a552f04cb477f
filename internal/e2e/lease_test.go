package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// shortLease is as short as a lease can be.
const shortLease = sess.MinLease

// ownLease has the owner of an instance say how long sessions live on there without word from a server.
func (w *world) ownLease(t *testing.T, agent string, d time.Duration) {
	t.Helper()
	f, err := os.OpenFile(w.path(agent+".conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "lease = %s\n", d)
	if err := errors.Join(err, f.Close(), w.stopAgent(agent, syscall.SIGTERM), w.startAgent(agent)); err != nil {
		t.Fatal(err)
	}
	if err := poll("the new agent runs sessions", func() error { return w.do("exec", agent, "--", "true") }); err != nil {
		t.Fatal(err)
	}
}

// leased is a session that runs on an instance until something ends it.
type leased struct {
	*world
	t   *testing.T
	id  string
	pid int
}

func (w *world) leased(t *testing.T) (leased, *job) {
	t.Helper()
	pidFile := t.TempDir() + "/pid"
	r := &rough{world: w, t: t}
	x := r.direct("sh", "-c", "echo $$ >"+pidFile+"; echo up; exec sleep 1000")
	x.passed(3)
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return leased{w, t, r.sessionFor(t, x.reason), pid}, x
}

// lives reports whether the session's process is there.
func (l leased) lives() bool { return syscall.Kill(l.pid, 0) == nil }

// dies waits for the end of the process, and gives when that was.
func (l leased) dies(since time.Time) time.Duration {
	l.t.Helper()
	err := poll("the process is gone", func() error {
		if l.lives() {
			return errors.New("it runs")
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return time.Since(since)
}

// wantLease checks what is shown of a session's lease.
func (l leased) wantLease(want time.Duration) {
	l.t.Helper()
	s, err := get[api.Session](l.world, "session", "show", l.id)
	if err != nil || s.LeaseMS != want.Milliseconds() {
		l.t.Errorf("its lease is %d ms, want %s (%v)", s.LeaseMS, want, err)
	}
}

// TestLeaseOfAnAgentThatIsCutOff: no byte passes any more, and nobody says so: the agent ends the session by itself, the server
// learns of it when it can, and puts the right reason on record. The instance's owner had a word on how long.
func TestLeaseOfAnAgentThatIsCutOff(t *testing.T) {
	t.Parallel()
	r := roughWorld(t)
	r.ownLease(t, "web-1", shortLease)
	l, x := r.leased(t)
	l.wantLease(shortLease)
	began := time.Now()
	r.agent.freeze(true)
	took := l.dies(began)
	t.Logf("it ended %s after the last byte could pass", took.Round(100*time.Millisecond))
	if least := shortLease / 3; took < least {
		t.Errorf("it ended after %s, before its lease", took)
	}
	if log, _ := os.ReadFile(r.path("agent-web-1.log")); !strings.Contains(string(log), "session ended by its lease") {
		t.Error("the agent's log does not say why")
	}
	r.agent.freeze(false)
	x.exits(255, "")
	if !strings.Contains(x.stderr.String(), "web-1 heard of no server for longer than the session's lease, and ended it: its lease is 5s") {
		t.Errorf("the client says %q", x.stderr)
	}
	r.ended(t, l.id, sess.EndServerLost)
	if err := r.do("exec", "web-1", "--", "true"); err != nil {
		t.Error(err)
	}
}

// TestLeaseOfAnAgentThatComesBack: it reconnects after the lease, and the server had seen it go.
func TestLeaseOfAnAgentThatComesBack(t *testing.T) {
	t.Parallel()
	r := roughWorld(t)
	r.ownLease(t, "web-1", shortLease)
	if err := r.do("org", "set", "session-grace", "1h"); err != nil {
		t.Fatal(err)
	}
	l, x := r.leased(t)
	r.agent.refuse(true)
	r.agent.cut()
	l.dies(time.Now())
	r.agent.refuse(false)
	x.exits(255, "")
	s, err := get[api.Session](r.world, "session", "show", l.id)
	if err != nil || s.EndReason != sess.EndServerLost && s.EndReason != sess.EndAgentGone || !strings.Contains(s.EndMessage, "lease is 5s") {
		t.Errorf("it ended by %s: %s (%v)", s.EndReason, s.EndMessage, err)
	}
}

// TestLeaseOfAnAgentThatSleeps: what the agent hears first when it wakes does not renew a lease that ran out in its sleep.
func TestLeaseOfAnAgentThatSleeps(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	w.ownLease(t, "web-1", shortLease)
	l, x := w.leased(t)
	pid := w.agents["web-1"].cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	<-time.After(shortLease + 500*time.Millisecond)
	if !l.lives() {
		t.Fatal("somebody else ended it")
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	l.dies(time.Now())
	x.exits(255, "")
	w.ended(t, l.id, sess.EndServerLost)
}

// TestLeaseAsTheServerCountsIt: of an agent that is gone the server knows when it has ended its sessions by itself.
func TestLeaseAsTheServerCountsIt(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	if err := w.do("org", "set", "session-lease", "5s"); err != nil {
		t.Fatal(err)
	}
	l, x := w.leased(t)
	l.wantLease(shortLease)
	began := time.Now()
	if err := w.stopAgent("web-1", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	x.exits(255, "")
	if took := time.Since(began); took < shortLease {
		t.Errorf("it ended after %s", took)
	}
	w.ended(t, l.id, sess.EndAgentGone)
	if s, err := get[api.Session](w, "session", "show", l.id); err != nil || s.EndMessage != "its lease is 5s" {
		t.Errorf("it says %q (%v)", s.EndMessage, err)
	}
}
