package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/sess"
)

// leastWitness is the least time between two looks of a witness: each is an event itself.
const leastWitness = time.Second

// witness keeps the checkpoints of a log that somebody else holds.
type witness struct {
	a    *app
	path string
	key  string
	last audit.Checkpoint
	any  bool // last is set
}

func (a *app) auditWitnessCmd() *cobra.Command {
	var output, key, keyFile string
	var every time.Duration
	var watch bool
	c := &cobra.Command{
		Use: "witness --output FILE", Short: "Keep the log's checkpoints, and tell when its history was rewritten",
		Long: "Fetches the newest signed checkpoint, has the server prove that its log only grew since the last one in FILE, and appends\n" +
			"it. Run where the server's owner can't reach FILE, it sees what nobody else can: that events were changed or taken away and\n" +
			"all was signed anew with the server's own key. Then it says so, keeps both checkpoints (the second in FILE.rewritten), and\n" +
			"exits with 1. Each look is an event itself, so it also tells when the log stands still. The first time, the verifier key is the one that --key names, or else what the server claims; later, the\n" +
			"one in FILE.",
		Example: "  sessctl audit witness --output sess.witness --key-file server.vkey\n  sessctl audit witness --output sess.witness --watch --every 5m",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output == "" {
				return usagef(cmd, "name the FILE to keep checkpoints in: --output FILE")
			}
			if every < leastWitness {
				return usagef(cmd, "--every %s is less than %s", every, leastWitness)
			}
			if key != "" || keyFile != "" {
				var err error
				if key, err = a.verifierKey(cmd, key, keyFile); err != nil {
					return err
				}
			}
			w := &witness{a: a, path: output, key: key}
			if err := w.open(); err != nil {
				return err
			}
			if !watch {
				return w.look(cmd.Context())
			}
			return w.watch(cmd.Context(), every)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "append checkpoints to `FILE`")
	c.Flags().StringVar(&key, "key", "", "the server's verifier `KEY`")
	c.Flags().StringVar(&keyFile, "key-file", "", "read the key from `FILE`")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "look again and again")
	duration(c.Flags(), &every, "every", time.Minute, "with --watch, look every `TIME`")
	c.MarkFlagsMutuallyExclusive("key", "key-file")
	return a.jsonFlag(c)
}

// open reads what was kept before.
func (w *witness) open() error {
	f, err := os.Open(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return sess.Wrap(err, sess.CodeInvalid, "can't read "+w.path, "")
	}
	defer f.Close()
	last, err := audit.ReadWitnessed(f)
	if err == nil && len(last) > 1 {
		err = errors.New("it is of several logs")
	}
	if err != nil {
		return sess.Wrap(err, sess.CodeInvalid, w.path+" is no file of a witness", "name another one; each log has its own")
	}
	for _, l := range last {
		if w.key == "" {
			w.key = l.Key
		}
		if w.last, err = audit.OpenCheckpoint(l.Checkpoint, w.key); err != nil {
			return sess.Wrap(err, sess.CodeInvalid, "the checkpoint in "+w.path+" is not signed by that key", "")
		}
		w.any = true
	}
	return nil
}

// watch looks again and again; only a rewritten log, or what does not pass by itself, ends it.
func (w *witness) watch(ctx context.Context, pause time.Duration) error {
	for {
		err := w.look(ctx)
		var e *sess.Error
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case err != nil && (!errors.As(err, &e) || e.Code != sess.CodeUnavailable && e.Code != sess.CodeLimited && e.Code != sess.CodeInternal):
			return err
		case err != nil:
			w.a.tell(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// look keeps the newest checkpoint, if it goes on from the last.
func (w *witness) look(ctx context.Context) error {
	out, err := call(ctx, w.a, "asking the server", api.GetCheckpoint, api.None{})
	if err != nil {
		return err
	}
	if w.key == "" {
		w.key = out.Key
		w.a.note("trusting the server's own word that its key is %s: compare it with what you know", cell(out.Key))
	}
	seen := audit.Witnessed{Time: w.a.now().UTC(), Log: out.Log, Size: out.Size, Checkpoint: out.Checkpoint, Key: w.key}
	c, err := audit.OpenCheckpoint(out.Checkpoint, w.key)
	if err != nil {
		return w.shout(seen, fmt.Errorf("the checkpoint is not signed by the key that is known: %w", err))
	}
	if w.any && c.Log != w.last.Log {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%s is of log %s, and this is %s", w.path, w.last.Log, cell(c.Log)), "name another file, or the organisation with --org")
	}
	if w.any {
		if err := w.grew(ctx, c, seen); err != nil {
			return err
		}
	}
	if w.any && c.Size == w.last.Size {
		return sess.New(sess.CodeUnavailable, fmt.Sprintf("the log stands still at %d events, though each look at it is one", c.Size),
			"the server can't sign, or what it shows is not the log as it is: look at the server's log, and keep this one's file")
	}
	if !w.any || c.Size > w.last.Size {
		if err := keep(w.path, seen); err != nil {
			return err
		}
	}
	said := w.last.Size
	w.last, w.any = c, true
	if w.a.json {
		return w.a.printJSON(consistent{OK: true, Log: c.Log, From: said, To: c.Size})
	}
	_, err = fmt.Fprintf(w.a.out, "%s\t%s\t%d events, and %d before: it only grew\n", seen.Time.Format(time.RFC3339), cell(c.Log), c.Size, said)
	return err
}

// grew has it proved that the log only grew, or shouts.
func (w *witness) grew(ctx context.Context, c audit.Checkpoint, seen audit.Witnessed) error {
	if c.Size <= w.last.Size || w.last.Size == 0 {
		return w.judge(seen, audit.Grew(w.last, c, nil))
	}
	out, err := call(ctx, w.a, "the server proves it", api.ProveConsistency, api.ConsistencyIn{From: w.last.Size, To: c.Size})
	if errors.Is(err, sess.ErrNotFound) {
		return w.judge(seen, fmt.Errorf("%w (the server has no proof: %w)", audit.ErrRewritten, err))
	}
	if err != nil {
		return err
	}
	proved, err := audit.Proof(out).VerifyConsistency(w.last, w.key)
	if err == nil && (proved.Size != c.Size || proved.Root != c.Root) {
		err = fmt.Errorf("%w (two roots are signed over %d events)", audit.ErrRewritten, c.Size)
	}
	return w.judge(seen, err)
}

func (w *witness) judge(seen audit.Witnessed, err error) error {
	if err == nil {
		return nil
	}
	return w.shout(seen, err)
}

// shout keeps what proves it and tells.
func (w *witness) shout(seen audit.Witnessed, cause error) error {
	if err := keep(w.path+".rewritten", seen); err != nil {
		w.a.tell(err)
	}
	if w.a.json {
		if err := w.a.printJSON(consistent{Problem: cause.Error(), Log: seen.Log, From: w.last.Size, To: seen.Size}); err != nil {
			return err
		}
	}
	w.a.note("sessctl: %s", cause.Error())
	w.a.note("hint: keep %s and %s.rewritten: both checkpoints are signed, and they contradict each other; docs/guides/prove-the-log.md", w.path, w.path)
	return statusError(exitFailure)
}

// keep appends a checkpoint to a file of them.
func keep(path string, seen audit.Witnessed) error {
	if err := audit.AppendWitnessed(path, seen); err != nil {
		return sess.Wrap(err, sess.CodeInvalid, "can't write "+path, "")
	}
	return nil
}
