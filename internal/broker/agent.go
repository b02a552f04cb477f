package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// Limits on what agents say, in bytes but where it says otherwise.
const (
	helloTimeout = 10 * time.Second // for a new link to say who it is
	leaveTimeout = 10 * time.Second // to write that a link is gone
	challenge    = 32
	maxHostText  = 255
	maxVersion   = 64
	maxAddrs     = 16 // addresses
	maxReject    = 512
)

// ControlConn is a control link: messages in order, both ways, kept alive beneath. *link.Conn is one. One goroutine reads
// while another writes; Close ends both.
type ControlConn interface {
	ReadControl() (wire.Control, error)
	WriteControl(wire.Control) error
	Close()
}

// ServeAgent runs one agent's control link until it ends, and closes conn. The agent proves by a signature over this
// link's nonce which instance it is; from then on, and as long as no newer link of it comes, the instance is online.
//
//	challenge →  hello  →  admit     signature, gate, instance row, what it should be running
//	                       └ settled lost sessions end; ended ones it still has it is told to drop; offers it missed
//	accept, reject, want, beat       until the link ends
//	                       └ leave   the instance is offline, unless a newer link has it
func (s *Service) ServeAgent(ctx context.Context, conn ControlConn, addr netip.Addr) error {
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	defer conn.Close()
	nonce, hello, err := greet(conn)
	if err != nil {
		return fmt.Errorf("greet agent: %w", err)
	}
	link, todo, err := s.admit(ctx, conn, nonce, hello, addr)
	if err != nil {
		e := sess.Public(err)
		_ = conn.WriteControl(wire.Control{T: wire.ControlRefuse, Code: e.Code, Message: e.Message, Hint: e.Hint}) // it may be gone
		return fmt.Errorf("admit agent: %w", err)
	}
	link.send(wire.Control{T: wire.ControlWelcome, Name: link.name})
	if !s.links.put(link) {
		return errors.New("admit agent: a newer link of it is here")
	}
	defer s.leave(ctx, link)
	if err := s.stillThere(ctx, link); err != nil {
		return err
	}
	writing := make(chan struct{})
	go func() { defer close(writing); link.write() }()
	defer func() { link.close(); <-writing }()
	s.log.InfoContext(ctx, "agent connected", attrOrg, string(link.org), attrInstance, string(link.instance), "address", addr.String())
	if err := s.settled(ctx, link, todo); err != nil {
		return err
	}
	return s.listen(ctx, link)
}

// stillThere refuses a link whose instance was removed between admit and put: RemoveInstance saw neither the one nor the
// other.
func (s *Service) stillThere(ctx context.Context, l *agentLink) error {
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		_, err := tx.GetLiveInstance(ctx, l.org, l.instance)
		return err
	})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("look for instance: %w", err)
	}
	if err == nil {
		return nil
	}
	e := sess.Public(errRemoved())
	_ = l.conn.WriteControl(wire.Control{T: wire.ControlRefuse, Code: e.Code, Message: e.Message, Hint: e.Hint}) // it may be gone
	return fmt.Errorf("admit agent: %w", e)
}

// greet challenges a new link and reads its hello.
func greet(conn ControlConn) (nonce string, hello wire.AgentHello, err error) {
	var b [challenge]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	nonce = base64.RawURLEncoding.EncodeToString(b[:])
	late := time.AfterFunc(helloTimeout, conn.Close)
	defer late.Stop()
	if err := conn.WriteControl(wire.Control{T: wire.ControlChallenge, Nonce: nonce}); err != nil {
		return "", hello, err
	}
	for {
		c, err := conn.ReadControl()
		switch {
		case err != nil:
			return "", hello, err
		case c.T == wire.ControlBeat:
		case c.T != wire.ControlHello || c.Hello == nil:
			return "", hello, fmt.Errorf("%q instead of a hello", cut(c.T, 32))
		default:
			return nonce, *c.Hello, nil
		}
	}
}

