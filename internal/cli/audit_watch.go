package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

const (
	// watchBacklog is how many events --watch begins with, unless --limit says otherwise.
	watchBacklog = 10
	// maxWatchLine bounds a line of the answer: an event in base64, and what stands around it.
	maxWatchLine = 64 << 10
)

// auditWatch prints the latest events, and then those that come. Places have no gaps, so it goes on exactly where it was after
// every answer and every broken connection.
func (a *app) auditWatch(ctx context.Context, filter api.AuditFilter, backlog int) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	in := api.AuditIn{AuditFilter: filter}
	in.Limit = max(backlog, 1)
	out, err := api.Call(ctx, c.API, api.ListAudit, in)
	if err != nil {
		return err
	}
	w := &auditWatcher{a: a, next: out.Size}
	if backlog > 0 {
		slices.Reverse(out.Items)
		for _, e := range out.Items {
			if e.Index < 0 || e.Index >= out.Size {
				continue // it comes when it has its place
			}
			if err := w.print(e); err != nil {
				return err
			}
		}
	}
	for tries := 0; ; {
		from := w.next
		err := w.follow(ctx, c.API, filter)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case w.failed != nil:
			return w.failed
		case err == nil || w.next > from:
			tries = 0
			continue
		case ExitCode(err) != exitFailure || tries >= maxTries:
			return err
		}
		tries++
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

// auditWatcher prints events and knows from where to go on.
type auditWatcher struct {
	a      *app
	next   int64
	head   bool
	failed error // to print
}

// follow prints what one answer has.
func (w *auditWatcher) follow(ctx context.Context, c *api.Client, f api.AuditFilter) error {
	q := url.Values{"from": {strconv.FormatInt(w.next, 10)}}
	for key, value := range map[string]string{
		"since": f.Since, "until": f.Until, "action": f.Action, "who": f.Who, "session": f.Session, "outcome": f.Outcome,
		"on": f.On, "instance": f.Instance, "address": f.Address,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	resp, err := c.Do(ctx, "GET", api.PathAuditWatch, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 4<<10), maxWatchLine)
	for lines.Scan() {
		var l api.AuditWatchLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return sess.Wrap(err, sess.CodeUnavailable, "the server's answer can't be read", "is something between you and it that answers in its place?")
		}
		if l.Next < w.next {
			return sess.New(sess.CodeUnavailable, "the server goes back in the log", "sessctl audit witness tells whether it was rewritten")
		}
		if l.Event != nil {
			if w.failed = w.print(*l.Event); w.failed != nil {
				return w.failed
			}
		}
		w.next = l.Next
	}
	return lines.Err()
}

// print shows one event: JSON, or a line of columns.
func (w *auditWatcher) print(e api.AuditEvent) error {
	r := rowOf(e)
	if w.a.json {
		return jsonLine(w.a.out, r)
	}
	cells := r.cells(w.a)
	if terminal(w.a.out) {
		cells[0] = clock(r, cells[0])
	}
	if !terminal(w.a.out) {
		return w.a.printTable(auditHead(), [][]string{cells})
	}
	lines := [][]string{cells}
	if !w.head {
		w.head = true
		lines = [][]string{auditHead(), cells}
	}
	narrow := terminalWidth(w.a.out) < auditWidth
	for _, cells := range lines {
		if _, err := io.WriteString(w.a.out, watchLine(cells, narrow)); err != nil {
			return err
		}
	}
	return nil
}

// watchLine is a line of --watch. Where it would be broken anyhow, it has what fits 80 columns: the reason is below, and
// from where is left to --json.
func watchLine(cells []string, narrow bool) string {
	c := make([]string, len(cells))
	for i := range cells {
		c[i] = cell(cells[i])
	}
	if !narrow {
		return fmt.Sprintf(auditLine, anyOf(c)...)
	}
	line := fmt.Sprintf("%-8s  %-16s  %-18s  %-8s  %s", c[0], cut(c[1], 16), cut(c[2], 18), cut(c[3], 8), cut(c[4], 22))
	if c[6] != "" && c[6] != "REASON" {
		line += "\n          " + c[6]
	}
	return line + "\n"
}

// auditWidth is how wide a terminal is that shows auditLine whole, with a reason of a few words.
const auditWidth = 140

// auditLine are the columns on a terminal: those of later lines are not known, so their widths are fixed.
const auditLine = "%-8s  %-24s  %-20s  %-8s  %-28s  %-15s  %s\n"

func anyOf(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// clock is when an event was, on a terminal that scrolls: "2m ago" would be wrong soon.
func clock(r auditRow, otherwise string) string {
	var e struct {
		Time time.Time `json:"time"`
	}
	if json.Unmarshal(r.Event, &e) != nil {
		return otherwise
	}
	return e.Time.Local().Format("15:04:05")
}
