package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/sess"
)

// The versions of the export format; readers refuse a higher one. A range of a log is a newer form than a whole one.
const (
	ExportVersion = 1
	RangeVersion  = 2
)

// maxLine bounds a line of an export: an event in which every byte was escaped, and what stands around it.
const maxLine = 6*MaxEvent + 1<<10

const ioBuffer = 16 << 10

// Header is the first line of an export. What it says is for people; nothing of it is trusted.
type Header struct {
	Version int       `json:"sess_audit_export"`
	Log     string    `json:"log"`
	Size    int64     `json:"size"` // events with a place; of a range, the place behind its last event
	Key     string    `json:"key"`  // the verifier key, as the server claims it
	Time    time.Time `json:"time"` // of the export

	Range bool  `json:"range,omitempty"` // not the whole log
	First int64 `json:"first,omitempty"` // place of the first event of a range
}

// line is any other line; one of the three.
type line struct {
	Index      *int64  `json:"idx,omitempty"` // with Hash and Body: an event in its place
	Hash       string  `json:"hash,omitempty"`
	Body       *string `json:"body,omitempty"`
	Unplaced   bool    `json:"unplaced,omitempty"`   // with Body: an event that has no place yet
	Checkpoint string  `json:"checkpoint,omitempty"` // signed: the tree over the events so far; the last line is one

	// Of a range: the hashes that stand for the events before it (StackHashes), ahead of all others, and for those behind it up
	// to the size of the last checkpoint (GapHashes), just before that.
	Before []string `json:"before,omitempty"`
	After  []string `json:"after,omitempty"`
	To     int64    `json:"to,omitempty"` // with After: that size
}

// Writer writes an export: a header, events in order with checkpoints among them, events without a place, and the
// checkpoint over all placed ones. Nothing is held back but a buffer; call Close.
type Writer struct {
	w   *bufio.Writer
	enc *json.Encoder
}

// NewWriter writes the header of an export to w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Version = ExportVersion
	if h.Range {
		h.Version = RangeVersion
	}
	h.Time = h.Time.UTC()
	b := bufio.NewWriterSize(w, ioBuffer)
	x := &Writer{w: b, enc: newEncoder(b)}
	return x, x.put(h)
}

// Event writes the verbatim bytes of the event at idx and the hash that is stored for it, which tells the reader which
// event was changed if one was. What is wrong with a log is exported as it is.
func (x *Writer) Event(idx int64, body []byte, stored tlog.Hash) error {
	s := string(body)
	return x.put(line{Index: &idx, Hash: stored.String(), Body: &s})
}

// Unplaced writes an event that has no place yet; they come after the others.
func (x *Writer) Unplaced(body []byte) error {
	s := string(body)
	return x.put(line{Unplaced: true, Body: &s})
}

// Checkpoint writes a signed checkpoint whose size is the number of events written so far, or at the very end the last
// one.
func (x *Writer) Checkpoint(signed string) error { return x.put(line{Checkpoint: signed}) }

// Before writes the hashes that stand for the events before a range, as its first line. Without any nothing is written.
func (x *Writer) Before(hashes []tlog.Hash) error {
	if len(hashes) == 0 {
		return nil
	}
	return x.put(line{Before: texts(hashes)})
}

// After writes the hashes that stand for the events behind a range, up to the size of the checkpoint that comes next.
func (x *Writer) After(to int64, hashes []tlog.Hash) error {
	if len(hashes) == 0 {
		return nil
	}
	return x.put(line{After: texts(hashes), To: to})
}

// Close writes what is buffered. It does not close the underlying writer.
func (x *Writer) Close() error {
	if err := x.w.Flush(); err != nil {
		return fmt.Errorf("write audit export: %w", err)
	}
	return nil
}

func newEncoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

func (x *Writer) put(v any) error {
	if err := x.enc.Encode(v); err != nil {
		return fmt.Errorf("write audit export: %w", err)
	}
	return nil
}

// Record is one line of an export behind its header: an event in its place, an event without one (Index -1), or a
// checkpoint.
type Record struct {
	Line       int // counted from 1
	Index      int64
	Body       []byte
	Hash       tlog.Hash // as the file says, for an event in its place
	Checkpoint string

	Before, After []tlog.Hash // of a range
	To            int64
}

// errLine is a line that can't be read; the reader can go on behind it.
type errLine struct {
	line int
	err  error
}

func (e *errLine) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *errLine) Unwrap() error { return e.err }

// Reader reads an export line by line, in bounded memory.
type Reader struct {
	Header Header
	r      *bufio.Reader
	line   int
}

