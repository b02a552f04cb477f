package vt

import (
	"strconv"
)

// color is a colour: 0 is the default, else one of the kinds below with its value.
type color uint32

const (
	indexed color = 1 << 24 // 0 to 255
	direct  color = 2 << 24 // 0xRRGGBB
)

type attrs uint16

const (
	bold attrs = 1 << iota
	faint
	italic
	blink
	reverse
	conceal
	struck
	overline
)

// style is how a character looks.
type style struct {
	fg, bg, ul color
	attrs      attrs
	underline  uint8 // 0 none, 1 single, 2 double, 3 curly, 4 dotted, 5 dashed
}

// sgr applies the parameters of SGR.
func (s *style) sgr(p Params) {
	if len(p) == 0 {
		*s = style{}
		return
	}
	for i := 0; i < len(p); i++ {
		subs := 0
		for i+1+subs < len(p) && p[i+1+subs].Sub {
			subs++
		}
		v := max(p[i].Value, 0)
		switch {
		case v == 38 || v == 48 || v == 58:
			c, n, ok := colorOf(p[i+1:], subs)
			if ok {
				*s.colorField(v) = c
			}
			i += max(n, subs)
			continue
		case v == 4 && subs > 0:
			s.underline = uint8(min(max(p[i+1].Value, 0), 5)) //nolint:gosec // bounded
		default:
			s.one(v)
		}
		i += subs
	}
}

func (s *style) colorField(v int) *color {
	switch v {
	case 38:
		return &s.fg
	case 48:
		return &s.bg
	default:
		return &s.ul
	}
}

// colorOf reads what follows 38, 48 or 58, in the old form with semicolons (subs is 0) or with colons. n is how many
// parameters it takes.
func colorOf(p Params, subs int) (c color, n int, ok bool) {
	if len(p) == 0 {
		return 0, 0, false
	}
	byteAt := func(i int) color { return color(min(max(p[i].Value, 0), 255)) } //nolint:gosec // bounded
	count := len(p)
	if subs > 0 {
		count = subs
	}
	switch p[0].Value {
	case 5:
		if count < 2 {
			return 0, count, false
		}
		return indexed | byteAt(1), 2, true
	case 2:
		at := 1
		if subs >= 5 { // 2:colourspace:r:g:b
			at = 2
		}
		if count < at+3 {
			return 0, count, false
		}
		return direct | byteAt(at)<<16 | byteAt(at+1)<<8 | byteAt(at+2), at + 3, true
	default:
		return 0, 1, false
	}
}

var attrOn = map[int]attrs{1: bold, 2: faint, 3: italic, 5: blink, 6: blink, 7: reverse, 8: conceal, 9: struck, 53: overline} //nolint:gochecknoglobals // a constant table

var attrOff = map[int]attrs{22: bold | faint, 23: italic, 25: blink, 27: reverse, 28: conceal, 29: struck, 55: overline} //nolint:gochecknoglobals // a constant table

func (s *style) one(v int) {
	switch {
	case v == 0:
		*s = style{}
	case v == 4:
		s.underline = 1
	case v == 21:
		s.underline = 2
	case v == 24:
		s.underline = 0
	case v >= 30 && v <= 37:
		s.fg = indexed | color(v-30)
	case v == 39:
		s.fg = 0
	case v >= 40 && v <= 47:
		s.bg = indexed | color(v-40)
	case v == 49:
		s.bg = 0
	case v == 59:
		s.ul = 0
	case v >= 90 && v <= 97:
		s.fg = indexed | color(v-90+8)
	case v >= 100 && v <= 107:
		s.bg = indexed | color(v-100+8)
	default:
		s.attrs = (s.attrs | attrOn[v]) &^ attrOff[v]
	}
}

// append appends the SGR sequence that sets s whatever was set before.
func (s style) append(b []byte) []byte {
	b = append(b, "\x1b[0"...)
	for i, n := range [...]int{1, 2, 3, 5, 7, 8, 9, 53} {
		if s.attrs&(1<<i) != 0 {
			b = append(b, ';')
			b = strconv.AppendInt(b, int64(n), 10)
		}
	}
	switch s.underline {
	case 0:
	case 1:
		b = append(b, ";4"...)
	default:
		b = append(b, ";4:"...)
		b = strconv.AppendInt(b, int64(s.underline), 10)
	}
	b = appendColor(b, s.fg, 30, 90, 38)
	b = appendColor(b, s.bg, 40, 100, 48)
	b = appendColor(b, s.ul, 0, 0, 58)
	return append(b, 'm')
}

// appendColor appends the parameters of a colour. dark and bright are the bases of the short forms, 0 without them.
func appendColor(b []byte, c color, dark, bright, long int) []byte {
	v := int64(c & 0xffffff)
	switch {
	case c == 0:
		return b
	case c&direct != 0:
		b = append(b, ';')
		b = strconv.AppendInt(b, int64(long), 10)
		for _, sh := range [...]int{16, 8, 0} {
			if sh == 16 {
				b = append(b, ";2"...)
			}
			b = append(b, ';')
			b = strconv.AppendInt(b, v>>sh&255, 10)
		}
		return b
	case v < 8 && dark > 0:
		b = append(b, ';')
		return strconv.AppendInt(b, int64(dark)+v, 10)
	case v < 16 && bright > 0:
		b = append(b, ';')
		return strconv.AppendInt(b, int64(bright)+v-8, 10)
	default:
		b = append(b, ';')
		b = strconv.AppendInt(b, int64(long), 10)
		b = append(b, ";5;"...)
		return strconv.AppendInt(b, v, 10)
	}
}
