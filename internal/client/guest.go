package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// GuestResult says how a session was left by somebody who was in it beside its owner.
type GuestResult struct {
	Left bool       // by the user: the session goes on
	Exit *sess.Exit // how its command ended, when that is why
	End  *EndedError
}

// Watch shows a session as its owner sees it, and passes on what a peer types, until it ends or the user leaves it. Without
// a terminal of ours the output is written as it comes.
func (g *Guest) Watch(ctx context.Context, o TerminalIO) (res GuestResult, err error) {
	t, err := openTerminal(o, func() {})
	if err != nil {
		return GuestResult{}, err
	}
	defer t.close()
	t.guest = g.Role
	d := &guestDriver{g: g, o: o, t: t, out: t, errs: o.Lines, typed: newTyped(), acts: make(chan action, 4), hung: make(chan struct{})}
	switch {
	case g.Terminal && isTerminal(o.Out):
		t.over = newOwnerScreen(t, g.Role.Types())
		d.out = t.over
	case isTerminal(o.Out): // a command's output, to be looked at
		d.out = recording.NewInertLines(t)
	}
	if isTerminal(o.Lines) {
		d.errs = recording.NewInertLines(o.Lines)
	}
	g.show, g.ui = d.show, t
	d.r = g.run(ctx, t)
	defer d.r.stop()
	if t.raw() {
		go t.guard(d.read)
	}
	if g.Role.Types() {
		go t.guard(d.send)
	}
	res, err = d.wait(ctx)
	d.typed.close()
	return res, err
}

type guestDriver struct {
	g     *Guest
	o     TerminalIO
	t     *terminal
	r     *running
	typed *typed

	out  io.Writer // takes the output
	errs io.Writer // takes the output to standard error
	acts chan action
	hung chan struct{} // closed when the user's terminal is gone
}

// show runs on the connection's reader.
func (d *guestDriver) show(h wire.Header, p []byte) error {
	switch h.Type { //nolint:exhaustive // there are no others
	case wire.Size:
		cols, rows, err := wire.DecodeSize(p)
		if err != nil {
			return err
		}
		if d.t.over != nil {
			d.t.over.sized(int(cols), int(rows))
		}
		return nil
	case wire.Screen:
		if h.Offset == 0 && d.t.over != nil {
			d.t.over.fresh()
		}
	case wire.Data:
		if h.Channel == wire.ChannelStderr {
			_, err := d.errs.Write(p)
			return err
		}
	}
	_, err := d.out.Write(p)
	return err
}

// read takes what the user types: escapes, and a peer's input.
func (d *guestDriver) read() {
	defer close(d.hung)
	esc := newEscapes(d.o.Escape)
	esc.stop = d.g.Role == sess.JoinModerator
	told := false // that nobody takes what is typed
	buf := make([]byte, 32<<10)
	var out []byte
	for {
		n, err := d.o.In.Read(buf)
		rest := buf[:n]
		for len(rest) > 0 {
			var a action
			out, a, rest = esc.feed(rest, out[:0])
			if d.g.Role.Types() && !d.typed.put(out) {
				return
			}
			if d.t.over != nil {
				d.t.over.typed()
			}
			if !d.g.Role.Types() && !told && strings.Trim(string(out), "\r\n") != "" { // Enter only comes before an escape
				told = true
				d.t.say(fmt.Sprintf("you are here as %s: what you type goes nowhere. %s? lists what you can do", d.g.Role, escapeName(d.o.Escape)))
			}
			switch a {
			case actionNone:
			case actionHelp:
				d.t.guestHelp(d.o.Escape)
			default:
				d.acts <- a
			}
		}
		if err != nil {
			return
		}
	}
}

// send passes on what a peer types.
func (d *guestDriver) send() {
	out := d.g.endpoint.Out(wire.ChannelMain)
	for {
		p, ok := d.typed.take()
		if !ok {
			return
		}
		if _, err := out.Write(p); err != nil {
			return
		}
	}
}

func (d *guestDriver) wait(ctx context.Context) (GuestResult, error) {
	resized := d.t.resized()
	people := newPeople(&d.g.Session, d.t, nil)
	for {
		select {
		case <-d.r.over:
			return d.ended()
		case <-resized:
			if d.t.over != nil {
				d.t.over.resized()
			}
		case a := <-d.acts:
			switch a { //nolint:exhaustive // the others are the owner's
			case actionEnd, actionDetach:
				d.g.leave()
				return GuestResult{Left: true}, nil
			case actionStop:
				if d.g.Role == sess.JoinModerator {
					go d.g.endQuietly(ctx, "by its moderator") // ends within endTimeout
				}
			case actionWho:
				people.act(ctx, a)
			}
		case <-d.o.Signals:
			d.g.leave()
			return GuestResult{Left: true}, nil
		case <-d.hung:
			d.g.leave()
			return GuestResult{Left: true}, nil
		}
	}
}

func (d *guestDriver) ended() (GuestResult, error) {
	var e *EndedError
	if errors.As(d.r.err, &e) {
		if e.End.Reason == sess.EndExit {
			return GuestResult{Exit: e.End.Exit, End: e}, nil
		}
		if e.End.Reason == sess.EndLocked { // on them, or on all of the session: they can't tell
			e = &EndedError{End: e.End, err: sess.New(sess.CodeLocked, "a lock put you out of the session: "+printable(e.End.Message), lockedHint)}
		}
		return GuestResult{End: e}, e
	}
	return GuestResult{}, d.r.err
}
