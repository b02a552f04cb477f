package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/sess"
)

// maxCheckpoints bounds a file of checkpoints, in bytes: a witness's has one for each time it looked.
const maxCheckpoints = 256 << 20

func (a *app) auditProveCmd() *cobra.Command {
	var output, from string
	c := &cobra.Command{
		Use: "prove [EVENT]", Short: "Have the server prove that an event is in its log, or that the log only grew",
		Long: "Prints a proof that an event stands in its place in the log, with the event itself: \"audit verify --proof\" checks it\n" +
			"without the server and without the rest of the log. With --from it prints a proof that the log only grew since that\n" +
			"checkpoint, for \"audit verify --from --proof\".",
		Example: "  sessctl audit prove evt_4x2k7mq3a5n6b2c8 > proof.json\n  sessctl audit verify --proof proof.json --key KEY\n" +
			"  sessctl audit prove --from old.checkpoint > grew.json\n  sessctl audit verify --from old.checkpoint --proof grew.json --key KEY",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if (len(argv) == 0) == (from == "") {
				return usagef(cmd, "name an EVENT, or a checkpoint by --from")
			}
			if from != "" {
				size, err := a.checkpointSize(from)
				if err != nil {
					return err
				}
				p, err := a.consistencyProof(cmd.Context(), "", size, 0)
				if err != nil {
					return err
				}
				return a.saveWith(output, func(w io.Writer) error { return encodeJSON(w, p) })
			}
			p, err := call(cmd.Context(), a, "the server proves it", api.ProveEvent, api.ProveIn{Event: argv[0]})
			if err != nil {
				return err
			}
			return a.saveWith(output, func(w io.Writer) error { return encodeJSON(w, p) })
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`; - is standard output")
	c.Flags().StringVar(&from, "from", "", "prove that the log only grew since the checkpoint in `FILE`")
	return c
}

// checkpointSize reads how many events a checkpoint is over. Who signed it matters to who verifies the proof.
func (a *app) checkpointSize(path string) (int64, error) {
	signed, err := a.readCheckpoint(path)
	if err != nil {
		return 0, err
	}
	lines := strings.SplitN(signed, "\n", 3)
	if len(lines) == 3 {
		if n, err := strconv.ParseInt(lines[1], 10, 64); err == nil && n >= 0 {
			return n, nil
		}
	}
	return 0, sess.New(sess.CodeInvalid, path+" holds no signed checkpoint", "make one with sessctl audit checkpoint or sessctl audit witness")
}

func (a *app) auditCheckpointCmd() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "checkpoint", Short: "Print the newest signed checkpoint of the log",
		Long: "Prints the newest checkpoint: how many events the log has and the root of the tree over them, signed by the server. Kept\n" +
			"where the server's owner can't reach it, it shows later that the log was not rewritten (audit verify --from, or\n" +
			"--checkpoint with an export). \"audit witness\" keeps them by itself.",
		Example: "  sessctl audit checkpoint -o today.checkpoint",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, "asking the server", api.GetCheckpoint, api.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out)
			}
			return a.saveWith(output, func(w io.Writer) error {
				_, err := io.WriteString(w, out.Checkpoint)
				return err
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "-", "write to `FILE`; - is standard output")
	return a.jsonFlag(c)
}

// readCheckpoint reads a signed checkpoint from a file: by itself, or the last one of a witness's file.
func (a *app) readCheckpoint(path string) (string, error) {
	text, err := a.textFile(path, maxCheckpoints)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(text, "{") {
		return text, nil
	}
	lines := bytes.Split(bytes.TrimSpace([]byte(text)), []byte("\n"))
	var w audit.Witnessed
	if err := json.Unmarshal(lines[len(lines)-1], &w); err != nil || w.Checkpoint == "" {
		return "", sess.New(sess.CodeInvalid, path+" holds no signed checkpoint", "make one with sessctl audit checkpoint or sessctl audit witness")
	}
	return w.Checkpoint, nil
}

// openCheckpoint reads a checkpoint and checks who signed it.
func (a *app) openCheckpoint(path, vkey string) (audit.Checkpoint, error) {
	signed, err := a.readCheckpoint(path)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	c, err := audit.OpenCheckpoint(signed, vkey)
	if err != nil {
		return c, sess.Wrap(err, sess.CodeInvalid, path+" is no checkpoint of this key's", "")
	}
	return c, nil
}

func (a *app) readProof(path string) (audit.Proof, error) {
	text, err := a.textFile(path, audit.MaxProof)
	if err != nil {
		return audit.Proof{}, err
	}
	return audit.ParseProof([]byte(text))
}

// provedEvent is what audit verify --proof --json prints.
type provedEvent struct {
	OK      bool            `json:"ok"`
	Problem string          `json:"problem,omitempty"`
	Log     string          `json:"log,omitempty"`
	Index   int64           `json:"index"`
	Size    int64           `json:"size"`
	Event   json.RawMessage `json:"event,omitempty"`
}

func (a *app) verifyEvent(path, vkey string) error {
	p, err := a.readProof(path)
	if err != nil {
		return err
	}
	if p.Kind == audit.ProofConsistency {
		return sess.New(sess.CodeInvalid, "this proves that a log grew, from a checkpoint that is not in it", "name that with --from FILE")
	}
	e, c, err := p.VerifyEvent(vkey)
	out := provedEvent{OK: err == nil, Log: c.Log, Index: p.Index, Size: c.Size}
	if err != nil {
		out.Problem = err.Error()
	} else {
		out.Event = json.RawMessage(p.Event)
	}
	switch {
	case a.json:
		err = a.printJSON(out)
	case out.OK:
		err = a.printFields(append([]field{{"Result", "the event is in the log"}, {"Log", fmt.Sprintf("%s, of %d events", c.Log, c.Size)}}, eventFields(a, p.Index, e)...))
	default:
		err = a.printFields([]field{{"Result", "NOT PROVED"}, {"Problem", out.Problem}})
	}
	if err == nil && !out.OK {
		err = statusError(exitFailure)
	}
	return err
}

// consistent is what audit verify --from --json prints.
type consistent struct {
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
	Log     string `json:"log"`
	From    int64  `json:"from"`
	To      int64  `json:"to"`
}

func (a *app) verifyConsistency(ctx context.Context, vkey string, f verifyFlags) error {
	from, err := a.openCheckpoint(f.from, vkey)
	if err != nil {
		return err
	}
	out := consistent{Log: from.Log, From: from.Size}
	var to audit.Checkpoint
	if f.to != "" {
		if to, err = a.openCheckpoint(f.to, vkey); err != nil {
			return err
		}
		out.To = to.Size
	}
	var proved audit.Checkpoint
	if f.to != "" && (to.Size <= from.Size || from.Size == 0) { // nothing has to be proved
		proved, err = to, audit.Grew(from, to, nil)
	} else {
		var p audit.Proof
		if p, err = a.consistencyProof(ctx, f.proof, from.Size, to.Size); err != nil {
			return err
		}
		proved, err = p.VerifyConsistency(from, vkey)
	}
	out.To = proved.Size
	if err == nil && f.to != "" && (proved.Size != to.Size || proved.Root != to.Root) {
		err = errors.New("the proof is for another checkpoint than --to names")
		if proved.Size == to.Size {
			err = audit.ErrRewritten
		}
	}
	if f.to != "" && to.Log != from.Log {
		err = fmt.Errorf("the checkpoints are of the logs %q and %q", from.Log, to.Log)
	}
	return a.printConsistent(out, err)
}

// consistencyProof reads the proof, or asks the server for it.
func (a *app) consistencyProof(ctx context.Context, path string, from, to int64) (audit.Proof, error) {
	if path != "" {
		return a.readProof(path)
	}
	out, err := call(ctx, a, "the server proves it", api.ProveConsistency, api.ConsistencyIn{From: from, To: to})
	return audit.Proof(out), err
}

func (a *app) printConsistent(out consistent, problem error) error {
	out.OK = problem == nil
	if problem != nil {
		out.Problem = problem.Error()
	}
	var err error
	switch {
	case a.json:
		err = a.printJSON(out)
	case out.OK:
		err = a.printFields([]field{{"Result", "the log only grew"}, {"Log", out.Log}, {"Events", fmt.Sprintf("%d, then %d", out.From, out.To)}})
	default:
		err = a.printFields([]field{{"Result", "NOT PROVED"}, {"Problem", out.Problem}})
	}
	if err == nil && !out.OK {
		err = statusError(exitFailure)
	}
	return err
}
