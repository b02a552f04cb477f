package vt_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sessctl/sess/internal/recording/vt"
)

// What a view shows is what the screen has there, whatever was on the terminal before, and whatever the size of either.
func TestPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, name) }
		cols, height := draw("cols", 1, 30), draw("rows", 1, 12)
		from := vt.New(cols, height)
		for range draw("writes", 0, 12) {
			_, _ = from.Write([]byte(rapid.SampledFrom([]string{
				"hello world", "0123456789012345678901234567890", "漢字", "\r\n", "\x1b[3;4H", "\x1b[7mreverse\x1b[m", "\x1b[2J", "\x1b[?1049h", "\x1b[?7l", "\x1b[2;5r", "\x1b(0qq\x1b(B",
			}).Draw(t, "write")))
		}
		x, y, w, h := draw("x", 0, 10), draw("y", 0, 10), draw("width", 1, 40), draw("height", 1, 20)
		to := vt.New(w, h)
		_, _ = to.Write([]byte("\x1b[?1049h\x1b[2;3r\x1b[4hold\x1b[5;5Hold\x1b[?6h\x1b[44mmore"))
		_, _ = to.Write([]byte("\x1b[?7l\x1b[r\x1b[?6l\x1b[4l"))
		for row := range h {
			_, _ = fmt.Fprintf(to, "\x1b[%d;1H%s", row+1, from.Part(x, y+row, w))
		}
		for row := range h {
			want := ""
			if y+row < height {
				want = cells(from.Row(y+row), x, w)
			}
			if got := to.Row(row); got != want {
				t.Fatalf("row %d is %q, want %q of %q", row, got, want, from.Row(y+row))
			}
		}
	})
}

// cells gives w cells of a row from the cell x on: a wide character of which half is cut away is a blank.
func cells(row string, x, w int) string {
	var all []string
	for _, r := range row {
		all = append(all, string(r))
		if r > 0x2000 && r != '─' {
			all = append(all, "")
		}
	}
	out := ""
	for at := x; at < min(len(all), x+w); at++ {
		switch {
		case all[at] == "" && at == x, all[at] != "" && at == x+w-1 && at+1 < len(all) && all[at+1] == "":
			out += " "
		default:
			out += all[at]
		}
	}
	return strings.TrimRight(out, " ")
}

// Keys are as they were, wherever they are told.
func TestKeys(t *testing.T) {
	for _, modes := range []string{"", "\x1b[?1h\x1b=", "\x1b[?1000h\x1b[?1006h", "\x1b[?1002h\x1b[?2004h", "\x1b[?1000h\x1b[?1000l"} {
		from := vt.New(10, 3)
		_, _ = from.Write([]byte(modes))
		to := vt.New(10, 3)
		_, _ = to.Write([]byte("\x1b[?1003h\x1b[?1015h\x1b[?1h\x1b="))
		_, _ = to.Write([]byte(from.Keys()))
		if a, b := from.Keys(), to.Keys(); a != b {
			t.Errorf("%q: %q became %q", modes, a, b)
		}
	}
}
