package e2e

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// proxy is an HTTP CONNECT proxy in front of a server, which a test can cut and freeze. Whatever host is asked for, it
// connects to target.
type proxy struct {
	ln     net.Listener
	target func() string
	source string // address that it goes on from; empty: whatever the system takes

	mu      sync.Mutex // protects the following
	cond    sync.Cond
	conns   map[*tunnel]struct{}
	frozen  bool // nothing passes, and nobody is told
	refuses bool // new connections are refused
	delay   time.Duration
	cuts    int // tunnels cut so far
	made    int // tunnels made so far
	bytes   int64
}

type tunnel struct{ near, far net.Conn }

func newProxy(t *testing.T, target func() string) *proxy { return newProxyFrom(t, "", target) }

// newProxyFrom is newProxy with a source address.
func newProxyFrom(t *testing.T, source string, target func() string) *proxy {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, target: target, source: source, conns: map[*tunnel]struct{}{}}
	p.cond.L = &p.mu
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		p.freeze(false)
		p.refuse(true)
		p.cut()
		wg.Wait()
	})
	return p
}

// env makes a program go through p.
func (p *proxy) env() []string {
	u := "http://" + p.ln.Addr().String()
	return []string{"HTTPS_PROXY=" + u, "https_proxy=" + u, "NO_PROXY=", "no_proxy="}
}

func (p *proxy) serve(near net.Conn) {
	defer near.Close()
	_ = near.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(near)
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	_ = near.SetReadDeadline(time.Time{})
	if !p.pass(0) {
		reset(near)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var d net.Dialer
	if p.source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(p.source)}
	}
	far, err := d.DialContext(ctx, "tcp", p.target())
	if err != nil {
		_, _ = io.WriteString(near, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer far.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	tun := &tunnel{near, far}
	p.mu.Lock()
	p.conns[tun] = struct{}{}
	p.made++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, tun)
	}()
	done := make(chan struct{}, 2)
	go func() { p.copy(far, r); done <- struct{}{} }()
	go func() { p.copy(near, far); done <- struct{}{} }()
	<-done
	<-done
}

// copy passes bytes on while p lets them pass. The end of one direction half-closes the other side.
func (p *proxy) copy(to net.Conn, from io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.wait()
			p.pass(n)
			if _, err := to.Write(buf[:n]); err != nil {
				if c, ok := from.(net.Conn); ok {
					_ = c.Close()
				}
				return
			}
		}
		if err != nil {
			p.pass(0)
			_ = to.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

func (p *proxy) wait() {
	p.mu.Lock()
	d := p.delay
	p.mu.Unlock()
	if d > 0 {
		<-time.After(d)
	}
}

// pass waits while p is frozen, counts n bytes, and reports whether new connections are taken.
func (p *proxy) pass(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen {
		p.cond.Wait()
	}
	p.bytes += int64(n)
	return !p.refuses
}

// cut breaks all connections that there are.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.conns {
		reset(t.near)
		reset(t.far)
		p.cuts++
	}
}

// reset breaks a connection as a router that forgot it does.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// refuse has new connections fail, or work again.
func (p *proxy) refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = on
}

// freeze stops all bytes without a word, or lets them go on.
func (p *proxy) freeze(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = on
	p.cond.Broadcast()
}
