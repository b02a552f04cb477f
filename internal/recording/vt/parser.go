package vt

import (
	"bytes"
	"unicode/utf8"
)

// Handler is told what a Parser finds.
type Handler interface {
	// Print is a character to show.
	Print(r rune)
	// Control is one of the C0 controls, ESC excepted.
	Control(b byte)
	// Escape is ESC, an intermediate byte or 0, and a final byte.
	Escape(inter, final byte)
	// CSI is a control sequence: a private prefix ("?", ">", …) or 0, parameters, an intermediate byte or 0, a final byte.
	// The parameters are valid during the call.
	CSI(prefix byte, params Params, inter, final byte)
	// OSC is an operating system command: "2;a title". It is valid during the call.
	OSC(data []byte)
}

// Params are the parameters of a control sequence.
type Params []Param

// Param is one parameter: its value, or -1 where it is empty. Sub says that a colon came before it.
type Param struct {
	Value int
	Sub   bool
}

// At gives parameter i, or def where it is missing, empty or 0.
func (p Params) At(i, def int) int {
	if i >= len(p) || p[i].Value <= 0 {
		return def
	}
	return p[i].Value
}

// Limits on what a sequence may hold; the rest of a longer one is dropped.
const (
	maxParams     = 64
	maxParamValue = 1<<24 - 1
	maxOSC        = 4 << 10
)

type state uint8

const (
	ground state = iota
	escape
	escapeInter
	csi
	csiIgnore
	osc
	oscEscape // ESC within an OSC: "\" ends it
	ignored   // DCS, SOS, PM, APC
	ignoredEscape
)

// Parser splits a program's output into characters and sequences. The zero value is ready but for its Handler. It keeps
// state between calls, so that anything may be split anywhere.
type Parser struct {
	Handler Handler

	state  state
	inter  byte
	prefix byte
	params Params
	data   []byte
	begun  []byte // what the present sequence or character consists of so far
	utf    [utf8.UTFMax]byte
	utfLen int
}

// Ground reports whether the parser is between characters and sequences: a place where other output may be put in.
func (p *Parser) Ground() bool { return p.state == ground && p.utfLen == 0 }

// Write takes in output. It never fails.
func (p *Parser) Write(b []byte) (int, error) {
	for _, c := range b {
		p.byte(c)
		if p.Ground() {
			p.begun = p.begun[:0]
		} else if len(p.begun) < maxOSC && (c >= 0x20 || c == 0x1b) { // controls within a sequence were done at once
			p.begun = append(p.begun, c)
		}
	}
	return len(b), nil
}

// Skim takes in output but leaves out characters and controls outside of sequences, many times faster than Write.
func (p *Parser) Skim(b []byte) {
	for len(b) > 0 {
		if p.state == ground {
			p.utfLen, p.begun = 0, p.begun[:0]
			i := bytes.IndexByte(b, 0x1b)
			if i < 0 {
				return
			}
			b = b[i:]
		}
		_, _ = p.Write(b[:1]) // never fails
		b = b[1:]
	}
}

func (p *Parser) byte(c byte) {
	if p.utfLen > 0 {
		if c&0xc0 == 0x80 {
			p.continued(c)
			return
		}
		p.utfLen, p.begun = 0, p.begun[:0]
		p.Handler.Print(utf8.RuneError)
	}
	switch p.state {
	case ground:
		p.ground(c)
	case osc, oscEscape, ignored, ignoredEscape:
		p.text(c)
	default:
		p.sequence(c)
	}
}

func (p *Parser) ground(c byte) {
	switch {
	case c == 0x1b:
		p.begin()
	case c < 0x20:
		p.Handler.Control(c)
	case c < 0x7f:
		p.Handler.Print(rune(c))
	case c >= 0xc2 && c < 0xf5:
		p.utf[0], p.utfLen = c, 1
	case c >= 0x80:
		p.Handler.Print(utf8.RuneError)
	}
}

func (p *Parser) continued(c byte) {
	p.utf[p.utfLen] = c
	p.utfLen++
	if !utf8.FullRune(p.utf[:p.utfLen]) {
		return
	}
	r, _ := utf8.DecodeRune(p.utf[:p.utfLen])
	p.utfLen = 0
	if r < 0x80 || r >= 0xa0 {
		p.Handler.Print(r)
	}
}

func (p *Parser) begin() {
	p.begun = p.begun[:0]
	p.state, p.inter, p.prefix, p.params = escape, 0, 0, p.params[:0]
}

// text takes in a byte of a string that a terminator ends.
func (p *Parser) text(c byte) {
	isOSC := p.state == osc || p.state == oscEscape
	switch {
	case c == 0x18 || c == 0x1a: // CAN, SUB
		p.state = ground
	case c == 0x07 && isOSC:
		p.state = ground
		p.Handler.OSC(p.data)
	case p.state == oscEscape || p.state == ignoredEscape:
		// Whatever follows ESC ends the string; "\" is the proper end.
		p.state = ground
		if isOSC {
			p.Handler.OSC(p.data)
		}
		if c != '\\' {
			p.begin()
			p.begun = append(p.begun, 0x1b)
			p.sequence(c)
		}
	case c == 0x1b && isOSC:
		p.state = oscEscape
	case c == 0x1b:
		p.state = ignoredEscape
	case isOSC && c >= 0x20 && len(p.data) < maxOSC:
		p.data = append(p.data, c)
	}
}

// sequence takes in a byte behind ESC.
func (p *Parser) sequence(c byte) {
	switch {
	case c == 0x1b:
		p.begin()
	case c == 0x18 || c == 0x1a:
		p.state = ground
	case c < 0x20:
		p.Handler.Control(c)
	case c >= 0x7f:
	case p.state == csi || p.state == csiIgnore:
		p.csi(c)
	case c < 0x30:
		p.inter, p.state = c, escapeInter
	case p.state == escapeInter:
		p.state = ground
		p.Handler.Escape(p.inter, c)
	default:
		p.escaped(c)
	}
}

func (p *Parser) escaped(c byte) {
	switch c {
	case '[':
		p.state = csi
	case ']':
		p.state, p.data = osc, p.data[:0]
	case 'P', 'X', '^', '_':
		p.state = ignored
	default:
		p.state = ground
		p.Handler.Escape(0, c)
	}
}

func (p *Parser) csi(c byte) {
	switch {
	case c >= 0x40:
		bad := p.state == csiIgnore
		p.state = ground
		if !bad {
			p.Handler.CSI(p.prefix, p.params, p.inter, c)
		}
	case c >= '0' && c <= '9':
		p.digit(int(c - '0'))
	case c == ';' || c == ':':
		if len(p.params) == 0 {
			p.params = append(p.params, Param{Value: -1})
		}
		if len(p.params) >= maxParams {
			p.state = csiIgnore
			return
		}
		p.params = append(p.params, Param{Value: -1, Sub: c == ':'})
	case c >= 0x3c: // < = > ?
		if len(p.params) > 0 || p.prefix != 0 {
			p.state = csiIgnore
		}
		p.prefix = c
	default:
		p.inter = c
	}
}

func (p *Parser) digit(d int) {
	if len(p.params) == 0 {
		p.params = append(p.params, Param{Value: -1})
	}
	v := &p.params[len(p.params)-1].Value
	*v = min(max(*v, 0)*10+d, maxParamValue)
}
