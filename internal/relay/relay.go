// Package relay joins the two sides that hold a session's tickets and copies frames between them: each frame is recorded
// first, then forwarded unchanged. It knows no users and no SQL, holds no stream's bytes, and keeps the offsets, credits
// and rounds that let either side come back after any cut.
//
// One Join call is one connection, and it is that connection's reader:
//
//	Join ─ read ┬─ hello ────────▶ round: ask, go            (round.go)
//	            ├─ data, ctl ────▶ journal, then the other   (forward.go)
//	            ├─ credit ───────▶ the other, clamped        (credit.go)
//	            ├─ exit, done ───▶ broker, then the other    (end.go)
//	            └─ away ─────────▶ free run                  (end.go)
//
// A reader writes to the other side's connection, never to its own while the other waits for it: both ends always read,
// so neither direction can stop the other for good.
package relay

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// Times of the relay.
const (
	helloTimeout = 10 * time.Second       // a side that does not answer ask by then is gone
	lastWords    = time.Second            // a side that was told the end may take this long to hear it
	retryDelay   = 500 * time.Millisecond // between tries to tell the broker something
	epochDelay   = 20 * time.Millisecond  // for the agent of a new epoch to join
	epochTries   = 100
)

// Broker is what the relay tells about a session, and asks. Every call names the epoch it is about; an error that is
// sess.ErrMoved says that another one is current. The calls of one session come one after another.
type Broker interface {
	// Present says that a side has joined or left.
	Present(ctx context.Context, org sess.OrgID, id sess.SessionID, epoch uint64, side sess.Side, here bool) error
	// Exited returns nil once the status is on record.
	Exited(ctx context.Context, org sess.OrgID, id sess.SessionID, epoch uint64, exit wire.Exit) error
	// Delivered says that a client has all output and the status.
	Delivered(ctx context.Context, org sess.OrgID, id sess.SessionID, epoch uint64) error
	// Failed ends the session because the relay can't go on with it.
	Failed(ctx context.Context, org sess.OrgID, id sess.SessionID, epoch uint64, reason sess.EndReason, message string) error
	// Guest says that the connection of a participant beside the owner came or went, and whether they left on purpose. An
	// error that is sess.ErrEnded or sess.ErrDenied says that they should not be here.
	Guest(ctx context.Context, org sess.OrgID, id sess.SessionID, num uint16, gen uint64, here, left bool) error
	// Moderated says of a session that needs moderators how many are lacking: it stands still, or, with 0, goes on.
	Moderated(ctx context.Context, org sess.OrgID, id sess.SessionID, lacking int) error
	// Recorded states the recording of a session.
	Recorded(ctx context.Context, org sess.OrgID, id sess.SessionID, how sess.Recorded) error
}

// Join is what a redeemed ticket says about the connection it came with.
type Join struct {
	Org      sess.OrgID
	Session  sess.SessionID
	Side     sess.Side
	Gen      uint64 // generation of this side's ticket
	OtherGen uint64 // current generation of the other side's
	Epoch    uint64
	Window   uint64        // bytes in flight per stream
	FreeRun  time.Duration // how long after its owner left output runs on into the record alone; 0: never
	Terminal bool          // the agent's main channel is a terminal's output
	First    bool          // this side never joined before
	Takeover bool          // a client with a new key: the one before is told that it was superseded
	Ended    bool          // the session ended by itself, on record: only output and status are left to fetch
	Meta     recording.Meta
	Request  string // id of the request that became the connection: what is on record of it has that

	Participant uint16        // 0: the owner, or the agent
	Role        sess.JoinRole // of a participant who is not the owner
	Moderators  int           // so many have to be there for the session to run
}

// Relay is one node's relay.
type Relay struct {
	ctx    context.Context // lifetime of the calls to the broker: they outlive connections
	broker Broker
	dir    *recording.Dir
	log    *slog.Logger

	mu       sync.Mutex // protects the following
	sessions map[sess.SessionID]*session
	closed   bool
	joins    sync.WaitGroup // Join calls, and calls to the broker under way
	stop     chan struct{}  // closed with closed
}

// New makes a relay that records into dir. ctx ends its calls to the broker: it should end after Close.
func New(ctx context.Context, broker Broker, dir *recording.Dir, log *slog.Logger) *Relay {
	return &Relay{ctx: ctx, broker: broker, dir: dir, log: log, sessions: map[sess.SessionID]*session{}, stop: make(chan struct{})}
}

// errClosed says that the node is shutting down.
var errClosed = sess.New(sess.CodeUnavailable, "the server is shutting down", "the session goes on: the connection will be tried again")

