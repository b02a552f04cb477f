package recording

import (
	"bytes"
	"encoding/json"

	"github.com/sessctl/sess/internal/sess"
)

// maxEchoedLine bounds a line about what was typed: an agent writes what it got in at most one window.
const maxEchoedLine = 128 << 10

// echoedLines puts together what an agent told of masked input.
type echoedLines struct{ line []byte }

// add takes what is new of the stream and gives what was typed by the lines that it ends.
func (l *echoedLines) add(p []byte) (typed []byte) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			if l.line = append(l.line, p...); len(l.line) > maxEchoedLine {
				l.line = nil // none that an agent writes
			}
			break
		}
		var e sess.EchoedLine
		if json.Unmarshal(append(l.line, p[:end]...), &e) == nil {
			typed = append(typed, e.Typed...)
		}
		l.line, p = l.line[:0], p[end+1:]
	}
	return typed
}
