package cli

import (
	"encoding/csv"
	"strconv"

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
			}
			var err error
			if in.Since, err = a.momentText(since); err != nil {
				return err
			}
			if in.Until, err = a.momentText(until); err != nil {
				return err
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
	a.period(f, &since, &until, "only what ended at this `TIME` or later", "only what ended before this `TIME`; now if not given")
	choice(c, &format, "format", "", "in this `FORMAT`", formatTable, formatCSV, formatJSON)
	return a.jsonFlag(c)
}

// The formats of usage.
const (
	formatTable = "table"
	formatCSV   = "csv"
	formatJSON  = "json"
)

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
	bytes := func(n int64) string { return sess.FormatSize(uint64(max(0, n))) }
	cpu, mem, unmeasured := "", "", ""
	if r.CPUUS != nil && r.MemPeak != nil {
		cpu, mem = sess.FormatMicros(*r.CPUUS), bytes(*r.MemPeak)
	}
	if r.Unmeasured > 0 {
		unmeasured = strconv.FormatInt(r.Unmeasured, 10)
	}
	return []string{
		label, strconv.FormatInt(r.Sessions, 10), sess.FormatMicros(r.WallUS), cpu, mem, bytes(r.BytesIn), bytes(r.BytesOut), bytes(r.BytesErr),
		bytes(r.RecStored), unmeasured,
	}
}
