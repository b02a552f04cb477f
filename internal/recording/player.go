package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Player shows a recording as it went, or faster. The zero value plays at the pace of the recording.
type Player struct {
	Speed     float64       // 2 is twice as fast; 0: 1. Infinity writes without any pause
	IdleLimit time.Duration // the longest pause, before Speed; 0: as long as it was
	// Now and Sleep are for tests; nil: the clock. Sleep returns early, with an error, when the context ends.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	// OnResize is told the terminal's size, first of all and when it changes; nil: nobody.
	OnResize func(cols, rows uint16)
}

// Play writes the output of r to w, each piece at its time. It returns nil at the end, or the error of ctx, r or w.
func (p *Player) Play(ctx context.Context, r Records, w io.Writer) error {
	now, sleep := p.Now, p.Sleep
	if now == nil {
		now = time.Now
	}
	if sleep == nil {
		sleep = sleepContext
	}
	speed := p.Speed
	if speed <= 0 {
		speed = 1
	}
	ev := NewEvents(r)
	head, err := ev.Head()
	if err != nil {
		return fmt.Errorf("play recording: %w", err)
	}
	p.resize(head.Cols, head.Rows)
	begin := now()
	var last, due time.Duration // in the recording; in the play
	for {
		e, err := ev.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("play recording: %w", err)
		}
		if e.Kind == EventInput {
			continue
		}
		pause := max(0, e.Time-last)
		if p.IdleLimit > 0 {
			pause = min(pause, p.IdleLimit)
		}
		last, due = e.Time, due+time.Duration(float64(pause)/speed)
		if wait := due - now().Sub(begin); wait > 0 {
			if err := sleep(ctx, wait); err != nil {
				return err
			}
		} else if err := ctx.Err(); err != nil {
			return err
		}
		if e.Kind == EventResize {
			p.resize(e.Size.Cols, e.Size.Rows)
		} else if _, err := w.Write(e.Data); err != nil {
			return fmt.Errorf("play recording: %w", err)
		}
	}
}

func (p *Player) resize(cols, rows uint16) {
	if p.OnResize != nil {
		p.OnResize(cols, rows)
	}
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
