package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// rough is a world whose client and agent reach the server through proxies of their own.
type rough struct {
	*world
	t      *testing.T
	client *proxy
	agent  *proxy
	random *rand.Rand
}

// seeded gives this run's chance, and prints what repeats it.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SESS_E2E_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SESS_E2E_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func roughWorld(t *testing.T) *rough {
	t.Helper()
	w, err := newWorld("https://sess.test") // known to the proxies only
	if err != nil {
		t.Fatal(err)
	}
	r := &rough{world: w, t: t, random: seeded(t), client: newProxy(t, w.address), agent: newProxy(t, w.address)}
	admin := newProxy(t, w.address)   // for looking on: never touched
	t.Cleanup(func() { w.finish(t) }) // before the proxies close
	w.routes["admin"], w.routes["web-1"] = admin.env(), r.agent.env()
	w.mustAccept(t)
	if err := w.addAgent("web-1"); err != nil {
		t.Fatal(err)
	}
	return r
}

// job is a sessctl exec under way.
type job struct {
	t      *testing.T
	cmd    *exec.Cmd
	reason string
	stderr *buffer
	got    atomic.Int64
	sum    hash.Hash
	done   chan struct{}
}

// buffer may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Write takes standard output.
func (x *job) Write(p []byte) (int, error) {
	x.got.Add(int64(len(p)))
	return x.sum.Write(p)
}

// exec runs a command through the client's proxy, with in as its input.
func (r *rough) exec(in io.Reader, argv ...string) *job {
	r.t.Helper()
	return r.run(in, r.client.env(), argv...)
}

// direct runs a command as the admin's client does all else.
func (r *rough) direct(argv ...string) *job {
	r.t.Helper()
	return r.run(nil, nil, argv...)
}

func (r *rough) run(in io.Reader, env []string, argv ...string) *job {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	r.t.Cleanup(cancel)
	reason := fmt.Sprintf("%s %d", r.t.Name(), reasons.Add(1))
	x := &job{t: r.t, reason: reason, stderr: &buffer{}, sum: sha256.New(), done: make(chan struct{})}
	x.cmd = r.ctl(ctx, append([]string{"exec", "--reason", reason, "web-1", "--"}, argv...)...)
	x.cmd.Env = append(x.cmd.Env, env...)
	x.cmd.Stdout, x.cmd.Stderr, x.cmd.Stdin = x, x.stderr, in
	if err := x.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = x.cmd.Wait(); close(x.done) }()
	return x
}

// passed waits until n bytes of output came, or it ended.
func (x *job) passed(n int64) {
	x.t.Helper()
	err := poll(fmt.Sprintf("%d bytes came", n), func() error {
		select {
		case <-x.done:
			return nil
		default:
		}
		if got := x.got.Load(); got < n {
			return fmt.Errorf("%d bytes did; stderr %q", got, x.stderr)
		}
		return nil
	})
	if err != nil {
		x.t.Fatal(err)
	}
}

// exits waits for the end and checks exit code and output.
func (x *job) exits(code int, sum string) {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(3 * patience):
		x.t.Fatalf("no end; %d bytes came; stderr %q", x.got.Load(), x.stderr)
	}
	if got := x.cmd.ProcessState.ExitCode(); got != code {
		x.t.Errorf("exit code %d, want %d; stderr %q", got, code, x.stderr)
	}
	if got := hex.EncodeToString(x.sum.Sum(nil)); sum != "" && got != sum {
		x.t.Errorf("%d bytes of output with checksum %s, want %s; stderr %q", x.got.Load(), got, sum, x.stderr)
	}
}

