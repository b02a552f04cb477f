package recording

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/sessctl/sess/internal/sess"
)

// Reader reads one recording from its directory, segments first and then what is still in the ring. It may be used
// while the recording is being written, by this process or another: what it gives is always a whole prefix. It is for
// one goroutine.
type Reader struct {
	path   string
	meta   Meta
	chain  *chain
	opener *opener
	link   int      // index of the chain's next link
	cur    *segment // nil: the next one has to be found
	tail   uint64   // number of the ring's segment that was read last, when inRing
	inRing bool
	over   bool // the recording has ended, as is known from elsewhere
	watch  watcher
}

// OpenReader opens the recording of a session under root, the path of the Dir. A recording that is not there is
// sess.ErrNotFound: it is missing, not empty.
func OpenReader(root string, org sess.OrgID, id sess.SessionID) (*Reader, error) {
	path, err := sessionDir(root, org, id)
	if err != nil {
		return nil, err
	}
	m, raw, err := readMeta(path, org, id)
	if notExist(err) {
		return nil, sess.Wrap(err, sess.CodeNotFound, "the recording of session "+string(id)+" is missing",
			"it was never made, or its files were removed from the server")
	}
	if err != nil {
		return nil, err
	}
	c, err := readChain(path, &m, raw)
	if err != nil {
		return nil, err
	}
	o, err := newOpener(&m, nil)
	if err != nil {
		return nil, err
	}
	return &Reader{path: path, meta: m, chain: c, opener: o}, nil
}

// OpenReader opens a recording of d; see the function of that name.
func (d *Dir) OpenReader(org sess.OrgID, id sess.SessionID) (*Reader, error) {
	return OpenReader(d.path, org, id)
}

// Close frees what the reader holds.
func (r *Reader) Close() error {
	r.opener.close()
	return nil
}

// Over says that the recording has ended, as is known from elsewhere: a chain without an end is damaged then.
func (r *Reader) Over() { r.over = true }

// Meta describes the session.
func (r *Reader) Meta() Meta { return r.meta }

// Next gives the next record. Behind the last one it gives io.EOF, and while the recording goes on it may be called
// again later for what came since. Damaged segments are left out, and so are encrypted ones, which only those can read who
// have the recording sent; Report says so.
func (r *Reader) Next() (Record, error) {
	for {
		if r.cur == nil {
			s, err := r.find()
			if err != nil {
				return Record{}, err
			}
			r.cur = s
		}
		rec, err := r.cur.next()
		if err != nil {
			r.cur = nil
			continue
		}
		if rec.Seq < r.watch.seq { // of a segment that was read from the ring before
			continue
		}
		r.watch.see(&rec)
		return rec, nil
	}
}

// find opens the next segment: of the chain, or else of the ring.
func (r *Reader) find() (*segment, error) {
	for {
		if s := r.fromChain(); s != nil {
			return s, nil
		}
		if r.chain.ended != nil {
			r.watch.end(r.chain)
			return nil, io.EOF
		}
		size := r.chain.size
		s, err := r.fromRing()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		// The ring file may have been written over while it was read; then its segment is in the chain by now.
		if err := r.refresh(); err != nil {
			return nil, err
		}
		if r.chain.size != size {
			continue
		}
		if err != nil {
			if r.over {
				r.watch.noEnd()
			}
			return nil, io.EOF
		}
		r.tail, r.inRing = s.check.number, true
		return s, nil
	}
}

// fromChain opens the next segment of the chain that is good; nil when there is none.
func (r *Reader) fromChain() *segment {
	for r.link < len(r.chain.links) {
		l := &r.chain.links[r.link]
		r.link++
		if l.End != "" {
			continue
		}
		s, err := r.opener.load(r.path, l)
		switch {
		case err == nil:
			return s
		case errors.Is(err, errSealed):
			r.watch.pass(l)
		default:
			r.watch.damaged(err)
		}
	}
	return nil
}

func (r *Reader) refresh() error {
	_, raw, err := readMeta(r.path, r.meta.Org, r.meta.Session)
	if err != nil {
		return err
	}
	c, err := readChain(r.path, &r.meta, raw)
	if err != nil {
		return err
	}
	if c.size < r.chain.size {
		return fmt.Errorf("read recording of %s: its chain became shorter", r.meta.Session)
	}
	r.chain = c
	return nil
}

// fromRing opens the segment of the ring that has records not given yet: the lowest number that is in no chain. It gives
// io.EOF when there is none.
func (r *Reader) fromRing() (*segment, error) {
	from := r.chain.next
	if r.inRing {
		from = max(from, r.tail)
	}
	var best []byte
	var number uint64
	for i := range ringFiles {
		b, err := readBounded(filepath.Join(r.path, ringName(i)), MaxSegmentBytes)
		if err != nil {
			if notExist(err) {
				continue
			}
			return nil, fmt.Errorf("read recording of %s: %w", r.meta.Session, err)
		}
		s, err := openSegment(b)
		if err != nil || s.check.number < from || best != nil && s.check.number >= number {
			continue
		}
		s.begun = true
		s.skip()
		if s.seq <= r.watch.seq {
			continue // all given
		}
		best, number = b, s.check.number
	}
	if best == nil {
		return nil, io.EOF
	}
	return openSegment(best)
}

// Report tells what has been read so far; behind io.EOF that is the whole recording.
func (r *Reader) Report() Report { return r.watch.report(r.chain) }

// State is the state of the recording as far as it has been read.
func (r *Reader) State() sess.RecordingState { return r.Report().State }

// Verify reads a whole recording and checks everything that can be checked: digests, chain, CRCs, sequence, offsets.
// Mistakes in the recording are in the report, with how much is left that can be read; the error is for a recording that
// could not be read at all for another reason than being missing.
func Verify(root string, org sess.OrgID, id sess.SessionID) (Report, error) {
	r, err := OpenReader(root, org, id)
	if errors.Is(err, sess.ErrNotFound) {
		return Report{State: sess.RecordingMissing, Problems: []string{"there is no recording"}}, nil
	}
	if err != nil {
		return Report{}, err
	}
	defer r.Close()
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return r.Report(), nil
		} else if err != nil {
			return Report{}, err
		}
	}
}
