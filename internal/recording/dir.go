package recording

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sessctl/sess/internal/sess"
)

// Limits on the size of a ring file, which is the size of a segment before compression.
const (
	DefaultSegmentBytes = 1 << 20
	MinSegmentBytes     = 256 << 10 // holds the largest checkpoint and the largest frame
	MaxSegmentBytes     = 16 << 20
	maxSegmentStored    = MaxSegmentBytes + MaxSegmentBytes/128 + 64 // what zstd may make of it at worst
)

// DefaultSyncEvery is how long a record may lie in the page cache before fdatasync: what a power cut can lose.
const DefaultSyncEvery = time.Second

const (
	dirPerm  = 0o700
	filePerm = 0o600
)

// Options of a Dir. The zero value is good.
type Options struct {
	Now          func() time.Time // nil: time.Now
	SegmentBytes int              // records per ring file before compression; 0: DefaultSegmentBytes
	SyncEvery    time.Duration    // 0: DefaultSyncEvery
	Log          *slog.Logger     // for what happens in the background; nil: nowhere
}

// Dir is a directory of recordings: DIR/ORG/SESSION/. One process at a time may use it for writing; that is for its
// owner to see to (sess-server locks its data directory).
type Dir struct {
	path     string
	opts     Options
	zstd     *zstd.Encoder
	compress chan struct{} // one token per compression under way
	stop     chan struct{}
	wg       sync.WaitGroup // waits for the compressors and the sync loop

	mu   sync.Mutex // guards what follows; never held over I/O of a journal
	open map[sess.SessionID]*Journal
	gaps map[sess.SessionID]unclosed
	shut bool

	syncs syncer
}

// Errors of Dir and Journal.
var (
	ErrClosed  = errors.New("recording is closed")
	ErrFinal   = errors.New("recording has ended and takes no more")
	ErrInUse   = errors.New("recording is already open for writing")
	ErrGap     = errors.New("frame leaves a gap in its stream") // not recorded; StartRun first if that is meant
	ErrFrame   = errors.New("frame can't be recorded")
	ErrDiffers = errors.New("a repeated byte differs from the one on record") // see sess.EndTampered
)

// OpenDir makes the directory if need be. Close the Dir when done.
func OpenDir(path string, opts Options) (*Dir, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = DefaultSegmentBytes
	}
	if opts.SegmentBytes < MinSegmentBytes || opts.SegmentBytes > MaxSegmentBytes {
		return nil, fmt.Errorf("open recordings: segments of %d bytes, allowed are %d to %d", opts.SegmentBytes, MinSegmentBytes, MaxSegmentBytes)
	}
	if opts.SyncEvery == 0 {
		opts.SyncEvery = DefaultSyncEvery
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(path, dirPerm); err != nil {
		return nil, fmt.Errorf("open recordings: %w", err)
	}
	cpus := runtime.GOMAXPROCS(0)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(cpus),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("open recordings: %w", err)
	}
	d := &Dir{
		path: path, opts: opts, zstd: enc,
		compress: make(chan struct{}, cpus),
		stop:     make(chan struct{}),
		open:     make(map[sess.SessionID]*Journal),
		gaps:     make(map[sess.SessionID]unclosed),
	}
	return d, nil
}

// Close closes every open journal as Journal.Close(false) does and waits for the background work.
func (d *Dir) Close() error {
	d.mu.Lock()
	if d.shut {
		d.mu.Unlock()
		return nil
	}
	d.shut = true
	var js []*Journal
	for _, j := range d.open {
		if j != nil {
			js = append(js, j)
		}
	}
	d.mu.Unlock()
	errs := closeAll(js)
	close(d.stop)
	d.wg.Wait()
	return errors.Join(append(errs, d.zstd.Close())...)
}

// closers is how many journals are brought to disk at a time when a Dir closes: a file system does many syncs at once
// for little more than the price of one.
const closers = 32

func closeAll(js []*Journal) []error {
	var (
		wg   sync.WaitGroup // waits for the closers
		next atomic.Int64
		errs = make([]error, len(js))
	)
	for range min(closers, len(js)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(js); i = int(next.Add(1)) - 1 {
				if _, err := js[i].Close(false); err != nil && !errors.Is(err, ErrClosed) {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	return errs
}

// sessionDir gives where the recording of a session lies. The ids are checked, so that they are safe as names.
func sessionDir(root string, org sess.OrgID, id sess.SessionID) (string, error) {
	if !sess.ValidID("org", string(org)) || !sess.ValidID("ses", string(id)) {
		return "", sess.New(sess.CodeInvalid, fmt.Sprintf("%q of %q is no session", id, org), "")
	}
	return filepath.Join(root, string(org), string(id)), nil
}

// Open begins the recording of a session, or goes on with it where it was: what a killed process left is read up to the
// last whole record. Meta is written when the recording begins and ignored later. A recording that was closed as final
// is ErrFinal.
func (d *Dir) Open(org sess.OrgID, id sess.SessionID, meta Meta) (*Journal, error) {
	dir, err := sessionDir(d.path, org, id)
	if err != nil {
		return nil, err
	}
	if err := d.reserve(id); err != nil {
		return nil, err
	}
	meta.Format, meta.Org, meta.Session = FormatVersion, org, id
	if meta.Sealed() {
		meta.Command = nil // it is among the parameters, which are encrypted
	}
	j, err := d.openJournal(dir, meta)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		delete(d.open, id)
		return nil, err
	}
	d.open[id] = j
	return j, nil
}

// Has reports whether there is a recording of a session, whatever its state.
func (d *Dir) Has(org sess.OrgID, id sess.SessionID) bool {
	dir, err := sessionDir(d.path, org, id)
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, metaFile))
	return err == nil
}

// Verify reads the recording of a session from end to end and says what it found; see the function Verify.
func (d *Dir) Verify(org sess.OrgID, id sess.SessionID) (Report, error) {
	return Verify(d.path, org, id)
}

func (d *Dir) reserve(id sess.SessionID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return ErrClosed
	}
	if _, ok := d.open[id]; ok {
		return fmt.Errorf("session %s: %w", id, ErrInUse)
	}
	d.open[id] = nil
	return nil
}

// unclosed is what is known of a journal that could not be closed, and may not be on disk.
type unclosed struct {
	why  string // what is missing from it; empty: nothing
	meta Meta
}

// gapOf tells what is missing from a recording, beside what it says itself.
func (d *Dir) gapOf(id sess.SessionID) unclosed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gaps[id]
}

// noteGap remembers that for the next Open; nil: it was closed.
func (d *Dir) noteGap(id sess.SessionID, u *unclosed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u == nil {
		delete(d.gaps, id)
		return
	}
	d.gaps[id] = *u
}

// Remove deletes the recording of a session. One that is being written is ErrInUse. That there is none is no error.
func (d *Dir) Remove(org sess.OrgID, id sess.SessionID) error {
	dir, err := sessionDir(d.path, org, id)
	if err != nil {
		return err
	}
	if err := d.reserve(id); err != nil {
		return err
	}
	defer d.forget(id)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("delete recording of session %s: %w", id, err)
	}
	return nil
}

// Ready reports whether recordings can be written: it writes as much as a segment takes, and takes it away again.
func (d *Dir) Ready() error {
	f, err := os.CreateTemp(d.path, ".ready-*")
	if err != nil {
		return fmt.Errorf("write recordings: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, d.opts.SegmentBytes))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write recordings: %w", err)
	}
	return nil
}

func (d *Dir) forget(id sess.SessionID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, id)
}
