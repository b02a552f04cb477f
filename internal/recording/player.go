package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sessctl/sess/internal/recording/vt"
)

// Player shows a recording as it went, or faster. The zero value plays at the pace of the recording.
type Player struct {
	Speed     float64       // 2 is twice as fast; 0: 1. Infinity writes without any pause
	IdleLimit time.Duration // the longest pause, before Speed; 0: as long as it was
	From      time.Duration // begin there, with the screen as it stood then; what ran without a terminal begins with what follows
	// Now and Sleep are for tests; nil: the clock. Sleep returns early, with an error, when the context ends.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	// OnResize is told the terminal's size, first of all and when it changes; nil: nobody.
	OnResize func(cols, rows uint16)
	// Steps steer the play, see Step; nil: nothing does. Again gives the recording from its beginning once more, to go back
	// in it. OnState is told where the play is after each step; nil: nobody.
	Steps   <-chan Step
	Again   func() (Records, error)
	OnState func(State)
	// Programs has OnProgram told of each program as it is started, and steps go from one to the next; what is skipped is
	// not told.
	Programs  bool
	OnProgram func(at time.Duration, command string)
}

// Step is what somebody asks of a play under way.
type Step struct {
	Pause   bool          // stop, or go on
	Seek    time.Duration // go so far on, or back
	Program int           // go on to the next start of a program (1), or back to the one before (-1)
	Speed   float64       // so many times as fast as until now; 0: as before
}

// State is where a play is.
type State struct {
	At      time.Duration // in the recording
	Speed   float64
	Paused  bool
	Program string // that was started last; empty: none was, or nobody asked
}

// Speeds that steps can reach.
const (
	minSpeed = 1.0 / 16
	maxSpeed = 64
)

// Play writes the output of r to w, each piece at its time. It returns nil at the end, or the error of ctx, r or w. What
// ran without a terminal is written as it is, or with the line ends of a terminal when there are Steps: w is one then.
func (p *Player) Play(ctx context.Context, r Records, w io.Writer) error {
	pl := &play{Player: *p, w: w, speed: p.Speed}
	if pl.Now == nil {
		pl.Now = time.Now
	}
	if pl.Sleep == nil {
		pl.Sleep = sleepContext
	}
	if pl.speed <= 0 {
		pl.speed = 1
	}
	if err := pl.open(r); err != nil {
		return playError(err)
	}
	pl.resize(pl.head.Cols, pl.head.Rows)
	pl.mark = pl.Now()
	if p.From > 0 {
		if err := pl.seek(p.From); err != nil {
			return playError(err)
		}
	}
	if p.Steps == nil {
		pl.term = nil // nobody will go elsewhere
	}
	return playError(pl.run(ctx))
}

// playError leaves errors that say everything as they are.
func playError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("play recording: %w", err)
}

// play is one Play.
type play struct {
	Player
	w      io.Writer
	ev     *Events
	head   Head
	term   *vt.Terminal // what is shown, for those who want to go elsewhere; nil: not kept
	ends   lineEnds
	next   *Event        // read, and not shown yet
	over   bool          // there is none after next
	at     time.Duration // in the recording
	mark   time.Time     // when that was, or should have been
	speed  float64
	paused bool
	cols   uint16
	rows   uint16
	// With Programs: when those up to here were started, and the last one.
	starts  []time.Duration
	command string
}

// open begins with the recording r.
func (pl *play) open(r Records) error {
	pl.ev = NewEvents(r)
	if pl.Programs {
		pl.ev = NewEventsWithPrograms(r)
	}
	head, err := pl.ev.Head()
	if err != nil {
		return err
	}
	pl.head, pl.at, pl.next, pl.over, pl.term = head, 0, nil, false, nil
	pl.ends, pl.starts, pl.command = lineEnds{}, nil, ""
	pl.cols, pl.rows = head.Cols, head.Rows
	if pl.Steps != nil || pl.From > 0 && head.TTY {
		pl.term = vt.New(int(head.Cols), int(head.Rows))
	}
	return nil
}

func (pl *play) run(ctx context.Context) error {
	for {
		if err := pl.fetch(); err != nil {
			return err
		}
		if pl.over && (!pl.paused || pl.Steps == nil) {
			return nil
		}
		step, err := pl.wait(ctx)
		switch {
		case err != nil:
			return err
		case step != nil:
			err = pl.steer(*step)
		default:
			err = pl.show()
		}
		if err != nil {
			return err
		}
	}
}

// fetch makes sure that the next event is there, or that there is none.
func (pl *play) fetch() error {
	for pl.next == nil && !pl.over {
		e, err := pl.ev.Next()
		switch {
		case errors.Is(err, io.EOF):
			pl.over = true
		case err != nil:
			return err
		case e.Kind != EventInput:
			pl.next = &e
		}
	}
	return nil
}

