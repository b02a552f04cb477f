package agent

import (
	"context"
	"errors"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/agent/programs"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// openPrograms asks the kernel to tell which programs run in sessions, or notes why it does not.
func (a *Agent) openPrograms(ctx context.Context) {
	if a.opts.Config.NoPrograms {
		a.noPrograms = &programs.Unavailable{Code: sess.NoProgramsOff, Message: "the machine's owner has switched it off (programs = off)"}
	} else {
		w, err := programs.Open(ctx, a.log)
		if err != nil && !errors.As(err, &a.noPrograms) {
			a.noPrograms = &programs.Unavailable{Code: sess.NoProgramsFault, Message: "the kernel could not be asked", Err: err}
		}
		a.programs = w
		giveBack()
	}
	if a.noPrograms != nil {
		a.log.Warn("programs that run in sessions will not be listed", "reason", a.noPrograms.Code, "error", a.noPrograms)
	}
	a.report(func(s *Status) { s.Programs = a.programsState() })
}

// programsState is "on", or why not.
func (a *Agent) programsState() string {
	if a.noPrograms != nil {
		return a.noPrograms.Code + ": " + a.noPrograms.Message
	}
	return "on"
}

// follow begins the list of programs if the offer asks for it. sumUp ends it when the processes have ended; nil: there is
// no list.
func (s *session) follow() (trail process.Trail, sumUp func() *sess.ProgramsSum) {
	if !s.offer.Programs {
		return nil, func() *sess.ProgramsSum { return nil }
	}
	to := s.endpoint.Out(wire.ChannelPrograms)
	why := s.a.noPrograms
	if why == nil {
		t, err := s.a.programs.Follow(to)
		if err == nil {
			return t, func() *sess.ProgramsSum {
				sum := t.Finish()
				return &sum
			}
		}
		if !errors.As(err, &why) {
			why = &programs.Unavailable{Code: sess.NoProgramsFault, Message: "the kernel could not be asked", Err: err}
		}
		s.log.Error("follow programs", "error", err)
	}
	sum := programs.WriteNone(to, why)
	return nil, func() *sess.ProgramsSum { return &sum }
}
