package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// streams are the program's standard files.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// options are the flags every command has.
type options struct {
	streams
	stateDir string
	logLevel string
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// run runs the command line and gives the exit code.
func run(ctx context.Context, args []string, s streams) int {
	root := rootCommand(&options{streams: s}) //nolint:contextcheck // the command brings its own
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var e *sess.Error
	var usage usageError
	_, _ = fmt.Fprintf(s.err, "sess-agent: %s\n", plain(err.Error()))
	switch {
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(s.err, "hint: %s --help\n", cmd.CommandPath())
		return exitUsage
	case errors.As(err, &e) && e.Hint != "":
		_, _ = fmt.Fprintf(s.err, "hint: %s\n", plain(e.Hint))
	}
	return exitFailure
}

// plain takes what a terminal would act on out of a text: much of it is a server's word.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

func rootCommand(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:   "sess-agent",
		Short: "Runs sessions on this machine for a sess server",
		Long: `sess-agent makes this machine an instance of a sess server. It dials out and listens
on nothing; what it runs is decided by the server's policy and, last, by this
machine's owner in ` + agent.DefaultConfigFile + `.`,
		Example: `  sess-agent enroll --server https://sess.example.com --token sesn_…
  sess-agent run
  sudo sess-agent install`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVar(&o.stateDir, "state-dir", "", "where identity and key are kept (SESS_AGENT_STATE_DIR; /var/lib/sess-agent, or ~/.local/state/sess-agent)")
	root.PersistentFlags().StringVar(&o.logLevel, "log-level", "", "debug, info, warn or error (SESS_AGENT_LOG_LEVEL; info)")
	for _, sub := range []*cobra.Command{enrollCommand(o), runCommand(o), statusCommand(o), installCommand(o), uninstallCommand(o), versionCommand(o)} {
		if sub.Args == nil {
			sub.Args = noArgs
		}
		root.AddCommand(sub)
	}
	return root
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, got %q", c.Name(), args[0])}
	}
	return nil
}

func versionCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(o.out, "sess-agent %s (protocol %d, %s/%s)\n", programVersion(), wire.Version, runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// state gives the state directory: flag, environment, default.
func (o *options) state() (agent.StateDir, error) {
	if dir := orEnv(o.stateDir, "SESS_AGENT_STATE_DIR"); dir != "" {
		return agent.StateDir(dir), nil
	}
	return agent.DefaultStateDir()
}

// logger writes to standard error.
func (o *options) logger() (*slog.Logger, error) {
	var level slog.Level
	if name := orEnv(o.logLevel, "SESS_AGENT_LOG_LEVEL"); name != "" {
		if err := level.UnmarshalText([]byte(name)); err != nil {
			return nil, usageError{fmt.Errorf("log level %q is none of debug, info, warn, error", name)}
		}
	}
	return slog.New(slog.NewTextHandler(o.err, &slog.HandlerOptions{Level: level})), nil
}

// settingFlags adds a flag for each setting of the configuration.
func settingFlags(f *pflag.FlagSet) {
	for _, s := range agent.Settings() {
		f.String(s.Flag(), "", s.Help+" ("+s.Env()+")")
	}
}

// settings gives the flags that were set, by the setting's name.
func settings(f *pflag.FlagSet) map[string]string {
	set := map[string]string{}
	for _, s := range agent.Settings() {
		if fl := f.Lookup(s.Flag()); fl != nil && fl.Changed {
			set[s.Name] = fl.Value.String()
		}
	}
	return set
}

func orEnv(flag, name string) string {
	if flag != "" {
		return flag
	}
	return strings.TrimSpace(os.Getenv(name))
}
