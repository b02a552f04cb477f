package cli

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// defaultWidth is a terminal's that does not say how wide it is.
const defaultWidth = 80

// terminalWidth is how wide the terminal f is.
func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return defaultWidth
	}
	return width
}

// fitHelp has help and usage fit the terminal, if it is one: its lines are broken between words, not where they end.
func (a *app) fitHelp(root *cobra.Command) {
	if !terminal(a.out) {
		return
	}
	width := terminalWidth(a.out)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages ", fmt.Sprintf("FlagUsagesWrapped %d ", width)))
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, argv []string) {
		c.Long = fill(long(c), width)
		for _, sub := range c.Commands() {
			sub.Short = strings.ReplaceAll(fill(sub.Short, width-sub.NamePadding()-3), "\n", "\n"+strings.Repeat(" ", sub.NamePadding()+3))
		}
		help(c, argv)
	})
}

// fill breaks the lines of paragraphs anew; lines that begin with a space, or have columns, stay as they are.
func fill(text string, width int) string {
	var out, line strings.Builder
	column := 0
	flush := func() {
		if column > 0 {
			out.WriteString(line.String() + "\n")
		}
		line.Reset()
		column = 0
	}
	for _, l := range strings.Split(text, "\n") {
		if l == "" || l[0] == ' ' || strings.Contains(l, "  ") || strings.Contains(l, "\t") {
			flush()
			out.WriteString(l + "\n")
			continue
		}
		for _, word := range strings.Fields(l) {
			n := utf8.RuneCountInString(word)
			if column > 0 && column+1+n > width {
				flush()
			}
			if column > 0 {
				line.WriteByte(' ')
				column++
			}
			line.WriteString(word)
			column += n
		}
	}
	flush()
	return strings.TrimSuffix(out.String(), "\n")
}
