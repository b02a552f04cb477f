package link_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// echo serves a WebSocket that sends every frame back.
func echo(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusGone)
			_, _ = io.WriteString(w, `{"code":"expired","detail":"the ticket was used","hint":"ask for another"}`)
			return
		}
		c, err := link.Accept(w, r, wire.Subprotocol)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			f, err := c.ReadFrame()
			if err != nil {
				return
			}
			if err := c.WriteFrame(f); err != nil {
				return
			}
		}
	}))
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func serverOf(t *testing.T, srv *httptest.Server) link.Server {
	t.Helper()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return link.Server{URL: u, Pin: link.Pin(srv.Certificate())}
}

func direct(*http.Request) (*url.URL, error) { return nil, nil }

func tryEcho(ctx context.Context, d *link.Dialer) error {
	c, err := d.Dial(ctx, d.Server.URL.String()+"/x", wire.Subprotocol, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Write(wire.Header{Type: wire.Data, Channel: 1}, []byte("hello")); err != nil {
		return err
	}
	_, p, err := c.Read()
	if err == nil && string(p) != "hello" {
		return errors.New("echo is " + string(p))
	}
	return err
}

func TestPin(t *testing.T) {
	srv := serverOf(t, echo(t))
	if err := tryEcho(t.Context(), &link.Dialer{Server: srv, Proxy: direct}); err != nil {
		t.Errorf("with the right pin: %v", err)
	}
	wrong := srv
	wrong.Pin = make([]byte, 32)
	err := tryEcho(t.Context(), &link.Dialer{Server: wrong, Proxy: direct})
	var e *sess.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "HAS CHANGED") || e.Hint == "" {
		t.Errorf("with a wrong pin: %v, want a loud error with a hint", err)
	}
	err = tryEcho(t.Context(), &link.Dialer{Server: link.Server{URL: srv.URL}, Proxy: direct})
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "#pin=sha256:") {
		t.Errorf("without a pin: %v, want an error that says how to give one", err)
	}
}

func TestTLS12IsRefused(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	if err := tryEcho(t.Context(), &link.Dialer{Server: serverOf(t, srv), Proxy: direct}); err == nil {
		t.Error("a TLS 1.2 server was accepted")
	}
}

func TestRefusalKeepsItsFace(t *testing.T) {
	srv := serverOf(t, echo(t))
	d := &link.Dialer{Server: srv, Proxy: direct}
	_, err := d.Dial(t.Context(), srv.URL.String()+"/refused", wire.Subprotocol, nil)
	var e *sess.Error
	if !errors.As(err, &e) || e.Code != sess.CodeExpired || e.Message != "the ticket was used" || e.Hint != "ask for another" {
		t.Errorf("Dial = %#v, want the server's own error", err)
	}
}

// TestThroughProxyWithPassword goes through a CONNECT proxy that wants a user and a password.
func TestThroughProxyWithPassword(t *testing.T) {
	srv := serverOf(t, echo(t))
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte("joe:s3cret"))
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != want {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		tunnels.Add(1)
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer up.Close()
		w.WriteHeader(http.StatusOK)
		down, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer down.Close()
		go func() { _, _ = io.Copy(up, bufio.NewReader(rw)); _ = up.Close() }()
		_, _ = io.Copy(down, up)
	}))
	defer proxy.Close()
	via := func(user *url.Userinfo) *link.Dialer {
		u, _ := url.Parse(proxy.URL)
		u.User = user
		return &link.Dialer{Server: srv, Proxy: http.ProxyURL(u)}
	}
	if err := tryEcho(t.Context(), via(url.UserPassword("joe", "s3cret"))); err != nil || tunnels.Load() != 1 {
		t.Errorf("through the proxy: %v, %d tunnels", err, tunnels.Load())
	}
	if err := tryEcho(t.Context(), via(url.UserPassword("joe", "wrong"))); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong password: %v, want an error without it", err)
	}
}

// TestRequestAndStreamShareAConnection: the connection of an API call becomes the stream's, so that a start needs one
// handshake.
func TestRequestAndStreamShareAConnection(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := link.Accept(w, r, wire.Subprotocol); err == nil {
			c.Close()
		}
	}))
	var conns atomic.Int32
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	d := &link.Dialer{Server: serverOf(t, srv), Proxy: direct}
	resp, err := d.HTTPClient().Get(srv.URL + "/api")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	c, err := d.Dial(t.Context(), srv.URL+"/stream", wire.Subprotocol, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections were made, want 1", n)
	}
}

func TestParseServer(t *testing.T) {
	pin := strings.Repeat("ab", 32)
	for in, want := range map[string]string{
		"https://sess.example.com":                            "https://sess.example.com",
		"sess.example.com:8443":                               "https://sess.example.com:8443",
		"https://10.0.0.5:8443/#pin=sha256:" + pin:            "https://10.0.0.5:8443#pin=sha256:" + pin,
		"https://10.0.0.5#pin=sha256:" + strings.ToUpper(pin): "https://10.0.0.5#pin=sha256:" + pin,
	} {
		if got, err := link.ParseServer(in); err != nil || got.String() != want {
			t.Errorf("ParseServer(%q) = %v, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "ftp://x", "https://", "https://joe:pw@x", "https://x#pin=sha256:ab", "https://x#" + pin, "https://x#other", "://", strings.Repeat("x", 3000)} {
		if got, err := link.ParseServer(in); err == nil {
			t.Errorf("ParseServer(%q) = %v, want an error", in, got)
		}
	}
}
