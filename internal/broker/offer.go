package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// offer sends a session that was just started to its agent. If the link went meanwhile, the next one carries it.
func (s *Service) offer(ctx context.Context, r store.Session, params []byte, token string) {
	l := s.links.get(r.Instance)
	if l == nil {
		return
	}
	c, err := s.offerOf(l, r, params, token)
	if err != nil {
		s.log.ErrorContext(ctx, "offer not signed", attrSession, string(r.ID), "err", err)
		return
	}
	l.offer(r.ID, c)
}

func (s *Service) offerOf(l *agentLink, r store.Session, params []byte, token string) (wire.Control, error) {
	hash, c := sha256.Sum256(params), controls(r)
	signed, err := wire.Sign(s.key, wire.PurposeOffer, wire.Offer{
		Nonce: l.nonce, Instance: r.Instance, Session: r.ID, Kind: r.Kind, OSUser: r.OSUser, ParamsHash: hash[:],
		Expires: s.now().Add(sess.TicketTTL).Unix(), GraceMS: r.GraceMS, LeaseMS: lease(r).Milliseconds(), By: r.UserName, Reason: r.Reason, Programs: true,
		Echoed: c.InputMode() == sess.InputMasked && c.RecordingMode() != sess.RecordOff,
	})
	if err != nil {
		return wire.Control{}, err
	}
	return wire.Control{T: wire.ControlOffer, Session: r.ID, Signed: signed, Ticket: token, URL: s.base}, nil
}

// reoffer sends what started while no link of the instance was there to carry it.
func (s *Service) reoffer(ctx context.Context, l *agentLink) error {
	var live []store.Session
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		live, err = tx.ListLiveSessionsOfInstance(ctx, l.org, l.instance)
		return err
	})
	if err != nil {
		return fmt.Errorf("list sessions of instance: %w", err)
	}
	for _, r := range live {
		if !offerable(r) || l.holds(r.ID) {
			continue
		}
		var c wire.Control
		err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
			c, err = s.renew(ctx, tx, l, r)
			return err
		})
		if errors.Is(err, errNotNow) {
			continue
		} else if err != nil {
			return fmt.Errorf("offer again: %w", err)
		}
		l.offer(r.ID, c)
	}
	return nil
}

// offerable reports whether a session waits for its agent to take it.
func offerable(r store.Session) bool { return r.State == sess.StatePending && r.AgentRedeemed == 0 }

// renew makes the offer of a session again, with a fresh ticket.
func (s *Service) renew(ctx context.Context, tx *store.Tx, l *agentLink, r store.Session) (wire.Control, error) {
	held, err := lock(ctx, tx, r.Org, r.ID)
	if err != nil {
		return wire.Control{}, err
	}
	if !offerable(*held) {
		return wire.Control{}, errNotNow
	}
	params, err := paramsOf(ctx, tx, *held)
	if err != nil {
		return wire.Control{}, err
	}
	token, err := s.mint(ctx, tx, held, forAgent())
	if err != nil {
		return wire.Control{}, err
	}
	if err := save(ctx, tx, held); err != nil {
		return wire.Control{}, err
	}
	return s.offerOf(l, *held, params, token)
}
