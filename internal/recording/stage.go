package recording

import (
	"encoding/json"

	"github.com/sessctl/sess/internal/recording/vt"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// stage is a terminal that follows the records of one recording, from their beginning or from a keyframe on.
type stage struct {
	term   *vt.Terminal
	seq    uint64 // of the next record
	offset uint64 // of the main channel's output: what lies below is on the screen
	gap    bool   // records were missing on the way
	skim   uint64 // of the text before this record only modes, titles and colours are taken
	fixed  bool   // the size is known otherwise than by the parameters
	params []byte // of the session, as far as they have come
}

// newStage begins at a keyframe, or without one at the beginning.
func newStage(m *Meta, k *keyframe) *stage {
	if k == nil {
		if m.Cols > 0 && m.Rows > 0 {
			return &stage{term: vt.New(int(m.Cols), int(m.Rows)), fixed: true}
		}
		return &stage{term: vt.New(defaultCols, defaultRows)}
	}
	s := &stage{term: vt.New(k.cols, k.rows), seq: k.seq, offset: k.offset, fixed: true}
	_, _ = s.term.Write(k.screen) // never fails
	return s
}

// follow takes in what is new in a segment, and reports whether anything was.
func (s *stage) follow(seg *segment) bool {
	began := s.seq
	for {
		r, err := seg.next()
		if err != nil {
			return s.seq > began
		}
		if r.Seq < s.seq {
			continue
		}
		s.gap = s.gap || r.Seq > s.seq
		s.see(&r)
	}
}

func (s *stage) see(r *Record) {
	s.seq = r.Seq + 1
	output := r.Side == sess.SideAgent && r.Header.Type == wire.Data
	if main := output && r.Header.Channel == wire.ChannelMain; main && r.Kind == KindFrame {
		s.offset = r.end()
	} else if main && r.Kind == KindRun {
		s.offset = r.Header.Offset
	}
	switch {
	case r.Kind == KindMark:
		var m Mark
		if json.Unmarshal(r.Payload, &m) == nil && m.Kind == MarkResize {
			s.resize(m.Data)
		}
	case r.Kind != KindFrame:
	case output && (r.Header.Channel == wire.ChannelMain || r.Header.Channel == wire.ChannelStderr):
		s.show(r)
	case r.Side != sess.SideClient:
	case r.Header.Type == wire.Ctl:
		if kind, body, err := wire.DecodeCtl(r.Payload); err == nil && kind == wire.CtlResize {
			s.resize(body)
		}
	case r.Header.Channel == wire.ChannelParams:
		s.take(r)
	}
}

func (s *stage) show(r *Record) {
	if r.Seq < s.skim {
		s.term.Skim(r.Payload)
		return
	}
	_, _ = s.term.Write(r.Payload) // never fails
}

// take finds the size in the session's parameters.
func (s *stage) take(r *Record) {
	if s.fixed || len(s.params)+len(r.Payload) > sess.MaxParams {
		return
	}
	s.params = append(s.params, r.Payload...)
	if !r.Header.FIN() {
		return
	}
	var p sess.Params
	if json.Unmarshal(s.params, &p) == nil && p.Cols > 0 && p.Rows > 0 {
		s.term.Resize(int(p.Cols), int(p.Rows))
	}
	s.fixed, s.params = true, nil
}

func (s *stage) resize(body []byte) {
	var size wire.Resize
	if json.Unmarshal(body, &size) == nil && size.Cols > 0 && size.Rows > 0 {
		s.term.Resize(int(size.Cols), int(size.Rows))
		s.fixed = true
	}
}

// keyframe gives the screen as it stands. One that would be larger than all bounds is a blank one: whatever has the terminal
// draws it again sooner or later.
func (s *stage) keyframe() *keyframe {
	k := &keyframe{seq: s.seq, offset: s.offset, screen: s.term.Screen()}
	k.cols, k.rows = s.term.Size()
	if screenHead+len(k.screen) > maxScreen {
		k.screen = nil
	}
	return k
}
