package recording

import (
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Report is what reading a recording found.
type Report struct {
	State    sess.RecordingState
	Segments int          // in the chain
	Damaged  int          // of those, not readable
	Sealed   int          // encrypted, and not read: what the chain says of them was checked
	Records  uint64       // read
	Client   uint64       // payload bytes read, sent by the client
	Agent    uint64       // and by the agent
	Moved    sess.Traffic // bytes that passed, by stream
	Bytes    int64        // of the chain's segments, before compression
	Stored   int64        // and on disk
	Duration time.Duration
	Digest   string   // hex SHA-256 over the chain; stands for the whole recording once that has ended
	Problems []string // what is missing or altered, the first maxProblems
}

// maxProblems bounds the list of problems: the first ones tell the story.
const maxProblems = 20

// watcher follows records and notes what doesn't fit.
type watcher struct {
	seq      uint64 // of the next record
	last     time.Duration
	at       checkpoint
	records  uint64
	broken   int
	sealed   int
	blind    bool // the record before was not read: streams stand where the next checkpoint says
	problems []string
	ended    bool
	endless  bool // it has ended, and its chain has no end
}

func (w *watcher) problem(format string, args ...any) {
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, fmt.Sprintf(format, args...))
	}
}

func (w *watcher) damaged(err error) {
	w.broken++
	w.problem("%v", err)
}

// pass takes in a segment that can't be read here: the chain's word is all there is of it.
func (w *watcher) pass(l *link) {
	if l.Seq != w.seq {
		w.problem("segment %d begins with record %d, expected %d", l.N, l.Seq, w.seq)
	}
	w.sealed++
	w.blind = true
	w.records += l.Records
	w.seq, w.last = max(w.seq, l.Seq+l.Records), max(w.last, time.Duration(min(l.Time, maxTimeMask))*time.Microsecond)
}

// see takes one record in and checks that it continues the one before.
func (w *watcher) see(r *Record) {
	if w.at.streams == nil {
		w.at.streams = make(map[streamKey]uint64)
	}
	if r.Seq != w.seq {
		w.problem("%d records before %v are missing", r.Seq-w.seq, r.Time)
	}
	if r.Kind == KindCheckpoint && (r.Seq != w.seq || w.blind) {
		w.resume(r)
		w.blind = false
	}
	key := keyOf(r.Side, wire.StreamID{Channel: r.Header.Channel, Participant: r.Header.Participant})
	switch have := w.at.streams[key]; {
	case (r.Kind == KindFrame || r.Kind == KindHidden) && r.Header.Offset != have:
		w.problem("channel %d from the %s goes on at %d behind %d, at %v", r.Header.Channel, r.Side, r.Header.Offset, have, r.Time)
	case r.Kind == KindRun:
		w.problem("channel %d from the %s: %d bytes before %v were not recorded here", r.Header.Channel, r.Side, r.Header.Offset-have, r.Time)
	case r.Kind == KindMark && markKind(r.Payload) == MarkGap:
		w.problem("a gap is marked at %v: %.200s", r.Time, r.Payload)
	}
	if r.Time < w.last {
		w.problem("time runs backwards at %v", r.Time)
	}
	w.at.apply(r)
	w.records++
	w.seq, w.last = r.Seq+1, max(w.last, r.Time)
}

// resume takes up the streams behind a hole as the checkpoint there gives them.
func (w *watcher) resume(r *Record) {
	if c, err := decodeCheckpoint(r.Payload); err == nil {
		c.client, c.agent = w.at.client, w.at.agent
		w.at = c
	}
}

// noEnd notes that the chain of a recording that has ended has no end.
func (w *watcher) noEnd() {
	if !w.endless {
		w.endless = true
		w.problem("the end of its chain is missing: what is left may not be all")
	}
}

// end compares what was read with what the end of the chain says.
func (w *watcher) end(c *chain) {
	if w.ended {
		return
	}
	w.ended = true
	l := c.ended
	if l.End == sess.RecordingOff {
		return // nothing was kept
	}
	if w.seq != l.Seq || c.bytes != l.Bytes || c.stored != l.Stored {
		w.problem("the end of the recording names %d records in %d bytes, read were %d in %d", l.Seq, l.Bytes, w.seq, c.bytes)
	}
	if l.End == sess.RecordingIncomplete && len(w.problems) == 0 {
		w.problem("%s", l.Why)
	}
}

func (w *watcher) report(c *chain) Report {
	r := Report{
		Segments: c.count, Damaged: w.broken, Records: w.records, Client: w.at.client, Agent: w.at.agent, Moved: w.at.moved,
		Bytes: c.bytes, Stored: c.stored, Duration: w.last, Digest: c.head, State: sess.RecordingActive, Sealed: w.sealed,
	}
	if l := c.ended; l != nil && (w.sealed > 0 || l.End == sess.RecordingOff) { // what was not read, or not kept
		r.Client, r.Agent = l.Client, l.Agent
		if l.Moved != nil {
			r.Moved = *l.Moved
		}
	}
	if c.problem != "" {
		r.Problems = append(r.Problems, c.problem)
	}
	r.Problems = append(r.Problems, w.problems...)
	switch {
	case c.ended == nil && w.broken == 0 && c.problem == "" && !w.endless:
	case c.ended != nil && len(r.Problems) == 0:
		r.State = c.ended.End
	default:
		r.State = sess.RecordingIncomplete
	}
	return r
}
