package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
)

// endFlags are which sessions are ended, and why.
type endFlags struct {
	user, instance, reason string
	all, yes               bool
}

// many reports whether sessions are chosen by what they are, and not named; more than one way is a mistake.
func (f *endFlags) many(cmd *cobra.Command, argv []string) (bool, error) {
	chosen := f.user != "" || f.instance != ""
	switch {
	case len(argv) > 0 && (chosen || f.all), f.all && chosen:
		return false, usagef(cmd, "name sessions, or say --user and --instance, or --all: one of the three")
	case len(argv) == 0 && !chosen && !f.all:
		return false, usagef(cmd, "say which: SESSION…, --user, --instance or --all")
	}
	return len(argv) == 0, nil
}

func (a *app) sessionEndCmd() *cobra.Command {
	var f endFlags
	c := &cobra.Command{
		Use:   "end (SESSION… | --user USER | --instance INSTANCE | --all)",
		Short: "End sessions now, with all their processes",
		Long: "Ends the sessions that are named; or all of a user, all on an instance, or all there are, as far as you may end them. Each\n" +
			"is on record with its reason. It does not keep anybody from starting another: sessctl lock add does.",
		Example: "  sessctl session end ses_4x2k --reason 'maintenance at noon'\n  sessctl session end --user ann@example.com --reason 'left the company'\n" +
			"  sessctl session end --all --yes",
		RunE: func(cmd *cobra.Command, argv []string) error {
			many, err := f.many(cmd, argv)
			if err != nil {
				return err
			}
			if many {
				return a.endMany(cmd, f)
			}
			return a.endNamed(cmd.Context(), argv, f.reason)
		},
		ValidArgsFunction: a.completeSessions,
	}
	c.Flags().StringVar(&f.user, "user", "", "all of this `USER`, an e-mail address, name or id")
	c.Flags().StringVar(&f.instance, "instance", "", "all on this `INSTANCE`, by its name or id")
	c.Flags().BoolVar(&f.all, "all", false, "all in the organisation that you may end")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "with --all: do not ask")
	c.Flags().StringVar(&f.reason, "reason", "", "`TEXT` says why: the session's user is told, and it is on record")
	return a.jsonFlag(c)
}

func (a *app) endNamed(ctx context.Context, ids []string, reason string) error {
	ended := []api.Session{}
	var errs []error
	for _, id := range ids {
		var in api.EndIn
		in.Session, in.Body.Reason = id, reason
		s, err := call(ctx, a, "ending "+id, api.EndSession, in)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ended = append(ended, s)
		a.noteEnded(s)
	}
	if a.json {
		if err := a.printJSON(ended); err != nil {
			return err
		}
	}
	return a.several(errs)
}

func (a *app) noteEnded(s api.Session) {
	if !a.json {
		a.note("ended %s, %s of %s on %s", s.ID, s.Kind, cell(s.UserName), cell(s.InstanceName))
	}
}

// endMany ends what is chosen, as many calls as it takes.
func (a *app) endMany(cmd *cobra.Command, f endFlags) error {
	if f.all && !f.yes {
		if !terminal(a.in) {
			return usagef(cmd, "--all ends every session in the organisation: say --yes, too")
		}
		if yes, err := a.confirm("End every session in the organisation that you may end?"); err != nil || !yes {
			return err
		}
	}
	ended := []api.Session{}
	var in api.EndManyIn
	in.Body.User, in.Body.Instance, in.Body.All, in.Body.Reason = f.user, f.instance, f.all, f.reason
	for {
		out, err := call(cmd.Context(), a, "ending sessions", api.EndSessions, in)
		if err != nil {
			return err
		}
		for _, s := range out.Items {
			a.noteEnded(s)
		}
		ended = append(ended, out.Items...)
		if in.Body.After = out.Next; out.Next == "" {
			break
		}
	}
	if len(ended) == 0 {
		if err := a.exist(cmd.Context(), a.client.API, f.user, f.instance, ""); err != nil {
			return err
		}
	}
	switch {
	case a.json:
		return a.printJSON(ended)
	case len(ended) == 0:
		a.note("there was nothing to end")
	}
	return nil
}
