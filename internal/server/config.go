package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// TLSMode says who ends TLS.
type TLSMode string

// The TLS modes.
const (
	TLSSelfSigned TLSMode = "self-signed" // our own key and certificate, made at the first start; clients pin the key
	TLSFiles      TLSMode = "files"       // certificate and key from files
	TLSOff        TLSMode = "off"         // a proxy in front ends TLS
)

// Config is what a server needs to know. The zero values of optional fields are their defaults.
type Config struct {
	DataDir string // required: keys, recordings and, without Database, the database live here
	Listen  string // required: host:port; port 0 picks a free one
	// PublicURL is how agents and clients reach the server. Empty: https:// and the host and port of Listen, or the
	// machine's host name where Listen names no host.
	PublicURL string
	TLS       TLSMode // empty: self-signed, or files when TLSCert is set
	TLSCert   string  // PEM file; read again when it changes
	TLSKey    string
	// AgentBinaries is a directory with sess-agent-OS-ARCH files and their SHA256SUMS, to install agents from. Empty:
	// the server gives out no binaries.
	AgentBinaries string
	Database      string // postgres://…; empty: SQLite in DataDir
	// SMTPURL is the mail server that invitations and links go out by: smtp://user@host:port or smtps://…. Empty: none; what
	// would be mailed is handed to the admin who made it.
	SMTPURL          string
	SMTPPasswordFile string
	MailFrom         string // the sender; required with SMTPURL
	// TrustedProxies may say on whose behalf they call, in ProxyHeader; nobody else may.
	TrustedProxies sess.Addresses
	ProxyHeader    ProxyHeader // empty: X-Forwarded-For
	// IDPAllowPrivate lets identity providers be on this machine and on private networks, and speak http.
	IDPAllowPrivate bool
	// WebhookAllowPrivate lets what organisations have sent to addresses of their choice, audit sinks and alerts, go to this
	// machine and to private networks, by http, too.
	WebhookAllowPrivate bool
	// AuditWitness is where each signed checkpoint of the audit logs is published: a file that is appended to, or a URL that is
	// posted to. Empty: nowhere.
	AuditWitness string
	Version      string
	Log          *slog.Logger // required
	Notices      io.Writer    // messages for the person who starts the server; nil: none
}

// publicURL works out the URL agents and clients use, from the configuration and the address really listened on.
func (c Config) publicURL(addr net.Addr) (*url.URL, error) {
	scheme := "https"
	if c.TLS == TLSOff {
		scheme = "http"
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return nil, sess.Wrap(err, sess.CodeInvalid, fmt.Sprintf("the public URL %q is no address of a server", c.PublicURL), "give https://HOST or https://HOST:PORT")
		}
		return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, fmt.Sprintf("the listen address %q is not HOST:PORT", c.Listen), "for example 0.0.0.0:8443")
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find the host's name: %w", err)
		}
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return nil, fmt.Errorf("read listener's address: %w", err)
	}
	return &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}, nil
}

func (c *Config) check() error {
	if c.DataDir == "" {
		return sess.New(sess.CodeInvalid, "no data directory is given", "use --data-dir DIR")
	}
	if c.Listen == "" {
		return sess.New(sess.CodeInvalid, "no address to listen on is given", "use --listen HOST:PORT")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return sess.New(sess.CodeInvalid, "a certificate and its key go together", "give both --tls-cert and --tls-key")
	}
	switch {
	case c.TLS == "" && c.TLSCert != "":
		c.TLS = TLSFiles
	case c.TLS == "":
		c.TLS = TLSSelfSigned
	case c.TLS == TLSSelfSigned && c.TLSCert != "", c.TLS == TLSOff && c.TLSCert != "":
		return sess.New(sess.CodeInvalid, fmt.Sprintf("--tls %s and --tls-cert exclude each other", c.TLS), "leave one of them out")
	case c.TLS == TLSFiles && c.TLSCert == "":
		return sess.New(sess.CodeInvalid, "no certificate is given", "use --tls-cert FILE and --tls-key FILE")
	case c.TLS != TLSSelfSigned && c.TLS != TLSFiles && c.TLS != TLSOff:
		return sess.New(sess.CodeInvalid, fmt.Sprintf("unknown TLS mode %q", c.TLS), "use self-signed or off, or --tls-cert and --tls-key")
	}
	if c.ProxyHeader == "" {
		c.ProxyHeader = ProxyXForwardedFor
	}
	if c.ProxyHeader != ProxyXForwardedFor && c.ProxyHeader != ProxyForwarded {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("unknown proxy header %q", c.ProxyHeader), "use x-forwarded-for or forwarded")
	}
	if c.Notices == nil {
		c.Notices = io.Discard
	}
	return nil
}
