package cli

import (
	"context"
	"encoding/base64"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/sess"
)

// execHow says how a command is connected to us.
type execHow struct {
	noStdin bool
	json    bool
}

func (a *app) execCmd() *cobra.Command {
	var w what
	var tty bool
	var timeout time.Duration
	var how execHow
	c := &cobra.Command{
		Use:   "exec [USER@]INSTANCE -- COMMAND [ARGUMENT…]",
		Short: "Run a command on an instance",
		Long: "Runs COMMAND on one INSTANCE without a shell in between: arguments arrive as they are given. Standard input, output\n" +
			"and error are three streams of their own, and bytes pass unchanged. The exit code is the command's, 128+n when\n" +
			"signal n ended it, or 255 when sessctl failed. Ctrl-C interrupts the command; a second one ends it.",
		Example: `  sessctl exec web-1 -- uptime
  sessctl exec web-1 -- sh -c 'df -h | grep srv'
  tar c . | sessctl exec web-1 -- tar x -C /srv
  sessctl exec web-1 --timeout 30s --env LANG=C -- ./migrate
  sessctl exec -t web-1 -- top`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			instance, command, err := split(cmd, argv)
			if err != nil {
				return err
			}
			if len(command) == 0 {
				return usagef(cmd, "no command given: put it behind --")
			}
			if timeout < 0 || timeout > 0 && timeout < time.Millisecond {
				return usagef(cmd, "--timeout %s is no time to wait", timeout)
			}
			esc, err := client.ParseEscape(w.escape)
			if err != nil {
				return &usageError{cmd: cmd, err: err}
			}
			o, err := w.options(a, cmd, instance, command)
			if err != nil {
				return err
			}
			o.Kind = sess.KindExec
			o.Params.TimeoutMS = timeout.Milliseconds()
			how.json = a.json
			if !tty {
				return a.exec(cmd.Context(), o, how)
			}
			if how.json {
				return usagef(cmd, "--json and -t don't go together")
			}
			a.terminalOptions(&o)
			s, err := a.startSession(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.driveTerminal(cmd.Context(), s, esc)
		},
	}
	w.flags(a, c)
	c.Flags().BoolVarP(&tty, "tty", "t", false, "run it on a terminal")
	c.Flags().BoolVarP(&how.noStdin, "no-stdin", "n", false, "give it no standard input, and leave ours alone")
	duration(c.Flags(), &timeout, "timeout", 0, "end it after this `TIME`, such as 30s or 5m")
	return a.jsonFlag(c)
}

func (a *app) exec(ctx context.Context, o client.StartOptions, how execHow) error {
	s, err := a.startSession(ctx, o)
	if err != nil {
		return err
	}
	return a.driveExec(ctx, s, how)
}

// driveExec drives a command without a terminal.
func (a *app) driveExec(ctx context.Context, s *client.Session, how execHow) error {
	signals, stop := client.NotifySignals()
	defer stop()
	x := client.ExecIO{In: a.in, Out: a.out, Err: a.err, Lines: a.err, LinesTerminal: terminal(a.err), Signals: signals}
	if how.noStdin {
		x.In = nil
	}
	if !how.json {
		exit, err := s.Exec(ctx, x)
		if err != nil {
			return a.tellEnd(err, exit)
		}
		return a.exitWith(s, exit)
	}
	var out, errs capture
	x.Out, x.Err = &out, &errs
	began := a.now()
	exit, err := s.Exec(ctx, x)
	if err != nil && exit.Status == 0 {
		return err
	}
	if err != nil {
		a.tell(err)
	}
	r := execResult{
		Session: s.ID, Instance: s.Instance, Exit: exit, DurationMS: a.now().Sub(began).Milliseconds(),
		Stdout: out.text(), Stderr: errs.text(), Truncated: out.over || errs.over,
	}
	r.StdoutBase64, r.StderrBase64 = out.base64(), errs.base64()
	if err := a.printJSON(r); err != nil {
		return err
	}
	if exit.Status == 0 {
		return nil
	}
	return statusError(exit.Status)
}

// execResult is what exec --json prints. Output that is no UTF-8 is in the _base64 fields instead.
type execResult struct {
	Session      sess.SessionID `json:"session"`
	Instance     string         `json:"instance"`
	Exit         sess.Exit      `json:"exit"`
	DurationMS   int64          `json:"duration_ms"`
	Stdout       string         `json:"stdout"`
	Stderr       string         `json:"stderr"`
	StdoutBase64 string         `json:"stdout_base64,omitempty"`
	StderrBase64 string         `json:"stderr_base64,omitempty"`
	Truncated    bool           `json:"truncated,omitempty"` // there was more than maxCapture of one of them
}

// maxCapture is how much of each stream --json keeps, in bytes.
const maxCapture = 16 << 20

// capture keeps the first maxCapture bytes written to it and lets the rest go by.
type capture struct {
	b    []byte
	over bool
}

var _ io.Writer = (*capture)(nil)

// Write implements io.Writer; it never fails.
func (c *capture) Write(p []byte) (int, error) {
	n := min(len(p), maxCapture-len(c.b))
	c.b = append(c.b, p[:n]...)
	c.over = c.over || n < len(p)
	return len(p), nil
}

func (c *capture) text() string {
	if utf8.Valid(c.b) {
		return string(c.b)
	}
	return ""
}

func (c *capture) base64() string {
	if utf8.Valid(c.b) {
		return ""
	}
	return base64.StdEncoding.EncodeToString(c.b)
}
