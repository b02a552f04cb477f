package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
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
	f.DurationVar(&ttl, "ttl", time.Hour, "how long it is valid")
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

func (a *app) keyCmd() *cobra.Command {
	return parent("key", "Make and delete API keys", a.keyCreateCmd(), a.keyListCmd(), a.deleteCmd("Delete API keys; what they have running ends", "KEY", api.DeleteKey))
}

func (a *app) keyCreateCmd() *cobra.Command {
	var in api.KeyIn
	var ttl time.Duration
	var role string
	c := &cobra.Command{
		Use: "create", Short: "Make an API key: your own, or a machine user's",
		Long: "Makes an API key and prints it, this once, alone on standard output. With it in SESSCTL_API_KEY and the server in\n" +
			"SESSCTL_SERVER, sessctl needs no login and no file.",
		Example: "  sessctl key create --name laptop\n  sessctl key create --machine ci --role operator --ttl 720h",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			seconds, err := ttlSeconds(cmd, ttl)
			if err != nil {
				return err
			}
			in.Body.TTL, in.Body.Role = seconds, sess.Role(role)
			if role != "" && in.Body.Machine == "" {
				return usagef(cmd, "--role is for a new machine user: name it with --machine")
			}
			k, err := call(cmd.Context(), a, "making a key", api.CreateKey, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(k)
			}
			a.note("API key %s of %s, until %s; it is shown this once:", k.ID, cell(k.User), k.ExpiresAt.Local().Format("2006-01-02"))
			if _, err := fmt.Fprintln(a.out, cell(k.Secret)); err != nil {
				return err
			}
			server, err := a.pickServer()
			if err != nil {
				return err
			}
			a.note("\na script needs two variables:\n  SESSCTL_SERVER='%s'\n  SESSCTL_API_KEY=(the key)", server)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.Name, "name", "", "what it is for")
	f.StringVar(&in.Body.Machine, "machine", "", "the machine user it belongs to, `NAME`; made when there is none")
	f.StringVar(&role, "role", "", "the `ROLE` of a new machine user: operator if not given")
	f.DurationVar(&ttl, "ttl", 90*24*time.Hour, "how long it is valid")
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(
		[]string{string(sess.RoleAdmin), string(sess.RoleOperator), string(sess.RoleReadOnly), string(sess.RoleAuditor)}, cobra.ShellCompDirectiveNoFileComp))
	return a.jsonFlag(c)
}

func (a *app) keyListCmd() *cobra.Command {
	var all bool
	l := &lister[api.Key]{
		head: []string{"KEY", "NAME", "OF", "CREATED", "EXPIRES", "LAST USED", "FROM"},
		none: "no API keys",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Key, string, error) {
			out, err := api.Call(ctx, c, api.ListKeys, api.KeysIn{Page: p, All: all})
			return out.Items, out.Next, err
		},
		row: func(k api.Key) []string {
			return []string{string(k.ID), k.Name, k.User, a.when(k.CreatedAt), a.when(k.ExpiresAt), a.whenp(k.LastUsedAt), k.LastUsedBy}
		},
	}
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List API keys: yours, newest first"}
	c.Flags().BoolVarP(&all, "all", "a", false, "those of everyone in the organisation")
	return l.command(a, c, false)
}
