package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// envPrefix begins the name of every environment variable that sets a flag: --data-dir is SESS_SERVER_DATA_DIR.
const envPrefix = "SESS_SERVER_"

// maxConfigFile bounds the configuration file, bytes.
const maxConfigFile = 64 << 10

// Exit codes of sess-server.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Process is what a program gets from the system. Stdout is for answers, Stderr for everything else.
type Process struct {
	Args           []string // without the program's name
	Env            func(string) (string, bool)
	Stdout, Stderr io.Writer
	Version        string
}

// Main runs sess-server until its command is done or ctx ends, and gives the exit code.
func Main(ctx context.Context, p Process) int {
	root := Command(p) //nolint:contextcheck // commands have the context from cobra
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(p.Stderr, "sess-server: %v\nhint: run %s --help\n", usage.err, usage.cmd)
		return exitUsage
	}
	var e *sess.Error
	if !errors.As(err, &e) {
		fmt.Fprintf(p.Stderr, "sess-server: %v\n", err)
		return exitError
	}
	fmt.Fprintf(p.Stderr, "sess-server: %v\n", err) // the box's owner may see causes
	if e.Hint != "" {
		fmt.Fprintf(p.Stderr, "hint: %s\n", e.Hint)
	}
	return exitError
}

type usageError struct {
	err error
	cmd string
}

func (e *usageError) Error() string { return e.err.Error() }

// Command gives the command tree of sess-server.
func Command(p Process) *cobra.Command {
	root := &cobra.Command{
		Use:   "sess-server",
		Short: "Give people and scripts sessions on machines that accept no inbound connection",
		Long: "sess-server authenticates, decides, relays, records and audits. It is the only part of sess that listens: sessctl and\n" +
			"sess-agent connect to it.\n\nEvery flag can also be set by an environment variable (--data-dir is SESS_SERVER_DATA_DIR) or in the file that\n" +
			"--config names, in lines of the form  data-dir = /var/lib/sess-server . Flags win over variables, variables over the file.",
		SilenceErrors: true, SilenceUsage: true,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{err, cmd.CommandPath()} })
	root.AddCommand(serveCommand(p), adminCommand(p), &cobra.Command{
		Use: "version", Short: "Print the version", Args: usageArgs(cobra.NoArgs),
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "sess-server %s (protocol %d, %s/%s)\n", p.Version, wire.Version, runtime.GOOS, runtime.GOARCH)
		},
	})
	return root
}

// usageArgs marks what check finds as a mistake in the command line.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err, cmd.CommandPath()}
		}
		return nil
	}
}

