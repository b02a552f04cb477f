package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) grantCmd() *cobra.Command {
	return parent("grant", "Give roles to users and groups, and take them away", a.grantAddCmd(), a.grantListCmd(), a.grantRemoveCmd())
}

// builtinRoles are offered where a role is to be named; an organisation may have its own beside them.
func builtinRoles() []string {
	return []string{
		string(sess.RoleAdmin), string(sess.RoleProjectAdmin), string(sess.RoleOperator), string(sess.RoleSupport),
		string(sess.RoleReadOnly), string(sess.RoleAuditor),
	}
}

// roleOn says a role and where it holds.
func roleOn(role sess.Role, project string) string {
	if project == "" {
		return string(role) + " on the whole organisation"
	}
	return string(role) + " on project " + project
}

func (a *app) grantAddCmd() *cobra.Command {
	var in api.GrantIn
	var role string
	c := &cobra.Command{
		Use: "add (--user USER | --group GROUP) --role ROLE [--project PROJECT]", Short: "Give a user or a group a role",
		Long: "Gives a role on a project, or on the whole organisation when no project is named. You can give what you hold yourself:\n" +
			"a project admin gives roles on their project.",
		Example: "  sessctl grant add --user ann@example.com --role operator --project databases\n  sessctl grant add --group sre --role org-admin",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (in.Body.User == "") == (in.Body.Group == "") {
				return usagef(cmd, "name who is given the role: either --user or --group")
			}
			if role == "" {
				return usagef(cmd, "name the role with --role")
			}
			in.Body.Role = sess.Role(role)
			g, err := call(cmd.Context(), a, "giving a role", api.CreateGrant, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(g)
			}
			a.note("%s is %s", cell(g.User+g.Group), cell(roleOn(g.Role, g.Project)))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.User, "user", "", "the `USER` who is given it: an e-mail address, or the name of a machine user")
	f.StringVar(&in.Body.Group, "group", "", "the `GROUP` that is given it")
	f.StringVar(&role, "role", "", "the `ROLE`")
	f.StringVar(&in.Body.Project, "project", "", "the `PROJECT` it holds on; the whole organisation if not given")
	a.completeFlags(c)
	return a.jsonFlag(c)
}

func (a *app) grantListCmd() *cobra.Command {
	in := api.GrantsIn{}
	l := &lister[api.Grant]{
		head: []string{"GRANT", "USER", "GROUP", "ROLE", "PROJECT", "CREATED"},
		none: "no roles were given",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Grant, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListGrants, in)
			return out.Items, out.Next, err
		},
		row: func(g api.Grant) []string {
			return []string{string(g.ID), g.User, g.Group, string(g.Role), g.Project, a.when(g.CreatedAt)}
		},
	}
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List who was given which role, newest first", Long: "An empty project means the whole organisation."}
	c.Flags().StringVar(&in.User, "user", "", "only those given to this `USER` directly")
	c.Flags().StringVar(&in.Group, "group", "", "only those given to this `GROUP`")
	c.Flags().StringVar(&in.Project, "project", "", "only those on this `PROJECT`")
	return l.command(a, c, false)
}

func (a *app) grantRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "remove GRANT…", Aliases: []string{"rm", "delete"}, Short: "Take roles away; sessctl grant list shows the ids",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, id := range args {
				if _, err := call(cmd.Context(), a, "taking "+id+" away", api.DeleteGrant, api.IDRef{ID: id}); err != nil {
					errs = append(errs, err)
					continue
				}
				a.note("took %s away", cell(id))
			}
			return a.several(errs)
		},
	}
}
