package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/sess"
)

// what says what to start: the flags that start and exec share.
type what struct {
	user, reason string
	tags         []string
	env          []string
	cwd          string
	escape       string
}

func (w *what) flags(a *app, c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&w.user, "user", "u", "", "the account on the instance (as USER@INSTANCE); the agent's default if not given")
	f.StringVar(&w.reason, "reason", "", "`TEXT` says why, for the record")
	f.StringArrayVar(&w.tags, "tag", nil, "`NAME=VALUE` to find and count the session by, such as ticket=OPS-4711; may be repeated")
	f.StringArrayVar(&w.env, "env", nil, "set a variable, `NAME=VALUE`, or pass ours on, NAME; may be repeated")
	f.StringVar(&w.cwd, "cwd", "", "the directory to start in; the account's home if not given")
	escape := a.getenv("SESSCTL_ESCAPE")
	if escape == "" {
		escape = "~"
	}
	f.StringVarP(&w.escape, "escape", "e", escape, "the escape `CHAR`acter, ^X, or none (SESSCTL_ESCAPE)")
	c.Annotations = map[string]string{sessionExit: "yes"}
	c.ValidArgsFunction = a.completeInstances
}

// options reads the flags and INSTANCE.
func (w *what) options(a *app, cmd *cobra.Command, instance string, command []string) (client.StartOptions, error) {
	o := client.StartOptions{OSUser: w.user, Reason: w.reason, Instance: instance}
	if user, name, ok := strings.Cut(instance, "@"); ok {
		if w.user != "" && w.user != user {
			return o, usagef(cmd, "--user %s and %s@ differ", w.user, user)
		}
		o.OSUser, o.Instance = user, name
	}
	if o.Instance == "" {
		return o, usagef(cmd, "no instance named")
	}
	var err error
	if o.Tags, err = sess.ParseTags(w.tags); err != nil {
		return o, &usageError{cmd: cmd, err: err}
	}
	o.Params = sess.Params{Argv: command, Cwd: w.cwd, Env: map[string]string{}}
	for _, kv := range w.env {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			v = a.getenv(k)
		}
		o.Params.Env[k] = v
	}
	return o, nil
}

// terminalOptions adds what a session on our terminal needs.
func (a *app) terminalOptions(o *client.StartOptions) {
	o.Size = a.size
	o.Params.TTY = true
	o.Params.Term = a.getenv("TERM")
	o.Params.Cols, o.Params.Rows = a.size()
	for k, v := range client.TerminalEnv(a.environ) {
		if _, set := o.Params.Env[k]; !set {
			o.Params.Env[k] = v
		}
	}
}

func (a *app) size() (cols, rows uint16) { return client.TerminalSize(a.out) }

func (a *app) startCmd() *cobra.Command {
	var w what
	c := &cobra.Command{
		Use:   "start [USER@]INSTANCE [-- COMMAND…]",
		Short: "Start a shell on an instance",
		Long: "Starts the account's login shell, or COMMAND, on a terminal of INSTANCE: a name, an id, or a unique prefix.\n" +
			"Lost connections come back by themselves. Behind Enter, ~. ends the session, ~d leaves it running (sessctl attach\n" +
			"picks it up), ~? lists the escapes. The exit code is the shell's own, or 255 when sessctl failed.",
		Example: `  sessctl start web-1
  sessctl start deploy@web-1 --reason "ticket 4711"
  sessctl start web-1 -- top`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			instance, command, err := split(cmd, argv)
			if err != nil {
				return err
			}
			return a.start(cmd, w, instance, command)
		},
	}
	w.flags(a, c)
	return c
}

// split takes the command behind -- off the arguments.
func split(cmd *cobra.Command, argv []string) (instance string, command []string, err error) {
	names := argv
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		names, command = argv[:n], argv[n:]
	}
	switch {
	case len(names) == 0:
		return "", nil, usagef(cmd, "no instance named")
	case len(names) > 1 && command == nil:
		return "", nil, usagef(cmd, "too many arguments: a command goes behind --: sessctl %s %s -- %s", cmd.Name(), names[0], strings.Join(names[1:], " "))
	case len(names) > 1:
		return "", nil, usagef(cmd, "one instance at a time: %d are named", len(names))
	}
	return names[0], command, nil
}

