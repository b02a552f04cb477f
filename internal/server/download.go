package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// stallTimeout bounds how long a client may leave a download unread.
const stallTimeout = time.Minute

// answer is a download that was allowed and is ready to be sent.
type answer struct {
	contentType string
	send        func(io.Writer) error
	close       func() error // nil: nothing to close
}

// download binds an operation that answers with a stream of bytes: same login, same problem documents. A stream that
// breaks off is cut, so that nobody takes it for a whole one.
func (s *Server) download(open func(context.Context, sess.Principal, *http.Request) (*answer, error)) http.HandlerFunc {
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
		a, err := open(ctx, who, r)
		if err != nil {
			s.writeError(w, req, err)
			return
		}
		w.Header().Set("Content-Type", a.contentType)
		err = a.send(&stallWriter{ctx: ctx, w: w, c: c})
		if a.close != nil {
			err = errors.Join(err, a.close())
		}
		if err != nil {
			s.log.Warn("download cut off", "request_id", req.id, "path", r.URL.Path, "err", err)
			panic(http.ErrAbortHandler)
		}
	}
}

// recordingData sends a session's recording.
func (s *Server) recordingData(ctx context.Context, who sess.Principal, r *http.Request) (*answer, error) {
	rec, err := s.broker.Replay(ctx, who, api.SessionRef{Session: r.PathValue("session")})
	if err != nil {
		return nil, err //nolint:wrapcheck // it says everything
	}
	return s.recordingAnswer(who.Org, rec)
}

// recordingAnswer sends a recording whose replay was allowed.
func (s *Server) recordingAnswer(org sess.OrgID, rec api.Recording) (*answer, error) {
	reader, err := s.reader(org, rec)
	if err != nil {
		return nil, err
	}
	return &answer{contentType: recording.ContentType, close: reader.Close, send: func(w io.Writer) error {
		_, err := reader.WriteTo(w)
		if err != nil {
			return fmt.Errorf("send recording: %w", err)
		}
		return nil
	}}, nil
}

// reader opens a recording, and tells its reader when it has ended: one without an end is damaged then.
func (s *Server) reader(org sess.OrgID, rec api.Recording) (*recording.Reader, error) {
	reader, err := s.recordings.OpenReader(org, rec.Session)
	if err == nil && rec.State != sess.RecordingActive {
		reader.Over()
	}
	return reader, err //nolint:wrapcheck // it says everything
}

// stallWriter gives a download time for as long as it moves, and is allowed.
type stallWriter struct {
	ctx  context.Context //nolint:containedctx // of the one answer
	w    io.Writer
	c    *http.ResponseController
	next time.Time // when to set the deadline again
}

// Write implements io.Writer.
func (s *stallWriter) Write(p []byte) (int, error) {
	if now := time.Now(); now.After(s.next) {
		_ = s.c.SetWriteDeadline(now.Add(stallTimeout)) // a test's recorder has none
		s.next = now.Add(time.Second)
	}
	if err := context.Cause(s.ctx); err != nil { // after the deadline is set: who cuts sets one, too
		return 0, err
	}
	return s.w.Write(p) //nolint:wrapcheck // a writer
}