// NewReader reads the header of an export.
func NewReader(r io.Reader) (*Reader, error) {
	x := &Reader{r: bufio.NewReaderSize(r, ioBuffer)}
	b, err := x.next()
	var bad *errLine
	if errors.Is(err, io.EOF) {
		return nil, sess.New(sess.CodeInvalid, "the file is empty", "export it with sessctl audit export")
	} else if err != nil && !errors.As(err, &bad) {
		return nil, err
	}
	if err != nil || json.Unmarshal(b, &x.Header) != nil || x.Header.Version == 0 {
		return nil, sess.New(sess.CodeInvalid, "this is no export of an audit log", "make one with sessctl audit export")
	}
	if x.Header.Version > RangeVersion || x.Header.Version < 0 {
		return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("the export has version %d, and this program knows %d", x.Header.Version, RangeVersion),
			"use a newer sessctl")
	}
	h := x.Header
	if !canonical(h, b) || h.Range != (h.Version == RangeVersion) || h.First < 0 || h.First > maxSize || !h.Range && h.First > 0 {
		return nil, sess.New(sess.CodeInvalid, "the first line is not written as an export writes it", "export the log again, and verify the file unchanged")
	}
	return x, nil
}

// canonical reports whether b is how v is written. There is one way to write a line, so that no byte of it can differ
// unseen.
func canonical(v any, b []byte) bool {
	var again bytes.Buffer
	return newEncoder(&again).Encode(v) == nil && bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), b)
}

// Next reads the next line; io.EOF after the last. Any other error that is an *errLine concerns that line only.
func (x *Reader) Next() (Record, error) {
	b, err := x.next()
	if err != nil {
		return Record{}, err
	}
	bad := func(err error) (Record, error) { return Record{Line: x.line}, &errLine{x.line, err} }
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return bad(fmt.Errorf("not valid JSON: %w", err))
	}
	if !canonical(l, b) {
		return bad(errors.New("not written as an export of this version writes it"))
	}
	rec := Record{Line: x.line, Index: -1, Checkpoint: l.Checkpoint}
	if len(l.Before)+len(l.After) > 0 {
		if !x.Header.Range || l.Body != nil || l.Checkpoint != "" || len(l.Before) > 0 && len(l.After) > 0 {
			return bad(errors.New("hashes that stand for events, where there can be none"))
		}
		if rec.Before, err = parseHashes(l.Before); err == nil {
			rec.After, err = parseHashes(l.After)
		}
		if rec.To = l.To; err == nil && (rec.To < 0 || rec.To > maxSize) {
			err = fmt.Errorf("no log has %d events", rec.To)
		}
		if err != nil {
			return bad(err)
		}
		return rec, nil
	}
	placed := l.Index != nil
	switch {
	case l.Checkpoint != "" && (placed || l.Unplaced || l.Body != nil):
		return bad(errors.New("both an event and a checkpoint"))
	case l.Checkpoint != "":
		return rec, nil
	case l.Body == nil || placed == l.Unplaced:
		return bad(errors.New("neither an event nor a checkpoint"))
	case len(*l.Body) > MaxEvent:
		return bad(fmt.Errorf("event of %d bytes is larger than %d", len(*l.Body), MaxEvent))
	}
	rec.Body = []byte(*l.Body)
	if placed {
		rec.Index = *l.Index
		if rec.Index < 0 || rec.Index >= maxSize {
			return bad(fmt.Errorf("event has the place %d", rec.Index))
		}
		if rec.Hash, err = tlog.ParseHash(l.Hash); err != nil || rec.Hash.String() != l.Hash {
			return bad(fmt.Errorf("event %d has no valid hash", rec.Index))
		}
	}
	return rec, nil
}

// next gives the next line without its end. A line that is too long is skipped and an *errLine; one without an end is
// io.ErrUnexpectedEOF in an *errLine.
func (x *Reader) next() ([]byte, error) {
	var b []byte
	x.line++
	for {
		part, err := x.r.ReadSlice('\n')
		if len(b) <= maxLine {
			b = append(b, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(b) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, &errLine{x.line, fmt.Errorf("the file ends within it: %w", io.ErrUnexpectedEOF)}
		case err != nil:
			return nil, fmt.Errorf("read audit export: %w", err)
		case len(b) > maxLine:
			return nil, &errLine{x.line, fmt.Errorf("longer than %d bytes", maxLine)}
		}
		return bytes.TrimSuffix(b, []byte("\n")), nil
	}
}
