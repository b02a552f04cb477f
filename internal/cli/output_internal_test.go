package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestColumnWidths(t *testing.T) {
	rows := [][]string{{"NAME", "LABELS"}, {"web-1", "env=prod,tier=front,zone=a"}}
	for total, want := range map[int]string{80: "[5 26]", 33: "[5 26]", 20: "[5 13]", 11: "[5 6]", 3: "[5 6]"} {
		if got := fmt.Sprint(columnWidths(rows, total)); got != want {
			t.Errorf("columnWidths(%d) = %s, want %s", total, got, want)
		}
	}
}

// Where not all columns fit, empty ones go first, then those on the right, and no cell becomes a stump.
func TestColumnsThatDontFit(t *testing.T) {
	rows := [][]string{{"SESSION", "COMMAND", "USER", "FROM", "BYTES"}, {"ses_4rj7hac97xgv4t5e", "", "admin@localhost", "192.0.2.7", "12"}}
	for total, want := range map[int]string{
		80: "[SESSION COMMAND USER FROM BYTES] []", 50: "[SESSION USER FROM BYTES] []", 40: "[SESSION USER FROM] [BYTES]", 10: "[SESSION] [USER FROM BYTES]",
	} {
		fitted, left := fitColumns(rows, total)
		if got := fmt.Sprint(fitted[0], left); got != want || len(fitted[1]) != len(fitted[0]) {
			t.Errorf("in %d: %s, want %s", total, got, want)
		}
	}
}

func TestFill(t *testing.T) {
	text := "One two three\nfour.\n\n  as it is, however long it is\nFive ümläut six"
	want := "One two\nthree\nfour.\n\n  as it is, however long it is\nFive\nümläut\nsix"
	if got := fill(text, 9); got != want {
		t.Errorf("fill = %q, want %q", got, want)
	}
}

func TestRelative(t *testing.T) {
	cases := map[time.Duration]string{
		0: "now", 5 * time.Second: "5s ago", 90 * time.Second: "1m ago", -time.Hour: "in 1h", 2*time.Hour + 5*time.Minute: "2h5m ago",
		11*time.Hour + 5*time.Minute: "11h ago", 50 * time.Hour: "2d ago",
	}
	for in, want := range cases {
		if got := relative(in); got != want {
			t.Errorf("relative(%s) = %q, want %q", in, got, want)
		}
	}
}

func TestCell(t *testing.T) {
	if got := cell("a\tb\nc\x1b[2Jd\u202e\u00fc"); got != "a b c\uFFFD[2Jd\uFFFDü" {
		t.Errorf("cell = %q", got)
	}
}

// What audit list --watch shows fits 80 columns, with its reason below.
func TestWatchLineOnANarrowTerminal(t *testing.T) {
	cells := []string{"10:57:16", "somebody@long.example.com", "session:participant-joined", "refused ×12", "web-1 ses_4rj7hac97xgv4t5e", "192.0.2.7", "you are locked out"}
	first, reason, _ := strings.Cut(watchLine(cells, true), "\n")
	if n := utf8.RuneCountInString(first); n > 80 || !strings.Contains(first, "10:57:16  somebody@long.e…  session:participa…  refused…  web-1 ses_4rj7hac97xg…") {
		t.Errorf("%d: %q", n, first)
	}
	if strings.TrimSpace(reason) != "you are locked out" {
		t.Errorf("reason %q", reason)
	}
	if wide := watchLine(cells, false); !strings.Contains(wide, "192.0.2.7") {
		t.Errorf("wide: %q", wide)
	}
}
