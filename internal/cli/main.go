// Package cli is the command tree of sessctl: flags, output, hints and exit codes. What commands do is in package client
// and, for everything that is one call, behind package api.
//
// The answer goes to standard output and everything else to standard error. A failure is a line "sessctl: …" and, where
// there is a next step, a line "hint: …". Exit codes are in exit.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/link"
)

// app is one run of sessctl.
type app struct {
	in, out, err *os.File
	getenv       func(string) string
	environ      []string
	now          func() time.Time

	server string // --server
	org    string // --org
	json   bool   // --json

	conf   *config // once read
	client *client.Client
}

// Main runs sessctl with the process's own standard streams and environment and returns its exit code.
func Main(ctx context.Context, args []string) int {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		getenv: os.Getenv, environ: os.Environ(), now: time.Now,
	}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root() //nolint:contextcheck // commands have the context from cobra
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if a.client != nil {
		a.client.Close()
	}
	return a.report(cmd, err)
}

// root makes the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sessctl",
		Short: "Shells and commands on machines that accept no inbound connection",
		Long: "sessctl starts shells and commands on instances: machines whose agent dials out to a sess-server.\n" +
			"Every session is decided by policy, recorded and audited.",
		Example: `  sessctl login --server https://sess.example.com
  sessctl start web-1
  sessctl exec web-1 -- uptime
  tar c . | sessctl exec web-1 -- tar x -C /srv`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          group,
		Args:          cobra.ArbitraryArgs,

		SuggestionsMinimumDistance: 2,
	}
	root.PersistentFlags().StringVar(&a.server, "server", "", "the server's `URL`, with #pin=sha256:… when its certificate is its own (SESSCTL_SERVER)")
	root.PersistentFlags().StringVar(&a.org, "org", "", "the organisation's `NAME`, where you are in several (SESSCTL_ORG); else the one used last")
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddGroup(&cobra.Group{ID: "session", Title: "Sessions:"}, &cobra.Group{ID: "admin", Title: "Things:"},
		&cobra.Group{ID: "login", Title: "Who you are:"})
	root.SetCompletionCommandGroupID("login")
	root.SetHelpCommandGroupID("login")
	add := func(id string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	add("session", a.startCmd(), a.execCmd(), a.attachCmd())
	add("session", a.joinCmd())
	add("admin", a.sessionCmd(), a.instanceCmd(), a.recordingCmd(), a.auditCmd(), a.tokenCmd(), a.userCmd(), a.keyCmd())
	add("admin", a.idpCmd())
	add("admin", a.groupCmd(), a.projectCmd(), a.grantCmd(), a.orgCmd())
	add("admin", a.roleCmd(), a.policyCmd())
	add("admin", a.usageCmd(), a.lockCmd(), a.alertCmd())
	add("login", a.contextCmd())
	add("login", a.loginCmd(), a.acceptCmd(), a.passwordCmd(), a.mfaCmd(), a.resetCmd(), a.whoamiCmd(), a.logoutCmd(), a.apiCmd(), a.versionCmd())
	root.AddCommand(a.genCmd(), environmentTopic(), exitTopic())
	a.fitHelp(root)
	return root
}

// group is what a command that only holds others does.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	msg := fmt.Sprintf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		msg += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return &usageError{cmd: cmd, err: errors.New(msg)}
}

// parent makes a command that only holds others.
func parent(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, RunE: group, Args: cobra.ArbitraryArgs}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(subs...)
	return c
}

// args turns a wrong number of arguments into a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{cmd: cmd, err: argsError(cmd, args, err)}
		}
		return nil
	}
}

// argsError says in our words what cobra says in those of its authors.
func argsError(cmd *cobra.Command, args []string, err error) error {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "unknown command") && cmd.HasAvailableFlags():
		return fmt.Errorf("%s takes flags, and %q is none", cmd.CommandPath(), args[0])
	case strings.HasPrefix(text, "accepts "), strings.HasPrefix(text, "requires "):
		return fmt.Errorf("%s: it is used as %s", counted(len(args), "argument"), strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
	return err
}

func counted(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// jsonFlag adds --json.
func (a *app) jsonFlag(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.json, "json", false, "print JSON")
	return c
}

// open gives the client of the server that flags, environment and file name, as whoever they say.
func (a *app) open() (*client.Client, error) {
	if a.client != nil {
		return a.client, nil
	}
	server, err := a.pickServer()
	if err != nil {
		return nil, err
	}
	if err := encrypted(server); err != nil {
		return nil, err
	}
	bearer, err := a.bearer(server)
	if err != nil {
		return nil, err
	}
	a.client = a.openAs(server, bearer)
	return a.client, nil
}

func (a *app) openAs(server link.Server, bearer string) *client.Client {
	return client.Open(client.Profile{Server: server, Bearer: bearer, Version: version()})
}

// terminal reports whether f is one.
func terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// note says something on standard error, without anything that a terminal would act on: much of it is a server's word.
func (a *app) note(format string, v ...any) {
	_, _ = io.WriteString(a.err, plain(fmt.Sprintf(format, v...))+"\n")
}

// busyAfter is how long a call may take before a person is told what is being waited for.
const busyAfter = time.Second

// busy says what is being waited for when that takes long, and takes it back when done is called.
func (a *app) busy(what string) (done func()) {
	if !terminal(a.err) {
		return func() {}
	}
	shown := make(chan bool, 1)
	t := time.AfterFunc(busyAfter, func() {
		fmt.Fprintf(a.err, "%s…", what)
		shown <- true
	})
	return func() {
		if !t.Stop() {
			<-shown
			_, _ = io.WriteString(a.err, "\r\x1b[K")
		}
	}
}

// version is this program's: the module's, or the commit's it was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

// release is set by the linker in released programs: -X github.com/sessctl/sess/internal/cli.release=1.2.3.
var release string
