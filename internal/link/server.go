package link

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// Server is what a client or an agent knows of its server: where it is and, when its certificate is its own, which one
// it must show.
type Server struct {
	URL *url.URL // https (or http for tests and loopback) with host and port, without path
	// Pin is the SHA-256 of the SubjectPublicKeyInfo (DER) of the server's certificate or of a CA that signed it, 32
	// bytes; nil: the system's roots decide.
	Pin []byte
}

const pinPrefix = "pin=sha256:"

// ParseServer reads "https://host[:port][#pin=sha256:HEX]". A missing scheme means https.
func ParseServer(s string) (Server, error) {
	hint := "write it as https://sess.example.com or https://10.0.0.5:8443#pin=sha256:…"
	if len(s) > 2048 {
		return Server{}, sess.New(sess.CodeInvalid, "the server's URL is too long", hint)
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return Server{}, sess.New(sess.CodeInvalid, fmt.Sprintf("%q is no server URL", s), hint)
	}
	srv := Server{URL: &url.URL{Scheme: u.Scheme, Host: u.Host}}
	if u.Fragment == "" {
		return srv, nil
	}
	pin, err := hex.DecodeString(strings.TrimPrefix(u.Fragment, pinPrefix))
	if err != nil || len(pin) != sha256.Size || !strings.HasPrefix(u.Fragment, pinPrefix) {
		return Server{}, sess.New(sess.CodeInvalid, "the pin behind # is not pin=sha256: and 64 hex digits", hint)
	}
	srv.Pin = pin
	return srv, nil
}

// String gives the form ParseServer reads.
func (s Server) String() string {
	if s.Pin == nil {
		return s.URL.String()
	}
	return s.URL.String() + "#" + pinPrefix + hex.EncodeToString(s.Pin)
}

// Name is the host name signatures are bound to.
func (s Server) Name() string { return s.URL.Hostname() }

// Pin gives the pin of a certificate: the SHA-256 of its SubjectPublicKeyInfo, as curl's --pinnedpubkey counts it.
func Pin(cert *x509.Certificate) []byte {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return sum[:]
}

// TLSConfig gives the client configuration for s: TLS 1.3 only. With a pin, a certificate of the chain shown must have
// it. Of the server's own certificate names and dates do not matter then: the key is what was agreed on. Of a CA they do.
// Without a pin the system's roots decide.
func (s Server) TLSConfig() *tls.Config {
	c := &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		ServerName:                  s.URL.Hostname(),
		NextProtos:                  []string{"http/1.1"},
		DynamicRecordSizingDisabled: true,
		ClientSessionCache:          tls.NewLRUClientSessionCache(8),
	}
	if s.Pin == nil {
		return c
	}
	host := s.URL.Host
	c.InsecureSkipVerify = true // replaced by the check below
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		for i, cert := range cs.PeerCertificates {
			if bytes.Equal(Pin(cert), s.Pin) && (i == 0 || issued(cs.PeerCertificates[:i+1], c.ServerName)) {
				return nil
			}
		}
		shown := "none"
		if len(cs.PeerCertificates) > 0 {
			shown = "sha256:" + hex.EncodeToString(Pin(cs.PeerCertificates[0]))
		}
		return &CertificateError{Host: host, Want: "sha256:" + hex.EncodeToString(s.Pin), Shown: shown}
	}
	return c
}

// issued reports whether the last of chain, a CA, vouches for the first as the server of that name now: a CA's key signs for
// many, so here names and dates do matter.
func issued(chain []*x509.Certificate, name string) bool {
	o := x509.VerifyOptions{DNSName: name, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	o.Roots.AddCert(chain[len(chain)-1])
	for _, cert := range chain[1 : len(chain)-1] {
		o.Intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(o)
	return err == nil
}

// CertificateError says that a server showed another certificate than the pinned one.
type CertificateError struct {
	Host, Want, Shown string
}

// Error implements error.
func (e *CertificateError) Error() string {
	return fmt.Sprintf("certificate of %s is %s, pinned is %s", e.Host, e.Shown, e.Want)
}

// Public gives the error as people should see it: loud.
func (e *CertificateError) Public() *sess.Error {
	return sess.Wrap(e, sess.CodeUnavailable,
		"THE CERTIFICATE OF "+e.Host+" HAS CHANGED: somebody may be listening in, or the server got a new one",
		"ask its owner; if it was replaced on purpose, log in again with the new pin: "+e.Shown)
}
