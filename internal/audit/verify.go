package audit

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/sess"
)

const (
	// maxProblems bounds a report; more are counted.
	maxProblems = 100
	// unplacedAfter is the age at which an event without a place is a problem: the sequencer takes seconds.
	unplacedAfter = time.Minute
)

// Options say what a log must be beside consistent with itself.
type Options struct {
	// Log is the name of the log that is expected; empty: any.
	Log string
	// Checkpoint is a signed checkpoint kept from earlier: the log must go on from it unchanged. Empty: none.
	Checkpoint string
	// OnEvent, if set, is called with every placed event whose bytes could be read.
	OnEvent func(idx int64, body []byte)
}

// Problem is one thing wrong with a log.
type Problem struct {
	Index int64        `json:"index"` // the event's place; -1: none in particular
	Event sess.EventID `json:"event,omitempty"`
	Line  int          `json:"line,omitempty"` // of the export
	What  string       `json:"what"`
}

// String says it in one line.
func (p Problem) String() string {
	s := p.What
	if p.Event != "" {
		s = string(p.Event) + ": " + s
	}
	if p.Index >= 0 {
		s = fmt.Sprintf("event %d: %s", p.Index, s)
	}
	if p.Line > 0 {
		s = fmt.Sprintf("line %d: %s", p.Line, s)
	}
	return s
}

// Report is what verification found. A log is good when it has no problems.
type Report struct {
	Log        string
	Size       int64  // events in the tree that was checked
	First, End int64  // the places of the events that were looked at: from First to before End; of a whole log, all
	Unplaced   int64  // events that have no place yet
	Root       string // base64, as computed
	Checkpoint string // the signed checkpoint that it was compared with; empty: there was none
	Problems   []Problem
	More       int // problems beyond those listed
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) add(p Problem) {
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, p)
}

// Check verifies a log event by event: the bytes in the order of their places, and signed checkpoints where they come.
// It is what Verify and the server's own check share.
type Check struct {
	report  Report
	vkey    string
	opts    Options
	earlier *Checkpoint // from opts
	tree    Tree
	next    int64 // the place that the next event must have
	good    int64 // up to here a signed checkpoint agrees
	broken  bool  // places are missing or repeated: no root can agree any more
	last    Checkpoint
	signed  bool // last is set
	atEnd   bool // nothing came after the last checkpoint
	after   bool // events behind a range were taken by their hashes: no event may follow
}

// NewCheck starts a check against a verifier key. An error says that the key or the earlier checkpoint is not valid.
func NewCheck(vkey string, o Options) (*Check, error) {
	c := &Check{vkey: vkey, opts: o, report: Report{Log: o.Log}}
	if _, err := Verifier(vkey); err != nil {
		return nil, err
	}
	if o.Checkpoint != "" {
		e, err := OpenCheckpoint(o.Checkpoint, vkey)
		if err != nil {
			return nil, sess.Wrap(err, sess.CodeInvalid, "the checkpoint to start from is not signed by this log's key", "give the checkpoint that an earlier verify showed, unchanged")
		}
		c.earlier = &e
		c.report.Log = e.Log
		if o.Log != "" && o.Log != e.Log {
			return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("the checkpoint is of log %q, not %q", e.Log, o.Log), "give a checkpoint of the same log")
		}
	}
	return c, nil
}

// Begin says that what comes is a range from first on, behind events that the hashes (of StackHashes) stand for.
func (c *Check) Begin(first int64, before []tlog.Hash, line int) {
	tree, ok := treeOf(first, before)
	if !ok || c.next > 0 || c.tree.Size() > 0 {
		c.broken = true
		c.report.add(Problem{Index: -1, Line: line, What: "the hashes for the events before the range are not as many as there must be, or not at the beginning"})
	}
	c.tree, c.next, c.good, c.report.First = tree, first, first, first
	if e := c.earlier; e != nil && e.Size < first {
		c.report.add(Problem{Index: -1, Line: line, What: fmt.Sprintf(
			"the range begins behind the %d events of the earlier checkpoint, and can't be compared with it: verify with --from and --to", e.Size)})
	}
	c.compare(line)
}

