package idp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/sessctl/sess/internal/outbound"
)

// Limits on requests to providers.
const (
	requestTimeout = 10 * time.Second // the whole of one
	dialTimeout    = 5 * time.Second
	maxAnswer      = 1 << 20 // bytes of an answer
	maxHeader      = 64 << 10
	maxRedirects   = 3
)

var (
	errPrivate   = errors.New("its address is of this machine or a private network, which only the server's owner can allow (--idp-allow-private)")
	errLinkLocal = errors.New("its address is link-local, where no identity provider is")
	errAnswer    = errors.New("its answer is over a megabyte")
)

// NewClient makes the HTTP client for providers: bounded in time and size, and, unless allowPrivate, without a way to this
// machine, its network's or the cloud's own addresses. The address is looked at when it is connected to, so no name and no
// redirect leads there either. It uses no proxy, which would take that decision away.
func NewClient(allowPrivate bool) *http.Client {
	d := &net.Dialer{Timeout: dialTimeout}
	d.Control = func(_, address string, _ syscall.RawConn) error { return reachable(address, allowPrivate) }
	t := &http.Transport{
		DialContext: d.DialContext, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: requestTimeout,
		MaxResponseHeaderBytes: maxHeader, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConns: 16,
	}
	return &http.Client{Transport: bounded{t}, Timeout: requestTimeout, CheckRedirect: follow}
}

// follow lets a GET be sent on a few times, never from https to http, and nothing else: a POST holds secrets.
func follow(req *http.Request, via []*http.Request) error {
	switch last := via[len(via)-1]; {
	case len(via) > maxRedirects:
		return errors.New("it redirects too often")
	case last.Method != http.MethodGet || req.Method != http.MethodGet:
		return errors.New("it redirects a request that holds secrets")
	case last.URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("it redirects from https to http")
	}
	return nil
}

// bounded ends answers that are too large with an error: half a document must not pass for a whole one.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{resp.Body, maxAnswer}
	if r.Method == http.MethodGet && resp.StatusCode >= http.StatusBadRequest {
		// Nothing asks for the text of a refusal, and libraries put it into their errors, which people see. It may be that of
		// something else in the server's network.
		_ = resp.Body.Close() // nothing was read
		resp.Body = http.NoBody
	}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errAnswer
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// reachable refuses an address where no provider may be. Link-local ones are never allowed: there a cloud tells its machines
// their secrets, and admins of organisations choose the URLs.
func reachable(address string, allowPrivate bool) error {
	err := outbound.Guard{AllowPrivate: allowPrivate}.Check(address)
	switch {
	case errors.Is(err, outbound.ErrLinkLocal) && allowPrivate:
		return errLinkLocal
	case errors.Is(err, outbound.ErrPrivate), errors.Is(err, outbound.ErrLinkLocal):
		return errPrivate
	}
	return err //nolint:wrapcheck // it says everything
}

func asURLError(err error) (*url.Error, bool) { return errors.AsType[*url.Error](err) }

// get fetches a document.
func get(ctx context.Context, client *http.Client, raw, accept, bearer string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, raw, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "sess-server")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return client.Do(req)
}
