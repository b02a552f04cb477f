package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

const (
	maxSinkFile = 32 << 10 // bytes of a file with certificates or a secret
	maxSinkBody = 128 << 10
)

// serveAdminSinks answers what the box's owner asks about where all logs are streamed to.
func (s *Server) serveAdminSinks(mux *http.ServeMux) {
	owner := sess.BoxOwner("")
	ref := func(r *http.Request) api.SinkRef { return api.SinkRef{Sink: r.URL.Query().Get("sink")} }
	mux.HandleFunc("POST /admin/sinks", adminHandler(s, func(r *http.Request) (api.SinkAdded, error) {
		var in api.SinkIn
		if err := json.NewDecoder(io.LimitReader(r.Body, maxSinkBody)).Decode(&in.Body); err != nil {
			return api.SinkAdded{}, sess.Wrap(err, sess.CodeInvalid, "that is no sink", "")
		}
		return s.trail.CreateSink(r.Context(), owner, in) //nolint:wrapcheck // it says everything
	}))
	mux.HandleFunc("GET /admin/sinks", adminHandler(s, func(r *http.Request) (api.SinkList, error) {
		return s.trail.ListSinks(r.Context(), owner) //nolint:wrapcheck // it says everything
	}))
	mux.HandleFunc("GET /admin/sink", adminHandler(s, func(r *http.Request) (api.Sink, error) {
		return s.trail.GetSink(r.Context(), owner, ref(r)) //nolint:wrapcheck // it says everything
	}))
	mux.HandleFunc("POST /admin/sink/test", adminHandler(s, func(r *http.Request) (api.SinkTestOut, error) {
		return s.trail.TestSink(r.Context(), owner, ref(r)) //nolint:wrapcheck // it says everything
	}))
	mux.HandleFunc("DELETE /admin/sink", adminHandler(s, func(r *http.Request) (struct{}, error) {
		return struct{}{}, s.trail.RemoveSink(r.Context(), owner, ref(r)) //nolint:wrapcheck // it says everything
	}))
}

// adminSinkCommand makes the commands with which the box's owner has all logs streamed.
func adminSinkCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "sink", Short: "Stream the audit logs of all organisations, and the server's own, to a webhook or by syslog",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	all := []*cobra.Command{adminSinkAdd(p), adminSinkList(p), adminSinkShow(p), adminSinkTest(p), adminSinkRemove(p)}
	adminFlags(all...)
	cmd.AddCommand(all...)
	return cmd
}

func sinkPath(path, name string) string { return path + "?" + url.Values{"sink": {name}}.Encode() }

func adminSinkAdd(p Process) *cobra.Command {
	var in api.SinkIn
	var secretFile, caFile string
	var asJSON bool
	c := &cobra.Command{
		Use: "add NAME --to URL", Short: "Stream all audit logs to a place from now on",
		Long: "Has the server send every event of every organisation and its own, of each in order and at least once, to a webhook\n" +
			"(https://…, signed as Standard Webhooks are), a syslog receiver (tls://HOST:PORT or tcp://HOST:PORT: RFC 5424,\n" +
			"octet-counted), or a socket of this machine (unix:///dev/log). Private addresses are allowed here. What can't be delivered\n" +
			"waits in the logs. For a webhook the secret that its signatures are checked with is printed, once.",
		Example: "  sess-server admin sink add journal --to unix:///dev/log --data-dir /var/lib/sess-server\n" +
			"  sess-server admin sink add siem --to tls://logs.internal:6514 --ca-file ca.pem --from-start --data-dir /var/lib/sess-server",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Body.URL == "" {
				return &usageError{errors.New("say where to: --to https://…, tls://HOST:PORT or unix:///PATH"), cmd.CommandPath()}
			}
			if in.Body.CA, err = sinkFile(caFile); err != nil {
				return err
			}
			if in.Body.Secret, err = sinkFile(secretFile); err != nil {
				return err
			}
			in.Body.Secret = strings.TrimSpace(in.Body.Secret)
			in.Body.Name = args[0]
			var out api.SinkAdded
			if err := tellRunning(cmd, p, http.MethodPost, "/admin/sinks", in.Body, &out); err != nil {
				return err
			}
			if asJSON {
				return printAdminJSON(p, out)
			}
			fmt.Fprintf(p.Stderr, "all audit logs are streamed to %s; try it:  sess-server admin sink test %s\n", out.Sink.URL, out.Sink.Name)
			if out.Secret != "" {
				fmt.Fprintln(p.Stderr, "messages are signed with this secret, shown once:")
				fmt.Fprintln(p.Stdout, out.Secret)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.URL, "to", "", "the receiver's `URL`: https://…, tls://HOST:PORT, tcp://HOST:PORT or unix:///PATH")
	f.StringVar(&in.Body.Format, "format", "json", "`FORMAT` of events: json, as they are in the log, or ocsf")
	f.StringVar(&secretFile, "secret-file", "", "webhook: sign with the secret in `FILE` (whsec_…) instead of a new one")
	f.StringVar(&caFile, "ca-file", "", "trust the certificate authorities in `FILE` (PEM), too")
	f.BoolVar(&in.Body.FromStart, "from-start", false, "begin with the first event there is, instead of the next one")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// sinkFile reads a small file; no name, nothing.
func sinkFile(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSinkFile+1))
	if err != nil {
		return "", sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
	}
	if len(b) == 0 || len(b) > maxSinkFile {
		return "", sess.New(sess.CodeInvalid, fmt.Sprintf("%s is empty, or over %d bytes", path, maxSinkFile), "")
	}
	return string(b), nil
}

