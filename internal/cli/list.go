package cli

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sessctl/sess/internal/api"
)

// lister is a list command: how to fetch a page and how to show an item.
type lister[T any] struct {
	head  []string
	more  []string // columns behind those of head, which row gives too and people get by --columns alone
	fetch func(context.Context, *api.Client, api.Page) (items []T, next string, err error)
	row   func(T) []string
	none  string // said to a person when there is nothing

	limit   int
	watch   bool
	columns []string // as asked for; none: those of head

	usual func() []string // columns when none are asked for; nil, or none: those of head
}

// watchEvery is the time between two looks of --watch.
const watchEvery = 2 * time.Second

// maxTries bounds the failures in a row that --watch sits out.
const maxTries = 30

// command makes l the command c.
func (l *lister[T]) command(a *app, c *cobra.Command, watchable bool) *cobra.Command {
	c.Args = args(cobra.NoArgs)
	c.Flags().IntVar(&l.limit, "limit", api.DefaultPage, "show at most this `NUMBER`, newest first; 0 for all")
	a.jsonFlag(c)
	l.columnsFlag(c)
	if watchable {
		c.Flags().BoolVarP(&l.watch, "watch", "w", false, "keep looking, and show it again whenever it changes")
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if l.limit < 0 {
			return usagef(cmd, "--limit %d is no number of things", l.limit)
		}
		if err := l.checkColumns(cmd); err != nil {
			return err
		}
		if l.usual != nil && len(l.columns) == 0 {
			l.columns = l.usual()
		}
		if l.watch {
			return l.follow(cmd.Context(), a)
		}
		items, more, err := l.all(cmd.Context(), a)
		if err != nil {
			return err
		}
		if err := l.print(a, items); err != nil {
			return err
		}
		if more && !cmd.Flags().Changed("limit") {
			a.note("there are more: --limit 0 shows all")
		}
		return nil
	}
	return c
}

// all fetches up to the limit and says whether there is more.
func (l *lister[T]) all(ctx context.Context, a *app) (items []T, more bool, err error) {
	c, err := a.open()
	if err != nil {
		return nil, false, err
	}
	defer a.busy("asking the server")()
	items = []T{}
	page := api.Page{}
	for {
		page.Limit = api.MaxPage
		if l.limit > 0 {
			page.Limit = min(api.MaxPage, l.limit-len(items))
		}
		got, next, err := l.fetch(ctx, c.API, page)
		if err != nil {
			return nil, false, err
		}
		items = append(items, got...)
		if next == "" || next == page.After {
			return items, false, nil
		}
		if l.limit > 0 && len(items) >= l.limit {
			return items, true, nil
		}
		page.After = next
	}
}

func (l *lister[T]) print(a *app, items []T) error {
	if a.json {
		return a.printJSON(items)
	}
	if len(items) == 0 {
		if terminal(a.out) {
			a.note("%s", l.none)
		}
		return nil
	}
	rows := make([][]string, 0, len(items))
	for _, it := range items {
		rows = append(rows, l.pick(l.row(it)))
	}
	return a.printTable(l.pick(l.names()), rows)
}

// follow prints the list whenever it changes: for people on a fresh screen, for programs one JSON array a line, or the
// table again behind an empty line.
func (l *lister[T]) follow(ctx context.Context, a *app) error {
	last, tries := "", 0
	for {
		items, _, err := l.all(ctx, a)
		switch {
		case err != nil && (last == "" || ExitCode(err) != exitFailure || tries >= maxTries):
			return err
		case err != nil:
			tries++
		default:
			tries = 0
			if last, err = l.changed(a, items, last); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

// changed prints items if they differ from last, which it returns anew. People see the times move, too.
func (l *lister[T]) changed(a *app, items []T, last string) (string, error) {
	b, err := json.Marshal(items)
	if err != nil {
		return last, err
	}
	now := string(b)
	switch {
	case terminal(a.out) && !a.json:
		return now, l.screen(a, items)
	case now == last:
		return now, nil
	case a.json:
		return now, jsonLine(a.out, items)
	case last != "":
		_, _ = io.WriteString(a.out, "\n")
	}
	return now, l.print(a, items)
}

// screen shows on a fresh screen as many items as fit, from the first. What scrolled off it before stays.
func (l *lister[T]) screen(a *app, items []T) error {
	_, _ = io.WriteString(a.out, "\x1b[H\x1b[J")
	_, height, err := term.GetSize(int(a.out.Fd()))
	room := max(1, height-4) // for the heading, two notes and the cursor
	if err != nil || height <= 0 || len(items) <= room {
		return l.print(a, items)
	}
	if err := l.print(a, items[:room]); err != nil {
		return err
	}
	a.note("and %d more", len(items)-room)
	return nil
}
