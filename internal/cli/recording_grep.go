package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// grepping is what recording grep was asked for.
type grepping struct {
	in           api.RecordingsIn
	regex        bool
	ignoreCase   bool
	commands     bool
	since, until string
	limit        int // hits
	recordings   int // to look into
	from, to     time.Time
	match        *regexp.Regexp
	files        []string // of identities
	identities   []recording.Identity
}

// Bounds of a search that does not say more.
const (
	grepHits       = 1000
	grepRecordings = 1000
)

func (a *app) recordingGrepCmd() *cobra.Command {
	var g grepping
	c := &cobra.Command{
		Use: "grep TEXT [SESSION|FILE…]", Short: "Search recordings for lines with a text",
		Long: "Looks into the recordings that you may replay, newest first, or those that are named, and prints each line with TEXT as\n" +
			"soon as it is found: session, time in the recording, line. Lines are searched as they stood on the screen; rows of\n" +
			"full-screen programs too. Each recording that was looked into is in the audit log as a replay. What is not whole is\n" +
			"searched as far as it goes, and said on standard error, and so is what is encrypted to keys that --identity does not\n" +
			"have. The exit code is 1 when nothing was found, or not everything could be searched. --json prints one object a line.",
		Example: "  sessctl recording grep 'DROP TABLE' --since 30d\n" +
			"  sessctl recording grep -e 'rm -rf /(home|srv)' --instance db-1 --user ann@example.com\n" +
			"  sessctl recording grep --commands 'curl ' --since 7d",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if err := g.read(a, argv[0]); err != nil {
				return usagef(cmd, "%v", err)
			}
			var err error
			if g.identities, err = a.identities(g.files); err != nil {
				return err
			}
			return a.grep(cmd.Context(), &g, argv[1:])
		},
	}
	f := c.Flags()
	f.BoolVarP(&g.regex, "regexp", "e", false, "TEXT is a regular expression (RE2)")
	f.BoolVarP(&g.ignoreCase, "ignore-case", "i", false, "small and capital letters are the same")
	f.BoolVar(&g.commands, "commands", false, "the command lines of programs that ran, too, whether they were shown or not")
	f.StringVar(&g.in.Instance, "instance", "", "only of sessions on `INSTANCE`, by its name or id")
	f.StringVar(&g.in.User, "user", "", "only of sessions of `USER`, an e-mail address, name or id")
	a.period(f, &g.since, &g.until, "only of sessions that began at this `TIME` or later", "only of sessions that began before this `TIME`")
	f.IntVar(&g.limit, "limit", grepHits, "stop behind this `NUMBER` of lines; 0: never")
	identityFlag(c, &g.files)
	f.IntVar(&g.recordings, "recordings", grepRecordings, "look into at most this `NUMBER` of recordings; 0: all")
	return a.jsonFlag(c)
}

func (g *grepping) read(a *app, text string) error {
	var err error
	if g.from, err = a.moment(g.since); err != nil {
		return err
	}
	if g.to, err = a.moment(g.until); err != nil {
		return err
	}
	if g.limit < 0 || g.recordings < 0 || text == "" {
		return errors.New("TEXT is not empty, and --limit and --recordings are 0 or more")
	}
	if !g.regex {
		text = regexp.QuoteMeta(text)
	}
	if g.ignoreCase {
		text = "(?i)" + text
	}
	if g.match, err = regexp.Compile(text); err != nil {
		return fmt.Errorf("TEXT is no regular expression: %w", err)
	}
	return nil
}

// grepHit is what recording grep --json prints of each line it finds.
type grepHit struct {
	Session  sess.SessionID `json:"session"`
	Instance string         `json:"instance,omitempty"`
	User     string         `json:"user,omitempty"`
	Time     time.Time      `json:"time"`
	At       float64        `json:"at"` // seconds into the recording
	Line     string         `json:"line"`
	Screen   bool           `json:"screen,omitempty"`  // of a full-screen program
	Program  bool           `json:"program,omitempty"` // a program's command line
}

// search is a grep under way.
type search struct {
	*grepping
	a      *app
	hits   int
	looked int
	failed int
	sealed int             // encrypted, and not searched
	keys   map[string]bool // that those are encrypted to
}

// errEnough ends a search that found as much as it may.
var errEnough = errors.New("enough")

