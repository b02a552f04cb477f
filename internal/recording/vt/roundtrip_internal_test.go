package vt

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// different says how two terminals differ, as far as a program or a person could notice; empty if they don't.
func different(a, b *Terminal) string {
	var ds []string
	note := func(what string, x, y any) {
		if !reflect.DeepEqual(x, y) {
			ds = append(ds, fmt.Sprintf("%s: %v and %v", what, x, y))
		}
	}
	for y := range min(len(a.lines), len(b.lines)) {
		note(fmt.Sprintf("line %d", y), a.lines[y], b.lines[y])
	}
	note("size", []int{a.cols, a.rows}, []int{b.cols, b.rows})
	note("cursor", a.cur, b.cur)
	note("alternate", a.alt, b.alt)
	note("saved", a.saved[0], b.saved[0])
	if a.alt && b.alt {
		note("main screen", a.other, b.other)
		note("saved in alternate", a.saved[1], b.saved[1])
	}
	note("region", []int{a.top, a.bot}, []int{b.top, b.bot})
	note("tabs", a.tabs, b.tabs)
	note("shape", a.shape, b.shape)
	note("keypad", a.keypad, b.keypad)
	note("keys", a.keys, b.keys)
	note("title", a.title, b.title)
	note("titles", strings.Join(a.titles, "\n"), strings.Join(b.titles, "\n"))
	note("palette", a.palette, b.palette)
	modes := maps.Clone(a.modes)
	maps.Copy(modes, b.modes)
	for _, m := range slices.Sorted(maps.Keys(modes)) {
		note(fmt.Sprintf("mode %d", m), a.on(m), b.on(m))
	}
	return strings.Join(ds, "\n")
}

// fragments are what output is made of in the property test.
var fragments = []string{
	"hello", "a", "wide 漢字 and é́", "e\u0301", "😀", "0123456789012345678901234567890123456789", "\r\n", "\n", "\r", "\b", "\t",
	"\x1b[H", "\x1b[5;7H", "\x1b[99;99H", "\x1b[3A", "\x1b[2B", "\x1b[4C", "\x1b[9D", "\x1b[J", "\x1b[1J", "\x1b[2J", "\x1b[K", "\x1b[1K", "\x1b[2K",
	"\x1b[L", "\x1b[2M", "\x1b[3@", "\x1b[2P", "\x1b[5X", "\x1b[2S", "\x1b[T", "\x1b[2;6r", "\x1b[r", "\x1bM", "\x1bD", "\x1bE", "\x1b[3b",
	"\x1b[m", "\x1b[1;31m", "\x1b[44m", "\x1b[38;5;200m", "\x1b[48;2;1;2;3m", "\x1b[38:2::9:8:7m", "\x1b[4:3m", "\x1b[58:5:3m", "\x1b[7m", "\x1b[27;22m", "\x1b[95;103m",
	"\x1b7", "\x1b8", "\x1b[s", "\x1b[u", "\x1b[?1049h", "\x1b[?1049l", "\x1b[?47h", "\x1b[?47l", "\x1b[?1047h", "\x1b[?1047l", "\x1b[?1048h", "\x1b[?1048l",
	"\x1b(0qqxx", "\x1b(B", "\x1b)0", "\x0elqk\x0f", "\x0e", "\x1b[4h", "\x1b[4l", "\x1b[20h", "\x1b[20l", "\x1b[?6h", "\x1b[?6l", "\x1b[?7l", "\x1b[?7h", "\x1b[?25l", "\x1b[?25h",
	"\x1b[?1h\x1b=", "\x1b[?1l\x1b>", "\x1b[?1000h", "\x1b[?1002h\x1b[?1006h", "\x1b[?1003l", "\x1b[?2004h", "\x1b[?2004l", "\x1b[?1004h", "\x1b[?5h", "\x1b[2 q", "\x1b[>4;2m", "\x1b[>4m",
	"\x1b]0;title\a", "\x1b]2;näme\x1b\\", "\x1b[22;2t", "\x1b[23;2t", "\x1b]11;rgb:00/11/22\a", "\x1b]111\a", "\x1b]4;7;#ffffff\a", "\x1b]104\a", "\x1bH", "\x1b[g", "\x1b[3g",
	"\x1b#8", "\x1b[!p", "\x1bc", "\x1bPsome dcs\x1b\\", "\x1b_apc\x1b\\", "\xff\xfe", "\xe6\xbc", "\x1b[?12", "\x1b[31\x0am", "\x1b[1;2;3;4;5;6;7;8;9;10;11;12m",
}

// TestScreenBringsBackAnyState cuts output anywhere, redraws with Screen into a terminal that shows something else, and
// goes on with the rest: both must be equal at the cut and at the end.
func TestScreenBringsBackAnyState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out := strings.Join(rapid.SliceOfN(rapid.SampledFrom(fragments), 1, 60).Draw(t, "output"), "")
		cut := rapid.IntRange(0, len(out)).Draw(t, "cut")
		cols, rows := rapid.IntRange(2, 45).Draw(t, "cols"), rapid.IntRange(1, 12).Draw(t, "rows")
		a, b := New(cols, rows), New(cols, rows)
		write(a, out[:cut])
		write(b, rapid.SampledFrom([]string{"", "left over\r\n$ ", "\x1b[?1049h\x1b[2;3rold\x1b[41m", "\x1b[?6h\x1b[4h\x1b(0\x1b7"}).Draw(t, "before"))
		screen := a.Screen()
		fresh := New(cols, rows)
		write(fresh, string(screen))
		if d := different(a, fresh); d != "" {
			t.Fatalf("after %q a fresh terminal differs:\n%s\nscreen: %q", out[:cut], d, screen)
		}
		write(b, string(screen))
		if !reflect.DeepEqual(a.lines, b.lines) || a.cur != b.cur {
			t.Fatalf("after %q a used terminal differs; screen: %q", out[:cut], screen)
		}
		if rest := out[cut:]; a.inserts && a.lastX >= 0 && (strings.HasPrefix(rest, "\xcc") || strings.HasPrefix(rest, "\x1b[3b")) {
			t.Skip("that it was just written can't be said again in insert mode")
		}
		write(a, out[cut:])
		write(fresh, out[cut:])
		if d := different(a, fresh); d != "" {
			t.Fatalf("after %q and %q a fresh terminal differs:\n%s", out[:cut], out[cut:], d)
		}
	})
}

func write(t *Terminal, s string) { _, _ = t.Write([]byte(s)) }

func FuzzTerminal(f *testing.F) {
	for _, s := range fragments {
		f.Add([]byte(s), uint16(20), uint16(5))
	}
	f.Fuzz(func(t *testing.T, out []byte, cols, rows uint16) {
		a := New(int(cols%60), int(rows%30))
		_, _ = a.Write(out)
		a.Resize(int(rows%60), int(cols%30))
		_, _ = a.Write(out)
		b := New(a.Size())
		_, _ = b.Write(a.Screen())
		if d := different(a, b); d != "" {
			t.Fatal(d)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	var sb strings.Builder
	rnd := rand.New(rand.NewPCG(1, 2))
	for sb.Len() < 1<<20 {
		sb.WriteString("\x1b[3" + string(rune('0'+rnd.IntN(8))) + "m")
		sb.WriteString("drwxr-xr-x  2 root root 4096 Nov 21 00:00 internal/recording\r\n")
	}
	p := []byte(sb.String())
	t := New(120, 40)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		_, _ = t.Write(p)
	}
}
