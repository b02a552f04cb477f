package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// A session that needs moderators runs only while so many are connected. Without them it stands still by the means that any
// join has: everyone is asked where they stand, and nobody gets a go. So neither input nor output passes, nothing is
// lost, and when enough moderators are there it goes on where it was.

// moderatorWait is for how long a session stands still before it ends.
const moderatorWait = 10 * time.Minute

// lacking says how many moderators have to come before the session runs; the caller holds mu.
func (s *session) lacking() int {
	if s.need == 0 || s.exited || s.ended || s.end != nil {
		return 0
	}
	n := 0
	for _, g := range s.guests {
		if g.role == sess.JoinModerator {
			n++
		}
	}
	return max(0, s.need-n)
}

// moderated does what follows from a moderator having come or gone; the caller holds mu.
func (s *session) moderated() {
	if s.need == 0 {
		return
	}
	if lacks := s.lacking(); lacks > 0 {
		s.pause(lacks)
		return
	}
	if s.paused == nil {
		return
	}
	s.paused.Stop()
	s.paused = nil
	if s.exited { // what is left is for its owner to fetch
		s.tryGo()
		return
	}
	s.tellOwner("a moderator is here: the session goes on")
	s.call(func(ctx context.Context) error { return s.relay.broker.Moderated(ctx, s.org, s.id, true) })
	s.tryGo()
}

// pause has the session stand still; the caller holds mu.
func (s *session) pause(lacks int) {
	if s.paused == nil {
		s.paused = time.AfterFunc(moderatorWait, s.unmoderated)
		s.call(func(ctx context.Context) error { return s.relay.broker.Moderated(ctx, s.org, s.id, false) })
		s.newRound()
	}
	s.tellWaiting(lacks)
}

// tellWaiting tells the owner what the session waits for; the caller holds mu.
func (s *session) tellWaiting(lacks int) {
	whom := "a moderator"
	if lacks > 1 {
		whom = fmt.Sprintf("%d moderators", lacks)
	}
	s.tellOwner(fmt.Sprintf("waiting for %s: sessctl join %s --moderate; the session stands still, and ends in %s without", whom, s.id, moderatorWait))
}

// tellOwner shows the owner a line, without waiting.
func (s *session) tellOwner(text string) { s.relay.Notice(s.id, text) }

// unmoderated ends a session that nobody came to moderate.
func (s *session) unmoderated() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == nil || s.lacking() == 0 {
		return
	}
	s.call(func(ctx context.Context) error {
		return s.current(ctx, func(epoch uint64) error {
			return s.relay.broker.Failed(ctx, s.org, s.id, epoch, sess.EndUnmoderated, "no moderator was there for "+moderatorWait.String())
		})
	})
}
