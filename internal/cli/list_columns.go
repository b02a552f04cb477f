package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// names are the headings of all columns, those that are shown by themselves first.
func (l *lister[T]) names() []string { return slices.Concat(l.head, l.more) }

// columnName is how people write the name of a column: as its heading, in any case, a dash for a blank.
func columnName(heading string) string { return strings.ReplaceAll(strings.ToLower(heading), " ", "-") }

func (l *lister[T]) columnsFlag(c *cobra.Command) {
	var names []string
	for _, n := range l.names() {
		names = append(names, columnName(n))
	}
	c.Flags().StringSliceVar(&l.columns, "columns", nil, "show these `COLUMNS`, in this order: "+strings.Join(names, ", "))
	_ = c.RegisterFlagCompletionFunc("columns", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	c.MarkFlagsMutuallyExclusive("columns", "json")
}

// checkColumns looks whether there are the columns that were asked for.
func (l *lister[T]) checkColumns(cmd *cobra.Command) error {
	for _, want := range l.columns {
		if l.column(want) < 0 {
			return usagef(cmd, "there is no column %q; --help lists them", want)
		}
	}
	return nil
}

func (l *lister[T]) column(want string) int {
	return slices.IndexFunc(l.names(), func(n string) bool { return columnName(n) == columnName(want) })
}

// pick gives those cells of a row that are shown.
func (l *lister[T]) pick(row []string) []string {
	if len(l.columns) == 0 {
		return row[:len(l.head)]
	}
	out := make([]string, len(l.columns))
	for i, want := range l.columns {
		out[i] = row[l.column(want)]
	}
	return out
}