// Join runs one connection of a session until it is over. It owns c.
func (r *Relay) Join(j Join, c *link.Conn) {
	if j.Participant != 0 {
		r.joinGuest(j, c)
		return
	}
	s, err := r.enter(j)
	if err != nil {
		r.unopened(j, err)
		r.refuse(c, err)
		return
	}
	defer r.leave(s)
	p := &party{side: j.Side, conn: c, gen: j.Gen, request: j.Request, ready: make(chan struct{})}
	if !s.replace(p, j.Takeover) || r.closing() || !s.join(p, j) {
		s.conns[sideIndex(p.side)].CompareAndSwap(p, nil)
		c.Close()
		return
	}
	err = s.read(p)
	s.left(p)
	if err != nil {
		r.log.Debug("connection over", "session", j.Session, "side", j.Side, "err", err)
	}
	c.Close()
}

// refuse tells one side why its connection is not wanted and closes it.
func (r *Relay) refuse(c *link.Conn, err error) {
	if errors.Is(err, recording.ErrFinal) {
		b, _ := json.Marshal(wire.EndFrame{Reason: sess.EndEnded, Message: "the session is over"})
		_ = c.Write(wire.Header{Type: wire.End}, b)
	} else {
		r.log.Error("join refused", "err", err)
		e := sess.Public(err)
		b, _ := json.Marshal(wire.ErrorFrame{Code: e.Code, Message: e.Message})
		_ = c.Write(wire.Header{Type: wire.Error}, b)
	}
	c.Drain(lastWords)
}

// enter finds or makes the session and counts the caller in.
func (r *Relay) enter(j Join) (*session, error) {
	for {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil, errClosed
		}
		s := r.sessions[j.Session]
		if s == nil {
			s = &session{relay: r, org: j.Org, id: j.Session, window: j.Window, terminal: j.Terminal, freeRun: j.FreeRun, opened: make(chan struct{}), gone: make(chan struct{})}
			s.users = 1
			r.sessions[j.Session] = s
			r.joins.Add(1)
			r.mu.Unlock()
			s.journal, s.openErr = r.dir.Open(j.Org, j.Session, j.Meta)
			close(s.opened)
			if s.openErr != nil {
				r.leave(s)
				return nil, s.openErr
			}
			return s, nil
		}
		if s.users > 0 {
			s.users++
			r.joins.Add(1)
			r.mu.Unlock()
			<-s.opened
			if s.openErr != nil {
				r.leave(s)
				return nil, s.openErr
			}
			return s, nil
		}
		r.mu.Unlock()
		<-s.gone // its journal is being closed: open it anew
	}
}

// leave counts the caller out. The last one closes the journal.
func (r *Relay) leave(s *session) {
	defer r.joins.Done()
	r.mu.Lock()
	s.users--
	last := s.users == 0
	r.mu.Unlock()
	if !last {
		return
	}
	s.close()
	r.mu.Lock()
	delete(r.sessions, s.id)
	r.mu.Unlock()
	close(s.gone)
}

// Cut ends a session here: both sides are told and their connections closed, and the recording is completed. It returns
// at once. A session that has no connection here only has its recording completed. It is entered as a join is, so that of
// a join and a Cut at the same moment neither is lost: whoever joins later finds that the session is over.
func (r *Relay) Cut(org sess.OrgID, id sess.SessionID, f wire.EndFrame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.joins.Add(1)
	go func() {
		defer r.joins.Done()
		s, err := r.enter(Join{Org: org, Session: id})
		if err != nil {
			switch {
			case errors.Is(err, errClosed):
			case errors.Is(err, recording.ErrFinal):
				r.restate(org, id)
			default:
				r.log.Warn("complete recording", "session", id, "err", err)
			}
			return
		}
		defer r.leave(s)
		s.cut(f)
	}()
}

// finalise completes a recording and tells the broker.
func (r *Relay) finalise(org sess.OrgID, id sess.SessionID, j *recording.Journal) {
	sum, err := j.Close(true)
	if err != nil {
		r.log.Error("complete recording", "session", id, "err", err)
		r.later(org, id) // until then it is as it was
	}
	err = r.broker.Recorded(r.ctx, org, id, sess.Recorded{
		State: sum.State, Bytes: sum.Bytes, Stored: sum.Stored, Digest: sum.Digest, Problem: sum.Problem, Moved: sum.Moved,
	})
	if err != nil {
		r.log.Error("state recording", "session", id, "err", err)
	}
}

// restate tells the broker of a recording that is complete: a server may have died between completing it and saying so.
func (r *Relay) restate(org sess.OrgID, id sess.SessionID) {
	rep, err := r.dir.Verify(org, id)
	if err != nil {
		r.log.Error("read complete recording", "session", id, "err", err)
		return
	}
	problem := ""
	if len(rep.Problems) > 0 {
		problem = rep.Problems[0]
	}
	err = r.broker.Recorded(r.ctx, org, id, sess.Recorded{
		State: rep.State, Bytes: rep.Bytes, Stored: rep.Stored, Digest: rep.Digest, Problem: problem, Moved: rep.Moved,
	})
	if err != nil {
		r.log.Error("state recording", "session", id, "err", err)
	}
}

