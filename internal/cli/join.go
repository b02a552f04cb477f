package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) joinCmd() *cobra.Command {
	var observe, moderate bool
	escape := a.escape()
	c := &cobra.Command{
		Use:   "join SESSION",
		Short: "Join a live session of somebody else, to type in it, watch it or moderate it",
		Long: "Shows the session as its owner sees it, from the screen as it stands now, at the size of the owner's terminal. Without\n" +
			"a flag you may type in it, too. The owner is told who comes and goes. Behind Enter, ~. leaves, ~w lists who is there, ~?\n" +
			"lists the escapes. Whoever may only ask waits for the owner's answer, for two minutes at most.",
		Example: `  sessctl join ses_4x2k
  sessctl join ses_4x2k --observe`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			esc, err := client.ParseEscape(escape)
			if err != nil {
				return &usageError{cmd: cmd, err: err}
			}
			role := sess.JoinPeer
			switch {
			case observe:
				role = sess.JoinObserver
			case moderate:
				role = sess.JoinModerator
			}
			return a.join(cmd.Context(), args[0], role, esc)
		},
		ValidArgsFunction: a.completeSessions,
	}
	c.Flags().BoolVar(&observe, "observe", false, "only watch")
	c.Flags().BoolVar(&moderate, "moderate", false, "watch as a moderator: a session may need one to run, and ~x ends it")
	c.Flags().StringVarP(&escape, "escape", "e", escape, "the escape `CHAR`acter, ^X, or none (SESSCTL_ESCAPE)")
	c.MarkFlagsMutuallyExclusive("observe", "moderate")
	return c
}

// escape is the escape character that the environment names, or the usual one.
func (a *app) escape() string {
	if e := a.getenv("SESSCTL_ESCAPE"); e != "" {
		return e
	}
	return "~"
}

func (a *app) join(ctx context.Context, session string, role sess.JoinRole, esc byte) error {
	if role.Types() { // looked at before anybody is asked for anything
		if err := client.NeedTerminal(a.in); err != nil {
			return err
		}
	}
	c, err := a.open()
	if err != nil {
		return err
	}
	var g *client.Guest
	err = a.withFactor(ctx, func() (err error) {
		defer a.busy("joining " + session)()
		g, err = c.Join(ctx, session, role)
		return err
	})
	if err != nil {
		return err
	}
	return a.watch(ctx, g, esc)
}

// watch waits to be let in, where that is needed, and shows the session.
func (a *app) watch(ctx context.Context, g *client.Guest, esc byte) error {
	if !g.Waiting.IsZero() {
		a.note("%s is asked to let you in, and has until %s to answer; Ctrl-C gives up", cell(g.Owner), g.Waiting.Local().Format(time.TimeOnly))
		if err := g.Await(ctx); err != nil {
			return err
		}
	}
	if !g.Terminal {
		a.note("this command has no terminal: its output is shown from here on")
	}
	signals, stop := client.NotifySignals()
	defer stop()
	res, err := g.Watch(ctx, client.TerminalIO{In: a.in, Out: a.out, Lines: a.err, Escape: esc, Signals: signals})
	var ended *client.EndedError
	switch {
	case errors.As(err, &ended), err != nil:
		return err
	case res.Left:
		a.note("left session %s of %s; it goes on", g.ID, cell(g.Owner))
	case res.Exit != nil:
		a.note("session %s of %s ended with status %d", g.ID, cell(g.Owner), res.Exit.Status)
	}
	return nil
}

// openLink takes a link to a session: opens it, and joins as it says.
func (a *app) openLink(ctx context.Context, raw string) error {
	base, token, err := sess.ParseShareLink(raw)
	if err != nil {
		return err
	}
	t, err := sess.ParseToken(token, sess.TokenShare)
	if err != nil {
		return err
	}
	of, known, err := a.ofLink(base, t.Pin)
	if err != nil {
		return err
	}
	// A login goes to the server that it is of, however that is named. An API key is of no server that we know of: it goes where
	// it would go without the link.
	if known && a.server == "" && a.getenv("SESSCTL_SERVER") == "" && a.getenv("SESSCTL_API_KEY") == "" {
		a.server = of.String()
	}
	esc, err := client.ParseEscape(a.escape())
	if err != nil {
		return err
	}
	asked, err := a.pickServer()
	if err != nil || asked.URL.Host != base.Host {
		return sess.New(sess.CodeUnauthenticated, "the link is of "+base.Host+", where you are not logged in",
			"if that is a server of yours: sessctl login --server "+shellWord(of.String())+", then open the link again")
	}
	var in api.OpenShareIn
	in.Body.Token = token
	share, err := call(ctx, a, "opening the link", api.OpenShare, in)
	if err != nil {
		return err
	}
	return a.join(ctx, string(share.Session), share.Role, esc)
}

