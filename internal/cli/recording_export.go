package cli

import (
	"bufio"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

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

// exporting is what export was asked for.
type exporting struct {
	format, output string
	input          bool
	commands       bool
	identities     []string
}

func (a *app) recordingExportCmd() *cobra.Command {
	var x exporting
	c := &cobra.Command{
		Use: "export SESSION|LINK|FILE", Short: "Export a recording as asciicast, as text, or as it is stored",
		Long: "Writes a recording to standard output or a file: cast is asciicast v2, which asciinema plays; text is a\n" +
			"transcript of the output; raw is the recording itself, with its digests, and encrypted if it is.",
		Example: "  sessctl recording export ses_4x2k --format cast -o demo.cast && asciinema play demo.cast",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.exportRecording(cmd, argv[0], x)
		},
	}
	choice(c, &x.format, "format", "cast", "in this `FORMAT`", "cast", "text", "raw")
	c.Flags().StringVarP(&x.output, "output", "o", "-", "write to `FILE`; - is standard output")
	c.Flags().BoolVar(&x.commands, "commands", false, "a marker for each program that was started; text: a line")
	c.Flags().BoolVar(&x.input, "input", false, "cast: what was typed, too, with a marker where another participant begins to type")
	identityFlag(c, &x.identities)
	return c
}

func (a *app) exportRecording(cmd *cobra.Command, session string, x exporting) error {
	if x.format == "raw" {
		body, err := a.recordingBytes(cmd.Context(), session)
		if err != nil {
			return err
		}
		defer body.Close()
		return a.save(x.output, body)
	}
	if x.format != "cast" && x.format != "text" {
		return usagef(cmd, "--format %s is none of cast, text and raw", x.format)
	}
	ids, err := a.identities(x.identities)
	if err != nil {
		return err
	}
	r, body, err := a.openRecording(cmd.Context(), session, ids)
	if err != nil {
		return err
	}
	defer body.Close()
	defer r.Close()
	err = a.saveWith(x.output, func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 64<<10)
		if x.format == "text" {
			err = recording.ExportText(r, b, x.commands)
		} else {
			err = recording.ExportCast(r, b, recording.CastOptions{Input: x.input, Programs: x.commands, Title: session})
		}
		return errors.Join(err, b.Flush())
	})
	if err != nil {
		return err
	}
	return a.tellProblems(r)
}
