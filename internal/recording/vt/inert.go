package vt

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Inert passes output on to a terminal at which somebody only looks: what draws, and nothing else. Left out is what a terminal
// would answer as if its user had typed it (status, attributes, colours, titles), what reaches beyond the screen (clipboard,
// printer, palette, notifications, pictures, the window's size, CSI 3 J, though not a full reset, which many terminals let clear
// the scrollback too) and what changes the user's keys (mouse, focus, paste, keypad). Who wrote the output is not who looks at it.
//
// It is an allowlist: a sequence that is not known is left out. What is no UTF-8 becomes U+FFFD, since some terminals take single
// bytes for controls. A sequence or character is passed on once it is whole.
type Inert struct {
	to      io.Writer
	p       Parser
	out     []byte
	printed bool // a character came last: one that combines belongs to it, and a repetition
}

// NewInert makes an Inert in front of to.
func NewInert(to io.Writer) *Inert {
	w := &Inert{to: to}
	w.p.Handler = (*inert)(w)
	return w
}

// Write implements io.Writer. Its error is that of what is behind it.
func (w *Inert) Write(b []byte) (int, error) {
	w.out = w.out[:0]
	_, _ = w.p.Write(b) // never fails
	if len(w.out) == 0 {
		return len(b), nil
	}
	if _, err := w.to.Write(w.out); err != nil {
		return 0, err //nolint:wrapcheck // of its user's own writer
	}
	return len(b), nil
}

// inert is an Inert as a Handler.
type inert Inert

// Print implements Handler.
func (w *inert) Print(r rune) { w.out, w.printed = utf8.AppendRune(w.out, r), true }

// omit leaves a control or sequence out. What comes behind it is not right behind a character: an ST without a string, which does
// nothing, says so.
func (w *inert) omit() {
	if w.printed {
		w.out, w.printed = append(w.out, "\x1b\\"...), false
	}
}

// Control implements Handler: bell, backspace, tab, line ends and shifts; no ENQ, which is answered, and no XOFF.
func (w *inert) Control(b byte) {
	if b < 0x07 || b > 0x0f {
		w.omit()
		return
	}
	w.out, w.printed = append(w.out, b), false
}

// Escape implements Handler.
func (w *inert) Escape(inter, final byte) {
	switch {
	case inter == 0 && strings.IndexByte("78DEHMNOcno", final) >= 0,
		inter != 0 && strings.IndexByte("()*+-./", inter) >= 0, // character sets
		inter == '#' && strings.IndexByte("34568", final) >= 0: // sizes of lines, a test pattern
		w.out, w.printed = append(w.out, 0x1b), false
		if inter != 0 {
			w.out = append(w.out, inter)
		}
		w.out = append(w.out, final)
	default:
		w.omit()
	}
}

// drawing are the final bytes of control sequences without prefix and intermediate that move the cursor, edit and colour; J and T
// do so with some parameters.
const drawing = "@ABCDEFGHIKLMPSXZ`abdefgmrsu"

// drawingModes are the modes of drawing; private ones are negative.
var drawingModes = []int{4, 20, -5, -6, -7, -12, -25, -45, -47, -1047, -1048, -1049}

// drawn gives what of a control sequence's parameters draws, and whether the sequence does at all.
func drawn(prefix byte, params Params, inter, final byte) (Params, bool) {
	plain := prefix == 0 && inter == 0
	switch {
	case (final == 'h' || final == 'l') && inter == 0 && (prefix == 0 || prefix == '?'):
		params = slices.DeleteFunc(slices.Clone(params), func(p Param) bool {
			if prefix == '?' {
				p.Value = -p.Value
			}
			return !slices.Contains(drawingModes, p.Value)
		})
		return params, len(params) > 0
	case final == 'J' && inter == 0 && (prefix == 0 || prefix == '?'):
		params = params[:min(1, len(params))] // some terminals do what the others say too
		return params, params.At(0, 0) != 3   // the viewer's scrollback
	case final == 'T' && plain:
		return params, len(params) <= 1 // else it tracks the mouse
	default:
		return params, plain && strings.IndexByte(drawing, final) >= 0 ||
			prefix == '?' && inter == 0 && final == 'K' ||
			prefix == 0 && inter == ' ' && final == 'q' || // the cursor's shape
			prefix == 0 && inter == '!' && final == 'p' // soft reset
	}
}

// CSI implements Handler.
func (w *inert) CSI(prefix byte, params Params, inter, final byte) {
	params, draws := drawn(prefix, params, inter, final)
	if !draws {
		w.omit()
		return
	}
	w.printed = w.printed && final == 'b' // which may be repeated
	w.out = append(w.out, 0x1b, '[')
	if prefix != 0 {
		w.out = append(w.out, prefix)
	}
	for i, p := range params {
		switch {
		case p.Sub:
			w.out = append(w.out, ':')
		case i > 0:
			w.out = append(w.out, ';')
		}
		if p.Value >= 0 {
			w.out = strconv.AppendInt(w.out, int64(p.Value), 10)
		}
	}
	if inter != 0 {
		w.out = append(w.out, inter)
	}
	w.out = append(w.out, final)
}

// OSC implements Handler: titles alone.
func (w *inert) OSC(data []byte) {
	cmd, title, _ := bytes.Cut(data, []byte(";"))
	switch string(cmd) {
	case "0", "1", "2":
		w.out = fmt.Appendf(w.out, "\x1b]%s;%s\x1b\\", cmd, printable(title[:min(len(title), maxTitle)]))
	}
}
