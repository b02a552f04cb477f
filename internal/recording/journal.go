package recording

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Journal records one session. Its methods may be called by several goroutines; journals of different sessions share no
// lock. It costs one descriptor and about a kilobyte while its session is idle.
type Journal struct {
	dir  *Dir
	path string
	meta Meta
	to   []age.Recipient // that segments are encrypted to; none: they are not

	mu sync.Mutex // guards what follows; held over the write(2) of a record, since records must lie in order without holes
	// progress wakes those who wait for a free ring file or for the compressor.
	progress *sync.Cond
	at       checkpoint // where the recording stands: behind the last record
	seq      uint64     // of the next record
	last     time.Duration
	why      string // what is missing from the recording; empty: nothing known to be
	closed   bool
	final    bool // and the session is over
	ring     [ringFiles]slot
	cur      *slot  // being written; nil: the next record begins one
	off      int    // bytes in cur
	salt     uint32 // of cur
	queue    []*slot
	flushing bool                   // a compressor runs
	failed   error                  // of the compressor or of a sync; given to the next Append, then tried again
	dirty    bool                   // registered for the next sync
	named    bool                   // files were made since the last sync
	overlaps map[streamKey]*overlap // streams that are being repeated
	missed   *loss                  // what can't be written at present; nil: nothing

	// chain and seg are the compressor's; others touch them only while none runs.
	chain *chain
	seg   segmentFiles

	shown atomic.Pointer[keyframe] // the screen as somebody asked for it last, where the recording can be read

	looking atomic.Bool // it is being looked for

	syncing sync.Mutex // one Sync at a time; taken before mu
}

// buffers holds encoded records for the time of one Append.
var buffers = sync.Pool{New: func() any { return new([maxFrame]byte) }} //nolint:gochecknoglobals // a pool has no state

// recordable reports whether a frame belongs into a recording: a data or ctl frame that wire.Decode would pass.
func recordable(h wire.Header, payload []byte) error {
	bad := h.Offset > wire.MaxOffset-wire.MaxFrame || len(payload) > wire.MaxPayload
	switch h.Type {
	case wire.Data:
		bad = bad || h.Flags&^wire.FlagFIN != 0 || h.Channel == wire.ChannelCtl || len(payload) == 0 && !h.FIN()
	case wire.Ctl:
		bad = bad || h.Flags != 0 || h.Channel != wire.ChannelCtl || len(payload) == 0
	default:
		bad = true
	}
	if bad {
		return fmt.Errorf("%w: %v, flags 0x%02x, channel %d, offset %d, %d bytes", ErrFrame, h.Type, h.Flags, h.Channel, h.Offset, len(payload))
	}
	return nil
}

// Append records what is new of a frame that side sent, and returns when write(2) has: the frame may be forwarded then.
// Bytes (of ctl: messages) that are on record already are left out, but compared: others than those on record are
// ErrDiffers. A frame that begins above the end of its stream is ErrGap. Nothing of payload is kept. While the compressor is behind by the
// whole ring, Append waits. An error, a full disk among them, means that the frame is not on record; the call may be
// repeated.
func (j *Journal) Append(side sess.Side, h wire.Header, payload []byte) error {
	if err := recordable(h, payload); err != nil {
		return err
	}
	key := keyOf(side, wire.StreamID{Channel: h.Channel, Participant: h.Participant})
	end := wire.Span(h, payload)
	hidden := j.hides(side, h)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.able(recordHead + len(payload)); err != nil {
		return err
	}
	have, known := j.at.streams[key]
	if h.Offset < have && !hidden {
		if err := j.same(key, h, payload, have); err != nil {
			return err
		}
	} else if j.overlaps != nil {
		delete(j.overlaps, key)
	}
	switch {
	case end <= have:
		return nil
	case h.Offset > have:
		return fmt.Errorf("%w: %s, channel %d, participant %d: %d follows %d", ErrGap, side, h.Channel, h.Participant, h.Offset, have)
	case !known && len(j.at.streams) >= maxStreams:
		return errStreams
	case h.Type == wire.Data && h.Offset < have:
		payload = payload[min(have-h.Offset, uint64(len(payload))):]
		h.Offset = have
	}
	r := Record{Kind: KindFrame, Side: side, Header: h}
	if hidden {
		r.Kind, payload = KindHidden, binary.BigEndian.AppendUint32(make([]byte, 0, hiddenBytes), uint32(len(payload))) //nolint:gosec // MaxPayload
	}
	written, err := j.put(&r, payload)
	if err != nil {
		return err
	}
	j.at.move(side, h, have, end)
	j.at.streams[key] = end
	if hidden || !written {
		return nil
	}
	if side == sess.SideClient {
		j.at.client += uint64(len(payload))
	} else {
		j.at.agent += uint64(len(payload))
	}
	return nil
}

