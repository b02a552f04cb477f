package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// seeds is how many fault runs a test makes; SESS_SEEDS raises it.
func seeds(n int) int {
	if v, err := strconv.Atoi(os.Getenv("SESS_SEEDS")); err == nil {
		return v
	}
	return n
}

// exec is one exec session between two endpoints with streams of known bytes.
type exec struct {
	w              *world
	client, agent  *link.Endpoint
	in, out, errs  uint64 // lengths
	aside          uint64 // of the stream that goes into the record alone
	gens           *generations
	stdout, stderr *pattern
	stdin          *pattern
	problems       chan error
	hold           chan struct{} // the process does not end before it is closed; nil: it does not wait
	wg             sync.WaitGroup
}

func newExec(w *world, in, out, errs uint64) *exec {
	x := &exec{w: w, in: in, out: out, errs: errs, aside: out/2 + 1, gens: &generations{}, problems: make(chan error, 16)}
	x.client = link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideClient, Session: w.id, Window: w.win,
		Send: []uint32{wire.ChannelMain, wire.ChannelParams}, Recv: []uint32{wire.ChannelMain, wire.ChannelStderr},
	})
	x.agent = link.NewEndpoint(link.EndpointConfig{
		Side: sess.SideAgent, Session: w.id, Window: w.win, Guests: true, Boot: sess.NewBootID(),
		Recv: []uint32{wire.ChannelMain, wire.ChannelParams}, Send: []uint32{wire.ChannelMain, wire.ChannelStderr, wire.ChannelPrograms},
	})
	return x
}

func (x *exec) spawn(name string, f func() error) {
	x.wg.Add(1)
	go func() {
		defer x.wg.Done()
		if err := f(); err != nil {
			x.problems <- fmt.Errorf("%s: %w", name, err)
		}
	}()
}

// run plays both programs: the agent's "process" reads all input, writes both outputs and exits with 7.
func (x *exec) run(ctx context.Context) {
	x.stdout, x.stderr, x.stdin = &pattern{seed: 1, n: x.out}, &pattern{seed: 2, n: x.errs}, &pattern{seed: 3, n: x.in}
	x.spawn("client connection", func() error { return x.w.drive(ctx, x.client, sess.SideClient, x.gens) })
	x.spawn("agent connection", func() error {
		err := x.w.drive(ctx, x.agent, sess.SideAgent, x.gens)
		var end *link.EndError
		select {
		case <-x.client.Finished():
			if errors.As(err, &end) {
				return nil // the client has everything and so has the record: an agent that comes back is told
			}
		default:
		}
		return err
	})
	x.spawn("params", func() error {
		_, err := x.client.Out(wire.ChannelParams).Write([]byte("params"))
		x.client.Out(wire.ChannelParams).CloseWrite()
		return err
	})
	x.spawn("stdin", func() error {
		_, err := x.client.Out(wire.ChannelMain).ReadFrom(&pattern{seed: 3, n: x.in})
		x.client.Out(wire.ChannelMain).CloseWrite()
		return err
	})
	x.spawn("stdout", func() error { _, err := x.client.In(wire.ChannelMain).WriteTo(x.stdout); return err })
	x.spawn("stderr", func() error { _, err := x.client.In(wire.ChannelStderr).WriteTo(x.stderr); return err })
	x.spawn("process", func() error { return x.process() })
}

func (x *exec) process() error {
	params := make([]byte, 100)
	if n, err := x.agent.In(wire.ChannelParams).Read(params); err != nil || string(params[:n]) != "params" {
		return fmt.Errorf("params: %q %w", params[:n], err)
	}
	var wg sync.WaitGroup
	var errs [4]error
	wg.Go(func() { _, errs[0] = x.agent.In(wire.ChannelMain).WriteTo(x.stdin) })
	wg.Go(func() {
		_, errs[1] = x.agent.Out(wire.ChannelMain).ReadFrom(&pattern{seed: 1, n: x.out})
		x.agent.Out(wire.ChannelMain).CloseWrite()
	})
	wg.Go(func() {
		_, errs[2] = x.agent.Out(wire.ChannelStderr).ReadFrom(&pattern{seed: 2, n: x.errs})
		x.agent.Out(wire.ChannelStderr).CloseWrite()
	})
	wg.Go(func() {
		_, errs[3] = x.agent.Out(wire.ChannelPrograms).ReadFrom(&pattern{seed: 4, n: x.aside})
		x.agent.Out(wire.ChannelPrograms).CloseWrite()
	})
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if x.hold != nil {
		<-x.hold
	}
	return x.agent.Exit(sess.Exit{Status: 7})
}

