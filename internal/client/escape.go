package client

import "fmt"

// action is what an escape sequence typed by the user asks for.
type action uint8

const (
	actionNone   action = iota
	actionEnd           // ~. ends the session
	actionDetach        // ~d leaves it running
	actionHelp          // ~? lists the escapes
	actionWho           // ~w lists who is in the session
	actionYes           // ~y lets in who asks
	actionNo            // ~n does not
	actionKick          // ~k puts somebody out
	actionStop          // ~x ends the session: of a moderator
)

// NoEscape turns escapes off: Escape(NoEscape) passes every byte.
const NoEscape = 0

// escapes finds escape sequences in what a user types: the escape character right after Enter (or as the very first
// character), and the character behind it. As with ssh nothing is delayed but that one character, and nothing inside a
// bracketed paste is an escape. The zero value knows no escapes.
type escapes struct {
	char  byte // the escape character; NoEscape: none
	line  bool // the last byte sent was Enter, or nothing was typed yet
	held  bool // char was typed at the start of a line and waits for the next byte
	paste int  // how many bytes of the mark pasteBegin (or, inside, pasteEnd) were just seen
	in    bool // inside a bracketed paste
	stop  bool // ~x is an escape: of a moderator
}

// letters are the actions that leave the session as it is.
var letters = map[byte]action{'?': actionHelp, 'w': actionWho, 'y': actionYes, 'n': actionNo, 'k': actionKick}

// Terminals put these around pasted text when the program asked for it.
const (
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

func newEscapes(char byte) *escapes { return &escapes{char: char, line: true} }

// feed takes typed bytes and appends what goes to the session to out. When it finds a sequence it stops there and
// returns the action and the rest of p, which the caller feeds next.
func (e *escapes) feed(p, out []byte) (send []byte, a action, rest []byte) {
	if e.char == NoEscape {
		return append(out, p...), actionNone, nil
	}
	for i, b := range p {
		if e.held {
			e.held = false
			switch b {
			case '.':
				return out, actionEnd, p[i+1:]
			case 'd':
				e.line = true
				return out, actionDetach, p[i+1:]
			case '?', 'w', 'y', 'n', 'k':
				e.line = true
				return out, letters[b], p[i+1:]
			case 'x':
				if e.stop {
					e.line = true
					return out, actionStop, p[i+1:]
				}
			case e.char: // typed twice: once is meant
				e.line = false
				out = append(out, b)
				continue
			}
			out = append(out, e.char)
			e.line = false
		} else if e.line && b == e.char && !e.in {
			e.held = true
			continue
		}
		e.track(b)
		out = append(out, b)
		e.line = !e.in && (b == '\r' || b == '\n')
	}
	return out, actionNone, nil
}

// track follows the marks of bracketed paste.
func (e *escapes) track(b byte) {
	mark := pasteBegin
	if e.in {
		mark = pasteEnd
	}
	switch b {
	case mark[e.paste]:
		e.paste++
	case mark[0]:
		e.paste = 1
	default:
		e.paste = 0
	}
	if e.paste == len(mark) {
		e.paste, e.in = 0, !e.in
	}
}

// ParseEscape reads the value of an --escape flag: one character, ^X for a control character, or "none".
func ParseEscape(s string) (byte, error) {
	switch {
	case s == "none":
		return NoEscape, nil
	case len(s) == 1 && s[0] > ' ' && s[0] < 0x7f:
		return s[0], nil
	case len(s) == 2 && s[0] == '^' && s[1] >= '@' && s[1] <= 'z' && s[1]&0x1f != 0:
		return s[1] & 0x1f, nil
	}
	return 0, fmt.Errorf("the escape is one character, ^X for a control character, or none: not %q", s)
}

// escapeName is how people write the escape character c.
func escapeName(c byte) string {
	if c < ' ' {
		return "^" + string(rune(c|0x40))
	}
	return string(rune(c))
}
