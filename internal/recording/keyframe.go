package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/sessctl/sess/internal/recording/vt"
	"github.com/sessctl/sess/internal/sess"
)

// Where what left the ring can't be read any more (it is encrypted, or not kept), the screen as it stood then is kept beside
// the ring: a keyframe. It is made by the compressor from the keyframe before and one ring file, before that file is written
// over, so that keyframe and ring together always give the present screen.

// keyframe is a terminal's screen in front of a record.
type keyframe struct {
	seq        uint64 // of the record
	offset     uint64 // of the main channel's output: what lies below is in it
	cols, rows int
	screen     []byte // brings a terminal of that size to it
}

// The file of the keyframe: magic, CRC-32C of what follows, seq u64, offset u64, cols u16, rows u16, screen.
const (
	screenFile  = "screen"
	newSuffix   = ".new"
	screenMagic = "sessscr1"
	screenHead  = len(screenMagic) + 4 + 8 + 8 + 2 + 2
	maxScreen   = 8 << 20 // bytes of the file; a larger screen is kept as a blank one
)

var errKeyframe = errors.New("malformed screen")

func (k *keyframe) encode() []byte {
	b := make([]byte, screenHead, screenHead+len(k.screen))
	copy(b, screenMagic)
	at := len(screenMagic) + 4
	binary.BigEndian.PutUint64(b[at:], k.seq)
	binary.BigEndian.PutUint64(b[at+8:], k.offset)
	binary.BigEndian.PutUint16(b[at+16:], uint16(k.cols)) //nolint:gosec // at most vt.MaxCols
	binary.BigEndian.PutUint16(b[at+18:], uint16(k.rows)) //nolint:gosec // at most vt.MaxRows
	b = append(b, k.screen...)
	binary.BigEndian.PutUint32(b[len(screenMagic):], crc32.Checksum(b[at:], castagnoli))
	return b
}

func decodeKeyframe(b []byte) (*keyframe, error) {
	at := len(screenMagic) + 4
	if len(b) < screenHead || len(b) > maxScreen || string(b[:len(screenMagic)]) != screenMagic ||
		binary.BigEndian.Uint32(b[len(screenMagic):]) != crc32.Checksum(b[at:], castagnoli) {
		return nil, errKeyframe
	}
	k := &keyframe{
		seq: binary.BigEndian.Uint64(b[at:]), offset: binary.BigEndian.Uint64(b[at+8:]),
		cols: int(binary.BigEndian.Uint16(b[at+16:])), rows: int(binary.BigEndian.Uint16(b[at+18:])), screen: b[screenHead:],
	}
	if k.cols < 1 || k.cols > vt.MaxCols || k.rows < 1 || k.rows > vt.MaxRows {
		return nil, errKeyframe
	}
	return k, nil
}

// readKeyframe gives the keyframe of a recording; nil: there is none, or none that can be read.
func readKeyframe(dir string) *keyframe {
	b, err := readBounded(filepath.Join(dir, screenFile), maxScreen)
	if err != nil {
		return nil
	}
	k, err := decodeKeyframe(b)
	if err != nil {
		return nil
	}
	return k
}

// write puts the keyframe in place of the one before: it is there whole or not at all.
func (k *keyframe) write(dir string) error {
	temp := filepath.Join(dir, screenFile+newSuffix)
	if err := os.WriteFile(temp, k.encode(), filePerm); err != nil {
		return fmt.Errorf("keep screen: %w", err)
	}
	if err := os.Rename(temp, filepath.Join(dir, screenFile)); err != nil {
		return fmt.Errorf("keep screen: %w", err)
	}
	return nil
}

// terminal reports whether the session has a screen.
func (m *Meta) terminal() bool { return m.TTY || sess.Kinds[m.Kind].Terminal }

// keepsScreen reports whether the journal keeps a keyframe.
func (j *Journal) keepsScreen() bool { return j.ringAlone() && j.meta.terminal() }

// lookBehind has the screen looked for, where the recording can be read, whenever a file of segments is full, and remembered: so
// whoever asks for it waits for no more than such a file to be read.
func (j *Journal) lookBehind(n uint64) {
	if (n+1)%perFile != 0 || !j.meta.readable() || !j.meta.terminal() || !j.looking.CompareAndSwap(false, true) {
		return
	}
	j.dir.wg.Go(func() {
		defer j.looking.Store(false)
		_, _ = j.dir.Present(j.meta.Org, j.meta.Session) // whoever needs it will hear why there is none
	})
}

// keepScreen moves the keyframe behind a ring file that is about to be free. One that can't be written leaves the one before:
// the screen lacks something then, and the session goes on.
func (j *Journal) keepScreen(raw []byte) {
	j.mu.Lock()
	over := j.final
	j.mu.Unlock()
	seg, err := openSegment(raw)
	if over || err != nil {
		return
	}
	k := readKeyframe(j.path)
	s := newStage(&j.meta, k)
	if !s.follow(seg) && k != nil {
		return // it is behind that already
	}
	if err := s.keyframe().write(j.path); err != nil {
		j.dir.opts.Log.Warn("the screen of a session is not kept", "session", j.meta.Session, "err", err)
	}
}
