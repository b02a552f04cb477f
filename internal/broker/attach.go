package broker

import (
	"context"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Attach gives the owner of a session a ticket with a new key. The key takes the session over when the ticket is redeemed,
// not before; the client that had it is told then. Policy lets people attach to their own sessions only.
func (s *Service) Attach(ctx context.Context, who sess.Principal, in api.AttachIn) (api.Ticket, error) {
	var found store.Session
	var out api.Ticket
	err := s.gate.DoFind(ctx, who, policy.SessionAttach, byRef(ctx, in.Session, &found), func(tx *gate.Tx) error {
		if err := checkKey(in.Body.PublicKey); err != nil {
			return err
		}
		row, err := lock(ctx, tx.Tx, found.Org, found.ID)
		if err != nil {
			return err
		}
		if row.State == sess.StateEnded && !s.fetchable(*row, s.now()) {
			return endedError(*row)
		}
		if err := s.stillAllowed(ctx, tx, *row, 0); err != nil {
			return err
		}
		on := sessionResource(*row)
		on.Type = policy.TypeInstance
		refused, err := mayConnect(ctx, tx, *row, 0, tx.Rules().Controls(tx.Grants(), on), sess.CodeLimited)
		if err != nil {
			return err
		}
		if refused != nil {
			tx.Reject(refused)
			return nil
		}
		params, err := paramsOf(ctx, tx.Tx, *row)
		if err != nil {
			return err
		}
		out, err = s.issue(ctx, tx.Tx, row, forClient(who, encodeKey(in.Body.PublicKey), true))
		out.Params = params
		return err
	})
	if err != nil {
		return api.Ticket{}, err
	}
	return out, nil
}

// byRef finds the session that a person named and keeps its row in found.
func byRef(ctx context.Context, ref string, found *store.Session) gate.Find {
	return gate.Find{Type: policy.TypeSession, Name: ref, By: func(tx *gate.Tx) (policy.Resource, error) {
		var err error
		if *found, err = findSession(ctx, tx, ref, policy.SessionShow, sessionResource); err != nil {
			return policy.Resource{}, err
		}
		return sessionResource(*found), nil
	}}
}