func (a *app) sessionShareCmd() *cobra.Command {
	var in api.ShareIn
	var asLink, list bool
	var role string
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "share SESSION",
		Short: "Let somebody into a session of yours: a user, or the first who opens a link",
		Long: "Shares a session with a user of the organisation, or prints a link for one person. Both need a role that lets them work\n" +
			"on the instance (operator), and a login. They join with sessctl join, or by the link with sessctl accept. When the\n" +
			"time is over, or the session is shared no more, whoever is there by it has to go.",
		Example: `  sessctl session share ses_4x2k --with ann@example.com
  sessctl session share ses_4x2k --link --role observer --ttl 15m
  sessctl session share ses_4x2k --list`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Session = args[0]
			if list {
				return a.listShares(cmd.Context(), args[0])
			}
			if (in.Body.With == "") != asLink {
				return usagef(cmd, "say with whom: --with USER, or --link")
			}
			var err error
			if in.Body.Role, err = sess.ParseJoinRole(role); err != nil {
				return &usageError{cmd: cmd, err: err}
			}
			in.Body.TTLSeconds = int64(ttl / time.Second)
			out, err := call(cmd.Context(), a, "sharing "+args[0], api.ShareSession, in)
			if err != nil {
				return err
			}
			return a.printShare(out)
		},
		ValidArgsFunction: a.completeSessions,
	}
	f := c.Flags()
	f.StringVar(&in.Body.With, "with", "", "the `USER`, an e-mail address or name")
	f.BoolVar(&asLink, "link", false, "print a link that lets in the first person who opens it")
	f.StringVar(&role, "role", string(sess.JoinPeer), "what they do there: `ROLE` is observer, peer or moderator")
	duration(f, &ttl, "ttl", time.Hour, "for how long")
	f.BoolVar(&list, "list", false, "list with whom it is shared")
	c.MarkFlagsMutuallyExclusive("with", "link", "list")
	return a.jsonFlag(c)
}

func (a *app) printShare(out api.Share) error {
	if a.json {
		return a.printJSON(out)
	}
	if out.Link == "" {
		a.note("shared with %s as %s until %s: sessctl join %s%s", cell(out.UserName), out.Role, a.when(out.ExpiresAt), out.Session, joinFlag(out.Role))
		return nil
	}
	a.note("opens once, for one person with a login and a role here, until %s:", a.when(out.ExpiresAt))
	fmt.Fprintln(a.out, cell(out.Link))
	return nil
}

func joinFlag(r sess.JoinRole) string {
	return map[sess.JoinRole]string{sess.JoinObserver: " --observe", sess.JoinModerator: " --moderate"}[r]
}

func (a *app) listShares(ctx context.Context, session string) error {
	out, err := call(ctx, a, "asking the server", api.ListShares, api.SessionRef{Session: session})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(out.Items)
	}
	if len(out.Items) == 0 {
		a.note("it is shared with nobody")
		return nil
	}
	rows := make([][]string, 0, len(out.Items))
	for _, s := range out.Items {
		with := s.UserName
		if with == "" {
			with = "a link, not opened yet"
		}
		rows = append(rows, []string{with, string(s.Role), s.CreatedBy, a.when(s.ExpiresAt)})
	}
	return a.printTable([]string{"WITH", "ROLE", "BY", "UNTIL"}, rows)
}

func (a *app) sessionUnshareCmd() *cobra.Command {
	var in api.UnshareIn
	return &cobra.Command{
		Use: "unshare SESSION [USER]", Short: "Share a session no more, with USER or with anybody",
		Args: args(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Session = args[0]
			if len(args) == 2 {
				in.Body.With = args[1]
			}
			_, err := call(cmd.Context(), a, "taking it back", api.UnshareSession, in)
			return err
		},
		ValidArgsFunction: a.completeSessions,
	}
}

func (a *app) sessionKickCmd() *cobra.Command {
	var in api.KickIn
	c := &cobra.Command{
		Use: "kick SESSION USER", Short: "Put somebody out of a session",
		Long:    "USER is an e-mail address, a name, or a number as sessctl session show lists them. What was shared with them is taken back.",
		Example: "  sessctl session kick ses_4x2k ann@example.com --reason 'thank you, that was all'",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Session, in.Body.Who = args[0], args[1]
			out, err := call(cmd.Context(), a, "putting "+args[1]+" out", api.KickGuest, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out.Participants)
			}
			for _, p := range out.Participants {
				a.note("%s is out", cell(p.UserName))
			}
			return nil
		},
		ValidArgsFunction: a.completeSessions,
	}
	c.Flags().StringVar(&in.Body.Reason, "reason", "", "`TEXT` says why: they are told, and it is on record")
	return a.jsonFlag(c)
}
