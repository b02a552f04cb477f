package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
)

func (a *app) projectCmd() *cobra.Command {
	return parent("project", "Projects: sets of instances that roles are given on", a.projectCreateCmd(), a.projectListCmd(), a.projectShowCmd(),
		a.projectRenameCmd(), a.projectDeleteCmd())
}

func (a *app) projectCreateCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "create NAME", Short: "Make a project",
		Example: "  sessctl project create databases\n  sessctl token create --project databases\n  sessctl instance move db-1 --project databases",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in api.ProjectIn
			in.Body.Name = args[0]
			p, err := call(cmd.Context(), a, "making a project", api.CreateProject, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(p)
			}
			a.note("made the project %s", cell(p.Name))
			return nil
		},
	})
}

func (a *app) projectListCmd() *cobra.Command {
	l := &lister[api.Project]{
		head: []string{"NAME", "INSTANCES", "CREATED", "ID"},
		none: "no projects that you may see",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Project, string, error) {
			out, err := api.Call(ctx, c, api.ListProjects, p)
			return out.Items, out.Next, err
		},
		row: func(p api.Project) []string {
			return []string{p.Name, fmt.Sprint(p.Instances), a.when(p.CreatedAt), string(p.ID)}
		},
	}
	return l.command(a, &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List projects, newest first"}, false)
}

func (a *app) projectShowCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show PROJECT", Short: "Show a project",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := call(cmd.Context(), a, "asking the server", api.GetProject, api.ProjectRef{Project: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(p)
			}
			return a.printFields([]field{{"Name", p.Name}, {"ID", string(p.ID)}, {"Instances", fmt.Sprint(p.Instances)}, {"Created", a.when(p.CreatedAt)}})
		},
	})
}

func (a *app) projectRenameCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "rename PROJECT NAME", Short: "Give a project another name",
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := api.ProjectPatchIn{ProjectRef: api.ProjectRef{Project: args[0]}}
			in.Body.Name = args[1]
			p, err := call(cmd.Context(), a, "renaming "+args[0], api.PatchProject, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(p)
			}
			a.note("%s is now %s", cell(args[0]), cell(p.Name))
			return nil
		},
	})
}

func (a *app) projectDeleteCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete PROJECT", Aliases: []string{"rm"}, Short: "Delete a project that has no instances; the roles given on it go with it",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ok, err := a.sure(yes, "Delete the project "+args[0]+"?"); err != nil || !ok {
				return err
			}
			if _, err := call(cmd.Context(), a, "deleting "+args[0], api.DeleteProject, api.ProjectRef{Project: args[0]}); err != nil {
				return err
			}
			a.note("deleted the project %s", cell(args[0]))
			return nil
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	return c
}

func (a *app) instanceMoveCmd() *cobra.Command {
	var project string
	c := &cobra.Command{
		Use: "move INSTANCE --project PROJECT", Short: "Move an instance to another project; who may reach it changes at once",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if project == "" {
				return usagef(cmd, "name the project it is to go to with --project")
			}
			in := api.MoveIn{InstanceRef: api.InstanceRef{Instance: args[0]}}
			in.Body.Project = project
			i, err := call(cmd.Context(), a, "moving "+args[0], api.MoveInstance, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(i)
			}
			a.note("%s is in project %s now", cell(i.Name), cell(i.Project))
			return nil
		},
		ValidArgsFunction: a.completeInstances,
	}
	c.Flags().StringVar(&project, "project", "", "the `PROJECT` it goes to")
	return a.jsonFlag(c)
}
