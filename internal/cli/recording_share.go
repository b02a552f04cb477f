package cli

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) recordingShareCmd() *cobra.Command {
	var with string
	var ttl time.Duration
	c := &cobra.Command{
		Use: "share SESSION", Short: "Make a link with which others may replay a recording",
		Long: "Shares a recording of one's own with USER (an e-mail address or name), with group:GROUP, or with org: everybody in the\n" +
			"organisation. The link gives nothing by itself: opening it takes a login of one it was made for, and is in the audit\n" +
			"log. A role can forbid links. It prints the link alone on standard output.",
		Example: "  sessctl recording share ses_4x2k --with ann@example.com --ttl 24h\n  sessctl recording share ses_4x2k --with group:dba",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			in := api.RecordingShareIn{Session: argv[0]}
			var err error
			if in.Body.TTL, err = ttlSeconds(cmd, ttl); err != nil {
				return err
			}
			group, isGroup := strings.CutPrefix(with, "group:")
			switch {
			case with == "":
				return usagef(cmd, "say with whom: --with USER, --with group:GROUP or --with org")
			case isGroup:
				in.Body.Group = group
			case with == "org":
				in.Body.Everyone = true
			default:
				in.Body.User = with
			}
			s, err := call(cmd.Context(), a, "asking the server", api.ShareRecording, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s)
			}
			a.note("for %s, until %s; sessctl recording play LINK replays it", sharedWith(s), s.ExpiresAt.Local().Format("2006-01-02 15:04"))
			_, err = io.WriteString(a.out, cell(s.Link)+"\n")
			return err
		},
	}
	c.Flags().StringVar(&with, "with", "", "`WHOM`: a user, group:GROUP, or org")
	duration(c.Flags(), &ttl, "ttl", 7*24*time.Hour, "for how long")
	return a.jsonFlag(c)
}

func sharedWith(s api.RecordingShare) string {
	if s.With == "org" {
		return "everybody in the organisation"
	}
	return s.With + " " + s.WithName
}

func (a *app) recordingSharesCmd() *cobra.Command {
	in := api.RecordingSharesIn{}
	l := &lister[api.RecordingShare]{
		head: []string{"SHARE", "SESSION", "WITH", "BY", "SINCE", "UNTIL"},
		none: "nothing is shared",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.RecordingShare, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListRecordingShares, in)
			return out.Items, out.Next, err
		},
		row: func(s api.RecordingShare) []string {
			return []string{s.ID, string(s.Session), strings.TrimSpace(s.With + " " + s.WithName), s.By, a.when(s.CreatedAt), a.when(s.ExpiresAt)}
		},
	}
	c := &cobra.Command{Use: "shares", Short: "List shared recordings: one's own, and those one may see"}
	c.Flags().StringVar(&in.Session, "session", "", "only of this `SESSION`, its whole id")
	return l.command(a, c, false)
}

func (a *app) recordingUnshareCmd() *cobra.Command {
	return &cobra.Command{
		Use: "unshare SESSION SHARE", Short: "Take a shared recording back",
		Example: "  sessctl recording shares\n  sessctl recording unshare ses_4x2k rsh_9d2m",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			_, err := call(cmd.Context(), a, "asking the server", api.UnshareRecording, api.RecordingShareRef{Session: argv[0], Share: shareID(argv[1])})
			if err == nil {
				a.note("took %s back", cell(shareID(argv[1])))
			}
			return err
		},
	}
}

func (a *app) recordingHoldCmd() *cobra.Command {
	in := api.HoldIn{}
	c := &cobra.Command{
		Use: "hold SESSION", Short: "Keep a recording until it is released, whatever its age",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			in.Session = argv[0]
			r, err := call(cmd.Context(), a, "asking the server", api.HoldRecording, in)
			if err == nil && a.json {
				return a.printJSON(r)
			}
			if err == nil {
				a.note("held %s until it is released: sessctl recording release %s", r.Session, r.Session)
			}
			return err
		},
	}
	c.Flags().StringVar(&in.Body.Reason, "reason", "", "`TEXT` says why: it is on record")
	return a.jsonFlag(c)
}

func (a *app) recordingReleaseCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "release SESSION", Short: "Release a recording that was held",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			r, err := call(cmd.Context(), a, "asking the server", api.ReleaseRecording, api.SessionRef{Session: argv[0]})
			if err == nil && a.json {
				return a.printJSON(r)
			}
			if err == nil {
				a.note("released %s", r.Session)
			}
			return err
		},
	})
}

// shareID gives the id in a link to a shared recording; what is no link is left as it is.
func shareID(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return s
	}
	return u.Path[strings.LastIndexByte(u.Path, '/')+1:]
}

// sharePath gives the path of the bytes that a link leads to, and whether name is one. A link of another server is refused:
// the login that is used belongs to this one.
func (a *app) sharePath(name string) (path string, is bool, err error) {
	u, _ := url.Parse(name)
	if u == nil || u.Host == "" {
		return "", sess.ValidID("rsh", name), nil
	}
	c, err := a.open()
	if err != nil {
		return "", true, err
	}
	id := shareID(name)
	if !sess.ValidID("rsh", id) {
		return "", true, sess.New(sess.CodeInvalid, "this is no link to a recording", "sessctl recording share makes them")
	}
	if c.API.Base.Host != u.Host {
		return "", true, sess.Wrap(errors.New(u.Host), sess.CodeInvalid, "the link is of another server than the one you are logged in to", "log in there: sessctl login --server https://"+u.Host)
	}
	return id, true, nil
}
