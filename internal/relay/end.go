package relay

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func opposite(s sess.Side) sess.Side {
	if s == sess.SideClient {
		return sess.SideAgent
	}
	return sess.SideClient
}

// left takes p's connection out.
func (s *session) left(p *party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[sideIndex(p.side)].CompareAndSwap(p, nil)
	if s.parties[sideIndex(p.side)] != p {
		return // replaced
	}
	s.drop(p)
	_ = s.journal.Mark("leave", map[string]any{"side": p.side, "epoch": s.epoch, "gen": p.gen})
	s.call(of(p.request, s.presence(p.side, false)))
	if o := s.other(p); o != nil {
		s.tell(o, wire.Away, nil)
		s.tryGo()
		if p.side == sess.SideClient {
			s.awayTimer()
		}
	}
}

// awayTimer has output run on by itself when the owner stays away; the caller holds mu.
func (s *session) awayTimer() {
	if s.freeRun <= 0 || s.free || s.done {
		return
	}
	if s.freeing != nil {
		s.freeing.Stop()
	}
	if s.peerHere() { // somebody else works in it
		s.runFree()
		return
	}
	s.freeing = time.AfterFunc(s.freeRun, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.parties[sideIndex(sess.SideClient)] == nil {
			s.runFree()
		}
	})
}

// detach is the owner leaving on purpose.
func (s *session) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freeRun > 0 {
		s.runFree()
	}
}

// runFree lets output flow into the record alone; the caller holds mu. The next round ends it.
func (s *session) runFree() {
	s.free = true
	s.openOutput()
}

// openOutput makes the record the only receiver of what the agent sends; the caller holds mu.
func (s *session) openOutput() {
	for _, f := range s.flows {
		if f.sender == sess.SideAgent {
			f.known, f.C, f.L = true, everything, everything
		}
	}
	if a := s.parties[sideIndex(sess.SideAgent)]; a != nil && a.went {
		s.pushCredits(a)
	}
}

// allDone is a client saying that it has everything. It is let go once the exit is on record, so that what its user asks next
// finds the session ended: a list, and above all the start that a limit on sessions would refuse.
func (s *session) allDone(p *party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	s.openOutput()
	if a := s.parties[sideIndex(sess.SideAgent)]; a != nil && a.went {
		s.tell(a, wire.Done, nil)
	}
	s.call(func(ctx context.Context) error {
		return s.current(ctx, func(epoch uint64) error { return s.relay.broker.Delivered(ctx, s.org, s.id, epoch) })
	})
	if s.exited || s.ended {
		p.conn.Close()
		return
	}
	s.parting = p
	time.AfterFunc(lastWords, p.conn.Close) // it waits for less, if it is one of ours
}

// stateExit has the broker record how the process ended, then tells the agent; the caller holds mu. The agent repeats
// itself until then, so a try that fails needs no repetition here.
func (s *session) stateExit(statement []byte) {
	a := s.parties[sideIndex(sess.SideAgent)]
	if s.exited && a != nil {
		s.tell(a, wire.ExitOK, nil)
	}
	if s.exited || s.stating {
		return
	}
	var x wire.Exit
	if err := json.Unmarshal(statement, &x); err != nil {
		return
	}
	s.stating = true
	request := ""
	if a != nil {
		request = a.request
	}
	s.call(of(request, func(ctx context.Context) error {
		err := s.current(ctx, func(epoch uint64) error { return s.relay.broker.Exited(ctx, s.org, s.id, epoch, x) })
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stating = false
		if err != nil {
			return err
		}
		if !s.exited {
			s.exited, s.finals, s.status = true, x.Finals, &x.Exit
			if s.parting != nil {
				s.parting.conn.Close()
				s.parting = nil
			}
			_ = s.journal.Mark("exit", x)
			s.exitToGuests()
			s.moderated()
		}
		if a := s.parties[sideIndex(sess.SideAgent)]; a != nil {
			s.tell(a, wire.ExitOK, nil)
		}
		return nil
	}))
}

