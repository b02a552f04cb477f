package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
)

// completePatience bounds what a press of the Tab key may wait for.
const completePatience = 2 * time.Second

// maxCompletions bounds how many names the server is asked for.
const maxCompletions = 200

// completeInstances completes the first argument by the names of instances, online ones first told apart.
func (a *app) completeInstances(cmd *cobra.Command, argv []string, prefix string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if len(argv) > 0 && cmd.Name() != "remove" {
		return nil, directive
	}
	user, name, at := strings.Cut(prefix, "@")
	if !at {
		user, name = "", prefix
	} else {
		user += "@"
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completePatience)
	defer cancel()
	c, err := a.open()
	if err != nil {
		return nil, directive
	}
	in := api.InstancesIn{Prefix: name}
	in.Limit = maxCompletions
	out, err := api.Call(ctx, c.API, api.ListInstances, in)
	if err != nil {
		return nil, directive
	}
	var names []string
	for _, i := range out.Items {
		if !word(i.Name) {
			continue
		}
		names = append(names, cobra.CompletionWithDesc(user+i.Name, cell(strings.TrimSpace(online(i)+" "+labels(i.Labels)))))
	}
	return names, directive
}

// completeSessions completes ids of live sessions: my own to attach to, all that I may see to show and end.
func (a *app) completeSessions(cmd *cobra.Command, argv []string, prefix string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if len(argv) > 0 && cmd.Name() != "end" {
		return nil, directive
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completePatience)
	defer cancel()
	c, err := a.open()
	if err != nil {
		return nil, directive
	}
	in := api.SessionsIn{State: "live", Mine: cmd.Name() == "attach", Prefix: prefix}
	in.Limit = maxCompletions
	out, err := api.Call(ctx, c.API, api.ListSessions, in)
	if err != nil {
		return nil, directive
	}
	var ids []string
	for _, s := range out.Items {
		if !word(string(s.ID)) {
			continue
		}
		ids = append(ids, cobra.CompletionWithDesc(string(s.ID), cell(string(s.Kind)+" on "+s.InstanceName+", "+string(s.State))))
	}
	return ids, directive
}

// word reports whether s may be put on a command line as it is: a server must not complete a command with one of its own.
func word(s string) bool {
	return s != "" && s[0] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}
