package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// listen acts on what an agent says until its link ends. Messages are handled one after the other, so an agent that asks
// for much waits for itself. What it does not know it skips: a newer agent may say more.
func (s *Service) listen(ctx context.Context, l *agentLink) error {
	for {
		c, err := l.conn.ReadControl()
		if err != nil {
			return fmt.Errorf("control link: %w", err)
		}
		l.beat(nil)
		switch c.T {
		case wire.ControlBeat:
			err = s.noteLoad(l, c.Load)
		case wire.ControlAccept:
			l.hold(c.Session)
			err = s.accepted(ctx, l, c)
		case wire.ControlReject:
			err = s.rejected(ctx, l, c)
		case wire.ControlWant:
			err = s.wanted(ctx, l, c.Session)
		case wire.ControlOver:
			err = s.exitAfterEnd(ctx, l, c)
		}
		if err != nil {
			return fmt.Errorf("handle %s: %w", cut(c.T, 32), err)
		}
	}
}

func (s *Service) noteLoad(l *agentLink, load *wire.Load) error {
	if load == nil {
		return nil
	}
	b, err := json.Marshal(load)
	if err != nil {
		return fmt.Errorf("encode load: %w", err)
	}
	l.beat(b)
	return nil
}

// rejected ends a session that the agent refused to run, before it ever joined.
func (s *Service) rejected(ctx context.Context, l *agentLink, c wire.Control) error {
	l.release(c.Session)
	message := clean(c.Message, maxReject)
	if hint := clean(c.Hint, maxReject); hint != "" {
		message += " (" + hint + ")"
	}
	if message == "" {
		message = clean(string(c.Code), maxVersion)
	}
	e := ending{
		reason: sess.EndRejected, message: message,
		who: l.principal(),
	}
	err := s.endIf(ctx, l.org, c.Session, e, func(r *store.Session) (ending, error) {
		if r.Instance != l.instance || r.AgentRedeemed > 0 {
			return e, errNotNow
		}
		return e, nil
	})
	if errors.Is(err, errNotNow) || isNotFound(err) {
		return nil
	}
	return err
}

// wanted answers an agent that wants to join a session again: with a ticket, or that the session is over.
func (s *Service) wanted(ctx context.Context, l *agentLink, id sess.SessionID) error {
	answer := wire.Control{T: wire.ControlEnded, Session: id}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		answer = wire.Control{T: wire.ControlEnded, Session: id}
		r, err := lock(ctx, tx, l.org, id)
		if isNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		if r.Instance != l.instance || r.State == sess.StateEnded && !tail(*r, s.now()) {
			return nil
		}
		token, err := s.mint(ctx, tx, r, forAgent())
		if err != nil {
			return err
		}
		answer = wire.Control{T: wire.ControlTicket, Session: id, Ticket: token, URL: s.base}
		return save(ctx, tx, r)
	})
	if err != nil {
		return fmt.Errorf("answer want: %w", err)
	}
	if answer.T == wire.ControlTicket {
		l.hold(id)
	} else {
		l.release(id)
	}
	l.send(answer)
	return nil
}

// maxTouched bounds the rows that one transaction of touch writes.
const maxTouched = 500

// touch writes what the control links said since the last time: one transaction for up to maxTouched of them.
func (s *Service) touch(ctx context.Context) error {
	type note struct {
		l    *agentLink
		load []byte
	}
	var notes []note
	for _, l := range s.links.list() {
		if load, ok := l.news(); ok {
			notes = append(notes, note{l, load})
		}
	}
	us := store.Micros(s.now())
	for len(notes) > 0 {
		batch := notes[:min(len(notes), maxTouched)]
		notes = notes[len(batch):]
		err := s.db.Write(ctx, func(tx *store.Tx) error {
			for _, n := range batch {
				if n.load == nil {
					n.load = []byte("{}")
				}
				p := store.TouchInstanceParams{Org: n.l.org, ID: n.l.instance, Link: n.l.number, LastSeen: &us, Load: string(n.load)}
				if _, err := tx.TouchInstance(ctx, p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("note signs of life: %w", err)
		}
	}
	return nil
}