// wait returns when the next event is due, or with a step that came before.
func (pl *play) wait(ctx context.Context) (*Step, error) {
	if pl.paused {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case s := <-pl.Steps:
			pl.mark = pl.Now()
			return &s, nil
		}
	}
	pause := max(0, pl.next.Time-pl.at)
	if pl.IdleLimit > 0 {
		pause = min(pause, pl.IdleLimit)
	}
	due := pl.mark.Add(time.Duration(float64(pause) / pl.speed))
	left := due.Sub(pl.Now())
	if pl.Steps == nil {
		if left > 0 {
			if err := pl.Sleep(ctx, left); err != nil {
				return nil, err
			}
		}
		pl.mark = due
		return nil, ctx.Err()
	}
	timer := time.NewTimer(max(0, left))
	defer timer.Stop()
	select {
	case <-timer.C:
		pl.mark = due
		return nil, ctx.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	case s := <-pl.Steps:
		now := pl.Now()
		gone := time.Duration(float64(now.Sub(pl.mark)) * min(pl.speed, maxSpeed))
		// What the idle limit leaves out of a pause is its beginning: whoever stops in it does not wait for it again.
		pl.at = min(max(pl.at, pl.next.Time-pause)+max(0, gone), pl.next.Time)
		pl.mark = now
		return &s, nil
	}
}

func (pl *play) steer(s Step) error {
	if s.Pause {
		pl.paused = !pl.paused
	}
	if s.Speed > 0 {
		pl.speed = min(max(pl.speed*s.Speed, minSpeed), maxSpeed)
	}
	var err error
	switch {
	case s.Seek != 0:
		err = pl.seek(max(0, pl.at+s.Seek))
	case s.Program != 0:
		err = pl.seekProgram(s.Program > 0)
	}
	if err == nil {
		pl.tellState()
	}
	return err
}

func (pl *play) tellState() {
	if pl.OnState != nil {
		pl.OnState(State{At: pl.at, Speed: pl.speed, Paused: pl.paused, Program: pl.command})
	}
}

// seek goes to a time and shows the screen as it stood there.
func (pl *play) seek(to time.Duration) error {
	if to < pl.at {
		r, err := pl.Again()
		if err != nil {
			return err
		}
		if err := pl.open(r); err != nil {
			return err
		}
	}
	last, err := pl.skip(func(e *Event) bool { return e.Time > to })
	if err != nil {
		return err
	}
	if pl.over {
		to = min(to, max(pl.at, last))
	}
	pl.at, pl.mark = to, pl.Now()
	pl.resize(pl.cols, pl.rows)
	if pl.term == nil {
		return nil
	}
	_, err = pl.w.Write(pl.term.Screen())
	return err
}

// skip moves over events until one that stop wants to be the next, or to the end, and tells the time of the last.
func (pl *play) skip(stop func(*Event) bool) (last time.Duration, err error) {
	for last = pl.at; ; {
		if err := pl.fetch(); err != nil {
			return last, err
		}
		if pl.over || stop(pl.next) {
			return last, nil
		}
		last = pl.next.Time
		pl.take()
	}
}

// seekProgram goes on to the next start of a program, or to the end; or back to the one that was started last, or, shortly
// behind that, to the one before, or to the beginning.
func (pl *play) seekProgram(on bool) error {
	if on {
		to, err := pl.skip(func(e *Event) bool { return e.Kind == EventProgram && e.Time > pl.at })
		if err != nil {
			return err
		}
		if pl.at = to; !pl.over {
			to = pl.next.Time
		}
		return pl.seek(to)
	}
	n := len(pl.starts)
	for n > 0 && pl.starts[n-1] > pl.at-shortly {
		n--
	}
	if n == 0 {
		return pl.seek(0)
	}
	return pl.seek(pl.starts[n-1])
}

// shortly is how long behind the start of a program a step back means the one before.
const shortly = time.Second

// show writes the next event.
func (pl *play) show() error {
	e := pl.next
	pl.at = e.Time
	if e.Kind == EventResize {
		pl.resize(e.Size.Cols, e.Size.Rows)
	}
	data := pl.take()
	if e.Kind == EventProgram {
		if pl.OnProgram != nil {
			pl.OnProgram(e.Time, string(e.Data))
		}
		pl.tellState()
		return nil
	}
	if len(data) == 0 {
		return nil
	}
	_, err := pl.w.Write(data)
	return err
}

// take moves what is shown behind the next event and gives its bytes as a terminal takes them.
func (pl *play) take() []byte {
	e := pl.next
	pl.next = nil
	if e.Kind == EventProgram {
		pl.starts, pl.command = append(pl.starts, e.Time), string(e.Data)
		return nil
	}
	if e.Kind == EventResize {
		pl.cols, pl.rows = e.Size.Cols, e.Size.Rows
		if pl.term != nil {
			pl.term.Resize(int(e.Size.Cols), int(e.Size.Rows))
		}
		return nil
	}
	data := e.Data
	if !pl.head.TTY && pl.Steps != nil {
		data = pl.ends.add(data)
	}
	if pl.term != nil {
		_, _ = pl.term.Write(data) // never fails
	}
	return data
}

func (pl *play) resize(cols, rows uint16) {
	if pl.OnResize != nil {
		pl.OnResize(cols, rows)
	}
}

// lineEnds turns LF into CR LF, as a terminal's driver does, where there was no terminal.
type lineEnds struct{ cr bool }

func (l *lineEnds) add(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/16+1)
	for _, c := range b {
		if c == '\n' && !l.cr {
			out = append(out, '\r')
		}
		l.cr = c == '\r'
		out = append(out, c)
	}
	return out
}

func sleepContext(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
