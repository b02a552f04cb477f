package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
)

func (a *app) tokenCmd() *cobra.Command {
	return parent("token", "Make and void enrolment tokens, with which machines become instances", a.tokenCreateCmd(), a.tokenListCmd(),
		a.deleteCmd("Void enrolment tokens; instances enrolled with them stay", "TOKEN", api.DeleteToken))
}

func (a *app) tokenCreateCmd() *cobra.Command {
	var in api.TokenIn
	var ttl time.Duration
	var labels []string
	c := &cobra.Command{
		Use: "create", Short: "Make an enrolment token",
		Long:    "Makes an enrolment token and prints it, this once: the token alone on standard output, the lines to paste on standard error.",
		Example: "  sessctl token create\n  sessctl token create --uses 50 --ttl 24h --label env=prod --region eu-1",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			seconds, err := ttlSeconds(cmd, ttl)
			if err != nil {
				return err
			}
			in.Body.TTL = seconds
			if in.Body.Labels, err = parseLabels(cmd, labels); err != nil {
				return err
			}
			t, err := call(cmd.Context(), a, "making a token", api.CreateToken, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(t)
			}
			a.note("enrolment token %s, for %s, until %s:", t.ID, uses(t.Uses), t.ExpiresAt.Local().Format("2006-01-02 15:04 MST"))
			if _, err := fmt.Fprintln(a.out, cell(t.Secret)); err != nil {
				return err
			}
			if t.InstallLine != "" {
				a.note("\non a machine without sess-agent, paste:\n  %s", t.InstallLine)
			}
			if t.EnrolLine != "" {
				a.note("\nwhere sess-agent is installed:\n  %s", t.EnrolLine)
			}
			return nil
		},
	}
	f := c.Flags()
	f.IntVar(&in.Body.Uses, "uses", 1, "how many instances may enrol with it")
	duration(f, &ttl, "ttl", time.Hour, "how long it is valid")
	f.StringVar(&in.Body.Region, "region", "", "the `REGION` of instances enrolled with it")
	f.StringVar(&in.Body.Project, "project", "", "their `PROJECT`, if not the default one")
	f.StringArrayVarP(&labels, "label", "l", nil, "a label of theirs, `KEY=VALUE`; may be repeated")
	return a.jsonFlag(c)
}

func uses(n int) string {
	if n == 1 {
		return "one use"
	}
	return fmt.Sprintf("%d uses", n)
}

func ttlSeconds(cmd *cobra.Command, ttl time.Duration) (int64, error) {
	if ttl < time.Second {
		return 0, usagef(cmd, "--ttl %s is too short", ttl)
	}
	return int64(ttl.Seconds()), nil
}

func parseLabels(cmd *cobra.Command, pairs []string) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, usagef(cmd, "label %q is not KEY=VALUE", p)
		}
		m[k] = v
	}
	return m, nil
}

func (a *app) tokenListCmd() *cobra.Command {
	l := &lister[api.Token]{
		head: []string{"TOKEN", "USED", "EXPIRES", "CREATED", "BY", "PROJECT", "REGION", "LABELS"},
		none: "no enrolment tokens",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Token, string, error) {
			out, err := api.Call(ctx, c, api.ListTokens, p)
			return out.Items, out.Next, err
		},
		row: func(t api.Token) []string {
			return []string{
				string(t.ID), fmt.Sprintf("%d/%d", t.Used, t.Uses), a.when(t.ExpiresAt), a.when(t.CreatedAt),
				t.CreatedBy, t.Project, t.Region, labels(t.Labels),
			}
		},
	}
	return l.command(a, &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List enrolment tokens, newest first"}, false)
}

// deleteCmd makes the command that deletes things by id.
func (a *app) deleteCmd(short, arg string, op api.Op[api.IDRef, api.None]) *cobra.Command {
	return &cobra.Command{
		Use: "delete " + arg + "…", Aliases: []string{"rm"}, Short: short,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, id := range args {
				if _, err := call(cmd.Context(), a, "deleting "+id, op, api.IDRef{ID: id}); err != nil {
					errs = append(errs, err)
					continue
				}
				a.note("deleted %s", cell(id))
			}
			return a.several(errs)
		},
	}
}
