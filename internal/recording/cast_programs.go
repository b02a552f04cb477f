package recording

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// programMarks passes records on and notes the programs that were started, as markers for a player.
type programMarks struct {
	Records
	have  uint64
	line  []byte // begun, not ended
	marks []programMark
}

type programMark struct {
	at   time.Duration
	text string
}

// maxMarkText bounds the text of a marker, in bytes.
const maxMarkText = 256

// Next implements Records.
func (p *programMarks) Next() (Record, error) {
	r, err := p.Records.Next()
	if err == nil {
		p.see(&r)
	}
	return r, err
}

// see notes the programs of a record.
func (p *programMarks) see(r *Record) {
	b := programBytes(r, &p.have)
	for len(b) > 0 {
		end := lineEnd(b)
		if end == 0 {
			if p.line = append(p.line, b...); len(p.line) > maxProgramLine {
				p.line = nil
			}
			return
		}
		p.line = append(p.line, b[:end]...)
		b = b[end:]
		var l sess.ProgramLine
		if json.Unmarshal(p.line, &l) == nil && l.T == sess.ProgramRun {
			text := strings.Join(l.Argv, " ")
			if len(text) > maxMarkText {
				text = strings.ToValidUTF8(text[:maxMarkText], "") + "…"
			}
			p.marks = append(p.marks, programMark{at: r.Time, text: text})
		}
		p.line = p.line[:0]
	}
}

// take gives the markers up to a time, once.
func (p *programMarks) take(until time.Duration) []programMark {
	n := 0
	for n < len(p.marks) && p.marks[n].at <= until {
		n++
	}
	marks := p.marks[:n:n]
	p.marks = p.marks[n:]
	return marks
}
