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
				at, err := dateOr(text)
				if err != nil {
					return &usageError{fmt.Errorf("--%s: %w", name, err), cmd.CommandPath()}
				}
				q.Set(name, at)
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
	f.StringVar(&since, "since", "", "from this `DATE` on: 2026-11-01, or 2026-11-01T00:00:00Z")
	f.StringVar(&until, "until", "", "up to this `DATE`, which is not included; now if not given")
	f.StringVar(&format, "format", "table", "table, csv or json")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	adminFlags(c)
	return c
}

// dateOr reads a date, or a time as the API takes it.
func dateOr(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Format(time.RFC3339), nil
		}
	}
	return "", fmt.Errorf("%q is no date: write 2026-11-01, or 2026-11-01T00:00:00Z", text)
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
	fmt.Fprintln(w, "NAME\tSESSIONS\tTIME\tCPU\tBYTES IN\tBYTES OUT\tRECORDINGS\tNOT MEASURED\tID")
	for _, r := range u.Items {
		wall, cpu := time.Duration(r.WallUS)*time.Microsecond, ""
		if r.CPUUS != nil {
			cpu = (time.Duration(*r.CPUUS) * time.Microsecond).Round(time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", r.Name, r.Sessions, wall.Round(time.Second), cpu, r.BytesIn,
			r.BytesOut+r.BytesErr, r.RecStored, r.Unmeasured, r.Key)
	}
	return w.Flush()
}
