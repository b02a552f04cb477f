package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// completer completes an argument or the value of a flag.
type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeRoles completes roles: the organisation's own, as far as the server shows them, and those that come with sess.
func (a *app) completeRoles(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var roles []api.Role
	if out, err := answerSoon(cmd.Context(), a, api.ListRoles, api.None{}); err == nil {
		roles = out.Items
	}
	for _, name := range builtinRoles() {
		if !slices.ContainsFunc(roles, func(r api.Role) bool { return string(r.Name) == name }) {
			roles = append(roles, api.Role{Name: sess.Role(name)})
		}
	}
	var out []string
	for _, r := range roles {
		out = append(out, offer(string(r.Name), r.Summary, prefix)...)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeProjects completes the names of projects.
func (a *app) completeProjects(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if out, err := answerSoon(cmd.Context(), a, api.ListProjects, api.Page{Limit: maxCompletions}); err == nil {
		for _, p := range out.Items {
			names = append(names, offer(p.Name, "", prefix)...)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeGroups completes the names of groups.
func (a *app) completeGroups(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if out, err := answerSoon(cmd.Context(), a, api.ListGroups, api.Page{Limit: maxCompletions}); err == nil {
		for _, g := range out.Items {
			names = append(names, offer(g.Name, "", prefix)...)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// answerSoon asks the server for as long as somebody waits who pressed the Tab key.
func answerSoon[In, Out any](ctx context.Context, a *app, op api.Op[In, Out], in In) (Out, error) {
	ctx, cancel := context.WithTimeout(ctx, completePatience)
	defer cancel()
	c, err := a.open()
	if err != nil {
		var none Out
		return none, err
	}
	return api.Call(ctx, c.API, op, in)
}

// offer is a name to complete by, if it begins with prefix and is a plain word.
func offer(name, about, prefix string) []string {
	if !word(name) || !strings.HasPrefix(name, prefix) {
		return nil
	}
	if about == "" {
		return []string{name}
	}
	return []string{cobra.CompletionWithDesc(name, cell(about))}
}

// first completes the first argument only.
func first(f completer) completer {
	return func(cmd *cobra.Command, argv []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(argv) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, argv, prefix)
	}
}

// completeFlags has flags completed by the names that there are.
func (a *app) completeFlags(c *cobra.Command) {
	for flag, f := range map[string]completer{"role": a.completeRoles, "project": a.completeProjects, "group": a.completeGroups} {
		if c.Flags().Lookup(flag) != nil {
			_ = c.RegisterFlagCompletionFunc(flag, f) // it fails for one that there is not, or twice
		}
	}
}