func (a *app) start(cmd *cobra.Command, w what, instance string, command []string) error {
	esc, err := client.ParseEscape(w.escape)
	if err != nil {
		return &usageError{cmd: cmd, err: err}
	}
	if err := client.NeedTerminal(a.in); err != nil {
		return err
	}
	o, err := w.options(a, cmd, instance, command)
	if err != nil {
		return err
	}
	o.Kind = sess.KindShell
	a.terminalOptions(&o)
	s, err := a.startSession(cmd.Context(), o)
	if err != nil {
		return err
	}
	return a.driveTerminal(cmd.Context(), s, esc)
}

func (a *app) startSession(ctx context.Context, o client.StartOptions) (*client.Session, error) {
	c, err := a.open()
	if err != nil {
		return nil, err
	}
	var s *client.Session
	err = a.withFactor(ctx, func() (err error) {
		defer a.busy("starting a session on " + o.Instance)()
		s, err = c.Start(ctx, o)
		return err
	})
	return s, err
}

// driveTerminal drives a session on our terminal and tells how it was left.
func (a *app) driveTerminal(ctx context.Context, s *client.Session, esc byte) error {
	signals, stop := client.NotifySignals()
	defer stop()
	res, err := s.Terminal(ctx, client.TerminalIO{In: a.in, Out: a.out, Lines: a.err, Escape: esc, Signals: signals})
	switch {
	case err != nil:
		return a.tellEnd(err, res.Exit)
	case res.Detached:
		a.note("detached; sessctl attach %s", s.ID)
		return nil
	case res.Left && res.Exit.Signal == "":
		a.note("session %s on %s ended", s.ID, cell(s.Instance))
	}
	return a.exitWith(s, res.Exit)
}

// tellEnd tells what ended a session that has a status all the same, and exits with that.
func (a *app) tellEnd(err error, x sess.Exit) error {
	var ended *client.EndedError
	if !errors.As(err, &ended) || x.Status == 0 {
		return err
	}
	a.tell(err)
	return statusError(x.Status)
}

// exitWith makes the session's exit sessctl's own.
func (a *app) exitWith(s *client.Session, x sess.Exit) error {
	if x.Message != "" {
		a.note("sessctl: %s: %s", cell(s.Instance), cell(x.Message))
	}
	if x.Status == 0 {
		return nil
	}
	return statusError(x.Status)
}

func (a *app) attachCmd() *cobra.Command {
	w := what{}
	c := &cobra.Command{
		Use:   "attach [SESSION]",
		Short: "Pick up a session that runs without its client, or take it over from another",
		Long: "Picks a running session of yours up: its screen is shown as it is now, and a client that had it before is told and\n" +
			"let go. Without SESSION it takes the only one there is. Output of a command without a terminal comes from where\n" +
			"it was left.",
		Example: "  sessctl attach\n  sessctl attach ses_4x2k",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			esc, err := client.ParseEscape(w.escape)
			if err != nil {
				return &usageError{cmd: cmd, err: err}
			}
			id := ""
			if len(args) == 1 {
				id = args[0]
			} else if id, err = a.onlySession(cmd.Context()); err != nil {
				return err
			}
			return a.attach(cmd.Context(), id, esc)
		},
		Annotations:       map[string]string{sessionExit: "yes"},
		ValidArgsFunction: a.completeSessions,
	}
	c.Flags().StringVarP(&w.escape, "escape", "e", "~", "the escape `CHAR`acter, ^X, or none")
	return c
}

func (a *app) attach(ctx context.Context, id string, esc byte) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	done := a.busy("attaching to " + id)
	size := a.size
	s, err := c.Attach(ctx, id, size)
	done()
	if err != nil {
		return err
	}
	if s.Params.TTY {
		if err := client.NeedTerminal(a.in); err != nil { // nothing has happened yet: a session changes hands when it is joined
			return err
		}
		return a.driveTerminal(ctx, s, esc)
	}
	return a.driveExec(ctx, s, execHow{noStdin: true})
}

// onlySession finds the one session that a bare attach means.
func (a *app) onlySession(ctx context.Context) (string, error) {
	list, err := mySessions(ctx, a, "")
	if err != nil {
		return "", err
	}
	switch len(list) {
	case 0:
		return "", sess.New(sess.CodeNotFound, "no session of yours is running", "sessctl start INSTANCE begins one")
	case 1:
		return string(list[0].ID), nil
	}
	var ids []string
	for _, s := range list {
		ids = append(ids, fmt.Sprintf("%s (%s on %s, %s)", s.ID, s.Kind, s.InstanceName, s.State))
	}
	return "", sess.New(sess.CodeInvalid, "which one? "+strings.Join(ids, "; "), "sessctl attach SESSION")
}
