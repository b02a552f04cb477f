package server

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// sessionCommands sends the list of the programs that ran in a session, of a running one as far as it is. What is wrong
// with the list is said in it.
func (s *Server) sessionCommands(ctx context.Context, who sess.Principal, r *http.Request) (*answer, error) {
	rec, err := s.broker.Commands(ctx, who, api.SessionRef{Session: r.PathValue("session")})
	if err != nil {
		return nil, err //nolint:wrapcheck // it says everything
	}
	reader, err := s.recordings.OpenReader(who.Org, rec.Session)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says everything
	}
	return &answer{contentType: "application/jsonl", close: reader.Close, send: func(w io.Writer) error {
		n, err := recording.CopyPrograms(reader, w)
		if err != nil {
			return fmt.Errorf("send programs: %w", err)
		}
		return recording.EndPrograms(w, n, reader.Report()) //nolint:wrapcheck // the writer's own
	}}, nil
}
