package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"unicode"
	"unicode/utf8"
)

// Names, reasons, tags, commands, titles, files and answers of servers: most of what is printed, somebody else wrote. What goes
// to a terminal as a table or a line goes through cell or plain; this is for the rest.

// encodeJSON writes v for programs, on several lines.
func encodeJSON(w io.Writer, v any) error { return printInert(w, v, "  ") }

// jsonLine writes v for programs, on one line.
func jsonLine(w io.Writer, v any) error { return printInert(w, v, "") }

func printInert(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(inertJSON(b.Bytes()))
	return err
}

// inertJSON escapes what JSON may leave as it is and terminals act on: C1 controls, and marks that turn text around. It is the
// same to whoever parses it.
func inertJSON(b []byte) []byte {
	if bytes.IndexFunc(b, func(r rune) bool { return r >= 0x7f }) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1: // no UTF-8: some terminals take single bytes for controls
			out = append(out, `\ufffd`...)
		case r < 0x7f || unicode.IsPrint(r):
			out = append(out, b[:n]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}

// bytesOut is where bytes go that are somebody else's: an export, a raw answer. At a terminal they become text that it does
// not act on.
func (a *app) bytesOut() io.Writer {
	if !terminal(a.out) {
		return a.out
	}
	return &inertWriter{to: a.out}
}

// inertWriter writes text without what a terminal acts on but line breaks and tabs.
type inertWriter struct {
	to   *os.File
	rest []byte // of a character that is not whole yet
}

// Write implements io.Writer.
func (w *inertWriter) Write(p []byte) (int, error) {
	b := append(w.rest, p...)
	w.rest = nil
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if !utf8.FullRune(b) {
			w.rest = bytes.Clone(b)
			break
		}
		r, n := utf8.DecodeRune(b)
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		out, b = utf8.AppendRune(out, r), b[n:]
	}
	if _, err := w.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
