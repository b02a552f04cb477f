package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) sessionCmd() *cobra.Command {
	return parent("session", "See and end sessions", a.sessionListCmd(), a.sessionShowCmd(), a.sessionEndCmd(),
		a.sessionShareCmd(), a.sessionUnshareCmd(), a.sessionKickCmd())
}

// endedState says how a session ended, in a word or two.
func endedState(s api.Session) string {
	if s.EndReason == sess.EndExit && s.Exit != nil {
		return fmt.Sprintf("exit %d", s.Exit.Status)
	}
	return strings.ReplaceAll(string(s.EndReason), "_", " ")
}

func (a *app) sessionShowCmd() *cobra.Command {
	var commands bool
	var identities []string
	c := &cobra.Command{
		Use: "show SESSION", Short: "Show a session, or the programs that ran in it",
		Example: "  sessctl session show ses_4x2k\n  sessctl session show ses_4x2k --commands",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if commands {
				return a.showCommands(cmd.Context(), args[0], identities)
			}
			s, err := call(cmd.Context(), a, "asking the server", api.GetSession, api.SessionRef{Session: args[0]})
			if err != nil {
				return err
			}
			return a.printSession(s)
		},
		ValidArgsFunction: a.completeSessions,
	}
	c.Flags().BoolVar(&commands, "commands", false, "the programs that ran, with arguments, those started by scripts too")
	identityFlag(c, &identities)
	return a.jsonFlag(c)
}

func (a *app) printSession(s api.Session) error {
	if a.json {
		return a.printJSON(s)
	}
	fields := []field{
		{"Session", string(s.ID)},
		{"State", string(s.State)},
		{"Kind", string(s.Kind)},
		{"Command", strings.Join(s.Command, " ")},
		{"Instance", named(s.InstanceName, string(s.Instance))},
		{"Project", named(s.ProjectName, string(s.Project))},
	}
	fields = append(fields, hostFields(s)...)
	fields = append(fields, whoFields(a, s)...)
	fields = append(fields, []field{
		{"Reason", s.Reason},
		{"Tags", labels(s.Tags)},
		{"Created", a.exactly(s.CreatedAt)},
		{"Started", a.exactlyp(s.StartedAt)},
		{"Detached", a.exactlyp(s.DetachedAt)},
		{"Ended", a.exactlyp(s.EndedAt)},
		{"Lasted", lasted(s)},
		{"Grace", sess.FormatDuration(time.Duration(s.GraceMS) * time.Millisecond)},
		{"Lease", sess.FormatDuration(time.Duration(s.LeaseMS) * time.Millisecond)},
		{"End", strings.ReplaceAll(string(s.EndReason), "_", " ")},
		{"Ended by", s.EndedBy},
		{"End message", s.EndMessage},
		{"Exit", exitText(s.Exit)},
		{"Recording", recordingText(s)},
	}...)
	fields = append(fields, field{"Shared with you", string(s.Shared)})
	fields = append(fields, tookFields(s)...)
	fields = append(fields, heldFields(s)...)
	fields = append(fields, a.peopleFields(s)...)
	if s.Controls != nil {
		fields = append(fields, controlFields(*s.Controls)...)
	}
	return a.printFields(fields)
}

// named is a thing by its name, with its id; the id alone where the name is not known.
func named(name, id string) string {
	if name == "" {
		return id
	}
	return name + " (" + id + ")"
}

func exitText(x *sess.Exit) string {
	switch {
	case x == nil:
		return ""
	case x.Message != "":
		return fmt.Sprintf("%d: %s", x.Status, x.Message)
	case x.Signal != "":
		return fmt.Sprintf("%d (%s)", x.Status, x.Signal)
	}
	return fmt.Sprint(x.Status)
}

// several reports all errors but the last, which it returns to be reported like any.
func (a *app) several(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	for _, err := range errs[:len(errs)-1] {
		message, _ := describe(err)
		a.note("sessctl: %s", message)
	}
	return errs[len(errs)-1]
}

// mySessions lists my own live sessions whose ids begin with prefix.
func mySessions(ctx context.Context, a *app, prefix string) ([]api.Session, error) {
	out, err := call(ctx, a, "asking the server", api.ListSessions, api.SessionsIn{State: "live", Mine: true, Prefix: prefix})
	if errors.Is(err, sess.ErrNotFound) {
		return nil, nil
	}
	return out.Items, err
}
