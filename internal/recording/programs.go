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
	var line []byte // begun, not ended
	var have uint64
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read programs: %w", err)
		}
		p := programBytes(&rec, &have)
		for len(p) > 0 {
			end := lineEnd(p)
			if end == 0 {
				if line = append(line, p...); len(line) > maxProgramLine {
					line = nil // none that an agent writes
				}
				break
			}
			line = append(line, p[:end]...)
			p = p[end:]
			m, err := w.Write(line)
			n += int64(m)
			if err != nil {
				return n, err //nolint:wrapcheck // the caller's own
			}
			line = line[:0]
		}
	}
}

// maxProgramLine bounds a line of the list: an agent cuts arguments and paths at a few KiB, which JSON may blow up.
const maxProgramLine = 128 << 10

// programBytes gives what is new of the list in a record. After a gap the rest of a line is nonsense: it is left out.
func programBytes(r *Record, have *uint64) []byte {
	h := r.Header
	if r.Kind != KindFrame || r.Side != sess.SideAgent || h.Type != wire.Data || h.Channel != wire.ChannelPrograms {
		return nil
	}
	end := h.Offset + uint64(len(r.Payload))
	if end <= *have {
		return nil
	}
	p := r.Payload
	if h.Offset < *have {
		p = p[*have-h.Offset:]
	}
	*have = end
	return p
}

// lineEnd is the length of the first line, its newline included; 0: it does not end here.
func lineEnd(p []byte) int {
	for i, c := range p {
		if c == '\n' {
			return i + 1
		}
	}
	return 0
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
