package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/recording"
)

// playing is what play was asked for.
type playing struct {
	recording.Player
	as         string
	identities []string
}

func (a *app) recordingPlayCmd() *cobra.Command {
	p := &playing{}
	var speed float64
	var from string
	c := &cobra.Command{
		Use: "play SESSION|LINK|FILE", Short: "Replay a recording in this terminal",
		Long: "Shows what the session showed, at its pace or faster. At a terminal, " + client.ReplayHelp + ". In a pipe it\n" +
			"writes what the session wrote, at the same pace. --as text writes a transcript at once: lines as they stood, without\n" +
			"what only a terminal understands. --commands says which programs were started, and when: in the window's title, on\n" +
			"standard error in a pipe, in lines of their own in a transcript.",
		Example: "  sessctl recording play ses_4x2k --speed 4 --idle-limit 2s\n" +
			"  sessctl recording play ses_4x2k --from 3m\n" +
			"  sessctl recording play ses_4x2k --as text --commands | less\n" +
			"  sessctl recording play ses_4x2k --identity ~/.config/sess/key.txt",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			at, err := position(from)
			if err != nil || speed <= 0 || p.IdleLimit < 0 {
				return usagef(cmd, "--speed and --idle-limit are above 0, and --from is a time like 3m or 1:02:03")
			}
			p.Speed, p.From = speed, at
			switch p.as {
			case "":
				ids, err := a.identities(p.identities)
				if err != nil {
					return err
				}
				return a.play(cmd.Context(), argv[0], p.Player, ids)
			case "text":
				return a.exportRecording(cmd, argv[0], exporting{format: "text", output: "-", commands: p.Programs, identities: p.identities})
			}
			return usagef(cmd, "--as %s is not text", p.as)
		},
	}
	c.Flags().Float64Var(&speed, "speed", 1, "how many times as fast as it went")
	duration(c.Flags(), &p.IdleLimit, "idle-limit", 0, "show no pause longer than this `TIME`")
	c.Flags().StringVar(&from, "from", "", "begin at this `TIME` of the recording: 3m, or 1:02:03")
	c.Flags().BoolVar(&p.Programs, "commands", false, "say which programs were started, and let n and p go to the next and the previous")
	c.Flags().StringVar(&p.as, "as", "", "text: write a plain transcript instead")
	identityFlag(c, &p.identities)
	_ = c.RegisterFlagCompletionFunc("as", cobra.FixedCompletions([]string{"text"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// position reads a time in a recording: a duration, or a clock's time.
func position(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d, nil
	}
	for _, layout := range []string{"15:04:05", "4:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second, nil
		}
	}
	return 0, errors.New("no time")
}

// play shows a recording and leaves the terminal usable, however it ends.
func (a *app) play(ctx context.Context, session string, p recording.Player, ids []recording.Identity) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	body, err := a.recordingBytes(ctx, session)
	if err != nil {
		return err
	}
	defer body.Close()
	told := false
	p.OnResize = func(cols, rows uint16) {
		have, haveRows := a.size()
		if !told && have != 0 && (cols > have || rows > haveRows) {
			told = true
			a.note("sessctl: the session's terminal was %d×%d, and this one is smaller: %d×%d", cols, rows, have, haveRows)
		}
	}
	var last *recording.StreamReader
	if terminal(a.in) && terminal(a.out) {
		last, err = a.replay(ctx, body, p, ids)
	} else {
		last, err = a.playThrough(ctx, body, p, ids)
	}
	if last != nil {
		defer last.Close()
	}
	if errors.Is(err, context.Canceled) {
		return statusError(128 + int(syscall.SIGINT))
	}
	if err == nil {
		err = asked(session, last)
	}
	if err != nil {
		return broken(err)
	}
	return a.tellProblems(last)
}

// playThrough shows a recording once, from its beginning on.
func (a *app) playThrough(ctx context.Context, body io.Reader, p recording.Player, ids []recording.Identity) (*recording.StreamReader, error) {
	r, err := readRecording(body, ids)
	if err != nil {
		return nil, err
	}
	screen := client.NewScreen(a.out)
	defer screen.Restore()
	p.OnProgram = func(at time.Duration, command string) { a.note("%s %s", recording.Clock(at), command) }
	return r, p.Play(ctx, r, screen)
}

// replay lets a person steer. What was fetched is kept in a file without a name, to go back in.
func (a *app) replay(ctx context.Context, body io.Reader, p recording.Player, ids []recording.Identity) (*recording.StreamReader, error) {
	s, err := newSpool(body)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var open *recording.StreamReader
	again := func() (recording.Records, error) {
		r, err := readRecording(bufio.NewReader(s.reader()), ids)
		if err != nil {
			return nil, err
		}
		if open != nil {
			_ = open.Close()
		}
		open = r
		return r, nil
	}
	r, err := again()
	if err != nil {
		return open, err
	}
	return open, client.Replay(ctx, a.in, a.out, p, r, again)
}

// spool keeps what was read of a stream in a file, to be read again.
type spool struct {
	from io.Reader
	f    *os.File
	n    int64 // bytes of from in f
	err  error // of from: its end
}

func newSpool(from io.Reader) (*spool, error) {
	f, err := os.CreateTemp("", "sessctl-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // where an open file can't be removed, close does it
	return &spool{from: from, f: f}, nil
}

func (s *spool) close() {
	_ = s.f.Close()
	_ = os.Remove(s.f.Name())
}

// reader reads the stream from its beginning, and what was not fetched yet behind that.
func (s *spool) reader() io.Reader { return &spoolReader{s: s} }

type spoolReader struct {
	s  *spool
	at int64
}

// Read implements io.Reader.
func (r *spoolReader) Read(p []byte) (int, error) {
	s := r.s
	if r.at < s.n {
		n, err := s.f.ReadAt(p[:min(int64(len(p)), s.n-r.at)], r.at)
		r.at += int64(n)
		return n, err
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.from.Read(p)
	if n > 0 {
		if _, werr := s.f.WriteAt(p[:n], s.n); werr != nil {
			return 0, werr
		}
		s.n += int64(n)
		r.at = s.n
	}
	s.err = err
	return n, err
}