// Traffic gives the bytes that a session moved so far, if it has a connection here.
func (r *Relay) Traffic(id sess.SessionID) (sess.Traffic, bool) {
	r.mu.Lock()
	s := r.sessions[id]
	r.mu.Unlock()
	if s == nil {
		return sess.Traffic{}, false
	}
	select {
	case <-s.opened:
	default:
		return sess.Traffic{}, false
	}
	if s.openErr != nil {
		return sess.Traffic{}, false
	}
	return s.journal.Traffic(), true
}

// Sessions counts the sessions with a connection here.
func (r *Relay) Sessions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

// Close closes every connection, brings the journals to disk and waits. No session ends by it: both sides come back to
// whoever serves next.
func (r *Relay) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.stop)
	}
	var all []*session
	for _, s := range r.sessions {
		all = append(all, s)
	}
	r.mu.Unlock()
	for _, s := range all {
		for i := range s.conns {
			if p := s.conns[i].Load(); p != nil {
				p.conn.Close()
				s.mu.Lock()
				p.release()
				s.mu.Unlock()
			}
		}
		s.closeGuests()
	}
	r.joins.Wait()
}

// closing reports whether Close was called: a connection that Close did not see yet must not stay.
func (r *Relay) closing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// sideIndex is the index of a side in pairs.
func sideIndex(s sess.Side) int {
	if s == sess.SideClient {
		return 0
	}
	return 1
}

// party is one side's connection.
type party struct {
	side    sess.Side
	conn    *link.Conn
	gen     uint64
	request string // id of the request that became the connection

	// Protected by session.mu.
	initial bool // its first connection ever: its hello comes unasked and everything stands at 0
	hello   *wire.HelloFrame
	went    bool // it may send in this round
	ready   chan struct{}
	isReady bool // ready is closed
	timer   *time.Timer
}

// release lets the reader of an early side go on; the caller holds session.mu.
func (p *party) release() {
	if !p.isReady {
		p.isReady = true
		close(p.ready)
	}
}

// session is a session that has a connection here, or is about to.
type session struct {
	relay    *Relay
	org      sess.OrgID
	id       sess.SessionID
	window   uint64
	terminal bool
	freeRun  time.Duration
	journal  *recording.Journal
	openErr  error
	activity activity
	opened   chan struct{} // closed when journal or openErr is set
	gone     chan struct{} // closed when the journal is closed and the session is out of the map
	users    int           // protected by Relay.mu

	// conns lets a newer connection close an older one without mu, which a write to a dead peer may hold.
	conns [2]atomic.Pointer[party]

	mu      sync.Mutex // protects the following; small frames are written under it, data never
	epoch   uint64
	round   uint32
	parties [2]*party
	flows   []*flow
	exited  bool         // the status is on record
	finals  []wire.Final // with it: where the agent's streams end
	stating bool         // the broker is being told the status
	failed  bool         // the broker was told that it can't be recorded
	ended   bool         // the status was on record when a side joined, so the agent need not state it again
	done    bool         // a client has everything
	parting *party       // who said so, until the status is on record
	free    bool         // output runs on into the record alone
	freeing *time.Timer
	end     *wire.EndFrame // set by Cut
	status  *sess.Exit     // how the process ended, once it is on record

	need    int  // moderators that have to be there
	lacked  int  // so many were lacking when the broker was told last
	settled bool // the broker was told

	guests  []*guest           // participants beside the owner who are connected
	typists map[uint16]*typist // the input streams of peers, by participant

	noticing sync.Mutex // protects the following; taken after Relay.mu
	notices  []string   // lines for the owner; the first is being written

	// calls to the broker, in order.
	cmu     sync.Mutex
	calls   []func(context.Context) error
	calling bool
}

// other gives the opposite side's party; the caller holds mu.
func (s *session) other(p *party) *party { return s.parties[1-sideIndex(p.side)] }

// flow is one stream with its credit: what the receiver has said, and what the sender was told.
type flow struct {
	id     wire.StreamID
	sender sess.Side
	known  bool   // C and L are the receiver's word of this round
	C, L   uint64 // consumed and limit as the receiver says
	sentC  uint64
	sentL  uint64
}

// everything is the credit of a stream nobody waits for.
const everything = wire.MaxOffset

// maxFlows bounds the streams of one session, all that its sides ever named.
const maxFlows = 4 * wire.MaxStreams

// known finds the flow of a stream that its sender has named in a hello; nil: it has not. The caller holds mu.
func (s *session) known(sender sess.Side, id wire.StreamID) *flow {
	for _, f := range s.flows {
		if f.id == id && f.sender == sender {
			return f
		}
	}
	return nil
}

// flow finds or makes the flow of a stream; the caller holds mu.
func (s *session) flow(sender sess.Side, id wire.StreamID) *flow {
	if f := s.known(sender, id); f != nil {
		return f
	}
	f := &flow{id: id, sender: sender, sentL: everything}
	s.flows = append(s.flows, f)
	return f
}