// errands are what an admitted agent leaves to do.
type errands struct {
	lost  []store.Session  // it should run them and does not
	over  []sess.SessionID // it has them and they are over
	blame sess.EndReason   // what became of the lost
	lapse []sess.SessionID // but of these: it says that it ended them by their lease
}

// admit checks who an agent is and enters its link.
func (s *Service) admit(ctx context.Context, conn ControlConn, nonce string, h wire.AgentHello, addr netip.Addr) (*agentLink, errands, error) {
	who, err := s.identify(ctx, nonce, h, addr)
	if err != nil {
		return nil, errands{}, err
	}
	host, err := json.Marshal(cleanHost(h.Host))
	if err != nil {
		return nil, errands{}, fmt.Errorf("encode host: %w", err)
	}
	var link *agentLink
	var todo errands
	on := policy.Resource{Org: who.Org, Type: policy.TypeInstance, ID: string(who.Instance), Name: who.Name, Instance: who.Instance}
	err = s.gate.Do(ctx, who, policy.InstanceConnect, on, func(tx *gate.Tx) error {
		now := store.Micros(s.now())
		before, err := tx.GetLiveInstance(ctx, who.Org, who.Instance)
		if isNotFound(err) {
			return errRemoved()
		} else if err != nil {
			return fmt.Errorf("load instance: %w", err)
		}
		i, err := tx.ConnectInstance(ctx, store.ConnectInstanceParams{
			Org: who.Org, ID: who.Instance, Node: s.node, Boot: sess.BootID(clean(string(h.Boot), maxVersion)), Hostname: clean(h.Host.Hostname, maxHostText),
			OS: clean(h.Host.OS, maxVersion), Arch: clean(h.Host.Arch, maxVersion), Version: clean(h.Version, maxVersion), Host: string(host),
			Address: addr.String(), LastSeen: &now,
		})
		if err != nil {
			return fmt.Errorf("enter control link: %w", err)
		}
		link = newLink(i, nonce, conn, h.Sessions)
		link.addr = addr
		todo, err = s.compare(ctx, tx.Tx, i, h.Sessions)
		todo.blame, todo.lapse = sess.EndAgentLost, h.Lapsed
		if before.Boot == i.Boot && !s.links.known(i.ID) {
			// The same agent process, and this server is new: the agent gave the session up because no server was there.
			todo.blame = sess.EndServerLost
		}
		return err
	})
	return link, todo, err
}

func errRemoved() error {
	return sess.New(sess.CodeUnauthenticated, "this instance was removed, or never enrolled here", "enrol it again with a new token: sess-agent enroll")
}

// identify checks the signature of a hello.
func (s *Service) identify(ctx context.Context, nonce string, h wire.AgentHello, addr netip.Addr) (sess.Principal, error) {
	if h.Protocol == 0 {
		return sess.Principal{}, sess.New(sess.CodeInvalid, "the agent speaks no version of the protocol", "update sess-agent")
	}
	var a store.GetAgentRow
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		a, err = tx.GetAgent(ctx, h.Instance)
		return err
	})
	if err != nil && !isNotFound(err) {
		return sess.Principal{}, fmt.Errorf("look up instance: %w", err)
	}
	message := wire.SignedMessage(wire.PurposeAgentHello, []byte(nonce), []byte(s.name))
	if err != nil || a.RemovedAt != nil {
		s.refuseAnonymous(ctx, a.Org, addr, policy.InstanceConnect, a.Name)
		return sess.Principal{}, errRemoved()
	}
	if !signedByAgent(a.PublicKey, message, h.Signature) {
		s.refuseAnonymous(ctx, a.Org, addr, policy.InstanceConnect, a.Name)
		return sess.Principal{}, sess.New(sess.CodeUnauthenticated, "the agent's signature does not fit the instance's key",
			"another agent enrolled in its place, or the server is reached by a name other than "+s.name)
	}
	return sess.Principal{
		Org: a.Org, Name: a.Name, Instance: a.ID, Credential: sess.CredentialAgent, CredentialID: string(a.ID), Addr: addr,
	}, nil
}

