package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) instanceCmd() *cobra.Command {
	return parent("instance", "See and manage instances", a.instanceListCmd(), a.instanceShowCmd(), a.instanceLabelCmd(),
		a.instanceRenameCmd(), a.instanceMoveCmd(), a.instanceRemoveCmd())
}

func (a *app) instanceListCmd() *cobra.Command {
	in := api.InstancesIn{}
	l := &lister[api.Instance]{
		head: []string{"NAME", "STATE", "LAST SEEN", "LOAD", "SESSIONS", "PROJECT", "REGION", "LABELS", "ID"},
		none: "no instances: sessctl token create makes a token to enrol one with",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Instance, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListInstances, in)
			return out.Items, out.Next, err
		},
		row: func(i api.Instance) []string {
			load := ""
			if i.Online {
				load = fmt.Sprintf("%.2f", i.Load1)
			}
			return []string{i.Name, online(i), a.whenp(i.LastSeen), load, fmt.Sprint(i.Sessions), i.Project, i.Region, labels(i.Labels), string(i.ID)}
		},
	}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List instances, newest first",
		Example: "  sessctl instance list --watch\n  sessctl instance list -l env=prod --json",
	}
	c.Flags().StringArrayVarP(&in.Label, "label", "l", nil, "only those with this label, `KEY=VALUE`; may be repeated, all must match")
	c.Flags().StringVar(&in.Prefix, "prefix", "", "only those whose name begins with this")
	return l.command(a, c, true)
}

func online(i api.Instance) string {
	if i.Online {
		return "online"
	}
	return "offline"
}

func (a *app) instanceShowCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show INSTANCE", Short: "Show an instance",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := call(cmd.Context(), a, "asking the server", api.GetInstance, api.InstanceRef{Instance: args[0]})
			if err != nil {
				return err
			}
			return a.printInstance(i)
		},
		ValidArgsFunction: a.completeInstances,
	})
}

func (a *app) printInstance(i api.Instance) error {
	if a.json {
		return a.printJSON(i)
	}
	fields := []field{
		{"Name", i.Name},
		{"ID", string(i.ID)},
		{"State", online(i)},
		{"Last seen", a.whenp(i.LastSeen)},
		{"Project", i.Project},
		{"Region", i.Region},
		{"Labels", labels(i.Labels)},
		{"Hostname", i.Hostname},
		{"System", strings.TrimSpace(i.OS + " " + i.Arch + " " + i.Kernel)},
		{"Agent", i.Version},
		{"Runs as", i.RunsAs},
		{"Address", i.Address},
		{"Own addresses", strings.Join(i.Addresses, ", ")},
		{"Sessions", fmt.Sprint(i.Sessions)},
		{"Enrolled", a.when(i.CreatedAt)},
	}
	if i.Online {
		fields = append(fields, field{"Load", fmt.Sprintf("%.2f", i.Load1)})
	}
	if i.MemTotal > 0 {
		fields = append(fields, field{"Memory", sess.FormatSize(i.MemFree) + " free of " + sess.FormatSize(i.MemTotal)})
	}
	if i.DiskTotal > 0 {
		fields = append(fields, field{"Disk", sess.FormatSize(i.DiskFree) + " free of " + sess.FormatSize(i.DiskTotal)})
	}
	return a.printFields(fields)
}

func (a *app) instanceLabelCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "label INSTANCE KEY=VALUE… [KEY-…]", Short: "Set labels, or take them away with KEY-",
		Example: "  sessctl instance label web-1 env=prod tier=front\n  sessctl instance label web-1 tier-",
		Args:    args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in api.InstancePatchIn
			in.Instance = args[0]
			in.Body.Labels = map[string]*string{}
			for _, l := range args[1:] {
				k, v, set := strings.Cut(l, "=")
				gone, remove := strings.CutSuffix(l, "-")
				switch {
				case set && k != "":
					in.Body.Labels[k] = &v
				case !set && remove && gone != "":
					in.Body.Labels[gone] = nil
				default:
					return usagef(cmd, "%q is neither KEY=VALUE nor KEY-", l)
				}
			}
			i, err := call(cmd.Context(), a, "labelling "+args[0], api.PatchInstance, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(i)
			}
			a.note("%s: %s", cell(i.Name), cell(labels(i.Labels)))
			return nil
		},
		ValidArgsFunction: a.completeInstances,
	})
}

func (a *app) instanceRenameCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "rename INSTANCE NAME", Short: "Give an instance another name",
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in api.InstancePatchIn
			in.Instance = args[0]
			in.Body.Name = &args[1]
			i, err := call(cmd.Context(), a, "renaming "+args[0], api.PatchInstance, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(i)
			}
			a.note("%s is now %s", cell(args[0]), cell(i.Name))
			return nil
		},
		ValidArgsFunction: a.completeInstances,
	})
}

func (a *app) instanceRemoveCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "remove INSTANCE…", Aliases: []string{"rm"}, Short: "Remove instances; their sessions end, and their agents need a new token to come back",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes && terminal(a.in) && terminal(a.err) {
				ok, err := a.confirm("Remove " + strings.Join(args, ", ") + " and end all sessions there?")
				if err != nil || !ok {
					return err
				}
			}
			var errs []error
			for _, name := range args {
				if _, err := call(cmd.Context(), a, "removing "+name, api.RemoveInstance, api.InstanceRef{Instance: name}); err != nil {
					errs = append(errs, err)
					continue
				}
				a.note("removed %s", cell(name))
			}
			return a.several(errs)
		},
		ValidArgsFunction: a.completeInstances,
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	return c
}
