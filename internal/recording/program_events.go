package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// NewEventsWithPrograms is NewEvents with an EventProgram for each program that was started, at the time at which it was.
func NewEventsWithPrograms(r Records) *Events {
	m := &programMarks{records: r, lines: toldLines{channel: wire.ChannelPrograms}}
	e := NewEvents(m)
	e.marks = m
	return e
}

// An agent tells of programs a moment after they were started: it is woken rarely. So this looks ahead in the records, by
// markAhead and at most markBytes, to have markers where they belong, before what the programs wrote.
const (
	markAhead = time.Second
	markBytes = 8 << 20
)

// programMarks passes records on and notes the programs that were started.
type programMarks struct {
	records Records
	queue   []Record // read and not passed on yet; their payloads are copies
	size    int
	err     error // of records: its end

	lines toldLines
	base  int64 // the instance's clock where the recording's is 0, µs since 1970
	given time.Duration
	marks []Event
}

// maxMarkText bounds the text of a marker, in bytes.
const maxMarkText = 256

// Meta implements Records.
func (p *programMarks) Meta() Meta { return p.records.Meta() }

// Next implements Records.
func (p *programMarks) Next() (Record, error) {
	for p.err == nil && p.size < markBytes &&
		(len(p.queue) == 0 || p.queue[len(p.queue)-1].Time-p.queue[0].Time < markAhead) {
		r, err := p.records.Next()
		if err != nil {
			p.err = err
			break
		}
		p.see(&r)
		r.Payload = bytes.Clone(r.Payload)
		p.queue, p.size = append(p.queue, r), p.size+recordHead+len(r.Payload)
	}
	if len(p.queue) == 0 {
		return Record{}, p.err
	}
	r := p.queue[0]
	p.queue, p.size = p.queue[1:], p.size-recordHead-len(r.Payload)
	p.given = r.Time
	return r, nil
}

// see notes the programs of a record.
func (p *programMarks) see(r *Record) {
	_ = p.lines.each(r, func(line []byte) error {
		var l sess.ProgramLine
		if json.Unmarshal(line, &l) == nil {
			p.told(r.Time, &l)
		}
		return nil
	})
}

// told makes a marker of a line. The clocks of instance and server need not agree, but they go alike: the first line is
// sent at once, and says what is between them.
func (p *programMarks) told(now time.Duration, l *sess.ProgramLine) {
	text := ""
	switch l.T {
	case sess.ProgramsBegin:
		p.base = l.At - now.Microseconds()
	case sess.ProgramsNone:
		p.base, text = l.At-now.Microseconds(), "programs are not available: "+sess.CommandLine([]string{l.Code}, maxMarkText)
	case sess.ProgramsLost:
		text = fmt.Sprintf("%d programs or ends are missing", l.Lost)
	case sess.ProgramRun:
		text = l.CommandLine(maxMarkText)
	}
	if text != "" {
		at := time.Duration(l.At-p.base) * time.Microsecond
		at = min(max(at, p.given), now)
		if n := len(p.marks); n > 0 {
			at = max(at, p.marks[n-1].Time)
		}
		p.marks = append(p.marks, Event{Time: at, Kind: EventProgram, Data: []byte(text)})
	}
}

// take gives the next marker if it belongs before a time.
func (p *programMarks) take(until time.Duration) (Event, bool) {
	if len(p.marks) == 0 || p.marks[0].Time > until {
		return Event{}, false
	}
	m := p.marks[0]
	p.marks = p.marks[1:]
	return m, true
}

// merged gives the next event, markers among the others.
func (e *Events) merged() (Event, error) {
	if e.ahead == nil && e.aheadErr == nil {
		ev, err := e.next()
		if err != nil {
			e.aheadErr = err
		} else {
			e.ahead = &ev
		}
	}
	until := time.Duration(1<<63 - 1)
	if e.ahead != nil {
		until = e.ahead.Time
	} else if !errors.Is(e.aheadErr, io.EOF) {
		return Event{}, e.aheadErr
	}
	if m, ok := e.marks.take(until); ok {
		return m, nil
	}
	if e.ahead == nil {
		return Event{}, e.aheadErr
	}
	ev := *e.ahead
	e.ahead = nil
	return ev, nil
}
