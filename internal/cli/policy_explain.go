package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
)

func (a *app) policyExplainCmd() *cobra.Command {
	var q api.Question
	var at string
	var age time.Duration
	var rules bool
	c := &cobra.Command{
		Use: "explain [SESSION|DENIAL]", Short: "Say why something is, or was, allowed or denied",
		Long: `Says in words what is decided and which rules decide: for a question asked by flags, as of now or another time; for a
session, why it could be started; for the id of a denial, which people are shown with it, why it was denied. About oneself
everybody may ask; about others, and what the organisation's policies say, those who may: org-admin and auditor.`,
		Example: "  sessctl policy explain --user ann@example.com --action start --instance web-1\n" +
			"  sessctl policy explain --user ci --action start --instance db-1 --kind exec --at 2026-01-04T03:00:00Z --from 203.0.113.7\n" +
			"  sessctl policy explain evt_01k9…",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			var in api.ExplainIn
			switch {
			case len(argv) == 1 && q.Action != "":
				return usagef(cmd, "ask by a reference or by --action, not both")
			case len(argv) == 1:
				in.Body.Ref = argv[0]
			case q.Action == "":
				return usagef(cmd, "say what to explain: a session, a denial, or --action")
			default:
				if err := circumstances(cmd, &q, at, age); err != nil {
					return err
				}
				in.Body.Question = &q
			}
			x, err := call(cmd.Context(), a, "asking the server", api.ExplainPolicy, in)
			switch {
			case err != nil:
				return err
			case a.json:
				return a.printJSON(x)
			}
			_, err = io.WriteString(a.out, plain(a.explanation(x, rules)))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&q.User, "user", "", "about this `USER`; you, if not given")
	f.StringVar(&q.Action, "action", "", "the `ACTION`: start, or any of docs/reference/permissions.md")
	f.StringVar(&q.Instance, "instance", "", "on this `INSTANCE`; the organisation as a whole, if not given")
	f.StringVar(&at, "at", "", "at this `TIME`, like 2026-01-31T15:04:05Z; now, if not given")
	f.StringVar(&q.From, "from", "", "from this `ADDRESS`")
	f.StringVar(&q.Kind, "kind", "", "for a session of this `KIND`; shell, if not given")
	f.StringVar(&q.OSUser, "os-user", "", "as this `USER` on the instance")
	f.StringVar(&q.Reason, "reason", "", "with this `REASON` given")
	f.StringVar(&q.IDP, "idp", "", "by a login through this identity `PROVIDER`")
	f.BoolVar(&q.Key, "key", false, "by an API key, not a login")
	duration(f, &age, "mfa-age", 0, "so long after a second factor was shown; never, if not given")
	f.BoolVar(&rules, "rules", false, "print the rules, too")
	return a.jsonFlag(c)
}

// aTime reads a time as people write it; without a zone it is one of here.
func aTime(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation("2006-01-02 15:04", text, now.Location()); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation("15:04", text, now.Location())
	return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location()), err
}

func circumstances(cmd *cobra.Command, q *api.Question, at string, age time.Duration) error {
	if at != "" {
		t, err := aTime(at, time.Now())
		if err != nil {
			return usagef(cmd, "--at %s is no time like 2026-01-31T15:04:05Z, \"2026-01-31 15:04\" or, of today, 15:04", at)
		}
		q.At = &t
	}
	if cmd.Flags().Changed("mfa-age") {
		n := int64(age / time.Second)
		q.MFAAge = &n
	}
	return nil
}

// explanation is what people read.
func (a *app) explanation(x api.Explanation, rules bool) string {
	var b strings.Builder
	verdict := "denied"
	if x.Allowed {
		verdict = "allowed"
	}
	fmt.Fprintf(&b, "%s: %s\n", verdict, x.Summary)
	fmt.Fprintf(&b, "  %s", x.At.Local().Format("2006-01-02 15:04:05 MST"))
	if x.Recorded {
		b.WriteString(", from the audit log; the rules as they read now")
	}
	b.WriteString("\n")
	for _, w := range x.Why {
		fmt.Fprintf(&b, "  %s: %s", w.Effect, w.Words)
		if w.Rule != "" {
			fmt.Fprintf(&b, " (%s)", w.Rule)
		}
		b.WriteString("\n")
		if rules || (w.Policy != "" && w.Text != "") {
			for _, line := range strings.Split(w.Text, "\n") {
				fmt.Fprintf(&b, "      %s\n", line)
			}
		}
	}
	if x.Missing != "" {
		fmt.Fprintf(&b, "  %s would allow it\n", x.Missing)
	}
	if x.Controls != nil {
		for _, f := range controlFields(*x.Controls) {
			fmt.Fprintf(&b, "  %s: %s\n", strings.ToLower(f.name), f.value)
		}
	}
	if len(x.Groups) > 0 {
		fmt.Fprintf(&b, "  groups: %s\n", strings.Join(x.Groups, ", "))
	}
	if x.Partial {
		b.WriteString("  what the organisation's policies say is for its admins and auditors\n")
	}
	return b.String()
}
