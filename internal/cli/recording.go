package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) recordingCmd() *cobra.Command {
	return parent("recording", "List, replay, search, share, export and verify recordings of sessions", a.recordingListCmd(), a.recordingShowCmd(),
		a.recordingPlayCmd(), a.recordingGrepCmd(), a.recordingExportCmd(), a.recordingVerifyCmd(),
		a.recordingShareCmd(), a.recordingSharesCmd(), a.recordingUnshareCmd(), a.recordingHoldCmd(), a.recordingReleaseCmd())
}

func (a *app) recordingListCmd() *cobra.Command {
	in := api.RecordingsIn{}
	looked := false
	l := &lister[api.Recording]{
		head: []string{"SESSION", "STATE", "KIND", "INSTANCE", "USER", "STARTED", "LENGTH", "SIZE", "ENCRYPTED TO"},
		none: "no recordings",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Recording, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListRecordings, in)
			if err == nil && len(out.Items) == 0 && !looked {
				err = a.exist(ctx, c, "", in.Instance, "")
			}
			looked = true
			return out.Items, out.Next, err
		},
		row: func(r api.Recording) []string {
			return []string{
				string(r.Session), string(r.State), string(r.Kind), r.InstanceName, r.UserName, a.when(r.StartedAt),
				length(r), sess.FormatSize(uint64(max(0, r.Bytes))), shortKeys(r.Recipients),
			}
		},
	}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List recordings, newest first",
		Example: "  sessctl recording list --user ann@example.com\n  sessctl recording list --instance web-1 --limit 0 --json",
	}
	c.Flags().StringVar(&in.Instance, "instance", "", "only of sessions on `INSTANCE`, by its name or id")
	c.Flags().StringVar(&in.User, "user", "", "only of sessions of `USER`, an e-mail address, name or id")
	_ = c.RegisterFlagCompletionFunc("instance", a.completeInstances)
	return l.command(a, c, true)
}

// held says since when a recording is held, by whom and why.
func held(h *api.Hold) string {
	if h == nil {
		return ""
	}
	text := "since " + h.Since.Local().Format("2006-01-02 15:04") + ", by " + h.By
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
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
			fields := []field{
				{"Session", string(r.Session)},
				{"State", string(r.State)},
				{"Kind", string(r.Kind)},
				{"Instance", r.InstanceName},
				{"User", r.UserName},
				{"Started", a.when(r.StartedAt)},
				{"Length", length(r)},
				{"Recorded", sess.FormatSize(uint64(max(0, r.Bytes)))},
				{"Stored", sess.FormatSize(uint64(max(0, r.Stored)))},
				{"Digest", r.Digest},
				{"Problem", r.Problem},
				{"Held", held(r.Hold)},
			}
			for _, k := range r.Recipients {
				fields = append(fields, field{"Encrypted to", k})
			}
			return a.printFields(fields)
		},
	})
}