// cut ends the session here, now.
func (s *session) cut(f wire.EndFrame) {
	b, err := json.Marshal(f)
	if err != nil {
		return
	}
	for i := range s.conns { // without mu, which a write to a side that takes nothing may hold
		if p := s.conns[i].Load(); p != nil {
			time.AfterFunc(lastWords, p.conn.Close)
		}
	}
	s.mu.Lock()
	again := s.end != nil
	s.end = &f
	var told []*party
	for _, p := range s.parties {
		if p != nil {
			told = append(told, p)
		}
	}
	if !again {
		_ = s.journal.Mark("end", f)
	}
	s.cutGuests(f)
	s.mu.Unlock()
	var wg sync.WaitGroup // a side that takes nothing must not keep the other waiting
	for _, p := range told {
		time.AfterFunc(lastWords, p.conn.Close)
		wg.Go(func() {
			_ = p.conn.Write(wire.Header{Type: wire.End}, b)
			s.mu.Lock()
			p.went = false // what still comes is dropped
			p.release()
			s.mu.Unlock()
		})
	}
	wg.Wait()
}

// close brings the journal to disk, for good when the session is over. Nobody else uses the session any more.
func (s *session) close() {
	if s.journal == nil {
		return
	}
	s.mu.Lock()
	if s.freeing != nil {
		s.freeing.Stop()
	}
	over := s.over()
	s.mu.Unlock()
	if over {
		s.relay.finalise(s.org, s.id, s.journal)
		return
	}
	if _, err := s.journal.Close(false); err != nil && !errors.Is(err, recording.ErrClosed) {
		s.relay.log.Error("close journal", "session", s.id, "err", err)
	}
}

// over reports whether nothing can follow any more: the session was cut, or a client has everything and so has the
// record. A session that exited while its client was away is not over: its output waits at the agent. The caller holds
// mu.
func (s *session) over() bool {
	if s.end != nil {
		return true
	}
	if !s.exited && !s.ended || !s.done {
		return false
	}
	for _, f := range s.finals {
		if j, _ := s.journal.End(sess.SideAgent, wire.StreamID{Channel: f.Channel}); j < f.Offset {
			return false
		}
	}
	return true
}

// presence tells the broker that a side came or went.
func (s *session) presence(side sess.Side, here bool) func(context.Context) error {
	return func(ctx context.Context) error {
		err := s.current(ctx, func(epoch uint64) error {
			return s.relay.broker.Present(ctx, s.org, s.id, epoch, side, here)
		})
		if here && errors.Is(err, sess.ErrEnded) { // it ended between the ticket and the join
			s.cut(wire.EndFrame{Reason: sess.EndEnded, Message: sess.Public(err).Message})
			return nil
		}
		return err
	}
}

// current calls f with the session's epoch, and again when that has moved on meanwhile: the agent's ticket opens an epoch a
// moment before its connection is here. When no agent of the new epoch comes, the session is another node's: both
// connections are dropped.
func (s *session) current(ctx context.Context, f func(epoch uint64) error) error {
	for tries := 0; ; tries++ {
		s.mu.Lock()
		epoch := s.epoch
		s.mu.Unlock()
		err := f(epoch)
		if !errors.Is(err, sess.ErrMoved) {
			return err
		}
		if tries == epochTries {
			for i := range s.conns {
				if p := s.conns[i].Load(); p != nil {
					p.conn.Close()
				}
			}
			s.closeGuests()
			return err
		}
		select {
		case <-time.After(epochDelay):
		case <-ctx.Done():
			return err
		}
	}
}

// of has a call to the broker belong to the request that a connection began with.
func of(request string, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return f(sess.WithRequest(ctx, request)) }
}

// call queues a call to the broker. The calls of a session run one after another, beside the streams.
func (s *session) call(f func(context.Context) error) {
	s.cmu.Lock()
	defer s.cmu.Unlock()
	s.calls = append(s.calls, f)
	if s.calling {
		return
	}
	s.calling = true
	s.relay.mu.Lock()
	s.users++ // the session stays until it has said everything
	s.relay.joins.Add(1)
	s.relay.mu.Unlock()
	go func() {
		defer s.relay.leave(s)
		s.runCalls()
	}()
}

func (s *session) runCalls() {
	for {
		s.cmu.Lock()
		if len(s.calls) == 0 {
			s.calling = false
			s.cmu.Unlock()
			return
		}
		f := s.calls[0]
		s.calls = s.calls[1:]
		s.cmu.Unlock()
		err := f(s.relay.ctx)
		for tries := 0; err != nil && !errors.Is(err, sess.ErrMoved) && tries < 3 && s.relay.ctx.Err() == nil; tries++ {
			select {
			case <-time.After(retryDelay):
			case <-s.relay.ctx.Done():
			}
			err = f(s.relay.ctx)
		}
		if err != nil {
			s.relay.log.Warn("tell broker", "session", s.id, "err", err)
		}
	}
}
