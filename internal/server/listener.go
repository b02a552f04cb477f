package server

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits on connections that have not yet shown who they are. A connection leaves the count when a request on it was
// authenticated, or when it closes.
const (
	maxStrangers        = 4096             // connections in all
	maxStrangersPerAddr = 256              // of one address (an IPv6 network of /64 counts as one): people behind one NAT
	handshakeTimeout    = 10 * time.Second // for the TLS handshake
)

// listener accepts connections, completes their TLS handshakes beside each other, and bounds how many strangers may
// hold connections open. Accept gives connections that are ready for HTTP.
type listener struct {
	net.Listener
	tls     *tls.Config           // nil: no TLS
	exempt  func(netip.Addr) bool // addresses not limited one by one: trusted proxies, this machine
	slots   *strangers
	timeout time.Duration

	ready chan net.Conn
	done  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup // the accept loop and the handshakes under way
	err   error          // why the accept loop ended; set before ready is closed
}

func newListener(inner net.Listener, cfg *tls.Config, slots *strangers, exempt func(netip.Addr) bool, timeout time.Duration) *listener {
	l := &listener{
		Listener: inner, tls: cfg, exempt: exempt, slots: slots, timeout: timeout,
		ready: make(chan net.Conn), done: make(chan struct{}),
	}
	l.wg.Go(l.acceptLoop)
	return l
}

// Accept returns the next connection whose handshake is complete.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		if l.err != nil {
			return nil, l.err
		}
		return nil, net.ErrClosed
	}
}

// Close stops accepting and waits for the handshakes under way, which it breaks off. It may be called again.
func (l *listener) Close() error {
	err := l.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	l.stop(nil)
	l.slots.closeStrangersIn(func() { l.wg.Wait() })
	return err
}

func (l *listener) stop(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
	})
}

func (l *listener) acceptLoop() {
	pause := time.Duration(0)
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Temporary() { //nolint:staticcheck // out of descriptors: as net/http does
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				select {
				case <-time.After(pause):
					continue
				case <-l.done:
					return
				}
			}
			l.stop(err)
			return
		}
		pause = 0
		tc, ok := l.slots.admit(c, l.exempt)
		if !ok {
			c.Close()
			continue
		}
		l.wg.Go(func() { l.prepare(tc) })
	}
}

// prepare completes the handshake and hands the connection on.
func (l *listener) prepare(tc *strangerConn) {
	var c net.Conn = tc
	if l.tls != nil {
		t := tls.Server(c, l.tls)
		if err := errors.Join(c.SetDeadline(time.Now().Add(l.timeout)), l.handshake(t), c.SetDeadline(time.Time{})); err != nil {
			c.Close()
			return
		}
		tc.handshaken()
		c = t
	}
	select {
	case l.ready <- c:
	case <-l.done:
		c.Close()
	}
}

// handshake completes TLS. Somebody who speaks plain HTTP to it is told so, as net/http does.
func (l *listener) handshake(t *tls.Conn) error {
	err := t.Handshake() //nolint:noctx // its deadline is set, and Close breaks it off
	var re tls.RecordHeaderError
	if errors.As(err, &re) && re.Conn != nil && looksLikeHTTP(re.RecordHeader) {
		_, _ = re.Conn.Write([]byte("HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nthis server speaks HTTPS: use https:// in its URL\n")) // a courtesy
	}
	return err
}

func looksLikeHTTP(hdr [5]byte) bool {
	switch string(hdr[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// strangers counts the connections that have not shown who they are.
type strangers struct {
	max, perAddr int

	mu     sync.Mutex // protects the following
	total  int
	byAddr map[netip.Addr]int
	conns  map[string]*strangerConn // all that are open, by remote address and port
}

func newStrangers(maxAll, perAddr int) *strangers {
	return &strangers{max: maxAll, perAddr: perAddr, byAddr: map[netip.Addr]int{}, conns: map[string]*strangerConn{}}
}

// strangerConn is a connection as accepted. It embeds the TCP connection so that socket options stay reachable.
type strangerConn struct {
	*net.TCPConn
	s       *strangers
	remote  string
	addr    netip.Addr // protected by s.mu: what it counts for; zero: only in the total
	counted bool       // protected by s.mu
	shaking bool       // protected by s.mu: in the TLS handshake
}

// admit takes c into the count, unless a limit is reached.
func (s *strangers) admit(c net.Conn, exempt func(netip.Addr) bool) (*strangerConn, bool) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, false
	}
	sc := &strangerConn{TCPConn: tcp, s: s, remote: c.RemoteAddr().String(), shaking: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.count(sc, addrOf(sc.remote), exempt) {
		return nil, false
	}
	s.conns[sc.remote] = sc
	return sc, true
}

// count counts c for an address, unless a limit is reached. It must be called with mu held and c not counted.
func (s *strangers) count(c *strangerConn, a netip.Addr, exempt func(netip.Addr) bool) bool {
	c.addr = netip.Addr{}
	if a.IsValid() && (exempt == nil || !exempt(a)) {
		c.addr = network(a)
	}
	if s.total >= s.max || c.addr.IsValid() && s.byAddr[c.addr] >= s.perAddr {
		return false
	}
	c.counted = true
	s.total++
	if c.addr.IsValid() {
		s.byAddr[c.addr]++
	}
	return true
}

// behind says whom the next request on the connection from remote is for: a proxy in front has many clients, one after the
// other, on one connection. From now on it counts for that client, as a stranger; false: who has too many of them.
func (s *strangers) behind(remote string, client netip.Addr, exempt func(netip.Addr) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conns[remote]
	if c == nil {
		return true
	}
	s.uncount(c)
	return s.count(c, client, exempt)
}

// known takes the connection from remote out of the count: it has shown who it is.
func (s *strangers) known(remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conns[remote]; c != nil {
		s.uncount(c)
	}
}

// uncount must be called with mu held.
func (s *strangers) uncount(c *strangerConn) {
	if !c.counted {
		return
	}
	c.counted = false
	s.total--
	if c.addr.IsValid() {
		if s.byAddr[c.addr]--; s.byAddr[c.addr] == 0 {
			delete(s.byAddr, c.addr)
		}
	}
}

// closeStrangersIn closes the connections that are in their handshake, and then runs wait.
func (s *strangers) closeStrangersIn(wait func()) {
	s.mu.Lock()
	var closing []*strangerConn
	for _, c := range s.conns {
		if c.shaking {
			closing = append(closing, c)
		}
	}
	s.mu.Unlock()
	for _, c := range closing {
		c.TCPConn.Close()
	}
	wait()
}

func (c *strangerConn) handshaken() {
	c.s.mu.Lock()
	c.shaking = false
	c.s.mu.Unlock()
}

// Close closes the connection and takes it out of the count.
func (c *strangerConn) Close() error {
	c.s.mu.Lock()
	c.s.uncount(c)
	if c.s.conns[c.remote] == c {
		delete(c.s.conns, c.remote)
	}
	c.s.mu.Unlock()
	return c.TCPConn.Close()
}

// addrOf gives the IP address in a host:port, without a zone and never as IPv4 in IPv6.
func addrOf(hostport string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostport)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// network gives what limits count by: an IPv4 address, or the /64 of an IPv6 one, which is one customer's.
func network(a netip.Addr) netip.Addr {
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return a
}