// compare holds what an agent says it runs against the rows.
func (s *Service) compare(ctx context.Context, tx *store.Tx, i store.Instance, listed []sess.SessionID) (errands, error) {
	var todo errands
	live, err := tx.ListLiveSessionsOfInstance(ctx, i.Org, i.ID)
	if err != nil {
		return todo, fmt.Errorf("list sessions of instance: %w", err)
	}
	missing := map[sess.SessionID]store.Session{}
	for _, r := range live {
		missing[r.ID] = r
	}
	for _, id := range listed {
		if !sess.ValidID("ses", string(id)) {
			continue
		}
		if _, ok := missing[id]; ok {
			delete(missing, id)
			continue
		}
		r, err := tx.GetSession(ctx, i.Org, id)
		if err != nil && !isNotFound(err) {
			return todo, fmt.Errorf("load session: %w", err)
		}
		if err != nil || r.Instance != i.ID || r.State == sess.StateEnded && !tail(r, s.now()) {
			todo.over = append(todo.over, id)
		}
	}
	for _, r := range missing {
		if r.AgentRedeemed > 0 { // else it never had it: the offer goes out again
			todo.lost = append(todo.lost, r)
		}
	}
	return todo, nil
}

// settled does what admit left to do. The link is the present one by now, so whatever starts from here on is offered on
// it by Start; what started before and was never joined is offered here. A link carries each offer once.
func (s *Service) settled(ctx context.Context, l *agentLink, todo errands) error {
	for _, id := range todo.over {
		l.release(id)
		l.send(wire.Control{T: wire.ControlEnded, Session: id})
	}
	for _, lost := range todo.lost {
		e := ending{reason: todo.blame, who: sess.System(lost.Org)}
		if slices.Contains(todo.lapse, lost.ID) {
			e = leaseOver(lost)
		}
		err := s.endIf(ctx, lost.Org, lost.ID, e, func(r *store.Session) (ending, error) {
			if r.AgentRedeemed != lost.AgentRedeemed {
				return e, errNotNow
			}
			return e, nil
		})
		if err != nil && !errors.Is(err, errNotNow) {
			return err
		}
	}
	return s.reoffer(ctx, l)
}

// errNotNow leaves a session as it is: it changed since somebody decided to end it.
var errNotNow = errors.New("the session changed meanwhile")

// leave notes that a link ended. It runs after the link's own context did.
func (s *Service) leave(ctx context.Context, l *agentLink) {
	now := s.now()
	s.links.remove(l, now)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	us := store.Micros(now)
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.DisconnectInstance(ctx, l.org, l.instance, l.number, &us)
		if err != nil || n == 0 { // 0: a newer link has it
			return err
		}
		return s.gate.Event(ctx, tx, gate.Entry{
			Who: l.principal(), Action: policy.InstanceDisconnected,
			On: policy.Resource{Org: l.org, Type: policy.TypeInstance, ID: string(l.instance), Name: l.name},
		})
	})
	if err != nil {
		s.log.WarnContext(ctx, "end of control link not noted", attrInstance, string(l.instance), "err", err)
	}
}

func cleanHost(h wire.Host) wire.Host {
	h.Hostname, h.OS, h.Arch = clean(h.Hostname, maxHostText), clean(h.OS, maxVersion), clean(h.Arch, maxVersion)
	h.Kernel, h.RunsAs = clean(h.Kernel, maxHostText), clean(h.RunsAs, maxVersion)
	h.Holds, h.Unenforced, h.Programs = clean(h.Holds, maxVersion), clean(h.Unenforced, maxVersion), clean(h.Programs, maxVersion)
	h.Addrs = h.Addrs[:min(len(h.Addrs), maxAddrs)]
	for i, a := range h.Addrs {
		h.Addrs[i] = clean(a, maxVersion)
	}
	return h
}

// clean makes a text of an agent fit to be shown: no control characters, at most limit bytes.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return cut(s, limit)
}

// cut gives the first limit bytes of s, or fewer so as not to split a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
