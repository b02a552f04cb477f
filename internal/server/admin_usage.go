package server

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// serveAdminUsage answers what the box's owner asks about usage.
func (s *Server) serveAdminUsage(mux *http.ServeMux) {
	mux.HandleFunc("GET /admin/usage", adminHandler(s, func(r *http.Request) (api.Usage, error) {
		q := r.URL.Query()
		return s.broker.BoxUsage(r.Context(), api.UsageIn{By: q.Get("by"), Since: q.Get("since"), Until: q.Get("until")})
	}))
}

// adminUsageCommand makes the command with which the box's owner sees what organisations use.
func adminUsageCommand(p Process) *cobra.Command {
	var by, since, until, format string
	var asJSON bool
	c := &cobra.Command{
		Use: "usage", Short: "Show what the sessions of all organisations took, by organisation or by month",
		Long: "Sums up the sessions that ended from --since up to --until, this month if neither is given (by month: the last twelve). A session\n" +
			"counts as a whole where it ended.",
		Example: "  sess-server admin usage --by org --since 2026-10-01 --until 2026-11-01 --format csv --data-dir /var/lib/sess-server",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				format = "json"
			}
			if format != "table" && format != "csv" && format != "json" {
				return &usageError{fmt.Errorf("--format %q is none of table, csv and json", format), cmd.CommandPath()}
			}
			q := url.Values{"by": {by}}
			for name, text := range map[string]string{"since": since, "until": until} {
				at, err := sess.ParseMoment(text, time.Now())
				if err != nil {
					return &usageError{fmt.Errorf("--%s: %w: give it as "+sess.MomentHelp, name, err), cmd.CommandPath()}
				}
				if !at.IsZero() {
					q.Set(name, at.UTC().Format(time.RFC3339Nano))
				}
			}
			var u api.Usage
			if err := askRunning(cmd, p, http.MethodGet, "/admin/usage?"+q.Encode(), &u); err != nil {
				return err
			}
			return printBoxUsage(p, u, format)
		},
	}
	f := c.Flags()
	f.StringVar(&by, "by", "org", "put together by org or month")
	f.StringVar(&since, "since", "", "only what ended at this `TIME` or later: "+sess.MomentHelp)
	f.StringVar(&until, "until", "", "only what ended before this `TIME`; now if not given")
	f.StringVar(&format, "format", "table", "table, csv or json")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	adminFlags(c)
	return c
}

func printBoxUsage(p Process, u api.Usage, format string) error {
	switch format {
	case "json":
		enc := json.NewEncoder(p.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(u)
	case "csv":
		w := csv.NewWriter(p.Stdout)
		_ = w.Write(api.UsageColumns()) // Flush has its error
		for _, r := range u.Items {
			_ = w.Write(append([]string{sess.SpreadsheetText(r.Key), sess.SpreadsheetText(r.Name)}, r.Numbers()...)) // as above
		}
		w.Flush()
		return w.Error()
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSESSIONS\tTIME\tCPU\tIN\tOUT\tERR\tRECORDINGS\tNOT MEASURED\tID")
	bytes := func(n int64) string { return sess.FormatSize(uint64(max(0, n))) }
	for _, r := range u.Items {
		cpu := ""
		if r.CPUUS != nil {
			cpu = sess.FormatMicros(*r.CPUUS)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", r.Name, r.Sessions, sess.FormatMicros(r.WallUS), cpu, bytes(r.BytesIn),
			bytes(r.BytesOut), bytes(r.BytesErr), bytes(r.RecStored), r.Unmeasured, r.Key)
	}
	return w.Flush()
}
