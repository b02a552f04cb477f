package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) roleCmd() *cobra.Command {
	return parent("role", "Named sets of permissions: those that come with sess, and your own", a.roleListCmd(), a.roleShowCmd(), a.roleCreateCmd(), a.roleSetCmd(), a.roleDeleteCmd())
}

func (a *app) roleListCmd() *cobra.Command {
	l := &lister[api.Role]{
		head: []string{"ROLE", "OWN", "GIVEN", "ALLOWS"},
		none: "no roles",
		fetch: func(ctx context.Context, c *api.Client, _ api.Page) ([]api.Role, string, error) {
			out, err := api.Call(ctx, c, api.ListRoles, api.None{})
			return out.Items, "", err
		},
		row: func(r api.Role) []string {
			own, allows := "own", strings.Join(r.Actions, " ")
			if r.BuiltIn {
				own, allows = "", r.Summary
			}
			return []string{string(r.Name), own, strconv.Itoa(r.Grants), allows}
		},
	}
	return l.command(a, &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List roles: your own, then those that come with sess"}, false)
}

func (a *app) roleShowCmd() *cobra.Command {
	var text bool
	c := &cobra.Command{
		Use: "show ROLE", Short: "Show a role",
		Long:    "Shows a role. With --policy, the Cedar policy that it means and that decides, alone on standard output.",
		Example: "  sessctl role show deployer\n  sessctl role show operator --policy",
		Args:    args(cobra.ExactArgs(1)), ValidArgsFunction: first(a.completeRoles),
		RunE: func(cmd *cobra.Command, argv []string) error {
			r, err := call(cmd.Context(), a, "asking the server", api.GetRole, api.RoleRef{Role: argv[0]})
			switch {
			case err != nil:
				return err
			case a.json:
				return a.printJSON(r)
			case text:
				_, err := io.WriteString(a.out, plain(strings.TrimRight(r.Policy, "\n"))+"\n")
				return err
			}
			fields := []field{
				{"Role", string(r.Name)},
				{"Summary", r.Summary},
				{"Allows", strings.Join(r.Actions, " ")},
			}
			fields = append(fields, controlFields(sess.Effective{Controls: r.Controls})...)
			return a.printFields(append(fields, field{"Given", strconv.Itoa(r.Grants) + " times"}, field{"Changed", a.whenp(r.UpdatedAt)}))
		},
	}
	c.Flags().BoolVar(&text, "policy", false, "print the Cedar that it means")
	return a.jsonFlag(c)
}

// roleFlags are what a role is made of.
type roleFlags struct {
	summary  string
	allow    []string
	controls controlFlags
}

func (f *roleFlags) add(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.allow, "allow", nil, "the `ACTION`s it allows, with commas; docs/reference/permissions.md lists them")
	c.Flags().StringVar(&f.summary, "summary", "", "what it is for, in a line")
	f.controls.add(c)
}

func (a *app) roleCreateCmd() *cobra.Command {
	var f roleFlags
	c := &cobra.Command{
		Use: "create ROLE --allow ACTION,…", SuggestFor: []string{"add", "new"}, Short: "Make a role of your own",
		Long: "Makes a role: the actions that it allows wherever it is given, and limits on the sessions that it lets its holders\n" +
			"start. Where somebody holds several roles with limits, the strictest counts; sessctl org set has some for everybody.\n" +
			"session:start brings with it what one needs for one's own sessions.",
		Example: "  sessctl role create deployer --allow session:start --os-user deploy --kind exec\n" +
			"  sessctl role create on-call --allow session:start --idle-timeout 15m --max-duration 8h --max-sessions 3 --require-reason\n  sessctl role create fleet --allow instance:show,instance:list,instance:change --summary 'labels instances'",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			var in api.RoleIn
			in.Body.Name, in.Body.Summary, in.Body.Actions = argv[0], f.summary, f.allow
			if len(f.allow) == 0 {
				return usagef(cmd, "name what it allows with --allow")
			}
			set, err := f.controls.read(cmd)
			if err != nil {
				return err
			}
			set.Apply(&in.Body.Controls)
			r, err := call(cmd.Context(), a, "making a role", api.CreateRole, in)
			return a.roleDone(r, err, "made role %s; sessctl grant add gives it to somebody")
		},
	}
	f.add(c)
	return a.jsonFlag(c)
}

func (a *app) roleDone(r api.Role, err error, format string) error {
	switch {
	case err != nil:
		return err
	case a.json:
		return a.printJSON(r)
	}
	a.note(format, r.Name)
	return nil
}

func (a *app) roleSetCmd() *cobra.Command {
	var f roleFlags
	c := &cobra.Command{
		Use: "set ROLE", Short: "Change a role of your own",
		Long: "Changes a role. A flag that is given stands in place of what the role had; an empty one, 0 or none takes a limit\n" +
			"away. Sessions that run get what became stricter at once; what became looser is for those that start from then on.",
		Example: "  sessctl role set deployer --allow session:start,instance:change\n  sessctl role set deployer --os-user '' --idle-timeout none",
		Args:    args(cobra.ExactArgs(1)), ValidArgsFunction: first(a.completeRoles),
		RunE: func(cmd *cobra.Command, argv []string) error {
			in := api.RoleSetIn{RoleRef: api.RoleRef{Role: argv[0]}}
			given := cmd.Flags().Changed
			if given("summary") {
				in.Body.Summary = &f.summary
			}
			if given("allow") {
				in.Body.Actions = &f.allow
			}
			var err error
			if in.Body.ControlsSet, err = f.controls.read(cmd); err != nil {
				return err
			}
			r, err := call(cmd.Context(), a, "changing the role", api.SetRole, in)
			return a.roleDone(r, err, "changed role %s")
		},
	}
	f.add(c)
	return a.jsonFlag(c)
}

func (a *app) roleDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use: "delete ROLE…", Aliases: []string{"rm"}, Short: "Delete roles of your own that nobody holds",
		Args: args(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeRoles,
		RunE: func(cmd *cobra.Command, argv []string) error {
			var errs []error
			for _, name := range argv {
				if _, err := call(cmd.Context(), a, "deleting "+name, api.DeleteRole, api.RoleRef{Role: name}); err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", name, err))
					continue
				}
				a.note("deleted %s", cell(name))
			}
			return a.several(errs)
		},
	}
}
