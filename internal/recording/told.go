package recording

import (
	"bytes"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// toldLines puts together the lines of a stream that an agent tells the record alone: of programs, or of what was echoed. Behind
// bytes that are missing, and of a line that is longer than any that an agent writes, nothing is taken up to the next line: what
// would be put together of two halves was never told.
type toldLines struct {
	channel uint32
	have    uint64
	line    []byte // begun, not ended
	torn    bool   // its beginning is missing
}

// maxToldLine bounds a line: an agent cuts arguments and paths at a few KiB, which JSON may blow up, and writes what was typed in
// at most one window.
const maxToldLine = 128 << 10

// each calls fn with each line that a record ends, its newline included and valid until fn returns. It ends with fn's error.
func (l *toldLines) each(r *Record, fn func(line []byte) error) error {
	h := r.Header
	if r.Kind != KindFrame || r.Side != sess.SideAgent || h.Type != wire.Data || h.Channel != l.channel {
		return nil
	}
	end := h.Offset + uint64(len(r.Payload))
	if end <= l.have {
		return nil
	}
	p := r.Payload
	if h.Offset > l.have {
		l.line, l.torn = l.line[:0], true
	} else {
		p = p[l.have-h.Offset:]
	}
	l.have = end
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		ends := n > 0
		if !ends {
			n = len(p)
		}
		l.take(p[:n])
		p = p[n:]
		if !ends {
			break
		}
		line, whole := l.line, !l.torn
		l.line, l.torn = l.line[:0], false
		if !whole {
			continue
		}
		if err := fn(line); err != nil {
			return err
		}
	}
	return nil
}

func (l *toldLines) take(part []byte) {
	if !l.torn {
		l.line = append(l.line, part...)
	}
	if len(l.line) > maxToldLine {
		l.line, l.torn = nil, true
	}
}
