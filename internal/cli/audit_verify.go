package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/sess"
)

// verifyFlags are what audit verify is told.
type verifyFlags struct {
	key, keyFile, checkpoint, proof, from, to string
}

func (a *app) auditVerifyCmd() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use: "verify [FILE]", Short: "Verify an exported audit log or a proof offline, or have the server check its own log",
		Long: "With FILE (- for standard input), checks an export by itself: every event's bytes, their order and number, and the\n" +
			"signed checkpoints, against the server's verifier key. It needs no server and no login. With --proof it checks that one\n" +
			"event is in the log (audit prove); with --from and --to, that the log only grew between two checkpoints, by the proof that\n" +
			"--proof names or, without it, one that the server is asked for. Without any of these the server checks its own log.\n" +
			"The exit code is 1 when anything is wrong.",
		Example: "  sessctl audit verify\n  sessctl audit verify audit.jsonl --key sess.example.com+1a2b3c4d+A…\n" +
			"  sessctl audit verify audit.jsonl --key-file server.vkey --checkpoint last-month.checkpoint\n" +
			"  sessctl audit verify --proof proof.json --key-file server.vkey\n" +
			"  sessctl audit verify --from old.checkpoint --to new.checkpoint --key-file server.vkey",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			offline := len(argv) > 0 || f.proof != "" || f.from != "" || f.to != ""
			if !offline {
				if f.key != "" || f.keyFile != "" || f.checkpoint != "" {
					return usagef(cmd, "--key and --checkpoint are for a FILE or a proof")
				}
				return a.verifyServer(cmd.Context())
			}
			vkey, err := a.verifierKey(cmd, f.key, f.keyFile)
			if err != nil {
				return err
			}
			switch {
			case len(argv) > 0 && (f.proof != "" || f.from != "" || f.to != ""):
				return usagef(cmd, "a FILE needs no --proof, --from or --to")
			case len(argv) > 0:
				return a.verifyFile(argv[0], vkey, f.checkpoint)
			case f.from != "":
				return a.verifyConsistency(cmd.Context(), vkey, f)
			case f.to != "":
				return usagef(cmd, "--to goes with --from")
			}
			return a.verifyEvent(f.proof, vkey)
		},
	}
	c.Flags().StringVar(&f.key, "key", "", "the server's verifier `KEY`, kept since long ago: audit verify --json shows it")
	c.Flags().StringVar(&f.keyFile, "key-file", "", "read the key from `FILE`")
	c.Flags().StringVar(&f.checkpoint, "checkpoint", "", "a signed checkpoint kept from earlier, in `FILE`: the log must go on from it unchanged")
	c.Flags().StringVar(&f.proof, "proof", "", "check the proof in `FILE`")
	c.Flags().StringVar(&f.from, "from", "", "the earlier checkpoint, in `FILE`")
	c.Flags().StringVar(&f.to, "to", "", "the later checkpoint, in `FILE` (default: that of the proof, or the server's newest)")
	c.MarkFlagsMutuallyExclusive("key", "key-file")
	return a.jsonFlag(c)
}

// verifierKey gives the key that signatures are checked with.
func (a *app) verifierKey(cmd *cobra.Command, key, file string) (string, error) {
	if file != "" {
		k, err := a.secretFile(file)
		if err != nil {
			return "", err
		}
		key = k
	}
	if key == "" {
		return "", &usageError{cmd: cmd, err: sess.New(sess.CodeInvalid,
			"name the server's verifier key with --key or --key-file: the one in the file proves nothing",
			"take it from the server once, before you need it: sessctl audit verify --json shows it as key")}
	}
	return strings.TrimSpace(key), nil
}

func (a *app) verifyFile(path, vkey, checkpoint string) error {
	var o audit.Options
	if checkpoint != "" {
		signed, err := a.readCheckpoint(checkpoint)
		if err != nil {
			return err
		}
		o.Checkpoint = signed
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
	v := verified{OK: r.OK(), Log: r.Log, Size: r.Size, First: r.First, End: r.End, Unplaced: r.Unplaced, Root: r.Root, Checkpoint: r.Checkpoint}
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
		OK: out.OK, Size: out.Size, End: out.Size, Unplaced: out.Unplaced, Root: out.Root, Checkpoint: out.Checkpoint, Key: out.Key, Problems: out.Problems,
	})
}

// verified is what audit verify --json prints.
type verified struct {
	OK         bool     `json:"ok"`
	Log        string   `json:"log,omitempty"`
	Size       int64    `json:"size"`
	First      int64    `json:"first"` // with End: the places of the events that were looked at
	End        int64    `json:"end"`
	Unplaced   int64    `json:"unplaced"`
	Root       string   `json:"root"`
	Checkpoint string   `json:"checkpoint"`
	Key        string   `json:"key,omitempty"` // that the server says is its own: kept early, it verifies exports
	Problems   []string `json:"problems,omitempty"`
}

func (a *app) printVerified(v verified) error {
	if a.json {
		if err := a.printJSON(v); err != nil {
			return err
		}
	} else {
		verdict := "the log is whole and unaltered"
		if v.First > 0 || v.End < v.Size {
			verdict = "the range is whole and unaltered"
		}
		if !v.OK {
			verdict = "THE LOG IS NOT WHOLE OR WAS ALTERED"
		}
		fields := []field{
			{"Result", verdict},
			{"Log", v.Log},
			{"Events", events(v)},
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

func events(v verified) string {
	if v.First == 0 && v.End >= v.Size {
		return fmt.Sprint(v.Size)
	}
	return fmt.Sprintf("%d, from place %d to before %d, of a log of %d", v.End-v.First, v.First, v.End, v.Size)
}
