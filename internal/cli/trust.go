package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

const pinScheme = "sha256:"

func pinString(s link.Server) string { return pinScheme + hex.EncodeToString(s.Pin) }

// trust decides about a server's certificate before the first secret goes there. A server with a pin is used with it,
// and so is one whose certificate the system trusts. Anything else is shown to the person at the terminal, who decides;
// in a script it fails.
func (a *app) trust(ctx context.Context, s link.Server) (link.Server, error) {
	if err := encrypted(s); err != nil {
		return s, err
	}
	if s.URL.Scheme != "https" {
		return s, nil
	}
	if s.Pin != nil {
		return s, a.notePinChange(s)
	}
	done := a.busy("connecting to " + s.URL.Host)
	_, err := api.Call(ctx, a.openAs(s, "").API, api.GetServer, api.None{})
	done()
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		return s, err
	}
	if !terminal(a.in) {
		return s, err
	}
	cert, err := look(ctx, s)
	if err != nil {
		return s, err
	}
	pin := link.Pin(cert)
	a.note("The certificate of %s is the server's own: nobody this machine trusts vouches for it.", s.URL.Host)
	a.note("  subject %s, valid until %s", cell(cert.Subject.String()), cert.NotAfter.UTC().Format(time.DateOnly))
	a.note("  pin     %s%s", pinScheme, hex.EncodeToString(pin))
	a.note("sess-server prints its pin when it starts. Compare the two.")
	ok, err := a.confirm("Is it the same, and do you trust this server?")
	if err != nil {
		return s, err
	}
	if !ok {
		return s, sess.New(sess.CodeDenied, "the server's certificate was not accepted", "ask its owner for its pin")
	}
	s.Pin = pin
	return s, nil
}

// ofLink gives the server that a link leads to. A link is somebody's word: whom we know already by that name we know better
// than a link does, and its pin, which may be that of whoever sits in between, counts only for a server that is new.
func (a *app) ofLink(base *url.URL, pin []byte) (s link.Server, known bool, err error) {
	c, err := a.config()
	if err != nil {
		return s, false, err
	}
	s = link.Server{URL: base}
	if _, known = c.Servers[key(s)]; known {
		s, err = a.withPin(s)
		return s, true, err
	}
	s.Pin = pin
	return s, false, nil
}

// encrypted refuses a server to which passwords, logins and keys would travel in the clear. On this machine itself they may.
func encrypted(s link.Server) error {
	host := s.URL.Hostname()
	ip := net.ParseIP(host)
	if s.URL.Scheme == "https" || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return sess.New(sess.CodeInvalid, "the server's URL is http: passwords and keys would travel in the clear", "use https://"+s.URL.Host)
}

// notePinChange says so when a server that is known is named with another pin than before.
func (a *app) notePinChange(s link.Server) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	if old := c.Servers[key(s)].Pin; old != "" && old != pinString(s) {
		a.note("sessctl: %s had the pin %s and is now named with %s", s.URL.Host, old, pinString(s))
	}
	return nil
}

// look fetches the certificate to pin: the last of the chain the server shows, its CA where it has one. The connection
// is used for nothing else.
func look(ctx context.Context, s link.Server) (*x509.Certificate, error) {
	conf := s.TLSConfig()
	conf.InsecureSkipVerify = true // the person decides, and the connection ends here
	var chain []*x509.Certificate
	seen := errors.New("seen")
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		chain = cs.PeerCertificates
		return seen
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, TLSHandshakeTimeout: lookTimeout}
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := t.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if len(chain) == 0 {
		return nil, sess.Wrap(err, sess.CodeUnavailable, "can't see the certificate of "+s.URL.Host, "")
	}
	for i := range len(chain) - 1 {
		if chain[i].CheckSignatureFrom(chain[i+1]) != nil { // what follows is unrelated
			return chain[i], nil
		}
	}
	return chain[len(chain)-1], nil
}

const lookTimeout = 10 * time.Second
