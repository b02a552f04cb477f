package client

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/api"
)

// people is what somebody in a session does about the others there, by escapes: see who is there, let in who asks, put
// somebody out. Each act is a call to the server, beside the streams.
type people struct {
	s    *Session
	t    *terminal
	pick func(func(line string)) // has the user type a line: for whom to put out; nil: nobody is

	mu   sync.Mutex // protects the following
	busy bool
}

func newPeople(s *Session, t *terminal, pick func(func(string))) *people {
	return &people{s: s, t: t, pick: pick}
}

// peopleTimeout bounds one act.
const peopleTimeout = 15 * time.Second

// act begins an act and returns; while one is under way, others are dropped.
func (p *people) act(ctx context.Context, a action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy {
		return
	}
	p.busy = true
	go func() { // ends within peopleTimeout
		defer func() { p.mu.Lock(); p.busy = false; p.mu.Unlock() }()
		ctx, cancel := context.WithTimeout(ctx, peopleTimeout)
		defer cancel()
		if err := p.do(ctx, a); err != nil {
			p.t.say(printable(err.Error()))
		}
	}()
}

func (p *people) do(ctx context.Context, a action) error {
	row, err := api.Call(ctx, p.s.client.API, api.GetSession, api.SessionRef{Session: string(p.s.ID)})
	if err != nil {
		return err
	}
	var here, waiting []api.SessionParticipant
	for _, x := range row.Participants {
		switch {
		case x.Num == 0 || x.LeftAt != nil:
		case x.Waiting:
			waiting = append(waiting, x)
		default:
			here = append(here, x)
		}
	}
	switch a { //nolint:exhaustive // the others are no act about people
	case actionWho:
		p.list(row, here, waiting)
	case actionYes, actionNo:
		return p.answer(ctx, waiting, a == actionYes)
	case actionKick:
		return p.choose(ctx, here)
	}
	return nil
}

func (p *people) list(row api.Session, here, waiting []api.SessionParticipant) {
	lines := []string{"in this session:", "  owner      " + printable(row.UserName)}
	for _, x := range here {
		since := "on the way"
		if x.JoinedAt != nil {
			since = "since " + x.JoinedAt.Local().Format(time.TimeOnly)
			if !x.Here {
				since = "connection lost"
			}
		}
		lines = append(lines, fmt.Sprintf("  %-10s %s, %s (%d)", x.Role, printable(x.UserName), since, x.Num))
	}
	for _, x := range waiting {
		lines = append(lines, fmt.Sprintf("  asks       %s, as %s: ~y or ~n (%d)", printable(x.UserName), x.Role, x.Num))
	}
	p.t.say(strings.Join(lines, "\n"))
}

// answer answers the one who asks, or, where several do, the one whose number the user types: who asked first may not be whom
// they have just read of.
func (p *people) answer(ctx context.Context, waiting []api.SessionParticipant, allow bool) error {
	switch {
	case len(waiting) == 0:
		p.t.say("nobody asks to be let in")
	case len(waiting) == 1:
		return p.answerOne(ctx, waiting[0], allow)
	case p.pick == nil:
		p.t.say("several ask to be let in; at a terminal you can choose")
	default:
		question := "let whom in? type the number, then Enter; Enter alone: nobody"
		if !allow {
			question = "refuse whom? type the number, then Enter; Enter alone: nobody"
		}
		p.ask(ctx, question, waiting, "nobody was answered", func(ctx context.Context, num int64) error {
			for _, x := range waiting {
				if x.Num == num {
					return p.answerOne(ctx, x, allow)
				}
			}
			return fmt.Errorf("nobody who asks has the number %d", num)
		})
	}
	return nil
}

func (p *people) answerOne(ctx context.Context, x api.SessionParticipant, allow bool) error {
	var in api.AnswerIn
	in.Session, in.Participant, in.Body.Allow = string(p.s.ID), uint16(x.Num), allow //nolint:gosec // the server's numbers are small
	if _, err := api.Call(ctx, p.s.client.API, api.AnswerAsk, in); err != nil {
		return err
	}
	if !allow {
		p.t.say(printable(x.UserName) + " was not let in")
	}
	return nil
}

// ask has the user type the number of one of some people, and does then what is to be done about them.
func (p *people) ask(ctx context.Context, question string, whom []api.SessionParticipant, none string, do func(context.Context, int64) error) {
	lines := []string{question}
	for _, x := range whom {
		lines = append(lines, fmt.Sprintf("  %d  %s, %s", x.Num, printable(x.UserName), x.Role))
	}
	p.t.say(strings.Join(lines, "\n"))
	ctx = context.WithoutCancel(ctx)
	p.pick(func(line string) {
		num, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			p.t.say(none)
			return
		}
		go func() { // ends within peopleTimeout
			ctx, cancel := context.WithTimeout(ctx, peopleTimeout)
			defer cancel()
			if err := do(ctx, num); err != nil {
				p.t.say(printable(err.Error()))
			}
		}()
	})
}

// choose puts out the only other one, or asks whom.
func (p *people) choose(ctx context.Context, here []api.SessionParticipant) error {
	switch {
	case len(here) == 0:
		p.t.say("nobody else is here")
	case len(here) == 1:
		return p.kick(ctx, here[0].Num)
	case p.pick != nil:
		p.ask(ctx, "put out whom? type the number, then Enter; Enter alone: nobody", here, "nobody was put out", p.kick)
	}
	return nil
}

func (p *people) kick(ctx context.Context, num int64) error {
	var in api.KickIn
	in.Session, in.Body.Who = string(p.s.ID), strconv.FormatInt(num, 10)
	out, err := api.Call(ctx, p.s.client.API, api.KickGuest, in)
	if err != nil {
		return err
	}
	for _, x := range out.Participants {
		p.t.say(printable(x.UserName) + " was put out")
	}
	return nil
}
