package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/sess"
)

// waitStep is how often --wait looks.
const waitStep = 200 * time.Millisecond

func statusCommand(o *options) *cobra.Command {
	var asJSON bool
	var wait time.Duration
	c := &cobra.Command{
		Use: "status", Short: "Say whether the agent runs and is connected",
		Long:    "Says whether the agent runs and is connected. The exit code is 0 when it is.",
		Example: "  sess-agent status --wait 30s",
		RunE: func(c *cobra.Command, _ []string) error {
			state, err := o.state()
			if err != nil {
				return err
			}
			s, err := await(c.Context(), state, wait)
			if err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(o.out).Encode(s); err != nil {
					return fmt.Errorf("write status: %w", err)
				}
			} else {
				o.print(s)
			}
			return problem(s)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().DurationVar(&wait, "wait", 0, "wait until it is connected, for at most this long")
	return c
}

// await reads the status until it is connected or d has passed.
func await(ctx context.Context, state agent.StateDir, d time.Duration) (agent.Status, error) {
	deadline := time.Now().Add(d)
	for {
		s, err := agent.ReadStatus(state)
		if err != nil || s.Connected || !time.Now().Before(deadline) {
			return s, err
		}
		t := time.NewTimer(waitStep)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return s, ctx.Err()
		}
	}
}

func (o *options) print(s agent.Status) {
	row := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(o.out, "%-10s %s\n", name, plain(value))
		}
	}
	row("instance", fmt.Sprintf("%s (%s)", s.Name, s.Instance))
	row("server", s.Server)
	switch {
	case !s.Running:
		row("agent", "not running")
	case s.Connected:
		row("agent", fmt.Sprintf("running, pid %d, version %s", s.PID, s.Version))
		row("connected", "since "+s.Since.Local().Format(time.DateTime))
		row("sessions", fmt.Sprint(s.Sessions))
		row("held by", s.Holds)
		row("programs", s.Programs)
		row("no limit", s.Unenforced)
	default:
		row("agent", fmt.Sprintf("running, pid %d, version %s", s.PID, s.Version))
		row("connected", "no, since "+s.Since.Local().Format(time.DateTime))
		row("sessions", fmt.Sprint(s.Sessions))
	}
}

// problem gives what is wrong, if anything is.
func problem(s agent.Status) error {
	switch {
	case !s.Running:
		return sess.New(sess.CodeOffline, "the agent does not run", "start it with sess-agent run, or sess-agent install")
	case !s.Connected && s.Problem != "":
		return sess.New(sess.CodeOffline, s.Problem, s.Hint)
	case !s.Connected:
		return sess.New(sess.CodeOffline, "the agent is not connected yet", "sess-agent status --wait 30s waits for it")
	default:
		return nil
	}
}
