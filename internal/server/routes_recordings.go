package server

import (
	"context"
	"net/http"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// routesRecordings binds what recordings are shared and held by.
func (s *Server) routesRecordings(mux *http.ServeMux) {
	bind(s, api.ShareRecording, s.broker.ShareRecording)
	bind(s, api.ListRecordingShares, s.broker.ListRecordingShares)
	bind(s, api.UnshareRecording, noOutIn(s.broker.UnshareRecording))
	bind(s, api.HoldRecording, s.broker.HoldRecording)
	bind(s, api.ReleaseRecording, s.broker.ReleaseRecording)
	mux.HandleFunc("GET "+api.PathSharedData, s.download(s.sharedData))
	mux.HandleFunc("GET "+api.PathRecordingLink, s.recordingLink)
}

// sharedData sends a recording that was shared with whoever asks.
func (s *Server) sharedData(ctx context.Context, who sess.Principal, r *http.Request) (*answer, error) {
	rec, err := s.broker.OpenRecordingShare(ctx, who, r.PathValue("share"))
	if err != nil {
		return nil, err //nolint:wrapcheck // it says everything
	}
	return s.recordingAnswer(who.Org, rec)
}

// recordingLink tells a person in a browser how a link is opened. It says the same of every link, so that nobody learns which
// there are.
func (s *Server) recordingLink(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("share")
	if !sess.ValidID("rsh", id) {
		s.notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("Somebody shared the recording of a session with you. Log in and replay it with\n\n  sessctl recording play " +
		s.URL() + "/r/" + id + "\n")) // the client may be gone
}
