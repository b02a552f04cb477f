package vt

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

const maxTitles = 10 // pushed

func (t *Terminal) titleStack(p Params) {
	if what := p.At(1, 0); what != 0 && what != 2 {
		return
	}
	switch p.At(0, 0) {
	case 22:
		if len(t.titles) < maxTitles {
			t.titles = append(t.titles, t.title)
		}
	case 23:
		if n := len(t.titles); n > 0 {
			t.title, t.titles = t.titles[n-1], slices.Clone(t.titles[:n-1])
		}
	}
}

const (
	maxTitle   = 1 << 10 // bytes
	maxPalette = 300     // entries
)

// OSC implements Handler.
func (h *handler) OSC(data []byte) {
	t := h.t()
	cmd, arg, _ := bytes.Cut(data, []byte(";"))
	switch c := string(cmd); c {
	case "0", "2":
		t.title = printable(arg[:min(len(arg), maxTitle)])
	case "10", "11", "12":
		if v := printable(arg); v != "" && len(arg) < 64 && !strings.ContainsAny(v, "?;") {
			t.palette[c] = v
		}
	case "110", "111", "112":
		delete(t.palette, c[1:])
	case "4":
		i, v, _ := strings.Cut(printable(arg), ";")
		if v != "" && len(arg) < 64 && !strings.ContainsAny(v, "?;") && len(t.palette) < maxPalette {
			t.palette["4;"+i] = v
		}
	case "104":
		for k := range t.palette {
			if strings.HasPrefix(k, "4;") && (len(arg) == 0 || k[2:] == string(arg)) {
				delete(t.palette, k)
			}
		}
	}
}

// printable drops what could end or break a sequence.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return -1
		}
		return r
	}, string(b))
}