// check waits for the end and compares every byte.
func (x *exec) check(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() { x.wg.Wait(); close(done) }()
	go func() { // the broker's linger: a done may be lost with the connection that carried it
		select {
		case <-x.client.Finished():
			time.Sleep(500 * time.Millisecond) //nolint:forbidigo // a real network: nothing to wait for
			x.agent.Forget()
		case <-done:
		}
	}()
	select {
	case <-done:
	case err := <-x.problems:
		t.Errorf("%v; client %s, agent %s", err, x.client, x.agent)
	case <-time.After(20 * time.Second):
		t.Errorf("stuck: client %s, agent %s", x.client, x.agent)
	}
	x.client.Close(nil)
	x.agent.Close(nil)
	<-done
	close(x.problems)
	for err := range x.problems {
		t.Error(err)
	}
	r, ok := x.client.Result()
	if !ok || r.Status != 7 {
		t.Errorf("client's result = %+v, %v, want status 7", r, ok)
	}
	for _, p := range []*pattern{x.stdin, x.stdout, x.stderr} {
		if p.off != p.n {
			t.Errorf("stream %d: %d bytes arrived, want %d", p.seed, p.off, p.n)
		}
	}
	x.w.restart() // brings the journal to disk
	x.recorded(t)
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	if x.w.ends != 1 {
		t.Errorf("%d end events, want 1", x.w.ends)
	}
}

// recorded checks that every byte that passed is on record, once and in order.
func (x *exec) recorded(t *testing.T) {
	t.Helper()
	r, err := x.w.dir.OpenReader(org, x.w.id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	type key struct {
		side sess.Side
		ch   uint32
	}
	got := map[key]*pattern{
		{sess.SideAgent, wire.ChannelMain}: {seed: 1, n: x.out}, {sess.SideAgent, wire.ChannelStderr}: {seed: 2, n: x.errs},
		{sess.SideClient, wire.ChannelMain}: {seed: 3, n: x.in}, {sess.SideAgent, wire.ChannelPrograms}: {seed: 4, n: x.aside},
	}
	for {
		rec, err := r.Next()
		if err != nil {
			break
		}
		p := got[key{rec.Side, rec.Header.Channel}]
		if rec.Kind != recording.KindFrame || p == nil || rec.Header.Participant != 0 {
			continue
		}
		if rec.Header.Offset != p.off {
			t.Fatalf("stream %d: record at offset %d, want %d", p.seed, rec.Header.Offset, p.off)
		}
		if _, err := p.Write(rec.Payload); err != nil {
			t.Fatalf("record: %v", err)
		}
	}
	for _, p := range got {
		if p.off != p.n {
			t.Errorf("stream %d: %d bytes on record, want %d", p.seed, p.off, p.n)
		}
	}
}

func TestExecPasses(t *testing.T) {
	w := newWorld(t)
	x := newExec(w, 300_000, 700_000, 100_000)
	x.run(t.Context())
	x.check(t)
}

// TestCutsLoseAndDoubleNothing cuts connections and restarts the relay at random while an exec runs.
func TestCutsLoseAndDoubleNothing(t *testing.T) {
	for seed := range seeds(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			w := newWorld(t)
			w.win = []uint64{4 << 10, 64 << 10, 256 << 10}[r.IntN(3)]
			x := newExec(w, uint64(r.IntN(400_000)), uint64(r.IntN(800_000)), uint64(r.IntN(100_000)))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			x.run(ctx)
			for range r.IntN(20) {
				select {
				case <-time.After(time.Duration(r.IntN(4000)) * time.Microsecond):
				case <-x.client.Finished():
				}
				if r.IntN(6) == 0 {
					w.restart()
				} else {
					w.net.fault(r)
				}
			}
			x.check(t)
		})
	}
}
