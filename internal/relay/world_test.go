package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/relay"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// world is a relay with a broker of a few lines behind a network that can be cut. Everything else is real: WebSockets
// over TCP, endpoints, journal.
type world struct {
	t   testing.TB
	dir *recording.Dir
	srv *httptest.Server
	net *cutter
	tls *httptest.Server // for benchmarks: the same over TLS, and no proxy in between

	mu         sync.Mutex // protects the following
	relay      *relay.Relay
	id         sess.SessionID
	epoch      uint64
	ahead      uint64 // by how much the broker's epoch is ahead of what joins here
	gens       [2]uint64
	first      [2]bool
	ends       int
	exit       *wire.Exit
	state      sess.RecordingState
	win        uint64
	free       time.Duration
	term       bool
	failed     []string
	moderators int           // that the session needs
	lacking    chan int      // moderators, as the broker is told; nil: nobody listens
	came       []string      // what the broker was told of participants
	unwelcome  error         // what it says of them
	here       [2]bool       // what the broker was told of each side
	present    func() error  // what the broker says of a side that comes; nil: welcome
	slow       chan struct{} // it is slow to note an exit: not before this is closed; nil: it is not
}

var org = sess.NewOrgID()

func newWorld(t testing.TB) *world {
	t.Helper()
	dir, err := recording.OpenDir(t.TempDir(), recording.Options{SyncEvery: syncEvery})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, id: sess.NewSessionID(), win: 64 << 10, first: [2]bool{true, true}}
	w.restart()
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/stream", w.serve)
	w.srv = httptest.NewServer(mux)
	w.net = newCutter(t, w.srv.Listener.Addr().String())
	t.Cleanup(func() {
		w.net.close()
		w.srv.Close()
		w.relay.Close()
		_ = dir.Close()
	})
	return w
}

// restart replaces the relay, as a server restart does.
func (w *world) restart() {
	w.mu.Lock()
	old := w.relay
	w.relay = nil
	w.mu.Unlock()
	if old != nil {
		old.Close()
	}
	r := relay.New(w.t.Context(), w, w.dir, slog.New(slog.DiscardHandler))
	w.mu.Lock()
	w.relay = r
	w.mu.Unlock()
}

func index(s sess.Side) int {
	if s == sess.SideClient {
		return 0
	}
	return 1
}

// serve redeems: the ticket is the side, its generation, and whether it takes over.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	side := sess.Side(r.URL.Query().Get("side"))
	gen, _ := strconv.ParseUint(r.URL.Query().Get("gen"), 10, 64)
	num, _ := strconv.ParseUint(r.URL.Query().Get("num"), 10, 16)
	if num > 0 {
		w.serveGuest(rw, r, uint16(num), gen)
		return
	}
	w.mu.Lock()
	rl := w.relay
	i := index(side)
	if rl == nil || gen <= w.gens[i] {
		w.mu.Unlock()
		http.Error(rw, "not now", http.StatusServiceUnavailable)
		return
	}
	w.gens[i] = gen
	if side == sess.SideAgent {
		w.epoch++
	}
	j := relay.Join{
		Org: org, Session: w.id, Side: side, Gen: gen, OtherGen: w.gens[1-i], Epoch: w.epoch, Window: w.win,
		First: w.first[i], Takeover: r.URL.Query().Get("takeover") != "", FreeRun: w.free, Terminal: w.term,
		Ended: w.exit != nil, Moderators: w.moderators, Meta: recording.Meta{Kind: sess.KindExec},
	}
	w.first[i] = false
	w.mu.Unlock()
	c, err := link.Accept(rw, r, wire.Subprotocol)
	if err != nil {
		return
	}
	rl.Join(j, c)
}

