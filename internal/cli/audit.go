package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) auditCmd() *cobra.Command {
	return parent("audit", "Read, export and verify the audit log", a.auditListCmd(), a.auditExportCmd(), a.auditVerifyCmd())
}

func (a *app) auditListCmd() *cobra.Command {
	in := api.AuditIn{}
	l := &lister[auditRow]{
		head: []string{"TIME", "WHO", "ACTION", "OUTCOME", "ON", "FROM", "REASON"},
		none: "no events",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]auditRow, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListAudit, in)
			rows := make([]auditRow, len(out.Items))
			for i, e := range out.Items {
				rows[i] = auditRow{Index: e.Index, Event: e.Raw}
			}
			return rows, out.Next, err
		},
		row: func(r auditRow) []string {
			e, err := audit.DecodeEvent(r.Event)
			if err != nil {
				return []string{"", "", "", "", "", "", "event that can't be read: " + err.Error()}
			}
			on := e.On.Name
			if on == "" {
				on = e.On.ID
			}
			if e.Session != "" && on != string(e.Session) {
				on = strings.TrimSpace(on + " " + string(e.Session))
			}
			outcome := string(e.Outcome)
			if e.Count > 1 {
				outcome = fmt.Sprintf("%s ×%d", outcome, e.Count)
			}
			return []string{a.when(e.Time), e.Who.Name, e.Action, outcome, on, e.Who.Address, e.Reason}
		},
	}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List events, newest first",
		Example: "  sessctl audit list --outcome refused\n  sessctl audit list --session ses_4x2k --json",
	}
	c.Flags().StringVar(&in.Action, "action", "", "only this `ACTION`, such as session:start")
	c.Flags().StringVar(&in.Who, "who", "", "only of this user")
	c.Flags().StringVar(&in.Session, "session", "", "only about this `SESSION`")
	c.Flags().StringVar(&in.Outcome, "outcome", "", "only allowed, refused or failed")
	_ = c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions([]string{"allowed", "refused", "failed"}, cobra.ShellCompDirectiveNoFileComp))
	return l.command(a, c, true)
}

// auditRow is an event as audit list --json prints it: its place, -1 before it has one, and what the log has verbatim.
type auditRow struct {
	Index int64           `json:"index"`
	Event json.RawMessage `json:"event"`
}

func (a *app) auditExportCmd() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "export", Short: "Export the audit log, to be kept and verified elsewhere",
		Example: "  sessctl audit export --output audit.jsonl\n  sessctl audit verify audit.jsonl --key KEY",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := a.download(cmd.Context(), api.PathAuditExport)
			if err != nil {
				return err
			}
			defer body.Close()
			return a.save(output, body)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`; - is standard output")
	return c
}

// download begins to fetch a stream of bytes of the API.
func (a *app) download(ctx context.Context, path string) (io.ReadCloser, error) {
	c, err := a.open()
	if err != nil {
		return nil, err
	}
	defer a.busy("asking the server")()
	resp, err := c.API.Do(ctx, "GET", path, nil, nil) //nolint:bodyclose // the caller closes it
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
		return broken(write(a.out))
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

func (a *app) auditVerifyCmd() *cobra.Command {
	var vkey, keyFile, checkpoint string
	c := &cobra.Command{
		Use: "verify [FILE]", Short: "Verify an exported audit log offline, or have the server check its own",
		Long: "With FILE (- for standard input), checks an export by itself: every event's bytes, their order and number, and the\n" +
			"signed checkpoints, against the server's verifier key. It needs no server and no login. Without FILE the server\n" +
			"checks its own log. The exit code is 1 when anything is wrong.",
		Example: "  sessctl audit verify\n  sessctl audit verify audit.jsonl --key sess.example.com+1a2b3c4d+A…\n" +
			"  sessctl audit verify audit.jsonl --key-file server.vkey --checkpoint last-month.checkpoint",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if len(argv) == 0 {
				if vkey != "" || keyFile != "" || checkpoint != "" {
					return usagef(cmd, "--key and --checkpoint are for a FILE")
				}
				return a.verifyServer(cmd.Context())
			}
			if keyFile != "" {
				k, err := a.secretFile(keyFile)
				if err != nil {
					return err
				}
				vkey = k
			}
			if vkey == "" {
				return usagef(cmd, "name the server's verifier key with --key: the one in the file proves nothing")
			}
			return a.verifyFile(argv[0], strings.TrimSpace(vkey), checkpoint)
		},
	}
	c.Flags().StringVar(&vkey, "key", "", "the server's verifier `KEY`, kept since long ago: audit verify --json shows it")
	c.Flags().StringVar(&keyFile, "key-file", "", "read the key from `FILE`")
	c.Flags().StringVar(&checkpoint, "checkpoint", "", "a signed checkpoint kept from earlier, in `FILE`: the log must go on from it unchanged")
	c.MarkFlagsMutuallyExclusive("key", "key-file")
	return a.jsonFlag(c)
}

// maxCheckpoint bounds a checkpoint's file, in bytes.
const maxCheckpoint = 64 << 10

func (a *app) verifyFile(path, vkey, checkpoint string) error {
	var o audit.Options
	if checkpoint != "" {
		f, err := os.Open(checkpoint)
		if err != nil {
			return sess.Wrap(err, sess.CodeInvalid, "can't read "+checkpoint, "")
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxCheckpoint))
		if err != nil {
			return sess.Wrap(err, sess.CodeInvalid, "can't read "+checkpoint, "")
		}
		o.Checkpoint = string(b)
	}
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
		}
		defer f.Close()
		in = f
	}
	r, err := audit.Verify(in, vkey, o)
	if err != nil {
		return err
	}
	v := verified{OK: r.OK(), Log: r.Log, Size: r.Size, Unplaced: r.Unplaced, Root: r.Root, Checkpoint: r.Checkpoint}
	for _, p := range r.Problems {
		v.Problems = append(v.Problems, p.String())
	}
	if r.More > 0 {
		v.Problems = append(v.Problems, fmt.Sprintf("and %d more", r.More))
	}
	return a.printVerified(v)
}

func (a *app) verifyServer(ctx context.Context) error {
	out, err := call(ctx, a, "the server checks its log", api.VerifyAudit, api.None{})
	if err != nil {
		return err
	}
	return a.printVerified(verified{
		OK: out.OK, Size: out.Size, Unplaced: out.Unplaced, Root: out.Root, Checkpoint: out.Checkpoint, Problems: out.Problems,
	})
}

// verified is what audit verify --json prints.
type verified struct {
	OK         bool     `json:"ok"`
	Log        string   `json:"log,omitempty"`
	Size       int64    `json:"size"`
	Unplaced   int64    `json:"unplaced"`
	Root       string   `json:"root"`
	Checkpoint string   `json:"checkpoint"`
	Problems   []string `json:"problems,omitempty"`
}

func (a *app) printVerified(v verified) error {
	if a.json {
		if err := a.printJSON(v); err != nil {
			return err
		}
	} else {
		verdict := "the log is whole and unaltered"
		if !v.OK {
			verdict = "THE LOG IS NOT WHOLE OR WAS ALTERED"
		}
		fields := []field{
			{"Result", verdict},
			{"Log", v.Log},
			{"Events", fmt.Sprint(v.Size)},
			{"Waiting for a place", fmt.Sprint(v.Unplaced)},
			{"Root", v.Root},
		}
		for _, p := range v.Problems {
			fields = append(fields, field{"Problem", p})
		}
		if err := a.printFields(fields); err != nil {
			return err
		}
	}
	if !v.OK {
		return statusError(exitFailure)
	}
	return nil
}
