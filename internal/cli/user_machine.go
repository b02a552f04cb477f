package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// userCreateCmd makes machine users; people are invited.
func (a *app) userCreateCmd() *cobra.Command {
	var in api.MachineIn
	var role string
	c := &cobra.Command{
		Use: "create --machine NAME", Short: "Make a machine user: a program that has API keys and nothing else",
		Long: "Makes a machine user: no password, no second factor, no console, only API keys, as many as it needs (sessctl key create\n" +
			"--user NAME). Without --role it may do nothing until it is given one.",
		Example: "  sessctl user create --machine ci-deploy --role operator --project web\n  sessctl key create --user ci-deploy",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case in.Body.Name == "":
				return usagef(cmd, "only machine users are made by this: give --machine NAME; people are invited")
			case role == "" && in.Body.Project != "":
				return usagef(cmd, "--project says where --role holds: give both")
			}
			in.Body.Role = sess.Role(role)
			m, err := call(cmd.Context(), a, "making a machine user", api.CreateMachine, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(m)
			}
			a.note("made the machine user %s%s; give it a key:\n  sessctl key create --user %s", cell(m.Name), grantsInWords(m.Grants), cell(m.Name))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.Name, "machine", "", "its `NAME`")
	f.StringVar(&role, "role", "", "the `ROLE` it has")
	f.StringVar(&in.Body.Project, "project", "", "the `PROJECT` the role holds on, if not the whole organisation")
	a.completeFlags(c)
	return a.jsonFlag(c)
}

func grantsInWords(grants []api.GrantOut) string {
	if len(grants) == 0 {
		return ", without any role"
	}
	var parts []string
	for _, g := range grants {
		where := "the organisation"
		if g.Project != "" {
			where = "project " + g.Project
		}
		parts = append(parts, string(g.Role)+" on "+where)
	}
	return ", " + strings.Join(parts, ", ")
}
