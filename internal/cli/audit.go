package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
)

func (a *app) auditCmd() *cobra.Command {
	return parent("audit", "Read, follow, export, verify and prove the audit log", a.auditListCmd(), a.auditShowCmd(), a.auditExportCmd(), a.auditVerifyCmd(),
		a.auditProveCmd(), a.auditCheckpointCmd(), a.auditWitnessCmd(), a.auditSinkCmd())
}

// auditRow is an event as audit list --json prints it: its place, -1 before it has one, and what the log has verbatim.
type auditRow struct {
	Index int64           `json:"index"`
	Event json.RawMessage `json:"event"`
}

func rowOf(e api.AuditEvent) auditRow { return auditRow{Index: e.Index, Event: e.Raw} }

// auditHead and cells are the table of events.
func auditHead() []string {
	return []string{"TIME", "WHO", "ACTION", "OUTCOME", "ON", "FROM", "REASON"}
}

func (r auditRow) cells(a *app) []string {
	e, err := audit.DecodeEvent(r.Event)
	if err != nil {
		return []string{"", "", "", "", "", "", "event that can't be read: " + err.Error()}
	}
	on := e.On.Name
	switch {
	case on != "":
	case e.On.Type == "org" && terminal(a.out):
		on = "organisation"
	default:
		on = e.On.ID
	}
	if e.Session != "" && on != string(e.Session) {
		on = strings.TrimSpace(on + " " + string(e.Session))
	}
	outcome := string(e.Outcome)
	if e.Count > 1 {
		outcome = fmt.Sprintf("%s ×%d", outcome, e.Count)
	}
	return []string{a.when(e.Time), e.Who.Name, e.Action, outcome, on, e.Who.Address, e.Reason}
}

// auditFilter reads the flags by which events are chosen.
type auditFilter struct {
	api.AuditFilter
}

func (f *auditFilter) register(a *app, c *cobra.Command) {
	fl := c.Flags()
	a.period(fl, &f.Since, &f.Until, "only those written at this `TIME` or later", "only those written before this `TIME`")
	fl.StringVar(&f.Action, "action", "", "only this `ACTION`, such as session:start, or all of an area: session:*")
	fl.StringVar(&f.Who, "who", "", "only what this user did, or this instance's agent: `NAME` or id")
	fl.StringVar(&f.Session, "session", "", "only about this `SESSION`")
	choice(c, &f.Outcome, "outcome", "", "only those with this `OUTCOME`", "allowed", "refused", "failed")
	fl.StringVar(&f.On, "on", "", "only about this `THING`, by its name or id")
	fl.StringVar(&f.Instance, "instance", "", "only about this `INSTANCE` and what ran on it, by its name or id")
	fl.StringVar(&f.Address, "address", "", "only from this `ADDRESS`")
}

// read gives the filter with its times as the API takes them.
func (f *auditFilter) read(a *app) (in api.AuditFilter, err error) {
	in = f.AuditFilter
	if in.Since, err = a.momentText(f.Since); err == nil {
		in.Until, err = a.momentText(f.Until)
	}
	return in, err
}

func (a *app) auditListCmd() *cobra.Command {
	var f auditFilter
	var watch bool
	in := api.AuditIn{}
	l := &lister[auditRow]{
		head: auditHead(), none: "no events", row: func(r auditRow) []string { return r.cells(a) },
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]auditRow, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListAudit, in)
			rows := make([]auditRow, len(out.Items))
			for i, e := range out.Items {
				rows[i] = rowOf(e)
			}
			return rows, out.Next, err
		},
	}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List events, newest first, or follow them",
		Long: "Lists events, newest first. With --watch it prints the latest ones, the newest last, and then each event as it comes, with\n" +
			"--json one a line: none is lost and none comes twice, also when the connection breaks in between.",
		Example: "  sessctl audit list --outcome refused --since 24h\n  sessctl audit list --session ses_4x2k --json\n" +
			"  sessctl audit list --action 'session:*' --instance web-1 --watch",
	}
	f.register(a, c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on with what comes")
	l.command(a, c, false)
	c.MarkFlagsMutuallyExclusive("columns", "watch")
	list := c.RunE
	c.RunE = func(cmd *cobra.Command, argv []string) (err error) {
		if in.AuditFilter, err = f.read(a); err != nil {
			return err
		}
		if !watch {
			return list(cmd, argv)
		}
		if !cmd.Flags().Changed("limit") {
			l.limit = watchBacklog
		}
		if l.limit < 0 || l.limit > api.MaxPage {
			return usagef(cmd, "--limit %d: --watch begins with at most %d events", l.limit, api.MaxPage)
		}
		return a.auditWatch(cmd.Context(), in.AuditFilter, l.limit)
	}
	return c
}

func (a *app) auditShowCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "show EVENT", Short: "Show an event with all that is in it", Args: args(cobra.ExactArgs(1)),
		Example: "  sessctl audit show evt_4x2k7mq3a5n6b2c8",
		RunE: func(cmd *cobra.Command, argv []string) error {
			out, err := call(cmd.Context(), a, "asking the server", api.GetAudit, api.AuditRef{Event: argv[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(rowOf(out))
			}
			e, err := audit.DecodeEvent(out.Raw)
			if err != nil {
				return err
			}
			return a.printFields(eventFields(a, out.Index, e))
		},
	}
	return a.jsonFlag(c)
}

// eventFields is an event in words, all of it.
func eventFields(a *app, idx int64, e audit.Event) []field {
	place, count := "none yet", ""
	if idx >= 0 {
		place = fmt.Sprint(idx)
	}
	if e.Count > 1 {
		count = fmt.Sprint(e.Count)
	}
	who := strings.TrimSpace(fmt.Sprintf("%s %s%s", e.Who.Name, e.Who.User, e.Who.Instance))
	on := strings.TrimSpace(fmt.Sprintf("%s %s %s", e.On.Type, e.On.Name, e.On.ID))
	fields := []field{
		{"Event", string(e.ID)},
		{"Place", place},
		{"Time", e.Time.Format("2006-01-02T15:04:05.000000Z") + agoOf(a, e)},
		{"Who", who},
		{"By", strings.TrimSpace(string(e.Who.Credential) + " " + e.Who.CredentialID)},
		{"From", e.Who.Address},
		{"Action", e.Action},
		{"On", on},
		{"Instance", string(e.Instance)},
		{"Session", string(e.Session)},
		{"Outcome", string(e.Outcome)},
		{"Code", string(e.Code)},
		{"Reason", e.Reason},
		{"Times", count},
		{"Request", e.Request},
	}
	for _, k := range slices.Sorted(maps.Keys(e.Details)) {
		fields = append(fields, field{k, e.Details[k]})
	}
	return fields
}

func agoOf(a *app, e audit.Event) string {
	if !terminal(a.out) {
		return ""
	}
	return " (" + a.when(e.Time) + ")"
}
