package client

import "testing"

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"it is idle (20s, the organisation)", 30, "it is idle (20s, the \norganisation)"},
		{"it is idle", 10, "it is idle"},
		{"it is idle", 9, "it is \nidle"},
		{"it is idle", 0, "it is idle"},
		{"in this session:\n  owner      admin", 20, "in this session:\n  owner      admin"},
		{"in\nthis session ends", 12, "in\nthis session \nends"},
		{"ävery_löng_wörd x", 4, "ävery_löng_wörd \nx"},
	} {
		if got := wrap(c.text, c.width); got != c.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}
