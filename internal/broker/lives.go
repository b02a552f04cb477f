package broker

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// life is what this node knows of a session beside its row: who is connected here. It is no authority: whoever acts on it
// looks at the row again, under lock.
type life struct {
	org      sess.OrgID
	id       sess.SessionID
	user     sess.UserID
	instance sess.InstanceID
	grace    time.Duration
	lease    time.Duration
	state    sess.State
	endedAt  time.Time

	addr netip.Addr // from where its client joined last, here

	client, agent     bool      // connected to the relay of this node
	clientAt, agentAt time.Time // since when that is so

	held // what the clock has to know
}

// lives holds the sessions that this node looks after: the living, and the ended that have output left to fetch.
type lives struct {
	mu    sync.Mutex // protects the following
	all   map[sess.SessionID]*life
	tails map[sess.SessionID]chan struct{} // closed when a client has everything: no need to wait longer
}

func newLives() *lives {
	return &lives{all: map[sess.SessionID]*life{}, tails: map[sess.SessionID]chan struct{}{}}
}

// add begins to look after a session, or notes its new state. Nobody is connected at first, since now.
func (l *lives) add(r store.Session, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[r.ID]
	if x == nil {
		x = &life{org: r.Org, id: r.ID, user: r.UserID, instance: r.Instance, clientAt: now, agentAt: now, held: held{activeAt: now}}
		l.all[r.ID] = x
	}
	x.update(r, now)
}

func (x *life) update(r store.Session, now time.Time) {
	x.state, x.grace, x.lease = r.State, grace(r), lease(r)
	x.note(r, now)
	if r.EndedAt != nil {
		x.endedAt = store.Time(*r.EndedAt)
	}
}

// update notes the new state of a session that is looked after.
func (l *lives) update(r store.Session, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.all[r.ID]; x != nil {
		x.update(r, now)
	}
}

// of counts the sessions of a user that have not ended, and those of them that have not begun either.
func (l *lives) of(org sess.OrgID, user sess.UserID) (live, pending int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.all {
		if x.org != org || x.user != user || x.state == sess.StateEnded {
			continue
		}
		live++
		if x.state == sess.StatePending {
			pending++
		}
	}
	return live, pending
}

// here notes that a side came or went.
func (l *lives) here(id sess.SessionID, side sess.Side, here bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[id]
	if x == nil {
		return
	}
	if side == sess.SideAgent {
		x.agent, x.agentAt = here, now
	} else {
		x.client, x.clientAt = here, now
		if here { // who comes is told again
			x.warned = [clocks]bool{}
		}
	}
}

// agentHere reports whether the agent's stream of a session is connected here.
func (l *lives) agentHere(id sess.SessionID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.all[id]
	return x != nil && x.agent
}

// drop forgets a session.
func (l *lives) drop(id sess.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, id)
}

// any reports whether there is a session that has not ended.
func (l *lives) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.all {
		if x.state != sess.StateEnded {
			return true
		}
	}
	return false
}

// list gives a copy of what is looked after.
func (l *lives) list() []life {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]life, 0, len(l.all))
	for _, x := range l.all {
		out = append(out, *x)
	}
	return out
}

// tail begins to wait for the last output of a session; the channel is closed by delivered. ok is false when somebody
// waits already.
func (l *lives) tail(id sess.SessionID) (done <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tails[id] != nil {
		return nil, false
	}
	c := make(chan struct{})
	l.tails[id] = c
	return c, true
}

// delivered ends the wait for a session's last output, if there is one.
func (l *lives) delivered(id sess.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.tails[id]; c != nil {
		close(c)
		delete(l.tails, id)
	}
}

// untail ends the waiting from the other end.
func (l *lives) untail(id sess.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tails, id)
}
