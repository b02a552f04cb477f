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
	return s.commandsAnswer(who.Org, rec)
}

// commandsAnswer sends the list of programs in a recording that may be seen.
func (s *Server) commandsAnswer(org sess.OrgID, rec api.Recording) (*answer, error) {
	reader, err := s.reader(org, rec)
	if err != nil {
		return nil, err
	}
	return &answer{contentType: "application/jsonl", close: reader.Close, send: func(w io.Writer) error {
		n, err := recording.CopyPrograms(reader, w)
		if err != nil {
			return fmt.Errorf("send programs: %w", err)
		}
		return recording.EndPrograms(w, n, reader.Report()) //nolint:wrapcheck // the writer's own
	}}, nil
}
