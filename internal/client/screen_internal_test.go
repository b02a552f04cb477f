package client

import "testing"

func TestScreen(t *testing.T) {
	cases := []struct {
		name, in, restore string
		ground, alt       bool
	}{
		{"text", "hello\r\n", "", true, false},
		{"colours only", "\x1b[1;31mred\x1b[0m", "", true, false},
		{"vim in", "\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h", "\x1b[?2004l\x1b[?1l\x1b[?1049l\x1b>\x1b[m", true, true},
		{"vim in and out", "\x1b[?1049h\x1b[?1h\x1b[?1l\x1b[?1049l", "", true, false},
		{"hidden cursor", "\x1b[?25l", "\x1b[?25h\x1b>\x1b[m", true, false},
		{"several at once", "\x1b[?1000;1006;9999h", "\x1b[?1006l\x1b[?1000l\x1b>\x1b[m", true, false},
		{"reset", "\x1b[?1049h\x1bc", "", true, false},
		{"in the middle of a CSI", "a\x1b[?10", "\x18\x1b>\x1b[m", false, false},
		{"in the middle of a title", "\x1b]0;tit", "\x18\x1b\\\x1b>\x1b[m", false, false},
		{"title with BEL", "\x1b]0;title\x07", "", true, false},
		{"title with ST", "\x1b]0;title\x1b\\", "", true, false},
		{"half a character", "\xe2\x82", "\x18\x1b>\x1b[m", false, false},
		{"a whole character", "\xe2\x82\xac", "", true, false},
		{"charset", "\x1b(B", "", true, false},
		{"not private", "\x1b[4h", "", true, false},
		{"a part scrolls", "\x1b[1;23r", "\x1b7\x1b[r\x1b8\x1b>\x1b[m", true, false},
		{"a part scrolled", "\x1b[1;23r\x1b[r\x1b[?1;2r", "", true, false},
		{"a part scrolled until a reset", "\x1b[1;23r\x1b[!p", "", true, false},
	}
	for _, c := range cases {
		for _, step := range []int{1, 2, len(c.in)} {
			var s screen
			for p := []byte(c.in); len(p) > 0; p = p[min(step, len(p)):] {
				s.feed(p[:min(step, len(p))])
			}
			if s.ground() != c.ground || s.alternate() != c.alt {
				t.Errorf("%s by %d: ground %v, alternate %v", c.name, step, s.ground(), s.alternate())
			}
			if got := string(s.restore()); got != c.restore {
				t.Errorf("%s by %d: restore %q, want %q", c.name, step, got, c.restore)
			}
		}
	}
}

// However output is cut, the same modes are found.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("\x1b[?1049h\xe2\x82\xac\x1b]0;x\x07\x1b[?25l"), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		var whole, parts screen
		whole.feed(in)
		n := int(step)%8 + 1
		for p := in; len(p) > 0; p = p[min(n, len(p)):] {
			parts.feed(p[:min(n, len(p))])
		}
		if whole.state != parts.state || whole.alternate() != parts.alternate() {
			t.Fatalf("%q: whole %v, parts %v", in, whole, parts)
		}
	})
}
