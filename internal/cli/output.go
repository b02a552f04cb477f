package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// printJSON prints v for programs.
func (a *app) printJSON(v any) error { return encodeJSON(a.out, v) }

// cell makes s fit for a table: one line, nothing a terminal acts on.
func cell(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// plain is cell for text of several lines.
func plain(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = cell(l)
	}
	return strings.Join(lines, "\n")
}

// shellWord makes s one word for a POSIX shell, in a line to paste: much of it is a server's word.
func shellWord(s string) string {
	s = cell(s)
	if word(strings.ReplaceAll(s, "@", "")) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// gap is between the columns of a table for people.
const gap = 2

// printTable prints rows: for people under a heading and cut to the terminal's width, in a pipe one line each with tabs
// and nothing else.
func (a *app) printTable(head []string, rows [][]string) error {
	var b strings.Builder
	if !terminal(a.out) {
		for _, r := range rows {
			for i, c := range r {
				if i > 0 {
					b.WriteByte('\t')
				}
				b.WriteString(cell(c))
			}
			b.WriteByte('\n')
		}
		_, err := io.WriteString(a.out, b.String())
		return err
	}
	width := terminalWidth(a.out)
	all, left := fitColumns(append([][]string{head}, rows...), width)
	widths := columnWidths(all, width)
	for _, r := range all {
		var line strings.Builder
		for i, c := range r {
			c = cut(cell(c), widths[i])
			line.WriteString(c)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+gap))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	if _, err := io.WriteString(a.out, b.String()); err != nil || len(left) == 0 {
		return err
	}
	a.note("no room for %s; --json has all", strings.Join(left, ", "))
	return nil
}

// legible is how wide a column stays that has as much to say.
const legible = 8

// fitColumns leaves out columns while the rest would not be legible: first those with nothing in them, then from the right.
// It names those that had something.
func fitColumns(rows [][]string, total int) (fitted [][]string, left []string) {
	widths, least, _ := columnSizes(rows)
	keep := make([]bool, len(rows[0]))
	sum := -gap
	for i := range keep {
		keep[i] = true
		sum += max(least[i], min(widths[i], legible)) + gap
	}
	empty := func(i int) bool {
		return !slices.ContainsFunc(rows[1:], func(r []string) bool { return r[i] != "" })
	}
	for _, all := range []bool{false, true} {
		for i := len(keep) - 1; i > 0 && sum > total; i-- {
			if !keep[i] || !all && !empty(i) {
				continue
			}
			keep[i] = false
			sum -= max(least[i], min(widths[i], legible)) + gap
			if all {
				left = append(left, rows[0][i])
			}
		}
	}
	slices.Reverse(left)
	for _, r := range rows {
		var kept []string
		for i, c := range r {
			if keep[i] {
				kept = append(kept, c)
			}
		}
		fitted = append(fitted, kept)
	}
	return fitted, left
}

// columnSizes gives how wide columns would be and must be at least, and the sum of the first with the gaps.
func columnSizes(rows [][]string) (widths, least []int, sum int) {
	widths = make([]int, len(rows[0]))
	least = make([]int, len(rows[0]))
	sum = gap * (len(widths) - 1)
	for i := range widths {
		for _, r := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell(r[i])))
		}
		if least[i] = utf8.RuneCountInString(rows[0][i]); i == 0 {
			least[0] = widths[0] // what things are named by
		}
		sum += widths[i]
	}
	least[0] = widths[0]
	return widths, least, sum
}

// columnWidths fits the columns into total by taking from the widest first; none gets narrower than its heading, and the
// first not at all: it is what people copy into the next command.
func columnWidths(rows [][]string, total int) []int {
	widths, least, sum := columnSizes(rows)
	for sum > total {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		sum--
	}
	return widths
}

func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:max(0, n-1)]) + "…"
}

// field is one line of what show prints.
type field struct{ name, value string }

// printFields prints what show shows; empty values are left out.
func (a *app) printFields(fields []field) error {
	var b strings.Builder
	width := 0
	for _, f := range fields {
		width = max(width, len(f.name))
	}
	for _, f := range fields {
		switch {
		case f.value == "":
		case terminal(a.out):
			fmt.Fprintf(&b, "%-*s  %s\n", width+1, f.name+":", cell(f.value))
		default:
			fmt.Fprintf(&b, "%s\t%s\n", f.name, cell(f.value))
		}
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

// when says a time: how long ago for people, exactly in a pipe.
func (a *app) when(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case !terminal(a.out):
		return t.UTC().Format(time.RFC3339)
	}
	return relative(a.now().Sub(t))
}

func (a *app) whenp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return a.when(*t)
}

// exactly says a time as evidence has it: exactly, and for people how long ago.
func (a *app) exactly(t time.Time) string {
	if t.IsZero() || !terminal(a.out) {
		return a.when(t)
	}
	return t.UTC().Format(time.RFC3339) + " (" + a.when(t) + ")"
}

func (a *app) exactlyp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return a.exactly(*t)
}

// relative says how long ago something was, or in how long it will be.
func relative(d time.Duration) string {
	if d < 0 {
		return "in " + roughly(-d)
	}
	if d < time.Second {
		return "now"
	}
	return roughly(d) + " ago"
}

// roughly says a duration in its largest unit, or its two largest where that matters.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < day:
		if m := int(d.Minutes()) % 60; m != 0 && d < 10*time.Hour {
			return fmt.Sprintf("%dh%dm", int(d.Hours()), m)
		}
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d/day))
}

// labels says labels in a fixed order.
func labels(m map[string]string) string {
	var parts []string
	for k, v := range m {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}
