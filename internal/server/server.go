package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sessctl/sess/internal/alert"
	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/relay"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/trail"
	"github.com/sessctl/sess/internal/wire"
)

// authenticator turns what a request carries into who is asking.
type authenticator interface {
	// Authenticate gives the principal of a login token or API key, or a *sess.Error of code unauthenticated.
	Authenticate(ctx context.Context, bearer string, addr netip.Addr) (sess.Principal, error)
}

// Server is one assembled sess-server. New makes it, Run serves, Close gives back what New took.
type Server struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	dir    dataDir
	public *url.URL
	pin    []byte // of our own certificate; nil: the system's roots know it
	info   api.ServerInfo

	// The rooms, in the order they are made; closers undoes it.
	store      *store.DB
	signer     *audit.Signer
	sequencer  *audit.Sequencer
	gate       *gate.Gate
	recordings *recording.Dir
	identity   *identity.Service
	broker     *broker.Service
	relay      *relay.Relay
	trail      *trail.Service
	alerts     *alert.Service
	mailer     *mailer          // nil: this server sends no mail
	publisher  *trail.Publisher // nil: checkpoints are published nowhere
	closers    []func() error

	auth         authenticator
	refused      func(ctx context.Context, addr netip.Addr, code sess.Code) // records the refusal of somebody unknown
	api          huma.API
	bound        []string
	publicRate   *rateLimiter
	passwordRate *rateLimiter
	strangers    *strangers
	pages        *pages
	binaries     *binaries
	tcp          net.Listener
	listener     *listener
	handler      http.Handler
	http         *http.Server
	conns        *conns
	changed      bell // rung when rules of some organisation changed
	long         tally
	draining     atomic.Bool
	leaving      chan struct{} // closed when the server begins to stop: answers without an end end
	adminLink    string        // of this start, while nobody has accepted
}

// New makes a server from cfg: it opens the store, loads or makes the keys, listens on the port (but answers only once
// Run runs), and makes the organisation and the first admin's link where there is none. Problems that an admin can do
// something about are *sess.Error: the directory in use or not writable, the port in use, a database of a newer version,
// a broken file.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, now: time.Now,
		publicRate: newRateLimiter(publicBurst, publicPerSecond), passwordRate: newRateLimiter(passwordBurst, passwordPerSecond),
		strangers: newStrangers(maxStrangers, maxStrangersPerAddr), leaving: make(chan struct{}),
	}
	s.publicRate.free = netip.Addr.IsLoopback // passwords are limited for everybody
	for _, step := range []func(context.Context) error{s.openPages, s.openFiles, s.openPort, s.openRooms, s.firstStart} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.handler = s.routes() //nolint:contextcheck // handlers have their request's
	return s, nil
}

// URL gives what agents and clients know this server by: its public URL, with the pin of an own certificate.
func (s *Server) URL() string { return link.Server{URL: s.public, Pin: s.pin}.String() }

// AdminLink gives the link for the first admin, until somebody has accepted it; else it is empty.
func (s *Server) AdminLink() string { return s.adminLink }

// Close gives back what New took, last first. It is for a server that Run has left, or that never ran.
func (s *Server) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Server) onClose(f func() error) { s.closers = append(s.closers, f) }

// openFiles opens the data directory, the store and the agent binaries.
func (s *Server) openFiles(ctx context.Context) (err error) {
	if s.dir, err = openDataDir(s.cfg.DataDir); err != nil {
		return err
	}
	if s.mailer, err = newMailer(s.cfg); err != nil {
		return err
	}
	if s.binaries, err = loadBinaries(s.cfg.AgentBinaries); err != nil {
		return err
	}
	where := store.Config{Dir: s.dir.path, Log: s.log}
	if s.cfg.Database != "" {
		where = store.Config{URL: s.cfg.Database, Log: s.log}
		lock, err := store.LockDir(s.dir.path)
		if err != nil {
			return err //nolint:wrapcheck // it says everything
		}
		s.onClose(lock.Unlock)
	}
	if s.store, err = store.Open(ctx, where); err != nil {
		return err //nolint:wrapcheck // it says everything
	}
	s.onClose(s.store.Close)
	return nil
}

// openPort listens and works out how this server is reached.
func (s *Server) openPort(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if s.tcp, err = lc.Listen(ctx, "tcp", s.cfg.Listen); err != nil {
		return portError(s.cfg.Listen, err)
	}
	s.onClose(func() error {
		if err := s.tcp.Close(); !errors.Is(err, net.ErrClosed) { // Run closes it, too
			return err
		}
		return nil
	})
	if s.public, err = s.cfg.publicURL(s.tcp.Addr()); err != nil {
		return err
	}
	tlsConfig, err := s.cfg.tlsConfig(s.dir, s.hosts(), s.now())
	if err != nil {
		return err
	}
	if s.cfg.TLS == TLSSelfSigned {
		if s.pin, err = pinOf(tlsConfig.Certificates[0]); err != nil {
			return err
		}
	}
	s.info = api.ServerInfo{Name: s.public.Hostname(), Version: s.cfg.Version, Protocol: wire.Version}
	s.listener = newListener(s.tcp, tlsConfig, s.strangers, s.exempt, handshakeTimeout)
	s.onClose(s.listener.Close)
	return nil
}

// hosts lists the names an own certificate is for.
func (s *Server) hosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if h, _, err := net.SplitHostPort(s.cfg.Listen); err == nil && h != "" && h != "localhost" && h != "127.0.0.1" && h != "::1" {
		if a, err := netip.ParseAddr(h); err != nil || !a.IsUnspecified() {
			hosts = append(hosts, h)
		}
	}
	if h := s.public.Hostname(); h != "localhost" && h != "127.0.0.1" && h != "::1" {
		hosts = append(hosts, h)
	}
	return hosts
}

func portError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return sess.Wrap(err, sess.CodeConflict, "can't listen on "+addr+": another program has that port", "stop it, or choose another --listen")
	case errors.Is(err, os.ErrPermission):
		return sess.Wrap(err, sess.CodeInvalid, "can't listen on "+addr+": not allowed", "ports below 1024 need root or CAP_NET_BIND_SERVICE")
	}
	return sess.Wrap(err, sess.CodeInvalid, "can't listen on "+addr, "use HOST:PORT with an address of this machine, or :PORT for all of them")
}

// firstStart makes the organisation and the link of the first admin, where there is none yet.
func (s *Server) firstStart(ctx context.Context) error {
	token, invited, err := s.identity.FirstStart(ctx)
	if err != nil {
		return err //nolint:wrapcheck // it says everything
	}
	if invited {
		s.adminLink = s.identity.InviteLink(token)
	}
	return nil
}

// announce tells the person at the terminal what was started and what to do next.
func (s *Server) announce() {
	w := s.cfg.Notices
	fmt.Fprintf(w, "sess-server listens on %s; its URL is\n  %s\n", s.tcp.Addr(), s.URL())
	if s.adminLink != "" {
		fmt.Fprintf(w, "there is no admin yet: set a password, valid once, with\n  sessctl accept '%s'\n", s.adminLink)
	}
}
