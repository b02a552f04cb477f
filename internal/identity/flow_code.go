package identity

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// proved ends a flow of somebody who showed a first factor, or, where they have a second one that nobody saw yet, has it go
// on with FlowCode.
func (s *Service) proved(ctx context.Context, tx *store.Tx, b Browser, f store.LoginFlow, e ending) (FlowEnd, error) {
	if e.mfaAt == nil {
		n, err := tx.HasFactor(ctx, e.org, e.user)
		if err != nil {
			return FlowEnd{}, fmt.Errorf("look for factor: %w", err)
		}
		if n > 0 {
			return s.holdForCode(ctx, tx, b, f, e)
		}
	}
	return s.endFlow(ctx, tx, b, f, e)
}

func (s *Service) holdForCode(ctx context.Context, tx *store.Tx, b Browser, f store.LoginFlow, e ending) (FlowEnd, error) {
	n, err := tx.HoldLoginFlowForCode(ctx, store.HoldLoginFlowForCodeParams{
		ID: f.ID, Browser: b.hash(), Chosen: e.org, IDP: e.idp, UserID: e.user, Password: e.password,
	})
	if err != nil {
		return FlowEnd{}, fmt.Errorf("wait for a code: %w", err)
	}
	if n == 0 {
		return FlowEnd{}, errFlowOver()
	}
	return FlowEnd{Client: f.Client, Code: f.ID}, nil
}

// heldName is the name of who showed a first factor.
func heldName(ctx context.Context, tx *store.Tx, f store.LoginFlow) (string, error) {
	m, err := tx.GetMember(ctx, f.Org, f.UserID)
	if err != nil {
		return "", fmt.Errorf("load member: %w", err)
	}
	return m.Name, nil
}

// FlowCode ends a flow with a code of the second factor of who showed the first one in this browser. A wrong one counts as a
// failed login, as everywhere.
func (s *Service) FlowCode(ctx context.Context, b Browser, id, code string) (FlowEnd, error) {
	var f store.LoginFlow
	var m store.Member
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		if f, err = s.loadFlow(ctx, tx, b, id); err != nil {
			return err
		}
		if f.UserID == "" {
			return errFlowOver()
		}
		m, err = tx.GetMember(ctx, f.Org, f.UserID)
		return err
	})
	if err != nil {
		return FlowEnd{}, s.refuseFlow(ctx, b, f.Org, err)
	}
	who := sess.Principal{Org: f.Org, User: f.UserID, Name: m.Name, UserKind: m.Kind, IDP: string(f.IDP), Addr: b.Addr}
	var end FlowEnd
	err = s.gate.Do(ctx, who, policy.LoginChallenge, own(who), func(tx *gate.Tx) error {
		end = FlowEnd{}
		ok, err := s.tryCode(ctx, tx, code, errWrongCode(sess.CodeUnauthenticated))
		if err != nil || !ok {
			return err
		}
		if err := s.failures.succeed(ctx, tx.Tx, attemptOf(who)); err != nil {
			return err
		}
		end, err = s.endFlow(ctx, tx.Tx, b, f, ending{org: f.Org, idp: f.IDP, user: f.UserID, password: f.Password, mfaAt: new(store.Micros(s.now()))})
		end.Name = m.Name
		return err
	})
	if err != nil {
		return FlowEnd{}, err
	}
	return end, nil
}

// RestartFlow has somebody else go on with a flow that waits for a code.
func (s *Service) RestartFlow(ctx context.Context, b Browser, id string) error {
	return s.step(ctx, b, id, true, func(tx *store.Tx, _ store.LoginFlow) (int64, error) {
		return tx.RestartLoginFlow(ctx, id, b.hash())
	})
}
