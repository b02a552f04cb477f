package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	// strayAge is how old a row is at least that is taken for one which nobody is behind: a commit whose answer was lost.
	strayAge = time.Minute
	// nodeGone is how long the counter of another node stands still before its connections count no more.
	nodeGone = 3 * touchEvery * tickEvery
)

// connKey is a participant of a session.
type connKey struct {
	org     sess.OrgID
	session sess.SessionID
	num     int64
}

// connections are the rows of table connection that this node wrote and has to take back. A row is made with the redeeming
// of a ticket, and goes when the connection does, when the session ends, or when the node begins anew.
type connections struct {
	mu    sync.Mutex                            // protects the following
	open  map[sess.SessionID]map[int64]openConn // by participant
	nodes map[sess.NodeID]beat                  // of other nodes
}

type openConn struct {
	org  sess.OrgID
	gen  int64
	gone bool // the connection is gone, and its row could not be deleted yet
}

// beat is what a node's counter was, since when.
type beat struct {
	counter int64
	since   time.Time
}

func newConnections() *connections {
	return &connections{open: map[sess.SessionID]map[int64]openConn{}, nodes: map[sess.NodeID]beat{}}
}

// connect writes that the principal of tx is connected as participant num of a session by a ticket of generation gen, if
// they may be at one more. A refusal is an error of its own (CodeDenied: what is limited, clients try again).
func (s *Service) connect(ctx context.Context, tx *gate.Tx, r *store.Session, num, gen int64) error {
	on := sessionResource(*r)
	on.Type = policy.TypeInstance
	refused, err := mayConnect(ctx, tx, *r, num, tx.Rules().Controls(tx.Grants(), on), sess.CodeDenied)
	switch {
	case err != nil:
		return err
	case refused != nil:
		return refused
	}
	err = tx.PutConnection(ctx, store.PutConnectionParams{
		Org: r.Org, Session: r.ID, Num: num, Node: s.node, UserID: tx.Who().User, Gen: gen, Since: store.Micros(s.now()),
	})
	if err != nil {
		return fmt.Errorf("write connection: %w", err)
	}
	key := connKey{r.Org, r.ID, num}
	tx.AfterCommit(func() { s.conns.put(key, gen) })
	return nil
}

// disconnectAll writes that nobody is connected to a session, which ends.
func (s *Service) disconnectAll(ctx context.Context, tx *store.Tx, r *store.Session) error {
	if _, err := tx.DropConnectionsOfSession(ctx, r.Org, r.ID); err != nil {
		return fmt.Errorf("drop connections: %w", err)
	}
	id := r.ID
	tx.AfterCommit(func() { s.conns.forget(id) })
	return nil
}

// Left says that the connection which a ticket was redeemed for is gone, or never came to be. Whoever redeems calls it,
// once. Of a session that ended nothing is left to do.
func (s *Service) Left(ctx context.Context, j Joined) {
	if j.Side != sess.SideClient {
		return
	}
	key, gen := connKey{j.Org, j.Session, int64(j.Participant)}, int64(j.ClientGen) //nolint:gosec // both came from the database
	if !s.conns.leave(key, gen) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterTimeout)
	defer cancel()
	if err := s.disconnect(ctx, key, gen); err != nil {
		s.log.WarnContext(ctx, "connection not taken back yet", attrSession, string(j.Session), "err", err) // sweep does
	}
}

func (s *Service) disconnect(ctx context.Context, key connKey, gen int64) error {
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.DropConnection(ctx, key.org, key.session, key.num, gen)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop connection: %w", err)
	}
	s.conns.drop(key, gen)
	return nil
}

// sweep takes back what could not be when it should have been.
func (s *Service) sweep(ctx context.Context) error {
	var errs []error
	for key, gen := range s.conns.left() {
		errs = append(errs, s.disconnect(ctx, key, gen))
	}
	return errors.Join(errs...)
}

// reconcile deletes the rows that nobody is behind: of this node, those that it does not know; of other nodes, all once
// they are gone. It also says that this node is not.
func (s *Service) reconcile(ctx context.Context) error {
	now := s.now()
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if err := tx.BeatNode(ctx, s.node); err != nil {
			return fmt.Errorf("beat: %w", err)
		}
		rows, err := tx.ListConnectionsOfNode(ctx, s.node, store.Micros(now.Add(-strayAge)))
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		for _, r := range rows {
			if s.conns.knows(r.Session, r.Num, r.Gen) {
				continue
			}
			if _, err := tx.DropConnection(ctx, r.Org, r.Session, r.Num, r.Gen); err != nil {
				return fmt.Errorf("drop: %w", err)
			}
		}
		others, err := tx.ListOtherNodes(ctx, s.node)
		if err != nil {
			return fmt.Errorf("list nodes: %w", err)
		}
		for _, n := range s.conns.silent(others, now) {
			if _, err := tx.ForgetConnectionsOfNode(ctx, n); err != nil {
				return fmt.Errorf("forget node: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reconcile connections: %w", err)
	}
	return nil
}

func (c *connections) put(key connKey, gen int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.open[key.session]
	if of == nil {
		of = map[int64]openConn{}
		c.open[key.session] = of
	}
	if of[key.num].gen <= gen {
		of[key.num] = openConn{org: key.org, gen: gen}
	}
}

// leave notes that a connection is gone and reports whether its row is there still.
func (c *connections) leave(key connKey, gen int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.open[key.session][key.num]
	if !ok || o.gen != gen {
		return false
	}
	o.gone = true
	c.open[key.session][key.num] = o
	return true
}

func (c *connections) drop(key connKey, gen int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.open[key.session]
	if of[key.num].gen != gen {
		return
	}
	delete(of, key.num)
	if len(of) == 0 {
		delete(c.open, key.session)
	}
}

// forget drops what is known of a session's connections: their rows are gone.
func (c *connections) forget(id sess.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, id)
}

func (c *connections) knows(id sess.SessionID, num, gen int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.open[id][num]
	return ok && o.gen == gen
}

// left gives the connections that are gone and whose rows are not.
func (c *connections) left() map[connKey]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[connKey]int64{}
	for id, of := range c.open {
		for num, o := range of {
			if o.gone {
				out[connKey{o.org, id, num}] = o.gen
			}
		}
	}
	return out
}

// silent gives those nodes whose counter has stood still for too long.
func (c *connections) silent(nodes []store.ListOtherNodesRow, now time.Time) []sess.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []sess.NodeID
	for _, n := range nodes {
		was, ok := c.nodes[n.ID]
		switch {
		case !ok || was.counter != n.Counter:
			c.nodes[n.ID] = beat{counter: n.Counter, since: now}
		case now.Sub(was.since) >= nodeGone:
			out = append(out, n.ID)
		}
	}
	return out
}
