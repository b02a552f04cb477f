package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
)

// printAccess lists the instances that one can reach, for whoami --access.
func (a *app) printAccess(ctx context.Context) error {
	out, err := call(ctx, a, "asking the server", api.ListAccess, api.None{})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(out)
	}
	rows := make([][]string, 0, len(out.Items))
	for _, i := range out.Items {
		online, start := "", kindsText(i.Kinds)
		if i.Online {
			online = "yes"
		}
		if i.Factor {
			start = strings.TrimSpace(start + " (more after sessctl mfa verify)")
		}
		var may []string
		for _, act := range i.Actions {
			may = append(may, strings.TrimPrefix(act, "instance:"))
		}
		rows = append(rows, []string{i.Name, i.Project, online, start, strings.Join(i.OSUsers, " "), strings.Join(may, " ")})
	}
	if len(rows) == 0 && terminal(a.out) {
		a.note("no instance that you can reach")
		return nil
	}
	if out.More {
		a.note("there are more instances than are shown")
	}
	return a.printTable([]string{"INSTANCE", "PROJECT", "ONLINE", "START", "AS", "MAY"}, rows)
}

// accessFlag adds --access to whoami.
func accessFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("access", false, "list the instances you can reach, and what you may do there")
}
