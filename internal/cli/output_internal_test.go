package cli

import (
	"fmt"
	"testing"
	"time"
)

func TestColumnWidths(t *testing.T) {
	rows := [][]string{{"NAME", "LABELS"}, {"web-1", "env=prod,tier=front,zone=a"}}
	for total, want := range map[int]string{80: "[5 26]", 33: "[5 26]", 20: "[5 13]", 11: "[5 6]", 3: "[5 6]"} {
		if got := fmt.Sprint(columnWidths(rows, total)); got != want {
			t.Errorf("columnWidths(%d) = %s, want %s", total, got, want)
		}
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

func TestSize(t *testing.T) {
	for in, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB", 1 << 62: "4096.0 PiB"} {
		if got := size(in); got != want {
			t.Errorf("size(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestCell(t *testing.T) {
	if got := cell("a\tb\nc\x1b[2Jd\u202e\u00fc"); got != "a b c\uFFFD[2Jd\uFFFDü" {
		t.Errorf("cell = %q", got)
	}
}
