package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

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
		return afterPrograms(w, n, reader.Report())
	}}, nil
}

// afterPrograms says what the list itself can't: that there is none, and that the recording which holds it is damaged.
func afterPrograms(w io.Writer, n int64, report recording.Report) error {
	var lines []sess.ProgramLine
	if n == 0 {
		lines = append(lines, sess.ProgramLine{T: sess.ProgramsNone, Code: sess.NoProgramsTold, Message: "the agent told nothing: its version is too old, or nothing was started"})
	}
	if len(report.Problems) > 0 {
		lines = append(lines, sess.ProgramLine{T: sess.ProgramsLost, Message: "the recording is damaged: " + strings.Join(report.Problems, "; ")})
	}
	var b bytes.Buffer
	for _, l := range lines {
		if err := json.NewEncoder(&b).Encode(l); err != nil {
			return fmt.Errorf("encode programs: %w", err)
		}
	}
	_, err := w.Write(b.Bytes())
	return err //nolint:wrapcheck // the writer's own
}
