package recording

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// What a journal does when it can't write is for its session's controls to say. A strict one refuses: what is not on record
// is not forwarded. Any other goes on without, in memory: where every stream stands is all that is needed to go on after a
// cut, and no more is held back than was consumed. It tries again, and where it can write again a mark and a run per stream
// say what is missing. A journal that is not to keep anything has its ring, for the screen and for comparing what is
// repeated, and makes no segments of it.

// loss is what a journal could not write.
type loss struct {
	why     error
	retry   time.Time            // when to try again
	since   time.Duration        // in the recording
	written map[streamKey]uint64 // where the streams stand on disk
	marks   uint64               // that were left out
}

// retryEvery is how often a journal that can't write tries again.
const retryEvery = time.Second

// hides reports whether a frame's bytes are not to be kept: input, where the session's controls say so. What a session was
// started with (its parameters) is no input.
func (j *Journal) hides(side sess.Side, h wire.Header) bool {
	return (j.meta.Input == sess.InputOff || j.meta.Input == sess.InputMasked) &&
		side == sess.SideClient && h.Type == wire.Data && h.Channel != wire.ChannelParams
}

// keepsNothing reports whether the recording is to hold no content.
func (j *Journal) keepsNothing() bool { return j.meta.Recording == sess.RecordOff }

// able makes room for a record, or finds that the journal has to go on without one. mu is held.
func (j *Journal) able(need int) error {
	if j.closed {
		return ErrClosed
	}
	if j.missed != nil {
		if j.dir.opts.Now().Before(j.missed.retry) {
			return nil
		}
		if err := j.heal(need); err != nil {
			return j.lose(err)
		}
		return nil
	}
	if err := j.room(need); err != nil {
		return j.lose(err)
	}
	return nil
}

// put writes a record, or lets it go. mu is held and able was asked.
func (j *Journal) put(r *Record, payload []byte) (written bool, err error) {
	if j.missed == nil {
		err := j.write(r, payload)
		if err == nil {
			return true, nil
		}
		if err := j.lose(err); err != nil {
			return false, err
		}
	}
	if r.Kind == KindMark {
		j.missed.marks++
	}
	return false, nil
}

// lose has the journal go on without writing, because of err; a strict one does not. mu is held.
func (j *Journal) lose(err error) error {
	if j.meta.Recording == sess.RecordStrict || errors.Is(err, ErrClosed) {
		return err
	}
	if j.missed == nil {
		j.missed = &loss{since: j.last, written: maps.Clone(j.at.streams)}
		j.dir.opts.Log.Error("recording has a gap", "session", j.meta.Session, "err", err)
	}
	j.missed.why, j.missed.retry = err, j.dir.opts.Now().Add(retryEvery)
	j.failed = nil
	return nil
}

// Gap is the data of a mark MarkGap that says what could not be written.
type Gap struct {
	Why   string  `json:"why"`
	From  float64 `json:"from"`            // seconds into the recording
	Bytes uint64  `json:"bytes"`           // of all streams
	Marks uint64  `json:"marks,omitempty"` // that were left out
}

// heal writes what is missing as a mark and runs, so that the journal goes on. mu is held, and let go while waiting: others
// go on without writing meanwhile.
func (j *Journal) heal(need int) error {
	l := j.missed
	l.retry = j.dir.opts.Now().Add(retryEvery)
	if j.chain.head == "" {
		if err := j.make(); err != nil {
			return err
		}
	}
	j.kick()
	bytes := l.bytes(j.at.streams)
	why := reason(l.why)
	b, err := markOf(MarkGap, Gap{Why: why, From: l.since.Seconds(), Bytes: bytes, Marks: l.marks})
	if err != nil {
		return err
	}
	if err := j.heals(&Record{Kind: KindMark}, b); err != nil {
		return err
	}
	j.miss(fmt.Sprintf("%d bytes that could not be written: %s", bytes, why))
	for {
		k, ok := l.behind(j.at.streams)
		if !ok {
			break
		}
		r := Record{Kind: KindRun, Side: codeSide(uint8(k >> 48)), Header: wire.Header{ //nolint:gosec // as keyOf made it
			Type: wire.Data, Participant: uint16(k >> 32), Channel: uint32(k), Offset: j.at.streams[k], //nolint:gosec // as keyOf made it
		}}
		if r.Header.Channel == wire.ChannelCtl {
			r.Header.Type = wire.Ctl
		}
		if err := j.heals(&r, nil); err != nil {
			return err
		}
		l.written[k] = r.Header.Offset
	}
	if err := j.room(need); err != nil {
		return err
	}
	if _, ok := l.behind(j.at.streams); ok { // while room waited
		return j.heal(need)
	}
	j.missed = nil
	return nil
}

// behind gives a stream that is not on disk up to where it stands.
func (l *loss) behind(at map[streamKey]uint64) (streamKey, bool) {
	for _, k := range slices.Sorted(maps.Keys(at)) {
		if at[k] > l.written[k] {
			return k, true
		}
	}
	return 0, false
}

// bytes counts what is not on disk.
func (l *loss) bytes(at map[streamKey]uint64) (n uint64) {
	for k, end := range at {
		if uint32(k) != wire.ChannelCtl { //nolint:gosec // as keyOf made it
			n += end - min(end, l.written[k])
		}
	}
	return n
}

// heals writes one record of what is missing. mu is held.
func (j *Journal) heals(r *Record, payload []byte) error {
	if err := j.room(recordHead + len(payload)); err != nil {
		return err
	}
	return j.write(r, payload)
}

// make begins the recording of a journal that could not when it was opened. mu is held.
func (j *Journal) make() error {
	_, raw, err := j.dir.create(j.path, j.meta)
	if err != nil {
		return err
	}
	j.chain.head, j.named = digest(raw), true
	return nil
}

// reason gives the words of the cause of an error of the file system: "no space left on device".
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// Unwritten says why a frame is not on record, where that is the disk's fault and not the frame's: for people. It is empty
// for what is about frames, and where the journal was closed.
func Unwritten(err error) string {
	for _, no := range []error{ErrClosed, ErrFinal, ErrInUse, ErrGap, ErrFrame, ErrDiffers, errStreams} {
		if errors.Is(err, no) {
			return ""
		}
	}
	if err == nil {
		return ""
	}
	return reason(err)
}
