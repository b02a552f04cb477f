package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// sessionFilter is which sessions are listed.
type sessionFilter struct {
	in                 api.SessionsIn
	all, ended, active bool
	since              string
}

func (f *sessionFilter) flags(a *app, c *cobra.Command) {
	fs := c.Flags()
	fs.BoolVarP(&f.all, "all", "a", false, "those that ended, too")
	fs.BoolVar(&f.ended, "ended", false, "only those that ended")
	fs.BoolVar(&f.active, "active", false, "only those that live, which is the default")
	fs.StringVar(&f.in.Instance, "instance", "", "only those on `INSTANCE`, by its name or id")
	fs.StringVar(&f.in.User, "user", "", "only those of `USER`, an e-mail address, name or id")
	fs.StringVar(&f.in.Project, "project", "", "only those in `PROJECT`")
	choice(c, &f.in.Kind, "kind", "", "only those of this `KIND`", slices.Sorted(maps.Keys(sess.Kinds))...)
	fs.StringSliceVar(&f.in.Label, "label", nil, "only those on instances with this label, `NAME=VALUE`; may be repeated")
	a.period(fs, &f.since, nil, "only those that began at this `TIME` or later", "")
	fs.BoolVar(&f.in.Mine, "mine", false, "only my own")
	fs.StringVar(&f.in.Tag, "tag", "", "only those that were started with this tag, `NAME=VALUE`")
	fs.BoolVar(&f.in.Shared, "shared", false, "only those of others that are shared with me, which sessctl join takes")
	c.MarkFlagsMutuallyExclusive("all", "ended", "active", "shared")
	c.MarkFlagsMutuallyExclusive("mine", "shared")
	_ = c.RegisterFlagCompletionFunc("instance", a.completeInstances)
}

// fill completes what is asked for.
func (f *sessionFilter) fill(a *app) error {
	f.in.State = "live"
	switch {
	case f.all:
		f.in.State = "all"
	case f.ended:
		f.in.State = "ended"
	}
	var err error
	f.in.Since, err = a.momentText(f.since)
	return err
}

func (a *app) sessionListCmd() *cobra.Command {
	var f sessionFilter
	looked := false
	l := &lister[api.Session]{
		head: []string{"SESSION", "KIND", "STATE", "INSTANCE", "USER", "STARTED", "COMMAND", "OS USER", "FROM", "IDLE", "THERE", "RECORDING", "BYTES"},
		more: []string{"WITH", "SHARED", "REASON"},
		none: "no sessions",
		usual: func() []string {
			if f.in.Shared {
				return []string{"session", "kind", "instance", "user", "started", "shared", "reason"}
			}
			return nil
		},
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Session, string, error) {
			if err := f.fill(a); err != nil {
				return nil, "", err
			}
			f.in.Page = p
			out, err := api.Call(ctx, c, api.ListSessions, f.in)
			if err == nil && len(out.Items) == 0 && !looked {
				err = a.exist(ctx, c, "", f.in.Instance, f.in.Project)
			}
			looked = true
			return out.Items, out.Next, err
		},
		row: func(s api.Session) []string { return a.sessionRow(s) },
	}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List sessions: the live ones, newest first",
		Long: "Lists who is on what: as which user there (in the agent's words, once it runs), from where, since when, idle for how long,\n" +
			"how many are connected to it, whether it is recorded, and the bytes it moved. With --all or --ended the history, too.\n" +
			"Live sessions of others that are shared with you are among them. The column with (--columns) names who is in a session\n" +
			"beside its owner, as what and since when; shared, as what it is shared with you.",
		Example: "  sessctl session list --watch\n  sessctl session list --all --instance web-1 --json\n" +
			"  sessctl session list --ended --user ann@example.com --since 7d --kind shell\n  sessctl session list --label env=prod\n" +
			"  sessctl session list --shared --columns session,user,instance,shared\n  sessctl session list --columns session,user,there,with",
	}
	f.flags(a, c)
	return l.command(a, c, true)
}

func (a *app) sessionRow(s api.Session) []string {
	state := string(s.State)
	if s.State == sess.StateEnded {
		state = endedState(s)
	}
	as := s.RanAs
	if as == "" {
		as = s.OSUser
	}
	there, idle := "", ""
	if s.State != sess.StateEnded {
		there = fmt.Sprint(s.Connected)
		if s.ActiveAt != nil {
			idle = max(0, a.now().Sub(*s.ActiveAt)).Truncate(time.Second).String()
		}
	}
	return []string{
		string(s.ID), string(s.Kind), state, s.InstanceName, s.UserName, a.when(s.CreatedAt), strings.Join(s.Command, " "), as, s.ClientAddr, idle, there,
		string(s.RecordingState), fmt.Sprint(s.Bytes.In + s.Bytes.Out + s.Bytes.Err),
		a.withText(s), string(s.Shared), s.Reason,
	}
}

// withText names who is in a session of a list beside its owner.
func (a *app) withText(s api.Session) string {
	with := make([]string, 0, len(s.Participants))
	for _, p := range s.Participants {
		text := p.UserName + " (" + p.Role
		if p.JoinedAt != nil {
			text += " since " + a.when(*p.JoinedAt)
		}
		if !p.Here {
			text += ", connection lost"
		}
		with = append(with, text+")")
	}
	return strings.Join(with, ", ")
}

// exist reports which thing that a filter names is not there, as far as one may know: nothing was found by it, and a slip
// of the keyboard must not read as good news.
func (a *app) exist(ctx context.Context, c *api.Client, user, instance, project string) error {
	var errs []error
	if user != "" {
		_, err := api.Call(ctx, c, api.GetUser, api.UserRef{User: user})
		errs = append(errs, err)
	}
	if instance != "" {
		_, err := api.Call(ctx, c, api.GetInstance, api.InstanceRef{Instance: instance})
		errs = append(errs, err)
	}
	if project != "" {
		_, err := api.Call(ctx, c, api.GetProject, api.ProjectRef{Project: project})
		errs = append(errs, err)
	}
	for _, err := range errs {
		if errors.Is(err, sess.ErrNotFound) {
			return err
		}
	}
	return nil
}
