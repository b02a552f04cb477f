package client

import (
	"bytes"
	"strings"
	"testing"
)

func TestEscapes(t *testing.T) {
	cases := []struct {
		name, in, sent string
		acts           []action
	}{
		{"plain", "ls -l\r", "ls -l\r", nil},
		{"tilde in a line passes", "cd ~.\r", "cd ~.\r", nil},
		{"end at the very start", "~.", "", []action{actionEnd}},
		{"end after enter", "ls\r~.", "ls\r", []action{actionEnd}},
		{"end after newline", "ls\n~.", "ls\n", []action{actionEnd}},
		{"detach", "\r~d", "\r", []action{actionDetach}},
		{"help, then end", "\r~?~.", "\r", []action{actionHelp, actionEnd}},
		{"twice is one", "\r~~.", "\r~.", nil},
		{"home directory", "\r~/bin/x\r", "\r~/bin/x\r", nil},
		{"other character", "\r~x\r~.", "\r~x\r", []action{actionEnd}},
		{"enter behind it", "\r~\r~.", "\r~\r", []action{actionEnd}},
		{"rest goes on", "\r~?ls\r", "\rls\r", []action{actionHelp}},
		{"inside a paste", "\r\x1b[200~a\r~.\r~d\x1b[201~", "\r\x1b[200~a\r~.\r~d\x1b[201~", nil},
		{"behind a paste", "\x1b[200~a\r\x1b[201~\r~.", "\x1b[200~a\r\x1b[201~\r", []action{actionEnd}},
		{"broken mark", "\x1b\x1b[200~\r~.\x1b[201\x1b[201~\r~d", "\x1b\x1b[200~\r~.\x1b[201\x1b[201~\r", []action{actionDetach}},
		{"delete key is no paste", "\x1b[3~\r~.", "\x1b[3~\r", []action{actionEnd}},
	}
	for _, c := range cases {
		for _, step := range []int{1, 2, 3, len(c.in)} {
			sent, acts := feedAll(newEscapes('~'), c.in, step)
			if sent != c.sent {
				t.Errorf("%s, %d at a time: sent %q, want %q", c.name, step, sent, c.sent)
			}
			if !bytes.Equal(actionBytes(acts), actionBytes(c.acts)) {
				t.Errorf("%s, %d at a time: actions %v, want %v", c.name, step, acts, c.acts)
			}
		}
	}
}

func TestEscapesHoldNothingElse(t *testing.T) {
	e := newEscapes('~')
	for i, b := range []byte("a\r~b\x1b[20x") {
		out, _, _ := e.feed([]byte{b}, nil)
		if held := len(out) == 0; held != (b == '~') {
			t.Errorf("byte %d (%q): held %v", i, b, held)
		}
	}
}

func TestNoEscapes(t *testing.T) {
	if sent, acts := feedAll(newEscapes(NoEscape), "~.\r~.\r~d", 1); sent != "~.\r~.\r~d" || acts != nil {
		t.Errorf("sent %q, actions %v", sent, acts)
	}
	if sent, acts := feedAll(newEscapes('%'), "~.\r%.", 1); sent != "~.\r" || len(acts) != 1 {
		t.Errorf("sent %q, actions %v", sent, acts)
	}
}

func TestParseEscape(t *testing.T) {
	for in, want := range map[string]byte{"none": NoEscape, "~": '~', "%": '%', "^]": 0x1d, "^b": 2} {
		if got, err := ParseEscape(in); err != nil || got != want {
			t.Errorf("ParseEscape(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "ab", " ", "é", "^@", "\x00"} {
		if got, err := ParseEscape(in); err == nil {
			t.Errorf("ParseEscape(%q) = %q, want an error", in, got)
		}
	}
}

// What is typed arrives, however it is cut, minus the sequences.
func FuzzEscapes(f *testing.F) {
	f.Add([]byte("ls\r~.x\r~~"), uint8(1))
	f.Add([]byte("\x1b[200~\r~d\x1b[201~\r~?"), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		n := int(step)%16 + 1
		whole, acts := feedAll(newEscapes('~'), string(in), len(in)+1)
		parts, acts2 := feedAll(newEscapes('~'), string(in), n)
		if whole != parts || !bytes.Equal(actionBytes(acts), actionBytes(acts2)) {
			t.Errorf("%q: whole %q %v, by %d: %q %v", in, whole, acts, n, parts, acts2)
		}
		if !bytes.Contains(in, []byte("~")) && whole != string(in) {
			t.Errorf("%q came out as %q", in, whole)
		}
		if lost := len(in) - len(whole); lost > 2*strings.Count(string(in), "~") {
			t.Errorf("%q lost %d bytes", in, lost)
		}
	})
}

func feedAll(e *escapes, in string, step int) (string, []action) {
	var sent []byte
	var acts []action
	for len(in) > 0 {
		n := min(step, len(in))
		rest := []byte(in[:n])
		in = in[n:]
		for len(rest) > 0 {
			var a action
			sent, a, rest = e.feed(rest, sent)
			if a != actionNone {
				acts = append(acts, a)
			}
		}
	}
	return string(sent), acts
}

func actionBytes(as []action) []byte {
	var b []byte
	for _, a := range as {
		b = append(b, byte(a))
	}
	return b
}
