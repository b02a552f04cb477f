package broker

import (
	"crypto/ed25519"
	"net/netip"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// maxQueued bounds the messages that wait to be sent to one agent. One that takes so few is cut off: it comes back and is
// told what it missed.
const maxQueued = 1024

// maxHeld bounds the sessions that one agent may say it has: more than any agent runs.
const maxHeld = 4096

// agentLink is one agent's control link, from its welcome on.
type agentLink struct {
	org      sess.OrgID
	instance sess.InstanceID
	name     string // of the instance
	number   int64  // instance.link: a later one fences this one
	nonce    string // of its challenge: offers and orders carry it
	conn     ControlConn
	addr     netip.Addr // the agent's, as the server sees it

	out  chan wire.Control
	gone chan struct{} // closed by close
	once sync.Once

	mu      sync.Mutex // protects the following
	held    map[sess.SessionID]bool
	ran     map[sess.SessionID]taken // how it runs sessions, in its own words
	offered map[sess.SessionID]bool
	load    []byte // JSON wire.Load; nil: nothing new
	seen    bool   // something came since the last note
}

func newLink(i store.Instance, nonce string, conn ControlConn, sessions []sess.SessionID) *agentLink {
	l := &agentLink{
		org: i.Org, instance: i.ID, name: i.Name, number: i.Link, nonce: nonce, conn: conn, out: make(chan wire.Control, maxQueued),
		gone: make(chan struct{}), held: map[sess.SessionID]bool{}, ran: map[sess.SessionID]taken{}, offered: map[sess.SessionID]bool{},
	}
	for _, id := range sessions {
		l.hold(id)
	}
	return l
}

// principal is the principal of a link's agent.
func (l *agentLink) principal() sess.Principal {
	return sess.Principal{Org: l.org, Name: l.name, Instance: l.instance, Credential: sess.CredentialAgent, CredentialID: string(l.instance), Addr: l.addr}
}

// send queues a message. It never blocks.
func (l *agentLink) send(c wire.Control) {
	select {
	case <-l.gone:
	case l.out <- c:
	default:
		l.close()
	}
}

// close ends the link.
func (l *agentLink) close() {
	l.once.Do(func() {
		close(l.gone)
		l.conn.Close()
	})
}

// write sends what is queued until the link is closed. A refusal is the last thing an agent hears.
func (l *agentLink) write() {
	defer l.close()
	for {
		select {
		case <-l.gone:
			return
		case c := <-l.out:
			if err := l.conn.WriteControl(c); err != nil || c.T == wire.ControlRefuse {
				return // the reader reports why
			}
		}
	}
}

// offer sends an offer unless this link carried one of that session before.
func (l *agentLink) offer(id sess.SessionID, c wire.Control) {
	l.mu.Lock()
	again := l.offered[id]
	l.offered[id], l.held[id] = true, true
	l.mu.Unlock()
	if !again {
		l.send(c)
	}
}

// order sends a signed order to end a session.
func (l *agentLink) order(key ed25519.PrivateKey, r store.Session, e ending) {
	signed, err := wire.Sign(key, wire.PurposeOrder, wire.Order{Nonce: l.nonce, Session: r.ID, Reason: e.reason, By: e.by, Hard: !e.soft})
	if err != nil { // only what can't be encoded as JSON: nothing of an Order
		l.close()
		return
	}
	l.send(wire.Control{T: wire.ControlOrder, Session: r.ID, Signed: signed})
}

// holds reports whether the agent said, on this link, that it has the session; or was offered it.
func (l *agentLink) holds(id sess.SessionID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[id]
}

// hold notes that the agent has a session. It is the agent's word, so there is a limit to how much of it is kept.
func (l *agentLink) hold(id sess.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sess.ValidID("ses", string(id)) && len(l.held) < maxHeld {
		l.held[id] = true
	}
}

// release forgets a session that is over.
func (l *agentLink) release(id sess.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, id)
	delete(l.ran, id)
	delete(l.offered, id)
}

// beat notes a sign of life and the load it carried, if any.
func (l *agentLink) beat(load []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = true
	if load != nil {
		l.load = load
	}
}

// news gives what there is to write about the link since the last time; ok is false when there is nothing.
func (l *agentLink) news() (load []byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, l.seen = l.seen, false
	return l.load, ok
}

// links are the control links of this node: one for each instance that is online.
type links struct {
	mu   sync.Mutex // protects the following
	of   map[sess.InstanceID]*agentLink
	lost map[sess.InstanceID]time.Time // when an instance that was here went
	done bool
}

func newLinks() *links {
	return &links{of: map[sess.InstanceID]*agentLink{}, lost: map[sess.InstanceID]time.Time{}}
}

// get gives the link of an instance; nil: it is offline.
func (l *links) get(i sess.InstanceID) *agentLink {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[i]
}

// put makes a link the present one of its instance and closes the one before. It refuses one that is older.
func (l *links) put(n *agentLink) bool {
	l.mu.Lock()
	old := l.of[n.instance]
	if l.done || old != nil && old.number > n.number {
		l.mu.Unlock()
		return false
	}
	l.of[n.instance] = n
	delete(l.lost, n.instance)
	l.mu.Unlock()
	if old != nil {
		old.close()
	}
	return true
}

// remove forgets a link, if it is the present one.
func (l *links) remove(n *agentLink, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[n.instance] == n {
		delete(l.of, n.instance)
		l.lost[n.instance] = now
	}
}

// since says when an instance was last here; the zero time: not since this server began, or it is here.
func (l *links) since(i sess.InstanceID) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost[i]
}

// known reports whether an instance has been here since this server began.
func (l *links) known(i sess.InstanceID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, lost := l.lost[i]
	return lost || l.of[i] != nil
}

func (l *links) list() []*agentLink {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*agentLink, 0, len(l.of))
	for _, n := range l.of {
		out = append(out, n)
	}
	return out
}

// closeAll closes every link, and lets in no more.
func (l *links) closeAll() {
	l.mu.Lock()
	l.done = true
	l.mu.Unlock()
	for _, n := range l.list() {
		n.close()
	}
}