func (a *app) grep(ctx context.Context, g *grepping, names []string) error {
	s := &search{grepping: g, a: a, keys: map[string]bool{}}
	err := s.each(ctx, names)
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if errors.Is(err, errEnough) {
		a.note("sessctl: stopped behind %d lines in %d recordings: --limit and --recordings allow more", s.hits, s.looked)
	}
	if s.sealed > 0 {
		a.note("sessctl: %d encrypted recordings were not searched: --identity FILE with a secret key reads those that are encrypted to it: %s",
			s.sealed, cell(strings.Join(slices.Sorted(maps.Keys(s.keys)), ", ")))
	}
	switch {
	case s.failed == 0 && s.sealed > 0:
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%d of %d recordings were not searched", s.sealed, s.looked+s.sealed), "the others were")
	case s.failed > 0:
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%d of %d recordings could not be searched whole", s.failed, s.looked), "what is left of them was searched")
	case s.hits == 0:
		return statusError(exitFailure)
	}
	return nil
}

// each looks into the recordings that are named, or all that fit, newest first.
func (s *search) each(ctx context.Context, names []string) error {
	for _, n := range names {
		if err := s.look(ctx, n); err != nil {
			return err
		}
	}
	if len(names) > 0 {
		return nil
	}
	c, err := s.a.open()
	if err != nil {
		return err
	}
	s.in.Page = api.Page{Limit: api.MaxPage}
	for {
		out, err := api.Call(ctx, c.API, api.ListRecordings, s.in)
		if err != nil {
			return err
		}
		for _, r := range out.Items {
			if r.StartedAt.Before(s.from) {
				return nil // newest first: all others are older
			}
			if !s.to.IsZero() && !r.StartedAt.Before(s.to) || !replayable(r.State) {
				continue
			}
			if unreadable(len(r.Recipients) > 0, r.Recipients, s.identities) != nil {
				s.skip(r.Recipients) // it need not be fetched to find out
				continue
			}
			if s.recordings > 0 && s.looked >= s.recordings {
				return errEnough
			}
			if err := s.look(ctx, string(r.Session)); err != nil {
				return err
			}
		}
		if out.Next == "" || out.Next == s.in.After {
			return nil
		}
		s.in.After = out.Next
	}
}

// maxNamedKeys bounds how many keys are named that recordings are encrypted to.
const maxNamedKeys = 64

// skip counts a recording that can't be read.
func (s *search) skip(to []string) {
	s.sealed++
	for _, k := range to {
		if len(s.keys) < maxNamedKeys {
			s.keys[k] = true
		}
	}
}

// replayable reports whether there is something to replay.
func replayable(s sess.RecordingState) bool {
	return s == sess.RecordingActive || s == sess.RecordingComplete || s == sess.RecordingIncomplete
}

// look searches one recording. One that can't be read is said, and does not keep others from being searched.
func (s *search) look(ctx context.Context, name string) error {
	s.looked++
	r, body, err := s.a.openRecording(ctx, name, s.identities)
	if err == nil {
		meta := r.Meta()
		err = recording.EachLine(r, s.commands, func(l recording.Line) error { return s.line(&meta, l) })
		if problems := r.Report().Problems; err == nil && len(problems) > 0 {
			err = errors.New(problems[0])
		}
		_ = r.Close()
		_ = body.Close()
	}
	var out *outputError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errEnough) || errors.As(err, &out) || ctx.Err() != nil || ExitCode(err) == exitLogin:
		return err
	}
	s.failed++
	message, _ := describe(broken(err))
	s.a.note("sessctl: %s: %s", name, message)
	return nil
}

// outputError says that what was found can't be written.
type outputError struct{ error }

func (s *search) line(meta *recording.Meta, l recording.Line) error {
	if !s.match.MatchString(l.Text) {
		return nil
	}
	s.hits++
	var err error
	if s.a.json {
		err = jsonLine(s.a.out, grepHit{
			Session: meta.Session, Instance: meta.InstanceName, User: meta.User, Time: meta.Started.Add(l.Time).UTC(),
			At: l.Time.Seconds(), Line: l.Text, Screen: l.Screen, Program: l.Program,
		})
	} else {
		text := cell(l.Text)
		if l.Program {
			text = "[" + text + "]"
		}
		_, err = io.WriteString(s.a.out, strings.Join([]string{cell(string(meta.Session)), recording.Clock(l.Time), text}, "\t")+"\n")
	}
	if err != nil {
		return &outputError{err}
	}
	if s.limit > 0 && s.hits >= s.limit {
		return errEnough
	}
	return nil
}
