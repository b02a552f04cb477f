package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) recordingCmd() *cobra.Command {
	return parent("recording", "List, replay and export recordings of sessions", a.recordingListCmd(), a.recordingShowCmd(),
		a.recordingPlayCmd(), a.recordingExportCmd())
}

func (a *app) recordingListCmd() *cobra.Command {
	in := api.RecordingsIn{}
	l := &lister[api.Recording]{
		head: []string{"SESSION", "STATE", "KIND", "INSTANCE", "USER", "STARTED", "LENGTH", "SIZE"},
		none: "no recordings",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Recording, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListRecordings, in)
			return out.Items, out.Next, err
		},
		row: func(r api.Recording) []string {
			return []string{
				string(r.Session), string(r.State), string(r.Kind), r.InstanceName, r.UserName, a.when(r.StartedAt),
				length(r), size(uint64(max(0, r.Bytes))),
			}
		},
	}
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List recordings, newest first"}
	c.Flags().StringVar(&in.Instance, "instance", "", "only of sessions on `INSTANCE`")
	c.Flags().StringVar(&in.User, "user", "", "only of sessions of `USER`")
	return l.command(a, c, true)
}

func length(r api.Recording) string {
	return (time.Duration(r.DurationMS) * time.Millisecond).Round(time.Second).String()
}

func (a *app) recordingShowCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show SESSION", Short: "Show what is known of a session's recording",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := call(cmd.Context(), a, "asking the server", api.GetRecording, api.SessionRef{Session: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			return a.printFields([]field{
				{"Session", string(r.Session)},
				{"State", string(r.State)},
				{"Kind", string(r.Kind)},
				{"Instance", r.InstanceName},
				{"User", r.UserName},
				{"Started", a.when(r.StartedAt)},
				{"Length", length(r)},
				{"Recorded", size(uint64(max(0, r.Bytes)))},
				{"Stored", size(uint64(max(0, r.Stored)))},
				{"Digest", r.Digest},
				{"Problem", r.Problem},
			})
		},
	})
}

// openRecording begins to fetch a recording. Close both when done.
func (a *app) openRecording(ctx context.Context, session string) (*recording.StreamReader, io.Closer, error) {
	body, err := a.download(ctx, recordingPath(session))
	if err != nil {
		return nil, nil, err
	}
	r, err := recording.NewStreamReader(body)
	if err != nil {
		_ = body.Close()
		return nil, nil, broken(err)
	}
	return r, body, nil
}

func (a *app) recordingPlayCmd() *cobra.Command {
	var speed float64
	var idle time.Duration
	c := &cobra.Command{
		Use: "play SESSION", Short: "Replay a recording in this terminal",
		Long:    "Shows what the session showed, at its pace or faster. Ctrl-C stops.",
		Example: "  sessctl recording play ses_4x2k --speed 4 --idle-limit 2s",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if speed <= 0 || idle < 0 {
				return usagef(cmd, "--speed and --idle-limit are above 0")
			}
			return a.play(cmd.Context(), argv[0], recording.Player{Speed: speed, IdleLimit: idle})
		},
	}
	c.Flags().Float64Var(&speed, "speed", 1, "how many times as fast as it went")
	c.Flags().DurationVar(&idle, "idle-limit", 0, "show no pause longer than this `TIME`")
	return c
}

// play shows a recording and leaves the terminal usable, however it ends.
func (a *app) play(ctx context.Context, session string, p recording.Player) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, body, err := a.openRecording(ctx, session)
	if err != nil {
		return err
	}
	defer body.Close()
	defer r.Close()
	told := false
	p.OnResize = func(cols, rows uint16) {
		have, haveRows := a.size()
		if !told && have != 0 && (cols > have || rows > haveRows) {
			told = true
			a.note("sessctl: the session's terminal was %d×%d, and this one is smaller: %d×%d", cols, rows, have, haveRows)
		}
	}
	screen := client.NewScreen(a.out)
	err = p.Play(ctx, r, screen)
	screen.Restore()
	if errors.Is(err, context.Canceled) {
		return statusError(128 + int(syscall.SIGINT))
	}
	if err != nil {
		return broken(err)
	}
	return a.tellProblems(r)
}

// tellProblems says on standard error what a recording lacks.
func (a *app) tellProblems(r *recording.StreamReader) error {
	report := r.Report()
	if len(report.Problems) == 0 && report.Damaged == 0 {
		return nil
	}
	for _, p := range report.Problems {
		a.note("sessctl: %s", cell(p))
	}
	return sess.New(sess.CodeInvalid, "the recording is not whole: it is "+string(report.State), "what is left was shown")
}

func (a *app) recordingExportCmd() *cobra.Command {
	var format, output string
	var input bool
	c := &cobra.Command{
		Use: "export SESSION", Short: "Export a recording as asciicast, as text, or as it is stored",
		Long: "Writes a recording to standard output or a file: cast is asciicast v2, which asciinema plays; text is the output\n" +
			"alone; raw is the recording itself, with its digests.",
		Example: "  sessctl recording export ses_4x2k --format cast -o demo.cast && asciinema play demo.cast",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.exportRecording(cmd, argv[0], format, output, input)
		},
	}
	c.Flags().StringVar(&format, "format", "cast", "cast, text or raw")
	c.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`; - is standard output")
	c.Flags().BoolVar(&input, "input", false, "cast: what was typed, too")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"cast", "text", "raw"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) exportRecording(cmd *cobra.Command, session, format, output string, input bool) error {
	if format == "raw" {
		body, err := a.download(cmd.Context(), recordingPath(session))
		if err != nil {
			return err
		}
		defer body.Close()
		return a.save(output, body)
	}
	if format != "cast" && format != "text" {
		return usagef(cmd, "--format %s is none of cast, text and raw", format)
	}
	r, body, err := a.openRecording(cmd.Context(), session)
	if err != nil {
		return err
	}
	defer body.Close()
	defer r.Close()
	err = a.saveWith(output, func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 64<<10)
		if format == "text" {
			err = recording.ExportText(r, b)
		} else {
			err = recording.ExportCast(r, b, recording.CastOptions{Input: input, Title: session})
		}
		return errors.Join(err, b.Flush())
	})
	if err != nil {
		return err
	}
	return a.tellProblems(r)
}

// recordingPath is the path of a recording's bytes.
func recordingPath(session string) string {
	return strings.Replace(api.PathRecordingData, "{session}", url.PathEscape(session), 1)
}
