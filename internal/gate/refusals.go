package gate

import (
	"context"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	// refusalWindow is how long refusals of nobody in particular are put together before they become an event.
	refusalWindow = 10 * time.Second
	// maxRefusals bounds how many different ones are held; beyond, they are counted without their address.
	maxRefusals = 1024
	// maxRefusalName bounds the text of a name somebody claimed.
	maxRefusalName = 254
)

// Refusal is the refusal of somebody who is not known: a wrong password, an unknown key, a used token.
type Refusal struct {
	Org    sess.OrgID // whose log it goes to, where that is known; empty: the box's
	Addr   netip.Addr
	Action policy.Action
	Code   sess.Code
	Name   string // what they claimed to be, if anything; never a secret
}

type refusals struct {
	mu     sync.Mutex
	held   map[Refusal]*refusalCount
	timer  *time.Timer
	closed bool
}

type refusalCount struct {
	count       int64
	first, last time.Time
	names       int // how often the claimed name changed
	name        string
	addr        netip.Addr
	addrs       bool   // several of the network
	request     string // of the first
}

// RefusedAnonymous records a refusal before anybody is known. Those of the same address (IPv6: /64), action, code and log
// within 10 s become one event with a count; it is written at the end of the 10 s, or by Close.
func (g *Gate) RefusedAnonymous(ctx context.Context, r Refusal) {
	name := r.Name
	if len(name) > maxRefusalName {
		name = name[:maxRefusalName]
	}
	key := Refusal{Org: r.Org, Addr: network(r.Addr), Action: r.Action, Code: r.Code}
	now := g.now()
	s := &g.refusals
	s.mu.Lock()
	if s.held == nil {
		s.held = map[Refusal]*refusalCount{}
	}
	c := s.held[key]
	if c == nil {
		if len(s.held) >= maxRefusals {
			key.Addr = netip.Addr{} // a flood from everywhere: count it, forget from where
			c = s.held[key]
		}
		if c == nil {
			c = &refusalCount{first: now, name: name, names: 1, addr: r.Addr.Unmap(), request: sess.RequestID(ctx)}
			s.held[key] = c
		}
	}
	c.count++
	c.last = now
	if c.name != name {
		c.names++
		c.name = name
	}
	c.addrs = c.addrs || c.addr != r.Addr.Unmap()
	closed := s.closed
	if s.timer == nil && !closed {
		s.timer = time.AfterFunc(refusalWindow, func() { _ = g.flush(context.WithoutCancel(ctx)) }) // it logs its error
	}
	s.mu.Unlock()
	if closed {
		_ = g.flush(ctx)
	}
}

// Close writes the refusals that are held. The Gate still works afterwards; refusals are then written at once.
func (g *Gate) Close(ctx context.Context) error {
	s := &g.refusals
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return g.flush(ctx)
}

// flush writes what is held in one transaction. What can't be written is kept and tried again.
func (g *Gate) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	s := &g.refusals
	s.mu.Lock()
	held := s.held
	s.held = nil
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	err := g.db.Write(ctx, func(tx *store.Tx) error {
		for r, c := range held {
			if err := g.Event(ctx, tx, r.entry(c)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.log.ErrorContext(ctx, "refusals not recorded, trying again", "events", len(held), "err", err)
		g.putBack(ctx, held)
	}
	return err
}

func (g *Gate) putBack(ctx context.Context, held map[Refusal]*refusalCount) {
	s := &g.refusals
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[Refusal]*refusalCount{}
	}
	for r, old := range held {
		if c := s.held[r]; c != nil {
			c.count, c.first, c.names, c.addrs = c.count+old.count, old.first, c.names+old.names, c.addrs || old.addrs || c.addr != old.addr
		} else {
			s.held[r] = old
		}
	}
	if s.timer == nil && !s.closed {
		s.timer = time.AfterFunc(refusalWindow, func() { _ = g.flush(ctx) }) // it logs its error
	}
}

func (r Refusal) entry(c *refusalCount) Entry {
	e := Entry{
		Who: sess.Principal{Org: r.Org, Name: c.name, Addr: c.addr, RequestID: c.request}, Action: r.Action, Outcome: audit.Refused, Code: r.Code,
		On: policy.Org(r.Org), Time: c.first, Count: c.count,
	}
	if c.names > 1 {
		e.Who.Name = ""
	}
	if c.count > 1 {
		e.Details = map[string]string{"until": c.last.UTC().Format(time.RFC3339Nano), "names": strconv.Itoa(c.names)}
	}
	if c.addrs {
		e.Who.Addr = r.Addr // the network, or none: too many to tell
		e.Details["addresses"] = "several"
	}
	return e
}

// network is the address as refusals are counted by it: somebody with IPv6 has a /64 to choose from.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}
