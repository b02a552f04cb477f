package recording

import (
	"errors"
	"fmt"
	"io"

	"github.com/sessctl/sess/internal/recording/vt"
	"github.com/sessctl/sess/internal/sess"
)

// ScreenBytes is how much of the last records is replayed in full to find the present screen; before that only modes,
// titles and sizes are looked at. Redrawing the largest terminal takes far less.
const ScreenBytes = 4 << 20

// Screen gives bytes that bring a fresh terminal to the present screen of a terminal session: text, colours, cursor,
// alternate screen, scroll region, modes and title. r must give the whole recording.
func Screen(r Records) ([]byte, error) {
	t, err := Replay(r)
	if err != nil {
		return nil, err
	}
	return t.Screen(), nil
}

// Replay gives the terminal as the recording leaves it.
func Replay(r Records) (*vt.Terminal, error) {
	t, _, err := replay(r)
	return t, err
}

func replay(r Records) (*vt.Terminal, *Events, error) {
	var from uint64
	if own, ok := r.(*Reader); ok {
		from = own.tailSeq(ScreenBytes)
	}
	ev := NewEvents(r)
	head, err := ev.Head()
	if err != nil {
		return nil, nil, fmt.Errorf("find the screen: %w", err)
	}
	t := vt.New(int(head.Cols), int(head.Rows))
	for {
		e, err := ev.Next()
		switch {
		case errors.Is(err, io.EOF):
			return t, ev, nil
		case err != nil:
			return nil, nil, fmt.Errorf("find the screen: %w", err)
		case e.Kind == EventResize:
			t.Resize(int(e.Size.Cols), int(e.Size.Rows))
		case e.Kind == EventOutput && e.seq < from:
			t.Skim(e.Data)
		case e.Kind == EventOutput:
			_, _ = t.Write(e.Data) // never fails
		}
	}
}

// tailSeq gives the first record of the segments that hold the last n bytes of the chain.
func (r *Reader) tailSeq(n int64) uint64 {
	segs := r.chain.segments()
	for i := len(segs) - 1; i >= 0; i-- {
		if n -= segs[i].Bytes; n <= 0 {
			return segs[i].Seq
		}
	}
	return 0
}

// Screen gives the present screen of a session; see the function of that name. It may be called while the session's
// journal is written.
func (d *Dir) Screen(org sess.OrgID, id sess.SessionID) ([]byte, error) {
	r, err := d.OpenReader(org, id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return Screen(r)
}
