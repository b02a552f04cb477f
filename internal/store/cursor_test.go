package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

func TestCursor(t *testing.T) {
	for _, c := range []store.Cursor{{At: 0, ID: "a"}, {At: 1_700_000_000_000_000, ID: string(sess.NewSessionID())}} {
		got, err := store.ParseCursor(c.String())
		if err != nil || got != c {
			t.Errorf("ParseCursor(%q) = %v, %v, want %v", c, got, err, c)
		}
	}
	if c, err := store.ParseCursor(""); err != nil || c != store.FirstPage() {
		t.Errorf("ParseCursor of nothing = %v, %v, want the first page", c, err)
	}
}

func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"", "x", "MQ", store.Cursor{At: 1, ID: "ses_a"}.String(), strings.Repeat("A", 1000), "LTEgYQ", "MSBhIGI", "MSBhCg==", "KzEgYQ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := store.ParseCursor(s)
		if err != nil {
			if !errors.Is(err, sess.ErrInvalid) {
				t.Errorf("ParseCursor(%q): %v, want invalid", s, err)
			}
			return
		}
		if len(s) > 200 || c.At < 0 || strings.ContainsAny(c.ID, " \x00'%\n") {
			t.Errorf("ParseCursor(%q) = %+v", s, c)
		}
		if again, err := store.ParseCursor(c.String()); s != "" && (err != nil || again != c) {
			t.Errorf("ParseCursor(%q) = %v, and written again %v: %v", s, c, again, err)
		}
	})
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 2, 3, 456789000, time.FixedZone("x", 3600))
	if got := store.Time(store.Micros(at)); !got.Equal(at) || got.Location() != time.UTC {
		t.Errorf("Time(Micros(%v)) = %v", at, got)
	}
	if got := store.TimePtr(store.MicrosPtr(at)); !got.Equal(at) {
		t.Errorf("TimePtr(MicrosPtr(%v)) = %v", at, got)
	}
	if store.MicrosPtr(time.Time{}) != nil || !store.TimePtr(nil).IsZero() {
		t.Error("the zero time is not null")
	}
}