func serveCommand(p Process) *cobra.Command {
	var cfg Config
	var tlsMode, format, level, header string
	var proxies []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "Runs the server until SIGINT or SIGTERM. The first start makes its keys, the organisation \"default\" and a one-time link\n" +
			"with which the first admin sets a password; it is printed on standard error.",
		Example: "  sess-server serve --data-dir /var/lib/sess-server --listen 0.0.0.0:8443\n" +
			"  sess-server serve --data-dir /srv/sess --listen :443 --public-url https://sess.example.com --tls-cert c.pem --tls-key k.pem",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillFlags(cmd.Flags(), p.Env); err != nil {
				return &usageError{err, cmd.CommandPath()}
			}
			var err error
			if cfg.TrustedProxies, err = sess.ParseAddresses(proxies); err != nil {
				return &usageError{fmt.Errorf("trusted proxies: %w (%s)", err, sess.Public(err).Hint), cmd.CommandPath()}
			}
			cfg.ProxyHeader = ProxyHeader(strings.ToLower(header))
			if cfg.Log, err = newLogger(p.Stderr, format, level); err != nil {
				return &usageError{err, cmd.CommandPath()}
			}
			cfg.TLS, cfg.Version, cfg.Notices = TLSMode(tlsMode), p.Version, p.Stderr
			return serve(cmd.Context(), cfg, p.Env)
		},
	}
	f := cmd.Flags()
	f.String("config", "", "file with settings, one per line")
	f.StringVar(&cfg.DataDir, "data-dir", "", "directory for keys, recordings and the database (required)")
	f.StringVar(&cfg.Listen, "listen", ":8443", "address and port to listen on; port 0 picks a free one")
	f.StringVar(&cfg.PublicURL, "public-url", "", "URL that agents and clients reach this server by (default: from --listen and the host name)")
	f.StringVar(&tlsMode, "tls", "", "self-signed: an own certificate, which clients pin (default); off: a proxy in front ends TLS")
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "PEM file with the certificate chain; read again when it changes")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "PEM file with the certificate's key")
	f.StringVar(&cfg.AgentBinaries, "agent-binaries", "", "directory of sess-agent-OS-ARCH files and their SHA256SUMS, for the install line")
	f.StringVar(&cfg.Database, "database", "", "postgres://… (default: SQLite in the data directory); set it by variable or file when it holds a password")
	f.StringVar(&cfg.SMTPURL, "smtp-url", "", "mail server for invitations and new passwords: smtp://USER@HOST:PORT (STARTTLS) or smtps://…; none if not given")
	f.StringVar(&cfg.SMTPPasswordFile, "smtp-password-file", "", "file with the password of USER at the mail server")
	f.StringVar(&cfg.MailFrom, "mail-from", "", "the e-mail address that mail comes from")
	f.StringSliceVar(&proxies, "trusted-proxies", nil, "addresses and networks of proxies that are believed when they say for whom they call, with commas between; repeatable")
	f.StringVar(&header, "proxy-header", string(ProxyXForwardedFor), "where trusted proxies say so: x-forwarded-for or forwarded; the one your proxy writes")
	f.BoolVar(&cfg.IDPAllowPrivate, "idp-allow-private", false, "let identity providers be on this machine or a private network, and speak http: whoever may set one up can then reach what this machine can")
	f.BoolVar(&cfg.WebhookAllowPrivate, "webhook-allow-private", false, "let audit sinks and alerts go to this machine or a private network, by http, too: whoever may set one up can then reach what this machine can")
	f.StringVar(&cfg.AuditWitness, "audit-witness", "", "publish each signed checkpoint of the audit logs: append it to this `FILE`, best on another machine, or post it to this URL")
	f.StringVar(&format, "log-format", "text", "text or json")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// serve runs a server until ctx ends.
func serve(ctx context.Context, cfg Config, env func(string) (string, bool)) error {
	s, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	notify(env, "READY=1")
	err = s.Run(ctx)
	notify(env, "STOPPING=1")
	return errors.Join(err, s.Close())
}

// fillFlags sets the flags that the command line did not, from the environment and the configuration file.
func fillFlags(flags *pflag.FlagSet, env func(string) (string, bool)) error {
	lookup := func(name string) (string, bool) {
		return env(envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	file, err := readConfigFile(flags, lookup)
	if err != nil {
		return err
	}
	var problems []error
	flags.VisitAll(func(f *pflag.Flag) {
		v, ok := lookup(f.Name)
		if !ok {
			v, ok = file[f.Name]
		}
		if f.Changed || !ok || f.Name == "help" || f.Name == "config" {
			return
		}
		if err := flags.Set(f.Name, v); err != nil {
			problems = append(problems, fmt.Errorf("setting %s: %w", f.Name, err))
		}
	})
	return errors.Join(problems...)
}

// readConfigFile reads lines of the form NAME = VALUE; NAME is a flag's. Empty lines and lines that begin with # are
// skipped.
func readConfigFile(flags *pflag.FlagSet, lookup func(string) (string, bool)) (map[string]string, error) {
	path := flags.Lookup("config").Value.String()
	if path == "" {
		path, _ = lookup("config")
	}
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil || len(b) > maxConfigFile {
		return nil, errors.Join(fmt.Errorf("configuration %s can't be read, or is larger than %d bytes", path, maxConfigFile), err)
	}
	settings := map[string]string{}
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !ok || flags.Lookup(name) == nil || name == "config" || name == "help" {
			return nil, fmt.Errorf("%s:%d: %q is no setting: write NAME = VALUE, with the name of a flag", path, i+1, name)
		}
		settings[name] = strings.TrimSpace(value)
	}
	return settings, nil
}

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is not debug, info, warn or error", level)
	}
	opts.Level = l
	switch format {
	case "text":
		return slog.New(requestLog{slog.NewTextHandler(w, &opts)}), nil
	case "json":
		return slog.New(requestLog{slog.NewJSONHandler(w, &opts)}), nil
	}
	return nil, fmt.Errorf("log format %q is not text or json", format)
}
