package relay

import (
	"context"
	"slices"

	"github.com/sessctl/sess/internal/sess"
)

// A session that needs moderators runs only while so many are connected. Without them it stands still by the means that any
// join has: everyone is asked where they stand, and nobody gets a go. So neither input nor output passes, nothing is
// lost, and when enough moderators are there it goes on where it was. For how long it may stand still is the broker's.

// lacking says how many moderators have to come before the session runs; the caller holds mu.
func (s *session) lacking() int {
	if s.need == 0 || s.exited || s.ended || s.end != nil {
		return 0
	}
	n := 0
	for _, g := range s.guests {
		if g.role == sess.JoinModerator && !g.out {
			n++
		}
	}
	return max(0, s.need-n)
}

// mayRun reports whether enough moderators are there, and tells the broker if that is news; the caller holds mu.
func (s *session) mayRun() bool {
	lacks := s.lacking()
	if s.need > 0 && (!s.settled || s.lacked != lacks) {
		s.settled, s.lacked = true, lacks
		if !s.exited && !s.ended { // else what is left is for its owner to fetch
			s.call(func(ctx context.Context) error { return s.relay.broker.Moderated(ctx, s.org, s.id, lacks) })
		}
	}
	return lacks == 0
}

// Moderate has a session run only while so many moderators are there, from now on. It never needs fewer than before.
func (r *Relay) Moderate(id sess.SessionID, n int) {
	r.mu.Lock()
	s := r.sessions[id]
	r.mu.Unlock()
	if s == nil {
		return // who joins says how many
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n <= s.need || s.end != nil {
		return
	}
	s.need = n
	if !slices.ContainsFunc(s.parties[:], func(p *party) bool { return p != nil && p.went }) {
		return // it does not run: whoever lets it go looks
	}
	if !s.settled {
		s.settled, s.lacked = true, 0
	}
	s.moderated()
}

// moderated does what follows from a moderator having come or gone; the caller holds mu.
func (s *session) moderated() {
	if !s.settled {
		return // it has not begun, or begins anew: whoever lets it go looks then
	}
	ran := s.lacked == 0
	switch runs := s.mayRun(); {
	case ran && !runs:
		s.newRound()
	case !ran && runs:
		s.tryGo()
	}
}