// End tells up to which offset a stream is on record: J of the protocol. An unknown stream is at 0.
func (j *Journal) End(side sess.Side, id wire.StreamID) (offset uint64, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	offset, known = j.at.streams[keyOf(side, id)]
	return offset, known
}

// Traffic gives the bytes that passed so far.
func (j *Journal) Traffic() sess.Traffic {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.at.moved
}

// StartRun lets a stream go on at base although the bytes before it are not in this recording: the other end no longer
// has them, or another node recorded them. A marker says so and the recording is incomplete. A base that leaves no gap
// changes nothing.
func (j *Journal) StartRun(side sess.Side, id wire.StreamID, base uint64) error {
	if sideCode(side) == sideNone || base > wire.MaxOffset-wire.MaxFrame {
		return fmt.Errorf("%w: a run of %q at %d", ErrFrame, side, base)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.able(recordHead); err != nil {
		return err
	}
	have, known := j.at.streams[keyOf(side, id)]
	if base <= have {
		return nil
	}
	if !known && len(j.at.streams) >= maxStreams {
		return errStreams
	}
	t := wire.Data
	if id.Channel == wire.ChannelCtl {
		t = wire.Ctl
	}
	r := Record{Kind: KindRun, Side: side, Header: wire.Header{Type: t, Participant: id.Participant, Channel: id.Channel, Offset: base}}
	if _, err := j.put(&r, nil); err != nil {
		return err
	}
	j.at.move(side, r.Header, have, base)
	j.at.streams[keyOf(side, id)] = base
	j.miss(fmt.Sprintf("%d bytes of channel %d from the %s", base-have, id.Channel, side))
	return nil
}

// Forget drops what the journal knows of a stream that is closed for good, so that a session may have any number of
// channels one after the other. The stream's id must never be used again.
func (j *Journal) Forget(side sess.Side, id wire.StreamID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.at.streams, keyOf(side, id))
}

// The kinds of mark this package knows about. Others are kept as they are.
const (
	MarkGap    = "gap"    // something is missing here; data says what. The recording is incomplete
	MarkResize = "resize" // data is a wire.Resize: the terminal's size changed other than by the owner's ctl message
	MarkJoin   = "join"   // a participant came
	MarkLeave  = "leave"  // a participant went
	MarkEnd    = "end"    // why the session ended
)

// Mark is the payload of a KindMark record.
type Mark struct {
	Kind string          `json:"mark"`
	Data json.RawMessage `json:"data,omitempty"`
}

// Mark notes something that is no frame: joins, resizes, gaps, the reason of the end. data is encoded as JSON.
func (j *Journal) Mark(kind string, data any) error {
	b, err := markOf(kind, data)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.able(recordHead + len(b)); err != nil {
		return err
	}
	if _, err := j.put(&Record{Kind: KindMark}, b); err != nil {
		return err
	}
	if kind == MarkGap {
		j.miss("a gap marked as " + string(b))
	}
	return nil
}

func markOf(kind string, data any) ([]byte, error) {
	d, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode mark %s: %w", kind, err)
	}
	b, err := json.Marshal(Mark{Kind: kind, Data: d})
	if err != nil {
		return nil, fmt.Errorf("encode mark %s: %w", kind, err)
	}
	if len(b) > maxMark {
		return nil, fmt.Errorf("mark %s is %d bytes, more than %d", kind, len(b), maxMark)
	}
	return b, nil
}

func markKind(payload []byte) string {
	var m Mark
	if json.Unmarshal(payload, &m) != nil {
		return ""
	}
	return m.Kind
}

// miss notes that the recording lacks something. mu is held.
func (j *Journal) miss(what string) {
	j.at.gapped = true
	if j.why == "" {
		j.why = what + " are missing"
	}
}

// write puts one record behind the last one, with one write(2). mu is held and room was made.
func (j *Journal) write(r *Record, payload []byte) error {
	buf := buffers.Get().(*[maxFrame]byte)
	defer buffers.Put(buf)
	b := buf[:recordHead+copy(buf[recordHead:], payload)]
	r.Seq, r.Time = j.seq, max(j.dir.opts.Now().Sub(j.meta.Started), j.last)
	putRecord(b, j.salt, r)
	if err := j.writeAt(j.cur, b, j.off); err != nil {
		return err
	}
	j.seq, j.last, j.off = j.seq+1, r.Time, j.off+len(b)
	return nil
}

// writeAt writes b at off of s. What a failed write left is cut off, so that no half-written payload can ever be taken
// for a record. mu is held.
func (j *Journal) writeAt(s *slot, b []byte, off int) error {
	if _, err := s.f.WriteAt(b, int64(off)); err != nil {
		_ = s.f.Truncate(int64(off)) // the error at hand matters more; the salt and the sequence guard too
		return fmt.Errorf("record session %s: %w", j.meta.Session, err)
	}
	s.dirty = true
	if !j.dirty {
		j.dirty = true
		j.dir.wantSync(j)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !notExist(err) {
		return err
	}
	return nil
}