// Rest says that behind the range come events up to the size to, for which the hashes (of GapHashes) stand.
func (c *Check) Rest(to int64, after []tlog.Hash, line int) {
	if e := c.earlier; e != nil && e.Size > c.tree.Size() && e.Size < to {
		c.report.add(Problem{Index: -1, Line: line, What: "the earlier checkpoint is of a time behind the range: verify with --from and --to"})
	}
	if c.after || !c.tree.extend(to, after) {
		c.broken = true
		c.report.add(Problem{Index: -1, Line: line, What: "the hashes for the events behind the range are not as many as there must be"})
	}
	c.after, c.atEnd = true, false
	c.compare(line)
}

// compare holds the tree so far against the earlier checkpoint, if that is of the same size.
func (c *Check) compare(line int) {
	if c.earlier != nil && c.tree.Size() == c.earlier.Size && c.tree.Root() != c.earlier.Root {
		c.report.add(Problem{Index: -1, Line: line, What: fmt.Sprintf("the first %d events are not those of the earlier checkpoint", c.earlier.Size)})
	}
}

// Problem adds something that the caller found.
func (c *Check) Problem(p Problem) { c.report.add(p) }

// Event takes the event at idx. hash is what was stored as its leaf, to tell which event was changed.
func (c *Check) Event(idx int64, body []byte, hash tlog.Hash, line int) {
	c.atEnd = false
	p := Problem{Index: idx, Line: line}
	e, err := DecodeEvent(body)
	p.Event = e.ID
	if c.after {
		c.broken = true
		p.What = "it stands behind the hashes for what is behind the range"
		c.report.add(p)
	}
	switch {
	case idx > c.next:
		c.broken = true
		c.report.add(Problem{Index: c.next, Line: line, What: missingText(c.next, idx)})
	case idx < c.next:
		c.broken = true
		p.What = fmt.Sprintf("out of order: place %d was expected", c.next)
		c.report.add(p)
	}
	c.next = max(c.next, idx+1)
	if leaf := c.tree.Append(body); leaf != hash {
		p.What = "it was changed: its bytes and the hash stored for them differ"
		c.report.add(p)
	} else if err != nil {
		p.What = err.Error()
		c.report.add(p)
	} else if c.opts.OnEvent != nil {
		c.opts.OnEvent(idx, body)
	}
	c.compare(line)
}

func missingText(from, to int64) string {
	if to == from+1 {
		return "missing"
	}
	return fmt.Sprintf("missing, with those up to %d", to-1)
}

// Unplaced takes an event that has no place; at is when the log was looked at.
func (c *Check) Unplaced(body []byte, at time.Time, line int) {
	c.report.Unplaced++
	e, err := DecodeEvent(body)
	p := Problem{Index: -1, Event: e.ID, Line: line}
	switch {
	case err != nil:
		p.What = "without a place, and " + err.Error()
	case at.Sub(e.Time) > unplacedAfter:
		p.What = "never got a place in the log"
	default:
		return
	}
	c.report.add(p)
}

// Checkpoint takes a signed checkpoint. One whose size is not the number of events so far is kept for Report only.
func (c *Check) Checkpoint(signed string, line int) {
	cp, err := OpenCheckpoint(signed, c.vkey)
	if err != nil {
		c.report.add(Problem{Index: -1, Line: line, What: err.Error()})
		return
	}
	if c.report.Log == "" {
		c.report.Log = cp.Log
	}
	if cp.Log != c.report.Log {
		c.report.add(Problem{Index: -1, Line: line, What: fmt.Sprintf("the checkpoint is of log %q, not %q", cp.Log, c.report.Log)})
		return
	}
	c.last, c.signed, c.atEnd = cp, true, true
	c.report.Checkpoint = signed
	switch {
	case cp.Size != c.tree.Size(): // said once, in Report
	case cp.Root == c.tree.Root():
		c.good = cp.Size
	case !c.broken:
		c.broken = true // one change makes all later roots differ
		c.report.add(Problem{Index: -1, Line: line, What: fmt.Sprintf(
			"the events from %d to %d are not those that were signed: at least one was changed, added, removed or reordered", c.good, cp.Size-1)})
	}
}

