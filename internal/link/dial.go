package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/sessctl/sess/internal/sess"
)

// Times a dial may take.
const (
	dialTimeout      = 10 * time.Second // TCP, to the server or its proxy
	handshakeTimeout = 10 * time.Second // TLS
	headerTimeout    = 60 * time.Second // until the first byte of an answer
	idleTimeout      = 60 * time.Second // of a connection kept for the next request
)

// Dialer connects to one server: its API and its WebSockets, through HTTPS_PROXY when that is set. Requests and
// WebSockets share connections: the connection of an API call that is over becomes the stream's, without another
// handshake. The fields are set before the first use.
type Dialer struct {
	Server Server
	// Proxy picks a proxy for a request; nil means http.ProxyFromEnvironment.
	Proxy     func(*http.Request) (*url.URL, error)
	UserAgent string

	once sync.Once
	http *http.Client
}

// HTTPClient gives the client for the server's API. It is the same one on every call.
func (d *Dialer) HTTPClient() *http.Client {
	d.once.Do(func() {
		proxy := d.Proxy
		if proxy == nil {
			proxy = http.ProxyFromEnvironment
		}
		dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
		t := &http.Transport{
			Proxy:                 proxy,
			DialContext:           dialer.DialContext,
			TLSClientConfig:       d.Server.TLSConfig(),
			TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2: WebSockets need 1.1
			TLSHandshakeTimeout:   handshakeTimeout,
			ResponseHeaderTimeout: headerTimeout,
			IdleConnTimeout:       idleTimeout,
			MaxIdleConnsPerHost:   2,
			DisableCompression:    true,

			OnProxyConnectResponse: proxyAnswer,
		}
		d.http = &http.Client{Transport: &transport{base: t}, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a redirect would carry the credential somewhere else
		}}
	})
	return d.http
}

// CloseIdle closes connections that wait for another request.
func (d *Dialer) CloseIdle() { d.HTTPClient().CloseIdleConnections() }

// Dial opens a WebSocket at u (wss or https, of this server) with the given subprotocol. A refusal that the server
// explained is its *sess.Error; anything else on the way is one of code unavailable.
func (d *Dialer) Dial(ctx context.Context, u, subprotocol string, h http.Header) (*Conn, error) {
	if h == nil {
		h = http.Header{}
	}
	h.Set("User-Agent", d.UserAgent)
	var raw net.Conn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { raw = i.Conn }})
	var s *sock
	client := *d.HTTPClient()
	client.Transport = upgrader{client.Transport, func(rwc io.ReadWriteCloser) io.ReadWriteCloser {
		s = &sock{rwc: rwc, conn: raw}
		return s
	}}
	ws, resp, err := websocket.Dial(ctx, u, &websocket.DialOptions{
		HTTPClient: &client, HTTPHeader: h, Subprotocols: []string{subprotocol}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, dialError(u, resp, err)
	}
	if ws.Subprotocol() != subprotocol {
		_ = ws.CloseNow()
		return nil, sess.New(sess.CodeUnavailable, "the server does not speak "+subprotocol, "is it a sess-server of this version or the one before?")
	}
	return newConn(ws, s, subprotocol), nil
}

func dialError(u string, resp *http.Response, err error) error {
	var e *sess.Error
	if errors.As(err, &e) {
		return e
	}
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
		var p struct {
			Code         sess.Code
			Detail, Hint string
		}
		b, rerr := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if rerr == nil && json.Unmarshal(b, &p) == nil && p.Code != "" {
			return sess.New(p.Code, p.Detail, p.Hint)
		}
		return sess.Wrap(err, sess.CodeUnavailable, "no WebSocket at "+hostOf(u)+": "+resp.Status,
			"a proxy in between may not pass WebSockets")
	}
	return sess.Wrap(err, sess.CodeUnavailable, "can't reach "+hostOf(u), "check the address, the network and whether sess-server runs")
}

func hostOf(u string) string {
	if p, err := url.Parse(u); err == nil {
		return p.Host
	}
	return u
}

