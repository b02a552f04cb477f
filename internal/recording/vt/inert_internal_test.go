package vt

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func inertOf(t testing.TB, chunks ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := NewInert(&b)
	for _, c := range chunks {
		if n, err := w.Write([]byte(c)); n != len(c) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	return b.String()
}

// TestInertLetsNothingBeAnswered: of what a session's program wrote, a replay shows the viewer's terminal nothing that it would
// answer as if the viewer had typed it, and nothing that reaches beyond its screen.
func TestInertLetsNothingBeAnswered(t *testing.T) {
	for name, out := range map[string]string{
		"cursor position": "\x1b[6n", "status": "\x1b[5n", "private status": "\x1b[?6n", "attributes": "\x1b[c", "attributes, by number": "\x1b[0c",
		"second attributes": "\x1b[>c", "third attributes": "\x1b[=c", "attributes, the old way": "\x1bZ", "who is there": "\x05", "parameters": "\x1b[x",
		"mode": "\x1b[?2026$p", "ANSI mode": "\x1b[4$p", "version": "\x1b[>q", "keyboard": "\x1b[?u", "title": "\x1b[21t", "size": "\x1b[18t",
		"resize": "\x1b[8;1;1t", "iconify": "\x1b[2t", "presentation": "\x1b[1$w", "checksum": "\x1b[1;1;1;1;9;9*y", "locator": "\x1b['|",
		"key modifiers": "\x1b[?4m", "graphics": "\x1b[?1;1S", "setting": "\x1bP$qm\x1b\\", "capability": "\x1bP+q544e\x1b\\", "picture": "\x1b_Gi=1,a=q;AAAA\x1b\\",
		"clipboard": "\x1b]52;c;?\a", "set clipboard": "\x1b]52;c;cm0gLXJmIC8K\a", "colour": "\x1b]11;?\a", "palette": "\x1b]4;1;?\x1b\\", "set palette": "\x1b]4;1;#000000\a",
		"print": "\x1b[5i", "print in 8 bits": "\u009b5i", "query in 8 bits": "\u009b6n", "query in one byte": "\x9b6n", "notification": "\x1b]9;hello\a",
		"command": "\x1b]777;notify;a;b\a", "directory": "\x1b]7;file:///\a", "current picture": "\x1b]1337;File=inline=1:AAAA\a", "mouse": "\x1b[?1000h", "all mouse": "\x1b[?1003;1006h",
		"focus": "\x1b[?1004h", "paste": "\x1b[?2004h", "cursor keys": "\x1b[?1h", "keypad": "\x1b=", "kitty keys": "\x1b[>1u", "lock keyboard": "\x1b[2h",
		"echo": "\x1b[12l", "scrollback": "\x1b[3J", "protected scrollback": "\x1b[?3J", "8-bit answers": "\x1b G", "no UTF-8": "\x1b%@", "no flow": "\x13", "132 columns": "\x1b[?3h",
		"a query in a title": "\x1b]2;a\u009b6n\x05\a", "a query behind CAN": "\x1b[\x186n", "a query in DCS": "\x1bPa\x1b[6n",
	} {
		for i := range len(out) + 1 {
			got := inertOf(t, "<", out[:i], out[i:], ">")
			got = strings.NewReplacer("\x1b]2;a", "", "\x1b\\", "", "\ufffd", "", "5i", "", "6n", "").Replace(got) // text, and a title
			if got != "<>" {
				t.Errorf("%s, cut at %d: %q", name, i, got)
			}
		}
	}
}

func TestInertDraws(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\r\n\a\b":                  "plain\ttext\r\n\a\b",
		"é漢😀":                                  "é漢😀",
		"\xff":                                 "\ufffd",
		"\x1b[1;38:2::9:8:7m\x1b[;5H\x1b[2J":   "\x1b[1;38:2::9:8:7m\x1b[;5H\x1b[2J",
		"\x1b[?1049;1000;25h\x1b[?7l\x1b[4h":   "\x1b[?1049;25h\x1b[?7l\x1b[4h",
		"\x1b]0;title\a\x1b]2;n\u00e4me\x1b\\": "\x1b]0;title\x1b\\\x1b]2;n\u00e4me\x1b\\",
		"\x1b(0qq\x1b(B\x1b#8\x1b7\x1b8\x1bM":  "\x1b(0qq\x1b(B\x1b#8\x1b7\x1b8\x1bM",
		"\x1b[2 q\x1b[!p\x1b[1;5r\x1b[?2K":     "\x1b[2 q\x1b[!p\x1b[1;5r\x1b[?2K",
		"\x1b[2;3J\x1b[J":                      "\x1b[2J\x1b[J",
	} {
		if got := inertOf(t, in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// TestInertShowsTheSame: a terminal shows the same of what was let through as of everything.
func TestInertShowsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out := strings.Join(rapid.SliceOfN(rapid.SampledFrom(fragments), 1, 60).Draw(t, "output"), "")
		sameShown(t, out, rapid.IntRange(0, len(out)).Draw(t, "cut"))
	})
}

func FuzzInert(f *testing.F) {
	for _, s := range fragments {
		f.Add([]byte(s), uint16(3))
	}
	f.Fuzz(func(t *testing.T, out []byte, cut uint16) { sameShown(t, string(out), min(int(cut), len(out))) })
}

type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func sameShown(t tester, out string, cut int) {
	t.Helper()
	var b bytes.Buffer
	w := NewInert(&b)
	_, _ = w.Write([]byte(out[:cut]))
	_, _ = w.Write([]byte(out[cut:]))
	all, drawn := New(30, 8), New(30, 8)
	write(all, out)
	write(drawn, b.String())
	if !reflect.DeepEqual(all.lines, drawn.lines) || all.cur != drawn.cur || all.alt != drawn.alt {
		t.Fatalf("%q shows something else than %q:\n%s", b.String(), out, different(all, drawn))
	}
	if again := new(bytes.Buffer); b.Len() > 0 {
		_, _ = NewInert(again).Write(b.Bytes())
		if again.String() != b.String() {
			t.Fatalf("%q became %q, and that %q", out, b.String(), again)
		}
	}
}
