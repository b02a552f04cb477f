package server

import (
	"context"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// The broker knows what became of a recording when its session ended; whether the files are still there only the
// directory knows. Both together are what people are told.

func (s *Server) listRecordings(ctx context.Context, who sess.Principal, in api.RecordingsIn) (api.RecordingList, error) {
	out, err := s.broker.Recordings(ctx, who, in)
	for i := range out.Items {
		s.lookFor(who.Org, &out.Items[i])
	}
	return out, err
}

func (s *Server) showRecording(ctx context.Context, who sess.Principal, in api.SessionRef) (api.Recording, error) {
	out, err := s.broker.Recording(ctx, who, in)
	if err == nil {
		s.lookFor(who.Org, &out)
	}
	return out, err
}

// lookFor states a recording as missing when it was completed and its files are gone.
func (s *Server) lookFor(org sess.OrgID, r *api.Recording) {
	done := r.State == sess.RecordingComplete || r.State == sess.RecordingIncomplete
	if done && !s.recordings.Has(org, r.Session) {
		r.State, r.Problem = sess.RecordingMissing, "its files are not in the server's recordings directory"
	}
}
