package client

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"
)

// screen follows what goes to the user's terminal just closely enough to leave it usable and to speak in between: which
// private modes are on (alternate screen, mouse, hidden cursor, …), and whether a line of ours may be shown now without
// falling into the middle of an escape sequence or a character. It is no terminal emulator.
type screen struct {
	state vtState
	str   bool     // the string being read (OSC, DCS, …) may end with ESC \
	param []byte   // parameters of the CSI being read, bounded
	modes []uint16 // private modes that differ from a fresh terminal's, in the order they changed
	utf   int      // continuation bytes still missing of the last character
	part  bool     // only a part of the screen scrolls
}

type vtState uint8

const (
	vtGround vtState = iota
	vtEscape         // behind ESC
	vtCSI            // behind ESC [
	vtString         // inside OSC, DCS, APC, PM or SOS
	vtInter          // behind ESC and an intermediate: one more byte
)

// maxParam bounds the parameters kept of one CSI, in bytes; longer ones are not about modes.
const maxParam = 64

// freshModes are the modes a fresh terminal has on; all others it has off.
var freshModes = [...]uint16{7, 25}

// tracked are the private modes worth undoing: cursor keys, cursor, mouse, focus, alternate screens, paste.
var tracked = [...]uint16{1, 25, 47, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1049, 2004}

// ground reports whether a line of ours may be written now.
func (s *screen) ground() bool { return s.state == vtGround && s.utf == 0 }

// alternate reports whether a full-screen program has the terminal.
func (s *screen) alternate() bool {
	return slices.Contains(s.modes, 47) || slices.Contains(s.modes, 1047) || slices.Contains(s.modes, 1049)
}

// feed follows p.
func (s *screen) feed(p []byte) {
	for len(p) > 0 {
		if s.state == vtGround {
			i := bytes.IndexByte(p, 0x1b)
			if i < 0 {
				s.utf = missing(p, s.utf)
				return
			}
			p = p[i+1:]
			s.state, s.utf = vtEscape, 0
			continue
		}
		s.step(p[0])
		p = p[1:]
	}
}

func (s *screen) step(b byte) {
	switch b {
	case 0x18, 0x1a: // CAN and SUB end any sequence
		s.state = vtGround
		return
	case 0x1b:
		s.str, s.state = s.state == vtString, vtEscape
		return
	}
	switch s.state {
	case vtEscape:
		s.escape(b)
	case vtCSI:
		switch {
		case b >= 0x40 && b <= 0x7e:
			s.csi(b)
			s.state = vtGround
		case len(s.param) < maxParam:
			s.param = append(s.param, b)
		}
	case vtString:
		if b == 0x07 {
			s.state = vtGround
		}
	case vtInter:
		if b >= 0x30 {
			s.state = vtGround
		}
	case vtGround:
	}
}

func (s *screen) escape(b byte) {
	s.state = vtGround
	switch {
	case b == '[':
		s.state, s.param = vtCSI, s.param[:0]
	case bytes.IndexByte([]byte("]P_^X"), b) >= 0:
		s.state = vtString
	case b == 'c': // full reset
		s.modes, s.part = s.modes[:0], false
	case b >= 0x20 && b < 0x30:
		s.state = vtInter
	}
}

// csi acts on a complete CSI: ESC [ ? modes h or l, the soft reset, and ESC [ top ; bottom r.
func (s *screen) csi(final byte) {
	if final == 'r' && !bytes.ContainsAny(s.param, "?$") {
		s.part = len(s.param) > 0
	}
	if final == 'p' && string(s.param) == "!" {
		s.part = false
		s.modes = slices.DeleteFunc(s.modes, func(m uint16) bool { return m == 1 || m == 25 })
		return
	}
	if final != 'h' && final != 'l' || len(s.param) < 2 || s.param[0] != '?' || len(s.param) == maxParam {
		return
	}
	for f := range bytes.SplitSeq(s.param[1:], []byte{';'}) {
		var m uint16
		if _, err := fmt.Sscanf(string(f), "%d", &m); err != nil || !slices.Contains(tracked[:], m) {
			continue
		}
		s.modes = slices.DeleteFunc(s.modes, func(x uint16) bool { return x == m })
		if (final == 'h') != slices.Contains(freshModes[:], m) {
			s.modes = append(s.modes, m)
		}
	}
}

// restore gives the bytes that bring a terminal back to what a shell expects, newest change first. It is empty when
// there is nothing to undo, as after a program that cleaned up behind itself.
func (s *screen) restore() []byte {
	var out []byte
	if !s.ground() {
		out = append(out, 0x18) // CAN: give up the sequence in the middle
		if s.state == vtString || s.str {
			out = append(out, "\x1b\\"...)
		}
	}
	for _, m := range slices.Backward(s.modes) {
		final := 'l'
		if slices.Contains(freshModes[:], m) {
			final = 'h'
		}
		out = fmt.Appendf(out, "\x1b[?%d%c", m, final)
	}
	if s.part { // all of it, and the cursor stays where it is
		out = append(out, "\x1b7\x1b[r\x1b8"...)
	}
	if len(out) > 0 {
		out = append(out, "\x1b>\x1b[m"...)
	}
	*s = screen{}
	return out
}

// missing says how many bytes the last character of p still lacks; before is how many were lacking in front of it.
func missing(p []byte, before int) int {
	if len(p) <= before && !slices.ContainsFunc(p, utf8.RuneStart) {
		return before - len(p)
	}
	tail := p[max(0, len(p)-utf8.UTFMax):]
	for i, b := range slices.Backward(tail) {
		if !utf8.RuneStart(b) {
			continue
		}
		have := len(tail) - i
		switch {
		case b >= 0xf0 && b < 0xf8:
			return max(0, 4-have)
		case b >= 0xe0 && b < 0xf0:
			return max(0, 3-have)
		case b >= 0xc0 && b < 0xe0:
			return max(0, 2-have)
		}
		return 0
	}
	return 0
}
