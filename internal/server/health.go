package server

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// readyTimeout bounds the question to the database.
const readyTimeout = 3 * time.Second

// serveHealth says that the process lives.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "ok\n") // the client may be gone
}

// serveReady says whether to send new work here: the database answers, and the server is not about to stop.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	err := s.store.Ping(ctx)
	if err == nil && s.draining.Load() {
		err = sess.New(sess.CodeUnavailable, "the server is about to stop", "another one takes over, or this one comes back")
	}
	if err != nil {
		s.writeError(w, requestOf(r.Context()), err)
		return
	}
	_, _ = io.WriteString(w, "ready\n") // the client may be gone
}
