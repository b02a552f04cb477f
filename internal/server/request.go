package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// request is what the outer layers know of an HTTP request.
type request struct {
	id     string
	addr   netip.Addr // of the client, as far as we can believe it
	remote string     // address and port of the connection
}

type requestKey struct{}

// requestOf gives what outer put into ctx.
func requestOf(ctx context.Context) request {
	r, _ := ctx.Value(requestKey{}).(request)
	return r
}

// responseTimeout bounds how long a client may take to read an answer; streams set their own.
const responseTimeout = time.Minute

// outer is the layer around all handlers: it names the request, works out who calls, bounds the time of the answer,
// turns panics into problem documents, and logs.
func (s *Server) outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := request{id: newRequestID(), addr: s.client(r), remote: r.RemoteAddr}
		start := s.now()
		h := w.Header()
		h.Set("X-Request-Id", req.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if s.cfg.TLS != TLSOff {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		c := http.NewResponseController(w) // a test's recorder has no deadlines
		_ = c.SetWriteDeadline(time.Now().Add(responseTimeout))
		if r.ContentLength != 0 {
			// Also for a body that no handler reads: net/http reads what is left of it before the next request, for as long
			// as that takes.
			_ = c.SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		sw := &statusWriter{ResponseWriter: w}
		defer func() { //nolint:contextcheck // the request's is in r
			p := recover()
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares so too
				panic(p)
			}
			if p != nil {
				s.log.Error("panic in handler", "request_id", req.id, "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if sw.status == 0 {
					s.writeError(sw, req, fmt.Errorf("panic: %v", p))
				}
			}
			s.log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("request_id", req.id), slog.String("method", r.Method),
				slog.String("path", r.URL.Path), slog.Int("status", sw.status), slog.String("client", req.addr.String()), slog.Duration("took", s.now().Sub(start)))
		}()
		r = r.WithContext(sess.WithRequest(context.WithValue(r.Context(), requestKey{}, req), req.id))
		if s.crowded(sw, r, req) {
			return
		}
		next.ServeHTTP(sw, r)
	})
}

// crowded refuses a request of a client behind a trusted proxy that has too many connections there without having shown who
// it is: the listener, who limits the others, sees the proxy only.
func (s *Server) crowded(w http.ResponseWriter, r *http.Request, req request) bool {
	if !s.cfg.TrustedProxies.Contains(addrOf(req.remote)) || s.strangers.behind(req.remote, req.addr, s.exempt) {
		return false
	}
	s.refused(r.Context(), req.addr, sess.CodeLimited)
	w.Header().Set("Connection", "close")
	s.writeError(w, req, sess.New(sess.CodeLimited, "too many connections from your address", "close some, or log in with them"))
	return true
}

// exempt reports whether an address is not limited by itself: this machine's, or a trusted proxy's.
func (s *Server) exempt(a netip.Addr) bool { return a.IsLoopback() || s.cfg.TrustedProxies.Contains(a) }

// writeError answers with the problem document of err, and logs what the document does not say.
func (s *Server) writeError(w http.ResponseWriter, req request, err error) {
	p := s.problem(req, err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

// problem gives the document people may see of err. What it hides goes to the log.
func (s *Server) problem(req request, err error) *api.Problem {
	p := api.NewProblem(err, req.id)
	if p.Code == sess.CodeInternal {
		s.log.Error("request failed", "request_id", req.id, "error", err)
	}
	return p
}

// notFound answers requests that no route matches.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.writeError(w, requestOf(r.Context()), sess.New(sess.CodeNotFound, "there is no such operation: "+r.Method+" on this path",
		"compare the versions of client and server; docs/reference/openapi.json lists what there is"))
}

func newRequestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	return "req_" + hex.EncodeToString(b[:])
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(code int) {
	if w.status == 0 || w.status < 200 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
