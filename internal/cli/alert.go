package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) alertCmd() *cobra.Command {
	return parent("alert", "Have webhooks told of what is unusual", a.alertAddCmd(), a.alertListCmd(), a.alertShowCmd(), a.alertTestCmd(), a.alertRemoveCmd())
}

func (a *app) alertAddCmd() *cobra.Command {
	var in api.AlertHookIn
	var secretFile, caFile string
	c := &cobra.Command{
		Use: "add URL", Short: "Have a webhook told of what is unusual from now on",
		Long: "Posts JSON to URL for each of the kinds of alert that --on names: lockout, lock, refusals, new-address, odd-hours, recording,\n" +
			"agent-key. Requests are signed as Standard Webhooks are; the secret is printed this once. What the audit log holds already only\n" +
			"teaches what is usual.",
		Example: `  sessctl alert add https://hooks.example.com/sess --on all
  sessctl alert add https://hooks.example.com/sess --on lockout,refusals,new-address`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Body.URL = args[0]
			if len(in.Body.On) == 0 {
				return usagef(cmd, "say what it is to be told of: --on all")
			}
			if secretFile != "" {
				secret, err := a.secretFile(secretFile)
				if err != nil {
					return err
				}
				in.Body.Secret = secret
			}
			if caFile != "" {
				ca, err := a.textFile(caFile, maxCA)
				if err != nil {
					return err
				}
				in.Body.CA = ca
			}
			h, err := call(cmd.Context(), a, "asking the server", api.AddAlertHook, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(h)
			}
			fmt.Fprintln(a.out, cell(h.ID))
			if h.Secret != "" {
				a.note("its secret, which is not shown again: %s", h.Secret)
			}
			a.note("sessctl alert test %s tries it", h.ID)
			return nil
		},
	}
	c.Flags().StringSliceVar(&in.Body.On, "on", nil, "`KINDS` of alert, with commas between, or all; repeatable")
	c.Flags().StringVar(&secretFile, "secret-file", "", "read the secret (whsec_…) from `FILE`, or from standard input with -; one is made if not given")
	c.Flags().StringVar(&caFile, "ca-file", "", "trust the certificate authorities in `FILE` (PEM), too")
	return a.jsonFlag(c)
}

func (a *app) alertListCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the webhooks that are told of what is unusual, newest first",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, "asking the server", api.ListAlertHooks, api.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out.Items)
			}
			if len(out.Items) == 0 && terminal(a.out) {
				a.note("no webhook is told of anything: sessctl alert add URL --on all")
				return nil
			}
			rows := make([][]string, 0, len(out.Items))
			for _, h := range out.Items {
				rows = append(rows, []string{h.ID, h.URL, strings.Join(h.On, ","), fmt.Sprint(h.Waiting), a.whenp(h.DeliveredAt), h.Problem})
			}
			return a.printTable([]string{"ID", "URL", "ON", "WAITING", "TOLD", "PROBLEM"}, rows)
		},
	}
	return a.jsonFlag(c)
}

func (a *app) alertShowCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show ID", Short: "Show a webhook and the latest alerts for it", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := call(cmd.Context(), a, "asking the server", api.GetAlertHook, api.IDRef{ID: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(h)
			}
			failures, ca := "", ""
			if h.HasCA {
				ca = "its own, beside the system's"
			}
			if h.Failures > 0 {
				failures = fmt.Sprint(h.Failures)
			}
			fields := []field{
				{"ID", h.ID},
				{"URL", h.URL},
				{"On", strings.Join(h.On, ",")},
				{"Authorities", ca},
				{"Created", a.when(h.CreatedAt) + " by " + h.CreatedBy},
				{"Waiting", fmt.Sprint(h.Waiting)},
				{"Last told", a.whenp(h.DeliveredAt)},
				{"Failures", failures},
				{"Problem", h.Problem},
				{"Last failed", a.whenp(h.FailedAt)},
			}
			for _, x := range h.Alerts {
				told := ""
				if !x.Told {
					told = " (not told yet)"
				}
				fields = append(fields, field{"Alert", fmt.Sprintf("%s %s: %s%s", a.when(x.Time), x.Kind, x.Summary, told)})
			}
			return a.printFields(fields)
		},
		ValidArgsFunction: a.completeAlerts,
	})
}

func (a *app) alertTestCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "test ID", Short: "Send a webhook a test", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := call(cmd.Context(), a, "waiting for the webhook", api.TestAlertHook, api.IDRef{ID: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(out); err != nil {
					return err
				}
			}
			if !out.OK {
				return sess.New(sess.CodeUnavailable, "the webhook did not take the test: "+out.Problem, "sessctl alert show "+args[0])
			}
			if !a.json {
				a.note("it took the test")
			}
			return nil
		},
		ValidArgsFunction: a.completeAlerts,
	})
}

func (a *app) alertRemoveCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "remove ID", Aliases: []string{"rm"}, Short: "Remove a webhook; what it waits for is not told any more", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ok, err := a.sure(yes, "Tell the webhook "+cell(args[0])+" nothing more?"); err != nil || !ok {
				return err
			}
			if _, err := call(cmd.Context(), a, "asking the server", api.RemoveAlertHook, api.IDRef{ID: args[0]}); err != nil {
				return err
			}
			a.note("removed %s", args[0])
			return nil
		},
		ValidArgsFunction: a.completeAlerts,
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	return c
}

// completeAlerts completes the id of a webhook.
func (a *app) completeAlerts(cmd *cobra.Command, done []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(done) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completePatience)
	defer cancel()
	out, err := call(ctx, a, "", api.ListAlertHooks, api.None{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, h := range out.Items {
		ids = append(ids, h.ID+"\t"+h.URL)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
