package recording

import (
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Present is the screen of a terminal session as of one byte of its output.
type Present struct {
	Screen     []byte // brings a terminal of the same size, whatever it shows, to this screen
	Cols, Rows uint16
	Offset     uint64 // everything of the main channel's output below it is in the screen, and nothing behind it
}

// Present gives the present screen of a session; see Screen. It may be called while the session's journal is written: what
// is appended later begins at its Offset.
func (d *Dir) Present(org sess.OrgID, id sess.SessionID) (Present, error) {
	r, err := d.OpenReader(org, id)
	if err != nil {
		return Present{}, err
	}
	defer r.Close()
	t, ev, err := replay(r)
	if err != nil {
		return Present{}, err
	}
	cols, rows := t.Size()
	return Present{
		Screen: t.Screen(), Cols: uint16(cols), Rows: uint16(rows), //nolint:gosec // they came from 16 bits
		Offset: ev.ends[keyOf(sess.SideAgent, wire.StreamID{Channel: wire.ChannelMain})],
	}, nil
}
