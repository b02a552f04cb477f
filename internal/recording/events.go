package recording

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Event is something that happened at the session's terminal, or its pipes.
type Event struct {
	Time time.Duration
	Kind EventKind
	// Channel tells standard error from output where they are apart.
	Channel uint32
	// Participant is who typed input: 0 is the session's owner.
	Participant uint16
	Data        []byte      // of input, output and programs; valid until the next event is asked for
	Size        wire.Resize // of a resize
}

// EventKind is the kind of an Event.
type EventKind uint8

// The kinds of event.
const (
	EventOutput EventKind = iota + 1
	EventInput
	EventResize
	EventProgram // a program was started; Data is its command line, or says what the list lacks: fit to be printed
)

// Head is what a player has to know before the first event.
type Head struct {
	Meta
	Cols, Rows uint16 // never 0
}

// Size of a terminal nobody told the size of.
const (
	defaultCols = 80
	defaultRows = 24
)

// Events turns records into what a terminal saw: every byte once, in order, whatever the records repeat.
type Events struct {
	records Records
	head    Head
	begun   bool
	early   []Event // found while looking for the head
	ends    map[streamKey]uint64
	params  []byte
	size    wire.Resize
	echoed  toldLines
	typed   []Event // echoed, and not given yet

	marks    *programMarks // nil: none are wanted
	ahead    *Event        // read, while markers come before it
	aheadErr error
}

// maxEarly bounds the events that Head looks past.
const maxEarly = 256

// NewEvents reads events from records, which nothing else may read meanwhile.
func NewEvents(r Records) *Events {
	return &Events{records: r, ends: make(map[streamKey]uint64), echoed: toldLines{channel: wire.ChannelEchoed}}
}

// Head describes the session. What the recording's Meta leaves open is taken from the session's parameters, which are
// the first thing on record.
func (e *Events) Head() (Head, error) {
	if e.begun {
		return e.head, nil
	}
	e.begun = true
	e.head = Head{Meta: e.records.Meta()}
	for len(e.early) < maxEarly {
		ev, done, err := e.step()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return e.head, err
		}
		if ev.Kind != 0 {
			ev.Data = append([]byte(nil), ev.Data...)
			e.early = append(e.early, ev)
		}
		if done || ev.Kind == EventOutput {
			break
		}
	}
	e.complete()
	return e.head, nil
}

// complete fills the head from the parameters.
func (e *Events) complete() {
	h := &e.head
	var p sess.Params
	_ = json.Unmarshal(e.params, &p) // what is no JSON tells nothing
	e.params = nil
	h.TTY = h.TTY || p.TTY || sess.Kinds[h.Kind].Terminal
	if h.Term == "" {
		h.Term = p.Term
	}
	if len(h.Command) == 0 {
		h.Command = p.Argv
	}
	h.Cols, h.Rows = h.Meta.Cols, h.Meta.Rows
	if h.Cols == 0 || h.Rows == 0 {
		h.Cols, h.Rows = p.Cols, p.Rows
	}
	if h.Cols == 0 || h.Rows == 0 {
		h.Cols, h.Rows = defaultCols, defaultRows
	}
}

// Next gives the next event, io.EOF behind the last.
func (e *Events) Next() (Event, error) {
	if _, err := e.Head(); err != nil {
		return Event{}, err
	}
	if e.marks != nil {
		return e.merged()
	}
	return e.next()
}

func (e *Events) next() (Event, error) {
	if len(e.early) > 0 {
		ev := e.early[0]
		e.early = e.early[1:]
		return ev, nil
	}
	for {
		ev, _, err := e.step()
		if err != nil {
			return Event{}, err
		}
		if ev.Kind != 0 {
			return ev, nil
		}
	}
}

// step takes one record. The event has no kind if the record is none; params says that the parameters are complete.
func (e *Events) step() (ev Event, params bool, err error) {
	if len(e.typed) > 0 {
		ev, e.typed = e.typed[0], e.typed[1:]
		return ev, false, nil
	}
	r, err := e.records.Next()
	if err != nil {
		return Event{}, false, err
	}
	ev.Time = r.Time
	switch r.Kind {
	case KindMark:
		var m Mark
		if json.Unmarshal(r.Payload, &m) == nil && m.Kind == MarkResize {
			e.resized(&ev, m.Data)
		}
	case KindFrame:
		if !e.fresh(&r) {
			return Event{}, false, nil
		}
		params = e.frame(&ev, &r)
	case KindHidden:
		e.fresh(&r)
	case KindCheckpoint, KindRun:
	}
	return ev, params, nil
}

// fresh trims a frame to what was not given yet.
func (e *Events) fresh(r *Record) bool {
	key := keyOf(r.Side, wire.StreamID{Channel: r.Header.Channel, Participant: r.Header.Participant})
	have, end := e.ends[key], r.end()
	if end <= have {
		return false
	}
	if r.Header.Type == wire.Data && r.Header.Offset < have {
		r.Payload = r.Payload[min(have-r.Header.Offset, uint64(len(r.Payload))):]
		r.Header.Offset = have
	}
	if len(e.ends) < maxStreams {
		e.ends[key] = end
	}
	return true
}

func (e *Events) frame(ev *Event, r *Record) (params bool) {
	h := r.Header
	switch {
	case h.Type == wire.Ctl:
		if kind, body, err := wire.DecodeCtl(r.Payload); err == nil && kind == wire.CtlResize && r.Side == sess.SideClient {
			e.resized(ev, body)
		}
	case h.Channel == wire.ChannelParams && r.Side == sess.SideClient:
		if len(e.params)+len(r.Payload) <= sess.MaxParams {
			e.params = append(e.params, r.Payload...)
		}
		return h.FIN()
	case len(r.Payload) == 0:
	case r.Side == sess.SideClient && h.Channel == wire.ChannelMain:
		ev.Kind, ev.Channel, ev.Participant, ev.Data = EventInput, h.Channel, h.Participant, r.Payload
	case r.Side == sess.SideAgent && h.Channel == wire.ChannelEchoed:
		e.echo(r)
		if len(e.typed) > 0 {
			*ev, e.typed = e.typed[0], e.typed[1:]
		}
	case r.Side == sess.SideAgent && (h.Channel == wire.ChannelMain || h.Channel == wire.ChannelStderr):
		ev.Kind, ev.Channel, ev.Data = EventOutput, h.Channel, r.Payload
	}
	return false
}

// echo takes in what an agent told of masked input, each piece with who typed it.
func (e *Events) echo(r *Record) {
	_ = e.echoed.each(r, func(line []byte) error {
		var l sess.EchoedLine
		if json.Unmarshal(line, &l) == nil && len(l.Typed) > 0 {
			e.typedBy(l, r.Time)
		}
		return nil
	})
}

// typedBy adds to what was typed.
func (e *Events) typedBy(l sess.EchoedLine, at time.Duration) {
	if n := len(e.typed); n > 0 && e.typed[n-1].Participant == l.Participant {
		e.typed[n-1].Data = append(e.typed[n-1].Data, l.Typed...)
		return
	}
	e.typed = append(e.typed, Event{Time: at, Kind: EventInput, Channel: wire.ChannelMain, Participant: l.Participant, Data: l.Typed})
}

func (e *Events) resized(ev *Event, body []byte) {
	var s wire.Resize
	if json.Unmarshal(body, &s) == nil && s.Cols > 0 && s.Rows > 0 && s != e.size {
		e.size = s
		ev.Kind, ev.Size = EventResize, s
	}
}
