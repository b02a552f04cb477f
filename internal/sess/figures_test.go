package sess_test

import (
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

func TestFormatSize(t *testing.T) {
	for in, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB", 1 << 62: "4096.0 PiB"} {
		if got := sess.FormatSize(in); got != want {
			t.Errorf("sess.FormatSize(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestFormatMicros(t *testing.T) {
	for in, want := range map[int64]string{0: "0s", 223459: "223ms", 59_999_400: "59.999s", 61_400_000: "1m1s"} {
		if got := sess.FormatMicros(in); got != want {
			t.Errorf("FormatMicros(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"7d": "2026-11-14T12:00:00Z", "12h": "2026-11-21T00:00:00Z", "2026-10": "2026-10-01T00:00:00Z", "2026-10-02": "2026-10-02T00:00:00Z",
		"2026-10-02T15:04": "2026-10-02T15:04:00Z", "2026-10-02T15:04:05+02:00": "2026-10-02T13:04:05Z",
	} {
		got, err := sess.ParseMoment(in, now)
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("ParseMoment(%q) = %v, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"nineish", "-7d", "2026-13", "0s"} {
		if got, err := sess.ParseMoment(in, now); err == nil {
			t.Errorf("ParseMoment(%q) = %v", in, got)
		}
	}
}
