// Package broker is the life of a session: start, offer, redeem, join, end, list, expiry; and the control links of the
// agents that run them.
//
// It knows users, policy and SQL and sees no byte of a session; the relay is the other way round. What the states are and
// who moves a session between them is in DESIGN.md beside this file.
package broker

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// Attribute names in logs.
const (
	attrOrg      = "org"
	attrSession  = "session"
	attrInstance = "instance"
)

// Relay is what the broker needs of the relay.
type Relay interface {
	// Cut sends f to both sides of a session and closes them. It returns at once; a session it does not hold is nothing.
	Cut(org sess.OrgID, id sess.SessionID, f wire.EndFrame)
	// Traffic gives the bytes that a session moved so far; false: it has no connection here.
	Traffic(id sess.SessionID) (sess.Traffic, bool)
	// Activity counts the frames of input, and of any bytes, that passed in a session.
	Activity(id sess.SessionID) (own, typed, moved uint64)
	// Notice shows the owner of a session a line, if they are connected. It returns at once.
	Notice(id sess.SessionID, text string)
	// Dismiss says f to a participant who is not the owner and closes their connection. It returns at once.
	Dismiss(id sess.SessionID, num uint16, f wire.EndFrame)
	// Moderate has a session run only while so many moderators are there; it never needs fewer than before. It returns at once.
	Moderate(id sess.SessionID, n int)
}