// serveGuest lets a participant beside the owner in.
func (w *world) serveGuest(rw http.ResponseWriter, r *http.Request, num uint16, gen uint64) {
	w.mu.Lock()
	rl, epoch := w.relay, w.epoch
	w.mu.Unlock()
	if rl == nil {
		http.Error(rw, "not now", http.StatusServiceUnavailable)
		return
	}
	c, err := link.Accept(rw, r, wire.Subprotocol)
	if err != nil {
		return
	}
	rl.Join(relay.Join{
		Org: org, Session: w.id, Side: sess.SideClient, Gen: gen, Epoch: epoch, Window: w.win, FreeRun: w.free, Terminal: w.term,
		Participant: num, Role: sess.JoinRole(r.URL.Query().Get("role")), Moderators: w.moderators, Meta: recording.Meta{Kind: sess.KindExec},
	}, c)
}

// Present implements relay.Broker.
func (w *world) Present(_ context.Context, _ sess.OrgID, _ sess.SessionID, epoch uint64, side sess.Side, here bool) error {
	if here && w.present != nil {
		return w.present()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if epoch != w.epoch+w.ahead {
		return sess.ErrMoved
	}
	w.here[index(side)] = here
	return nil
}

// Exited implements relay.Broker.
func (w *world) Exited(_ context.Context, _ sess.OrgID, _ sess.SessionID, epoch uint64, x wire.Exit) error {
	if w.slow != nil {
		<-w.slow
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if epoch != w.epoch {
		return sess.ErrMoved
	}
	if w.exit == nil {
		w.exit = &x
		w.ends++
	}
	return nil
}

// Moderated implements relay.Broker.
func (w *world) Moderated(_ context.Context, _ sess.OrgID, _ sess.SessionID, n int) error {
	if w.lacking != nil {
		w.lacking <- n
	}
	return nil
}

// Delivered implements relay.Broker.
func (w *world) Delivered(context.Context, sess.OrgID, sess.SessionID, uint64) error { return nil }

// Guest implements relay.Broker.
func (w *world) Guest(_ context.Context, _ sess.OrgID, _ sess.SessionID, num uint16, _ uint64, here, left bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.came = append(w.came, fmt.Sprint(num, here, left))
	return w.unwelcome
}

// Failed implements relay.Broker.
func (w *world) Failed(_ context.Context, _ sess.OrgID, _ sess.SessionID, _ uint64, r sess.EndReason, m string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, string(r)+": "+m)
	return nil
}

// Recorded implements relay.Broker.
func (w *world) Recorded(_ context.Context, _ sess.OrgID, _ sess.SessionID, how sess.Recorded) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = how.State
	return nil
}

