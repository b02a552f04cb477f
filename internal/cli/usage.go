package cli

import (
	"encoding/csv"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) usageCmd() *cobra.Command {
	var in api.UsageIn
	var since, until, format string
	c := &cobra.Command{
		Use:   "usage",
		Short: "Show what sessions took: time, CPU, memory, bytes moved and stored",
		Long: "Sums up the sessions that ended from --since up to --until, this month if neither is given (by month: the last twelve). A\n" +
			"session counts as a whole where it ended, so a month that is over does not change any more, but for the recordings that are\n" +
			"held. Everyone sees their own sessions; project admins their projects'; admins and auditors all.",
		Example: `  sessctl usage --by user
  sessctl usage --by month --since 2026-01 --format csv
  sessctl usage --by tag:ci.run --since 7d --json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case a.json && format != "" && format != formatJSON:
				return usagef(cmd, "--json and --format %s don't go together", format)
			case a.json:
				format = formatJSON
			case format == "":
				format = formatTable
			case format != formatTable && format != formatCSV && format != formatJSON:
				return usagef(cmd, "--format %s is none of table, csv and json", cell(format))
			}
			for _, t := range []struct {
				flag, text string
				to         *string
			}{{"--since", since, &in.Since}, {"--until", until, &in.Until}} {
				at, err := pointInTime(t.text, a.now())
				if err != nil {
					return usagef(cmd, "%s: %v", t.flag, err)
				}
				if !at.IsZero() {
					*t.to = at.UTC().Format(time.RFC3339Nano)
				}
			}
			u, err := call(cmd.Context(), a, "adding up the sessions", api.ShowUsage, in)
			if err != nil {
				return err
			}
			return a.printUsage(u, format)
		},
	}
	f := c.Flags()
	f.StringVar(&in.By, "by", "user", "put together by user, project, instance, kind, month, or `tag:NAME`")
	f.StringVar(&since, "since", "", "from this `TIME` on: 2026-11, 2026-11-21, 2026-11-21T10:00:00Z, or 7d and 12h ago")
	f.StringVar(&until, "until", "", "up to this `TIME`, which is not included; now if not given")
	f.StringVar(&format, "format", "", "table, csv or json")
	return a.jsonFlag(c)
}

// The formats of usage.
const (
	formatTable = "table"
	formatCSV   = "csv"
	formatJSON  = "json"
)

var daysAgo = regexp.MustCompile(`^([0-9]{1,5})d$`)

// pointInTime reads a time as people give it; empty is the zero time. Months and days begin at midnight UTC, as usage counts them.
func pointInTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01", time.DateOnly, time.RFC3339Nano} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if m := daysAgo.FindStringSubmatch(text); m != nil {
		days, err := strconv.Atoi(m[1])
		return now.AddDate(0, 0, -days), err
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2026-11, 2026-11-21, 2026-11-21T10:00:00Z, or 7d and 12h for so long ago", cell(text))
}

func (a *app) printUsage(u api.Usage, format string) error {
	switch format {
	case formatJSON:
		return a.printJSON(u)
	case formatCSV:
		w := csv.NewWriter(a.out)
		_ = w.Write(api.UsageColumns()) // Flush has its error
		for _, r := range u.Items {
			_ = w.Write(append([]string{spreadsheet(r.Key), spreadsheet(r.Name)}, r.Numbers()...)) // as above
		}
		w.Flush()
		return w.Error()
	}
	rows := make([][]string, 0, len(u.Items)+1)
	people := terminal(a.out)
	for _, r := range u.Items {
		rows = append(rows, usageCells(r, usageLabel(r, u.By), people))
	}
	if people {
		rows = append(rows, usageCells(u.Total, "TOTAL", true))
	}
	if u.More {
		a.note("there are more than %d: the rest is in the total alone", len(u.Items))
	}
	return a.printTable([]string{"FOR", "SESSIONS", "TIME", "CPU", "PEAK MEMORY", "IN", "OUT", "ERR", "RECORDINGS", "NOT MEASURED"}, rows)
}

// spreadsheet makes s fit for a file that a spreadsheet opens.
func spreadsheet(s string) string { return sess.SpreadsheetText(cell(s)) }

func usageLabel(r api.UsageRow, by string) string {
	switch {
	case r.Name != "":
		return r.Name
	case r.Key != "":
		return r.Key
	case by == "project":
		return "(no project)"
	}
	return "(without)"
}

// usageCells are a row of the table: for people with units, in a pipe exact.
func usageCells(r api.UsageRow, label string, people bool) []string {
	if !people {
		return append([]string{label}, r.Numbers()...)
	}
	micros := func(n int64) string {
		d := time.Duration(n) * time.Microsecond
		if d >= time.Minute {
			return d.Round(time.Second).String()
		}
		return d.Round(time.Millisecond).String()
	}
	bytes := func(n int64) string { return size(uint64(max(0, n))) }
	cpu, mem, unmeasured := "", "", ""
	if r.CPUUS != nil && r.MemPeak != nil {
		cpu, mem = micros(*r.CPUUS), bytes(*r.MemPeak)
	}
	if r.Unmeasured > 0 {
		unmeasured = strconv.FormatInt(r.Unmeasured, 10)
	}
	return []string{
		label, strconv.FormatInt(r.Sessions, 10), micros(r.WallUS), cpu, mem, bytes(r.BytesIn), bytes(r.BytesOut), bytes(r.BytesErr),
		bytes(r.RecStored), unmeasured,
	}
}
