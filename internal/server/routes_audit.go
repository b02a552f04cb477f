package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/trail"
)

// routesAudit binds the operations on the audit log.
func (s *Server) routesAudit(mux *http.ServeMux) {
	bind(s, api.ListAudit, s.trail.List)
	bind(s, api.GetAudit, s.trail.Show)
	bind(s, api.VerifyAudit, noIn(s.trail.Verify))
	bind(s, api.GetCheckpoint, noIn(s.trail.Checkpoint))
	bind(s, api.ProveEvent, s.trail.Prove)
	bind(s, api.ProveConsistency, s.trail.Consistency)
	bind(s, api.CreateSink, s.trail.CreateSink)
	bind(s, api.ListSinks, noIn(s.trail.ListSinks))
	bind(s, api.GetSink, s.trail.GetSink)
	bind(s, api.TestSink, s.trail.TestSink)
	bind(s, api.RemoveSink, noOutIn(s.trail.RemoveSink))
	mux.HandleFunc("GET "+api.PathAuditExport, s.stream(s.auditExport))
	mux.HandleFunc("GET "+api.PathAuditWatch, s.stream(s.auditWatch))
}

// stream binds an operation that sends a stream of bytes as it goes: same login, same problem documents as long as nothing is
// sent. A stream that breaks off is cut, so that nobody takes it for a whole one.
func (s *Server) stream(run func(context.Context, sess.Principal, *http.Request, func(contentType string) *streamWriter) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req := requestOf(r.Context())
		who, err := s.authenticate(r.Context(), req, r.Header.Get("Authorization"))
		if err != nil {
			s.writeError(w, req, err)
			return
		}
		c := http.NewResponseController(w)
		ctx, over, err := s.goingOn(r.Context(), who, r, req, c)
		if err != nil {
			s.writeError(w, req, err)
			return
		}
		defer over()
		begun := false
		open := func(contentType string) *streamWriter {
			begun = true
			w.Header().Set("Content-Type", contentType)
			return &streamWriter{stallWriter{ctx: ctx, w: w, c: c}}
		}
		switch err := run(ctx, who, r, open); {
		case err != nil && !begun:
			s.writeError(w, req, err)
		case err != nil:
			s.log.WarnContext(r.Context(), "download cut off", "path", r.URL.Path, "err", err)
			panic(http.ErrAbortHandler)
		}
	}
}

// streamWriter is a stallWriter that can be told to send what it has.
type streamWriter struct{ stallWriter }

// Flush sends what is buffered.
func (w *streamWriter) Flush() error {
	if err := w.c.Flush(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// auditExport sends the organisation's audit log, or a range of it.
func (s *Server) auditExport(ctx context.Context, who sess.Principal, r *http.Request, open func(string) *streamWriter) error {
	q := r.URL.Query()
	in := api.AuditExportIn{Format: q.Get("format"), Since: q.Get("since"), Until: q.Get("until")}
	return s.trail.Export(ctx, who, in, func(t string) io.Writer { return open(t) }) //nolint:wrapcheck // it says everything
}

// auditWatch sends the organisation's events as they come.
func (s *Server) auditWatch(ctx context.Context, who sess.Principal, r *http.Request, open func(string) *streamWriter) error {
	q := r.URL.Query()
	from, err := strconv.ParseInt(q.Get("from"), 10, 64)
	if err != nil {
		return sess.New(sess.CodeInvalid, "from is not the place of an event", "give the size that a list, or the next that an earlier answer ended with")
	}
	in := api.AuditWatchIn{From: from, AuditFilter: api.AuditFilter{
		Since: q.Get("since"), Until: q.Get("until"), Action: q.Get("action"), Who: q.Get("who"), Session: q.Get("session"),
		Outcome: q.Get("outcome"), On: q.Get("on"), Instance: q.Get("instance"), Address: q.Get("address"),
	}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.leaving:
			cancel()
		case <-ctx.Done():
		}
	}()
	return s.trail.Watch(ctx, who, in, func() trail.Flusher { return open("application/x-ndjson") }) //nolint:wrapcheck // it says everything
}