// drive keeps an endpoint connected until it is finished, ended or closed.
func (w *world) drive(ctx context.Context, e *link.Endpoint, side sess.Side, gens *generations) error {
	u, _ := url.Parse("http://" + w.net.addr())
	server := link.Server{URL: u}
	if w.tls != nil {
		u, _ = url.Parse(w.tls.URL)
		server = link.Server{URL: u, Pin: link.Pin(w.tls.Certificate())}
	}
	d := &link.Dialer{Server: server, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
	defer d.CloseIdle()
	takeover := ""
	for {
		dctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		c, err := d.Dial(dctx, fmt.Sprintf("%s/v1/stream?side=%s&gen=%d%s", u, side, gens.next(side), takeover), wire.Subprotocol, nil)
		cancel()
		if err == nil {
			err = e.Run(ctx, c)
			var end *link.EndError
			if err == nil || errors.As(err, &end) || errors.Is(err, sess.ErrSuperseded) || errors.Is(err, link.ErrDetached) || errors.Is(err, context.Canceled) {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.Finished():
			return nil
		case <-time.After(time.Duration(1+rand.IntN(5)) * time.Millisecond):
		}
	}
}

// generations mints tickets.
type generations struct {
	mu sync.Mutex
	n  [2]uint64
}

func (g *generations) next(s sess.Side) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n[index(s)]++
	return g.n[index(s)]
}

// pattern is a stream whose every byte says where it is.
type pattern struct {
	seed byte
	off  uint64
	n    uint64
}

func (p *pattern) at(off uint64) byte { return byte(off*131+off>>8*7) ^ p.seed }

// Read implements io.Reader, in odd sizes.
func (p *pattern) Read(b []byte) (int, error) {
	if p.off == p.n {
		return 0, io.EOF
	}
	n := int(min(uint64(len(b)), p.n-p.off, 1+p.off%5000))
	for i := range n {
		b[i] = p.at(p.off + uint64(i))
	}
	p.off += uint64(n)
	return n, nil
}

// Write implements io.Writer: it checks.
func (p *pattern) Write(b []byte) (int, error) {
	for i, c := range b {
		if p.off+uint64(i) >= p.n || c != p.at(p.off+uint64(i)) {
			return i, fmt.Errorf("stream %d: wrong byte at offset %d of %d", p.seed, p.off+uint64(i), p.n)
		}
	}
	p.off += uint64(len(b))
	return len(b), nil
}

// cutter is a TCP proxy whose connections can be cut or made half-open.
type cutter struct {
	t     testing.TB
	l     net.Listener
	to    string
	mu    sync.Mutex
	conns map[*pipe]struct{}
	wg    sync.WaitGroup
}

type pipe struct {
	a, b   net.Conn
	frozen [2]chan struct{}
}

func newCutter(t testing.TB, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{t: t, l: l, to: to, conns: map[*pipe]struct{}{}}
	c.wg.Add(1)
	go c.accept()
	return c
}

func (c *cutter) addr() string { return c.l.Addr().String() }

func (c *cutter) accept() {
	defer c.wg.Done()
	for {
		a, err := c.l.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", c.to)
		if err != nil {
			_ = a.Close()
			continue
		}
		p := &pipe{a: a, b: b, frozen: [2]chan struct{}{make(chan struct{}), make(chan struct{})}}
		c.mu.Lock()
		c.conns[p] = struct{}{}
		c.mu.Unlock()
		c.wg.Add(2)
		go c.copy(p, a, b, 0)
		go c.copy(p, b, a, 1)
	}
}

func (c *cutter) copy(p *pipe, from, to net.Conn, dir int) {
	defer c.wg.Done()
	buf := make([]byte, 8192)
	for {
		n, err := from.Read(buf)
		if err != nil {
			break
		}
		select {
		case <-p.frozen[dir]:
			continue // swallowed
		default:
		}
		if _, err := to.Write(buf[:n]); err != nil {
			break
		}
	}
	_ = from.Close()
	_ = to.Close()
	c.mu.Lock()
	delete(c.conns, p)
	c.mu.Unlock()
}

// fault hurts one connection: cut, or frozen in one or both directions and cut a little later.
func (c *cutter) fault(r *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.conns)
	if n == 0 {
		return
	}
	k := r.IntN(n)
	for p := range c.conns {
		if k--; k >= 0 {
			continue
		}
		switch r.IntN(3) {
		case 0:
			_ = p.a.Close()
			_ = p.b.Close()
		default:
			d := r.IntN(3)
			for i := range 2 {
				if d != i {
					select {
					case <-p.frozen[i]:
					default:
						close(p.frozen[i])
					}
				}
			}
			time.AfterFunc(time.Duration(r.IntN(20))*time.Millisecond, func() {
				if t, ok := p.a.(*net.TCPConn); ok && d == 0 {
					_ = t.SetLinger(0)
				}
				_ = p.a.Close()
				_ = p.b.Close()
			})
		}
		return
	}
}

// cut cuts every connection.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.conns {
		_ = p.a.Close()
		_ = p.b.Close()
	}
}

func (c *cutter) close() {
	_ = c.l.Close()
	c.cut()
	c.wg.Wait()
}

var syncEvery, _ = time.ParseDuration(os.Getenv("SESS_SYNC"))