// Report ends the check.
func (c *Check) Report() *Report {
	r := &c.report
	r.Size, r.Root, r.End = c.tree.Size(), c.tree.Root().String(), c.next
	switch {
	case !c.signed:
		r.add(Problem{Index: -1, What: "there is no signed checkpoint: the log is cut off, or was never signed"})
	case c.last.Size > r.Size:
		r.add(Problem{Index: -1, What: fmt.Sprintf("events are missing: the checkpoint is over %d, and there are %d", c.last.Size, r.Size)})
	case c.last.Size < r.Size:
		r.add(Problem{Index: -1, What: fmt.Sprintf("events were added: the checkpoint is over %d, and there are %d", c.last.Size, r.Size)})
	case !c.atEnd:
		r.add(Problem{Index: -1, What: "the last checkpoint is not at the end: the log is cut off"})
	case c.last.Root != c.tree.Root() && r.OK():
		r.add(Problem{Index: -1, What: "the root differs from the signed one"})
	}
	if c.earlier != nil && r.Size < c.earlier.Size {
		r.add(Problem{Index: -1, What: fmt.Sprintf("the log is shorter than it was: the earlier checkpoint is over %d events, and there are %d", c.earlier.Size, r.Size)})
	}
	if c.opts.Log != "" && c.signed && c.last.Log != c.opts.Log {
		r.add(Problem{Index: -1, What: fmt.Sprintf("this is log %q, not %q", c.last.Log, c.opts.Log)})
	}
	return r
}

// Verify checks an export against the verifier key of the server that made it: each event's bytes, their order and
// number, and the signed checkpoints. It needs nothing else, no server and no network. The error is about reading or
// about what was asked for; what is wrong with the log is in the report.
func Verify(r io.Reader, vkey string, o Options) (*Report, error) {
	c, err := NewCheck(vkey, o)
	if err != nil {
		return nil, err
	}
	x, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	if x.Header.Range && x.Header.First == 0 {
		c.Begin(0, nil, 1)
	}
	for {
		rec, err := x.Next()
		var bad *errLine
		switch {
		case len(rec.Before) > 0:
			c.Begin(x.Header.First, rec.Before, rec.Line)
		case len(rec.After) > 0:
			c.Rest(rec.To, rec.After, rec.Line)
		case errors.Is(err, io.EOF) && !errors.As(err, &bad):
			return c.fileReport(x.Header), nil
		case errors.As(err, &bad):
			c.broken = true
			c.report.add(Problem{Index: -1, Line: bad.line, What: bad.err.Error()})
		case err != nil:
			return nil, err
		case rec.Checkpoint != "":
			c.Checkpoint(rec.Checkpoint, rec.Line)
		case rec.Index < 0:
			c.Unplaced(rec.Body, x.Header.Time, rec.Line)
		default:
			c.Event(rec.Index, rec.Body, rec.Hash, rec.Line)
		}
	}
}

// fileReport is Report for a file whose header said what it would hold.
func (c *Check) fileReport(h Header) *Report {
	switch size := c.tree.Size(); {
	case h.Range && (h.Size != c.next || h.First != c.report.First):
		c.report.add(Problem{Index: -1, What: fmt.Sprintf("the file's header announces the events from %d to before %d, and there are those from %d to before %d: it is cut off or was put together",
			h.First, h.Size, c.report.First, c.next)})
	case !h.Range && h.Size != size:
		c.report.add(Problem{Index: -1, What: fmt.Sprintf("the file's header announces %d events, and there are %d: it is cut off or was put together", h.Size, size)})
	}
	if c.signed && h.Log != c.last.Log {
		c.report.add(Problem{Index: -1, Line: 1, What: fmt.Sprintf("the file's header says log %q, and it is %q", h.Log, c.last.Log)})
	}
	if strings.TrimSpace(c.vkey) != h.Key {
		c.report.add(Problem{Index: -1, Line: 1, What: "the file's header names another key than the one that was asked for: " + cut(h.Key, maxName)})
	}
	return c.Report()
}
