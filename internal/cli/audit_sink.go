package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// maxCA bounds a file of certificates, in bytes.
const maxCA = 32 << 10

func (a *app) auditSinkCmd() *cobra.Command {
	return parent("sink", "Stream the audit log to a webhook or by syslog", a.sinkAddCmd(), a.sinkListCmd(), a.sinkShowCmd(), a.sinkTestCmd(), a.sinkRemoveCmd())
}

func (a *app) sinkAddCmd() *cobra.Command {
	var in api.SinkIn
	var secretFile, caFile string
	c := &cobra.Command{
		Use: "add NAME", Short: "Stream the audit log to a place from now on",
		Long: "Has the server send every event of the audit log, in order and at least once, to a webhook (https://…: batches of JSON,\n" +
			"signed as Standard Webhooks are) or a syslog receiver (tls://HOST:PORT: RFC 5424, octet-counted). What can't be delivered\n" +
			"waits in the log and is sent when the receiver is back. For a webhook the secret that its signatures are checked with is\n" +
			"printed, once.",
		Example: "  sessctl audit sink add siem --to https://siem.example.com/sess > siem.secret\n" +
			"  sessctl audit sink add logs --to tls://logs.example.com:6514 --ca-file ca.pem --format ocsf --from-start",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) (err error) {
			if in.Body.URL == "" {
				return usagef(cmd, "say where to: --to https://… or tls://HOST:PORT")
			}
			if secretFile != "" {
				if in.Body.Secret, err = a.secretFile(secretFile); err != nil {
					return err
				}
			}
			if caFile != "" {
				if in.Body.CA, err = a.textFile(caFile, maxCA); err != nil {
					return err
				}
			}
			in.Body.Name = argv[0]
			out, err := call(cmd.Context(), a, "setting up "+argv[0], api.CreateSink, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out)
			}
			a.note("the log is streamed to %s from place %d on; try it:  sessctl audit sink test %s", cell(out.Sink.URL), out.Sink.Next, cell(out.Sink.Name))
			if out.Secret != "" {
				a.note("messages are signed with this secret, shown once:")
				fmt.Fprintln(a.out, cell(out.Secret))
			}
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVar(&in.Body.URL, "to", "", "the receiver's `URL`: https://… or tls://HOST:PORT")
	choice(c, &in.Body.Format, "format", "json", "`FORMAT` of events, json is as they are in the log", "json", "ocsf")
	fl.StringVar(&secretFile, "secret-file", "", "webhook: sign with the secret in `FILE` (whsec_…), or standard input with -, instead of a new one")
	fl.StringVar(&caFile, "ca-file", "", "trust the certificate authorities in `FILE` (PEM), too")
	fl.BoolVar(&in.Body.FromStart, "from-start", false, "begin with the first event there is, instead of the next one")
	return a.jsonFlag(c)
}

func (a *app) sinkListCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List where the audit log is streamed, newest first", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, "asking the server", api.ListSinks, api.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out.Items)
			}
			if len(out.Items) == 0 {
				if terminal(a.out) {
					a.note("the log is streamed nowhere")
				}
				return nil
			}
			var rows [][]string
			for _, s := range out.Items {
				rows = append(rows, []string{s.Name, s.URL, s.Format, fmt.Sprint(s.Next), a.whenp(s.DeliveredAt), s.State(a.now())})
			}
			return a.printTable([]string{"NAME", "TO", "FORMAT", "NEXT", "DELIVERED", "STATE"}, rows)
		},
	}
	return a.jsonFlag(c)
}

func (a *app) sinkShowCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "show NAME", Short: "Show where the audit log is streamed, how far, and what went wrong", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			s, err := call(cmd.Context(), a, "asking the server", api.GetSink, api.SinkRef{Sink: argv[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s)
			}
			ca := ""
			if s.HasCA {
				ca = "its own, beside the system's"
			}
			fields := []field{
				{"Name", s.Name},
				{"Kind", s.Kind},
				{"To", s.URL},
				{"Format", s.Format},
				{"Authorities", ca},
				{"State", s.State(a.now())},
				{"Next event", fmt.Sprint(s.Next)},
				{"Waiting", fmt.Sprint(s.Waiting)},
				{"Waiting since", a.whenp(s.WaitingFrom)},
				{"Last delivered", a.whenp(s.DeliveredAt)},
			}
			if s.Failures > 0 {
				fields = append(fields, field{"Failures", fmt.Sprintf("%d in a row", s.Failures)}, field{"Last failure", a.whenp(s.FailedAt)})
			}
			return a.printFields(append(fields, field{"Created", a.when(s.CreatedAt)}, field{"By", s.CreatedBy}, field{"Id", s.ID}))
		},
	}
	return a.jsonFlag(c)
}

func (a *app) sinkTestCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "test NAME", Short: "Send a test message to where the audit log is streamed",
		Long: "Has the server send a message that is no event, beside the stream. A problem is said on standard error, and the exit\ncode is 1.",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			out, err := call(cmd.Context(), a, "trying "+argv[0], api.TestSink, api.SinkRef{Sink: argv[0]})
			if err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(out); err != nil {
					return err
				}
			}
			if !out.OK {
				return sess.New(sess.CodeUnavailable, argv[0]+" took no test message: "+out.Problem, "")
			}
			if !a.json {
				fmt.Fprintln(a.out, "taken")
			}
			return nil
		},
	}
	return a.jsonFlag(c)
}

func (a *app) sinkRemoveCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Stream the audit log to a place no more", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if !yes && terminal(a.in) {
				ok, err := a.confirm("Stop streaming the audit log to " + cell(argv[0]) + "?")
				if err != nil {
					return err
				}
				if !ok {
					return sess.New(sess.CodeInvalid, "nothing was removed", "")
				}
			}
			if _, err := call(cmd.Context(), a, "removing "+argv[0], api.RemoveSink, api.SinkRef{Sink: argv[0]}); err != nil {
				return err
			}
			a.note("removed %s", cell(argv[0]))
			return nil
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}
