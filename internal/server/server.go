package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sessctl/sess/internal/sess"
)

// authenticator turns what a request carries into who is asking.
type authenticator interface {
	// Authenticate gives the principal of a login token or API key, or a *sess.Error of code unauthenticated.
	Authenticate(ctx context.Context, bearer string, addr netip.Addr) (sess.Principal, error)
}

// Server is one assembled sess-server.
type Server struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	dir    dataDir
	public *url.URL
	pin    []byte

	identity authenticator

	api          huma.API
	bound        []string
	publicRate   *rateLimiter
	passwordRate *rateLimiter
	strangers    *strangers
	binaries     *binaries
	listener     *listener
	http         *http.Server
	conns        sync.WaitGroup
}