// transport gives certificate problems a face.
type transport struct{ base *http.Transport }

// CloseIdleConnections lets http.Client reach the base.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err == nil {
		return resp, nil
	}
	var pin *CertificateError
	if errors.As(err, &pin) {
		return nil, pin.Public()
	}
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return nil, sess.Wrap(err, sess.CodeUnavailable, "the certificate of "+r.URL.Host+" is not signed by anyone this machine trusts",
			"if it is the server's own, name the server with its pin: "+r.URL.Scheme+"://"+r.URL.Host+"#pin=sha256:…")
	case errors.As(err, &cert):
		return nil, sess.Wrap(err, sess.CodeUnavailable, "the certificate of "+r.URL.Host+" is not valid: "+cert.Err.Error(), "check the address and the machine's clock")
	case strings.Contains(err.Error(), "protocol version not supported"): // crypto/tls has no type for what the other side says
		return nil, sess.Wrap(err, sess.CodeUnavailable, r.URL.Host+" does not speak TLS 1.3", "sess-server does: let the proxy in front of it, too (nginx: ssl_protocols TLSv1.3)")
	}
	return nil, err
}

// proxyAnswer gives the refusal of a proxy on the way a face.
func proxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired, http.StatusUnauthorized: // tinyproxy says the latter
		return sess.New(sess.CodeUnavailable, "the proxy "+proxy.Host+" wants another user and password", "put them into HTTPS_PROXY: http://USER:PASSWORD@"+proxy.Host)
	}
	return sess.New(sess.CodeUnavailable, fmt.Sprintf("the proxy %s lets nobody through to there: %s", proxy.Host, http.StatusText(resp.StatusCode)), "HTTPS_PROXY names it; NO_PROXY lists hosts that need none")
}

// upgrader puts a sock under a WebSocket that the client has just opened.
type upgrader struct {
	http.RoundTripper
	wrap func(io.ReadWriteCloser) io.ReadWriteCloser
}

// RoundTrip implements http.RoundTripper. net/http keeps connections that were made for WebSockets apart from all others,
// and knows them by the canonical spelling of their Upgrade header: spelled otherwise, the upgrade happens on the
// connection that the API call before it has left.
func (u upgrader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header["upgrade"] = r.Header["Upgrade"]
	delete(r.Header, "Upgrade")
	resp, err := u.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	rwc, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return nil, fmt.Errorf("response body is %T, not the connection", resp.Body)
	}
	resp.Body = u.wrap(rwc)
	return resp, nil
}

// Accept answers a WebSocket upgrade of the given subprotocol. On failure it has written the response. The request's
// context ends when the handler returns; the connection goes on.
func Accept(w http.ResponseWriter, r *http.Request, subprotocol string) (*Conn, error) {
	h := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, fmt.Errorf("accept WebSocket: %w", err)
	}
	if ws.Subprotocol() != subprotocol {
		_ = ws.Close(websocket.StatusPolicyViolation, "subprotocol "+subprotocol+" is needed")
		return nil, sess.New(sess.CodeInvalid, "the client does not offer subprotocol "+subprotocol, "")
	}
	return newConn(ws, h.sock, subprotocol), nil
}

// hijacker puts a sock under the WebSocket that takes the connection over.
type hijacker struct {
	http.ResponseWriter
	sock *sock
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take the connection over: %w", err)
	}
	_ = c.SetDeadline(time.Time{}) // the HTTP server's deadlines end here
	h.sock = &sock{rwc: c, conn: c}
	rw.Writer.Reset(h.sock)
	return sockConn{c, h.sock}, rw, nil
}

// sockConn is a net.Conn whose bytes pass through a sock.
type sockConn struct {
	net.Conn
	s *sock
}

// Read implements net.Conn.
func (c sockConn) Read(p []byte) (int, error) { return c.s.Read(p) }

// Write implements net.Conn.
func (c sockConn) Write(p []byte) (int, error) { return c.s.Write(p) }
