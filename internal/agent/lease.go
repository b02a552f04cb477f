package agent

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

const (
	// leaseLook is how often a session looks whether there was word from a server.
	leaseLook = time.Second
	// leaseParts is into how many parts a lease is divided: after one of them without word, a word is asked for.
	leaseParts = 3
	// maxLapsed bounds the sessions of which the next hello says that their lease ran out.
	maxLapsed = 256
)

// voice is a connection by which a server can be heard: *link.Conn is one.
type voice interface {
	// Heard counts what was read from the server. It is inside the connection's TLS: whoever cuts, delays or answers in the
	// server's place adds nothing to it.
	Heard() uint64
	// Ask has the server say something, without waiting for it.
	Ask()
}

// lease is for how long a session lives on without word from a server: on the control link once that is welcomed, or on the
// session's own stream. It is looked at about once a second, and counts to that. The clock goes on while the machine sleeps, and a lease that
// ran out by then has run out, whatever is heard the moment after.
type lease struct {
	time  time.Duration
	clock func() time.Duration
	at    time.Duration // when there was word last
	last  [2]heard      // by control link and by stream
}

// heard is how much was heard by a connection when one looked last.
type heard struct {
	by voice
	n  uint64
}

func newLease(d time.Duration, clock func() time.Duration) lease {
	return lease{time: d, clock: clock, at: clock()}
}

// every is how often to look.
func (l *lease) every() time.Duration {
	return max(min(leaseLook, l.time/(2*leaseParts)), time.Millisecond)
}

// lasts looks at the connections there are, nil for none, and reports whether the lease goes on. Where there was no word for
// a third of it, one is asked for.
func (l *lease) lasts(control, stream voice) bool {
	now := l.clock()
	if now-l.at >= l.time {
		return false
	}
	for i, v := range []voice{control, stream} {
		var is heard
		if v != nil {
			is = heard{v, v.Heard()}
		}
		if v != nil && is != l.last[i] {
			l.at = now
		}
		l.last[i] = is
	}
	if now-l.at < l.time/leaseParts {
		return true
	}
	for _, v := range []voice{control, stream} {
		if v != nil {
			v.Ask()
		}
	}
	return true
}

// leaseOf is the lease of an offered session: what its offer says, or less, if the instance's owner does.
func (a *Agent) leaseOf(graceMS, leaseMS int64) time.Duration {
	d := time.Duration(leaseMS) * time.Millisecond
	if leaseMS <= 0 { // a server of the version before
		d = time.Duration(graceMS)*time.Millisecond + sess.LeaseExtra
	}
	d = min(d, sess.MaxLease)
	if own := a.opts.Config.Lease; own > 0 {
		d = min(d, own)
	}
	return d
}

// voices gives the connections by which a session may hear of a server.
func (s *session) voices() (control, stream voice) {
	if c, _ := s.a.link(); c != nil {
		control = c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		stream = s.conn
	}
	return control, stream
}

// lapsed notes a session whose lease ran out, for the next hello.
func (a *Agent) lapsed(id sess.SessionID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.lapses) < maxLapsed {
		a.lapses = append(a.lapses, id)
	}
}

// lapsedIDs lists, for a hello, the sessions whose lease ran out since the last link.
func (a *Agent) lapsedIDs() []sess.SessionID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]sess.SessionID(nil), a.lapses...)
}
