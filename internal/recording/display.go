package recording

import (
	"io"

	"github.com/sessctl/sess/internal/recording/vt"
)

// Display is the screen of a terminal session as its output has it: output is written to it, and it draws the screen again, or a
// part of it, on any terminal.
type Display = vt.Terminal

// NewDisplay makes a blank Display of a size in cells.
func NewDisplay(cols, rows int) *Display { return vt.New(cols, rows) }

// NewInert gives a writer in front of a terminal at which somebody looks at what others' programs wrote: it lets through what
// draws, and nothing that the terminal would answer or that reaches beyond its screen.
func NewInert(to io.Writer) io.Writer { return vt.NewInert(to) }

// NewInertLines is NewInert for what was written without a terminal: LF becomes CR LF.
func NewInertLines(to io.Writer) io.Writer { return &inertLines{to: vt.NewInert(to)} }

type inertLines struct {
	ends lineEnds
	to   io.Writer
}

// Write implements io.Writer.
func (w *inertLines) Write(p []byte) (int, error) {
	if _, err := w.to.Write(w.ends.add(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
