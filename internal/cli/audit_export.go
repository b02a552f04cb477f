package cli

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) auditExportCmd() *cobra.Command {
	var output, format, since, until string
	c := &cobra.Command{
		Use: "export", Short: "Export the audit log, or a range of it, to be kept and verified elsewhere",
		Long: "Exports the log. As jsonl, the default, it can be verified offline (audit verify), a range too: with --since or --until the\n" +
			"file has all events from the first to the last place of that time, and the hashes that prove that they stand there.\n" +
			"As csv it is for spreadsheets, as ocsf (Open Cybersecurity Schema Framework 1.3, one JSON object a line) for a SIEM; these\n" +
			"can't be verified.",
		Example: "  sessctl audit export --output audit.jsonl\n  sessctl audit verify audit.jsonl --key KEY\n" +
			"  sessctl audit export --since 2026-01-01 --until 2026-02-01 --format csv -o january.csv",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			q := url.Values{"format": {format}}
			for key, text := range map[string]string{"since": since, "until": until} {
				at, err := a.momentText(text)
				if err != nil {
					return err
				}
				if at != "" {
					q.Set(key, at)
				}
			}
			body, err := a.downloadWith(cmd.Context(), api.PathAuditExport, q)
			if err != nil {
				return err
			}
			defer body.Close()
			return a.save(output, body)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`; - is standard output")
	choice(c, &format, "format", "jsonl", "in this `FORMAT`", "jsonl", "csv", "ocsf")
	a.period(c.Flags(), &since, &until, "only events written at this `TIME` or later", "only events written before this `TIME`")
	return c
}

// download begins to fetch a stream of bytes of the API.
func (a *app) download(ctx context.Context, path string) (io.ReadCloser, error) {
	return a.downloadWith(ctx, path, nil)
}

func (a *app) downloadWith(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	c, err := a.open()
	if err != nil {
		return nil, err
	}
	defer a.busy("asking the server")()
	resp, err := c.API.Do(ctx, "GET", path, q, nil) //nolint:bodyclose // the caller closes it
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// save writes r to a file, whole or not at all, or to standard output.
func (a *app) save(path string, r io.Reader) error {
	return a.saveWith(path, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}

func (a *app) saveWith(path string, write func(io.Writer) error) error {
	if path == "-" {
		return broken(write(a.bytesOut()))
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return sess.Wrap(err, sess.CodeInvalid, "can't write "+path, "")
	}
	defer os.Remove(f.Name())
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return broken(err)
}

// broken says that a download did not come to its end.
func broken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return sess.Wrap(err, sess.CodeUnavailable, "the connection broke before the end", "try again")
	}
	return err
}