func printAdminJSON(p Process, v any) error {
	enc := json.NewEncoder(p.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func whenOrNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func adminSinkList(p Process) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List where all audit logs are streamed, newest first",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out api.SinkList
			if err := askRunning(cmd, p, http.MethodGet, "/admin/sinks", &out); err != nil {
				return err
			}
			if asJSON {
				return printAdminJSON(p, out.Items)
			}
			w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tTO\tFORMAT\tDELIVERED\tSTATE")
			for _, s := range out.Items {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.URL, s.Format, whenOrNever(s.DeliveredAt), s.State(time.Now()))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func adminSinkShow(p Process) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show NAME", Short: "Show where all audit logs are streamed, how many events wait, and what went wrong",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var s api.Sink
			if err := askRunning(cmd, p, http.MethodGet, sinkPath("/admin/sink", args[0]), &s); err != nil {
				return err
			}
			if asJSON {
				return printAdminJSON(p, s)
			}
			w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "Name\t%s\nTo\t%s\nFormat\t%s\nState\t%s\nWaiting\t%d\n", s.Name, s.URL, s.Format, s.State(time.Now()), s.Waiting)
			if s.WaitingFrom != nil {
				fmt.Fprintf(w, "Waiting since\t%s\n", whenOrNever(s.WaitingFrom))
			}
			fmt.Fprintf(w, "Last delivered\t%s\n", whenOrNever(s.DeliveredAt))
			if s.Failures > 0 {
				fmt.Fprintf(w, "Failures\t%d in a row, the last %s\n", s.Failures, whenOrNever(s.FailedAt))
			}
			fmt.Fprintf(w, "Created\t%s\nId\t%s\n", whenOrNever(&s.CreatedAt), s.ID)
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func adminSinkTest(p Process) *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Send a test message to where all audit logs are streamed",
		Long: "Has the server send a message that is no event, beside the stream. A problem is said on standard error, and the exit\ncode is 1.",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out api.SinkTestOut
			if err := askRunning(cmd, p, http.MethodPost, sinkPath("/admin/sink/test", args[0]), &out); err != nil {
				return err
			}
			if !out.OK {
				return sess.New(sess.CodeUnavailable, args[0]+" took no test message: "+out.Problem, "")
			}
			fmt.Fprintln(p.Stdout, "taken")
			return nil
		},
	}
}

func adminSinkRemove(p Process) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Stream the audit logs to a place no more",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out struct{}
			if err := askRunning(cmd, p, http.MethodDelete, sinkPath("/admin/sink", args[0]), &out); err != nil {
				return err
			}
			fmt.Fprintf(p.Stderr, "removed %s\n", args[0])
			return nil
		},
	}
}