// recorded checks that a session's recording is complete and has the output. A client that was cut off just when it had
// everything does not come back to say so: then the recording is complete when the session's grace is over.
func (w *world) recorded(t *testing.T, id, sum string) {
	t.Helper()
	err := pollFor(patience+sess.Kinds[sess.KindExec].Grace, "the recording of "+id+" is complete", func() error {
		rec, err := get[api.Recording](w, "recording", "show", id)
		if err == nil && rec.State != sess.RecordingComplete {
			err = fmt.Errorf("it is %s: %s", rec.State, rec.Problem)
		}
		return err
	})
	if err != nil {
		t.Error(err)
		return
	}
	a := w.ask(nil, "recording", "export", id, "--format", "text")
	if a.code != 0 {
		t.Errorf("export: %s", a.err)
	}
	a.out = bytes.Replace(a.out, []byte("last\n"), nil, 1) // of standard error, wherever it came between the output
	if got := sha(a.out); got != sum {
		t.Errorf("the recording of %s has %d bytes with checksum %s, want %s", id, len(a.out), got, sum)
	}
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// numbers is what seq 1 n prints.
func numbers(n int) []byte {
	var b bytes.Buffer
	for i := 1; i <= n; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.Bytes()
}

// flood prints the numbers up to n, in bursts; the last ones when the file end is there, so that faults find it under way.
func flood(n int, end string) []string {
	const script = `import os, sys, time
n = int(sys.argv[1])
for i in range(1, n+1):
    print(i)
    if i % (n//40) == 0:
        sys.stdout.flush()
        time.sleep(0.02)
    while i == n - n//40 and not os.path.exists(sys.argv[2]):
        time.sleep(0.02)
print('last', file=sys.stderr)
sys.exit(7)`
	return []string{"python3", "-c", script, fmt.Sprint(n), end}
}

// faults are what happens to a session in mid-flood; each leaves everything as it was before.
var faults = map[string]func(r *rough){
	"cut client": func(r *rough) { r.client.cut() },
	"cut agent":  func(r *rough) { r.agent.cut() },
	"cut both": func(r *rough) {
		r.client.cut()
		r.agent.cut()
	},
	"client away": func(r *rough) {
		r.client.refuse(true)
		r.client.cut()
		r.pause(2 * time.Second)
		r.client.refuse(false)
	},
	"agent away": func(r *rough) {
		r.agent.refuse(true)
		r.agent.cut()
		r.pause(2 * time.Second)
		r.agent.refuse(false)
	},
	"freeze client": func(r *rough) {
		r.client.freeze(true)
		r.pause(2 * time.Second)
		r.client.freeze(false)
	},
	"freeze agent": func(r *rough) {
		r.agent.freeze(true)
		r.pause(2 * time.Second)
		r.agent.freeze(false)
	},
	"freeze, then cut": func(r *rough) { // bytes that the kernels took are lost
		r.client.freeze(true)
		r.agent.freeze(true)
		r.pause(time.Second)
		r.client.cut()
		r.agent.cut()
		r.client.freeze(false)
		r.agent.freeze(false)
	},
	"kill -9 the server": func(r *rough) {
		if err := errors.Join(r.stopServer(syscall.SIGKILL), r.startServer()); err != nil {
			r.t.Error(err)
		}
	},
	"restart the server": func(r *rough) {
		if err := errors.Join(r.stopServer(syscall.SIGTERM), r.startServer()); err != nil {
			r.t.Error(err)
		}
	},
}

// pause lets the world go on for a random time, at most d: what a fault lasts for.
func (r *rough) pause(d time.Duration) {
	<-time.After(time.Duration(r.random.Int64N(int64(d))))
}

// TestFaults: whatever is cut, frozen or killed in mid-flood, output and input go on where they were, byte for byte, the exit
// code arrives, and all of it is on record.
func TestFaults(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short")
	}
	const n = 300_000
	want := numbers(n)
	sum := sha(want)
	for name, fault := range faults {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			r := roughWorld(t)
			end := r.path("end")
			x := r.exec(nil, flood(n, end)...)
			for _, part := range []int64{10, 40, 75} {
				x.passed(int64(len(want)) * (part + r.random.Int64N(10)) / 100)
				fault(r)
			}
			if err := os.WriteFile(end, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			x.exits(7, sum)
			if !strings.Contains(x.stderr.String(), "last\n") {
				t.Errorf("standard error is %q", x.stderr)
			}
			id := r.sessionFor(t, x.reason)
			r.ended(t, id, sess.EndExit)
			r.recorded(t, id, sum)

			if err := r.online("web-1"); err != nil {
				t.Fatal(err)
			}
			x = r.exec(bytes.NewReader(want), "sh", "-c", "cat; exit 3")
			x.passed(1)
			fault(r)
			x.exits(3, sum)
			r.recorded(t, r.sessionFor(t, x.reason), sum)
		})
	}
}

// TestChaos: several faults at random, one after the other, seeds printed.
func TestChaos(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short")
	}
	r := roughWorld(t)
	names := make([]string, 0, len(faults))
	for name := range faults {
		names = append(names, name)
	}
	rounds := 2
	if long() {
		rounds = 30
	}
	const n = 400_000
	want := numbers(n)
	for range rounds {
		if err := r.online("web-1"); err != nil {
			t.Fatal(err)
		}
		x := r.exec(bytes.NewReader(want), "python3", "-c", slowCat)
		at := int64(0)
		for range 5 {
			at += 1 + r.random.Int64N(int64(len(want)/6))
			x.passed(at)
			name := names[r.random.IntN(len(names))]
			t.Logf("at %d: %s", x.got.Load(), name)
			faults[name](r)
		}
		x.exits(0, sha(want))
		r.recorded(t, r.sessionFor(t, x.reason), sha(want))
	}
}

// slowCat copies its input to its output, at some 3 MB a second.
const slowCat = "import sys,time\nwhile True:\n  b=sys.stdin.buffer.read1(30000)\n  if not b: break\n  sys.stdout.buffer.write(b); sys.stdout.flush(); time.sleep(0.01)"

// TestShellSurvivesFaults: a shell goes on after a server's kill -9 and after cuts; what was typed meanwhile arrives once.
func TestShellSurvivesFaults(t *testing.T) {
	t.Parallel()
	r := roughWorld(t)
	s := sitAt(t, r.env(r.client.env()...), 100, 30, binaries+"/sessctl", "start", "web-1", "--", "bash", "--norc", "--noprofile")
	s.see("#")
	s.typ("PS1='p'\"> \"; n=0; clear\r")
	s.until("there is our prompt", func() bool { return s.text() == "p>" })
	for i, fault := range []string{"cut client", "cut agent", "kill -9 the server", "client away"} {
		s.typ("n=$((n+1)); echo count $n\r")
		s.see(fmt.Sprintf("count %d", 2*i+1))
		faults[fault](r)
		s.typ("n=$((n+1)); echo count $n\r")
		s.see(fmt.Sprintf("count %d", 2*i+2))
	}
	s.typ("exit 4\r")
	s.exits(4)
}