// Config is what a Service is made of. Gate, DB, Node, PublicURL and Key are required.
type Config struct {
	Gate *gate.Gate
	DB   *store.DB
	// Node names this server in the database; it is the same after a restart.
	Node sess.NodeID
	// PublicURL is where agents and clients reach this node: https://host[:port], or http:// in tests.
	PublicURL *url.URL
	// ServerName is what joins, resumes and agents' hellos are signed over; empty: the host name of PublicURL.
	ServerName string
	// Key signs offers and orders; agents pinned its public half when they enrolled.
	Key ed25519.PrivateKey
	// Recorder says why recordings can't be written at present; nil, or its nil: they can. It is asked before a session starts
	// that runs only with one.
	Recorder func() error
	// Pin is the pin of this server's certificate, where that is its own: links carry it.
	Pin []byte
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

// Service keeps the sessions of one node. Its methods may be called from any goroutine.
//
// One session, in the order of the calls:
//
//	Start           gate → row (pending) and two tickets in one transaction → commit
//	└ offer         signed, with the agent's ticket, down the instance's control link
//	Redeem          each side's ticket, once; the agent's join opens a new epoch
//	└ Present       the relay: this side is here, or gone: pending → active ⇄ detached
//	Resume, Attach  a fresh ticket: for the session's own key, or for its owner's new one
//	Exited          the agent said how it ended → row (ended), event, then exit_ok
//	Delivered       a client has all of it; Recorded closes the recording's row
//	End, Failed, On…Revoked, tick (expiry), ServeAgent (reject, agent lost)
//	└ finish        row (ended) and its one event → order to the agent → Relay.Cut
//
// Beside it: ServeAgent runs one agent's control link, Run ticks every second, Recover is called once before both.
type Service struct {
	gate   *gate.Gate
	db     *store.DB
	node   sess.NodeID
	base   string // of stream URLs
	public *url.URL
	pin    []byte
	name   string // the server's name in signatures
	key    ed25519.PrivateKey
	now    func() time.Time
	log    *slog.Logger
	relay  Relay

	born  time.Time // what happened before it is counted from here: a restart ends nothing
	links *links
	lives *lives
	conns *connections

	logins int // ticks; of the one goroutine that ticks

	changes  chan struct{} // a word that the rules of some organisation changed here
	looked   *looked       // what live sessions were looked at by
	recorder func() error  // nil: nobody to ask

	answers answers // of owners, about who asks to be let in

	closed chan struct{} // closed by Close
	once   sync.Once
	wg     sync.WaitGroup // goroutines that cut sessions after their last output (tail)
}

// New makes a Service. Call UseRelay and Recover before anything else.
func New(c Config) (*Service, error) {
	var wrong []error
	if c.Gate == nil || c.DB == nil {
		wrong = append(wrong, errors.New("gate and database are required"))
	}
	if c.Node == "" {
		wrong = append(wrong, errors.New("a node id is required"))
	}
	if len(c.Key) != ed25519.PrivateKeySize {
		wrong = append(wrong, errors.New("an Ed25519 private key is required"))
	}
	if c.PublicURL == nil || c.PublicURL.Host == "" {
		wrong = append(wrong, errors.New("a public URL with a host is required"))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("make broker: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.ServerName == "" {
		c.ServerName = c.PublicURL.Hostname()
	}
	born := c.Now()
	return &Service{
		gate: c.Gate, db: c.DB, node: c.Node, base: streamBase(c.PublicURL), public: c.PublicURL, pin: c.Pin, name: c.ServerName, key: c.Key,
		now: c.Now, log: c.Log, born: born, links: newLinks(), lives: newLives(), conns: newConnections(), closed: make(chan struct{}),
		changes: make(chan struct{}, 1), looked: newLooked(), recorder: c.Recorder,
	}, nil
}

// UseRelay says who holds the connections. It is apart from New because the relay in turn calls the broker. Call it
// before the first Redeem.
func (s *Service) UseRelay(r Relay) { s.relay = r }

// Close ends the control links and waits for what the service started. No session ends by it.
func (s *Service) Close() {
	s.once.Do(func() { close(s.closed) })
	s.links.closeAll()
	s.wg.Wait()
}

// Recover takes over from the server that ran here before, once, before anything is served: nobody is connected yet, and
// the sessions that live keep their state. Their times count from now.
func (s *Service) Recover(ctx context.Context) error {
	var live, tails, unclosed []store.Session
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if err := tx.PutNode(ctx, s.node, s.base, store.Micros(s.born)); err != nil {
			return fmt.Errorf("enter node: %w", err)
		}
		if _, err := tx.ForgetLinksOfNode(ctx, s.node); err != nil {
			return fmt.Errorf("forget control links: %w", err)
		}
		if _, err := tx.ForgetConnectionsOfNode(ctx, s.node); err != nil {
			return fmt.Errorf("forget connections: %w", err)
		}
		var err error
		if live, err = tx.ListLiveSessionsOfNode(ctx, s.node); err != nil {
			return fmt.Errorf("list live sessions: %w", err)
		}
		since := store.Micros(s.born.Add(-maxGrace))
		if tails, err = tx.ListLingeringSessionsOfNode(ctx, s.node, &since); err != nil {
			return fmt.Errorf("list ended sessions: %w", err)
		}
		if unclosed, err = tx.ListUnclosedRecordingsOfNode(ctx, s.node); err != nil {
			return fmt.Errorf("list unclosed recordings: %w", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recover sessions: %w", err)
	}
	for _, r := range live {
		s.lives.add(r, s.born)
	}
	for _, r := range tails {
		if tail(r, s.born) {
			s.lives.add(r, s.born)
		}
	}
	for _, r := range unclosed { // the server before ended between the session's end and its recording's
		if !tail(r, s.born) {
			s.cut(r)
		}
	}
	return nil
}

// streamBase gives the URL that streams are dialled at, for a node with this public URL.
func streamBase(public *url.URL) string {
	u := *public
	u.Scheme = "wss"
	if public.Scheme == "http" || public.Scheme == "ws" {
		u.Scheme = "ws"
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + api.PathStream
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return u.String()
}

// streamURL gives the URL of the node that relays a session.
func (s *Service) streamURL(ctx context.Context, tx *store.Tx, node sess.NodeID) (string, error) {
	if node == s.node {
		return s.base, nil
	}
	n, err := tx.GetNode(ctx, node)
	if err != nil {
		return "", fmt.Errorf("find node of session: %w", err)
	}
	return n.URL, nil
}
