package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// CopyPrograms writes the list of programs that an agent told of, sess.ProgramLines as JSON, as far as it is on record;
// whole lines only. n is how many bytes that were: 0 says that the agent told nothing.
func CopyPrograms(r Records, w io.Writer) (n int64, err error) {
	lines := toldLines{channel: wire.ChannelPrograms}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read programs: %w", err)
		}
		if err := lines.each(&rec, func(line []byte) error {
			m, err := w.Write(line)
			n += int64(m)
			return err //nolint:wrapcheck // the caller's own
		}); err != nil {
			return n, err
		}
	}
}

// EndPrograms writes what the list itself can't say, behind it: that there is none, and that the recording which holds it is
// damaged. n is what CopyPrograms gave.
func EndPrograms(w io.Writer, n int64, report Report) error {
	var lines []sess.ProgramLine
	if n == 0 {
		lines = append(lines, sess.ProgramLine{T: sess.ProgramsNone, Code: sess.NoProgramsTold, Message: "the agent told nothing: its version is too old, or nothing was started"})
	}
	if len(report.Problems) > 0 {
		lines = append(lines, sess.ProgramLine{T: sess.ProgramsLost, Message: "the recording is damaged: " + strings.Join(report.Problems, "; ")})
	}
	for _, l := range lines {
		if err := json.NewEncoder(w).Encode(l); err != nil {
			return fmt.Errorf("write programs: %w", err)
		}
	}
	return nil
}
