package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
)

func (a *app) groupCmd() *cobra.Command {
	return parent("group", "Groups of users, which are given roles together", a.groupCreateCmd(), a.groupListCmd(), a.groupShowCmd(),
		a.groupUsersCmd("add", "Put users into a group", "put %s into %s", api.AddToGroup),
		a.groupUsersCmd("remove", "Take users out of a group", "took %s out of %s", api.DropOfGroup), a.groupDeleteCmd())
}

func (a *app) groupCreateCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "create NAME", Short: "Make a group",
		Example: "  sessctl group create dba\n  sessctl group add dba ann@example.com bob@example.com\n  sessctl grant add --group dba --role operator --project databases",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in api.GroupIn
			in.Body.Name = args[0]
			g, err := call(cmd.Context(), a, "making a group", api.CreateGroup, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(g)
			}
			a.note("made the group %s", cell(g.Name))
			return nil
		},
	})
}

func (a *app) groupListCmd() *cobra.Command {
	l := &lister[api.Group]{
		head: []string{"NAME", "USERS", "CREATED", "ID"},
		none: "no groups: sessctl group create makes one",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Group, string, error) {
			out, err := api.Call(ctx, c, api.ListGroups, p)
			return out.Items, out.Next, err
		},
		row: func(g api.Group) []string {
			return []string{g.Name, fmt.Sprint(g.Members), a.when(g.CreatedAt), string(g.ID)}
		},
	}
	return l.command(a, &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List groups, newest first"}, false)
}

func (a *app) groupShowCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show GROUP", Short: "Show who is in a group, and what it was given",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := call(cmd.Context(), a, "asking the server", api.GetGroup, api.GroupRef{Group: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(g)
			}
			fields := []field{{"Name", g.Name}, {"ID", string(g.ID)}, {"Created", a.when(g.CreatedAt)}}
			for _, r := range g.Grants {
				fields = append(fields, field{"Role", roleOn(r.Role, r.Project)})
			}
			for _, u := range g.Users {
				how := "by hand"
				if u.Source == "idp" {
					how = "by the identity provider"
				}
				if !u.Active {
					how += ", deactivated"
				}
				fields = append(fields, field{"User", u.Name + " (" + how + ")"})
			}
			return a.printFields(fields)
		},
	})
}

// groupUsersCmd makes the commands that put users into a group and take them out.
func (a *app) groupUsersCmd(use, short, done string, op api.Op[api.GroupUserRef, api.None]) *cobra.Command {
	return &cobra.Command{
		Use: use + " GROUP USER…", Short: short,
		Args: args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, user := range args[1:] {
				in := api.GroupUserRef{GroupRef: api.GroupRef{Group: args[0]}, User: user}
				if _, err := call(cmd.Context(), a, "changing "+args[0], op, in); err != nil {
					errs = append(errs, err)
					continue
				}
				a.note(done, cell(user), cell(args[0]))
			}
			return a.several(errs)
		},
	}
}

func (a *app) groupDeleteCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete GROUP", Aliases: []string{"rm"}, Short: "Delete a group; who is in it loses what it was given",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ok, err := a.sure(yes, "Delete the group "+args[0]+"?"); err != nil || !ok {
				return err
			}
			if _, err := call(cmd.Context(), a, "deleting "+args[0], api.DeleteGroup, api.GroupRef{Group: args[0]}); err != nil {
				return err
			}
			a.note("deleted the group %s", cell(args[0]))
			return nil
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	return c
}

// sure asks before something that can't be taken back; where there is no terminal to ask at, it is meant.
func (a *app) sure(yes bool, question string) (bool, error) {
	if yes || !terminal(a.in) || !terminal(a.err) {
		return true, nil
	}
	return a.confirm(question)
}
