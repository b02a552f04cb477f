package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// FlowPassword ends a flow with e-mail address and password, as Login does; who has a second factor goes on with FlowCode.
func (s *Service) FlowPassword(ctx context.Context, b Browser, id, email, password string) (FlowEnd, error) {
	email, err := normalEmail(email)
	if err != nil {
		return FlowEnd{}, err
	}
	if len(password) > maxPassword {
		return FlowEnd{}, sess.New(sess.CodeInvalid, fmt.Sprintf("the password is longer than %d bytes", maxPassword), "")
	}
	var org sess.OrgID // chosen before; empty: none
	if err := s.step(ctx, b, id, true, func(_ *store.Tx, f store.LoginFlow) (int64, error) {
		org = f.Org
		return 1, nil
	}); err != nil {
		return FlowEnd{}, err
	}
	attempt, err := s.failures.begin(ctx, email, b.Addr)
	if err != nil {
		if e, ok := errors.AsType[*sess.Error](err); ok && e.Code == sess.CodeLimited {
			return FlowEnd{}, s.refuse(ctx, "", b.Addr, policy.Login, "", e)
		}
		return FlowEnd{}, err
	}
	accounts, right, err := s.checkPassword(ctx, email, password)
	if err != nil {
		return FlowEnd{}, errors.Join(err, s.failures.cancel(context.WithoutCancel(ctx), attempt))
	}
	if !right {
		return FlowEnd{}, s.refusePassword(ctx, attempt, accounts, b.Addr)
	}
	account := flowAccount(accounts, org)
	if account.Active == 0 {
		return FlowEnd{}, s.refuse(ctx, account.Org, b.Addr, policy.Login, email,
			sess.New(sess.CodeDenied, "your account in this organisation is not active", "ask an admin of the organisation to activate it"))
	}
	var end FlowEnd
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		f, err := s.loadFlow(ctx, tx, b, id)
		if err != nil {
			return err
		}
		done := s.failures.succeed
		if account.FactorAt != nil {
			done = s.failures.takeBack // it is no login yet: earlier failures stay
		}
		if err := done(ctx, tx, attempt); err != nil {
			return err
		}
		end, err = s.proved(ctx, tx, b, f, ending{org: account.Org, user: account.UserID, password: sess.HashToken(account.PasswordHash)})
		end.Name = email
		return err
	})
	if err != nil { // our failure, or the flow was over: not a wrong password
		return FlowEnd{}, errors.Join(err, s.failures.cancel(context.WithoutCancel(ctx), attempt))
	}
	return end, nil
}

// flowAccount gives the account in the organisation that was chosen, else the oldest that is active.
func flowAccount(accounts []store.ListAccountsRow, org sess.OrgID) store.ListAccountsRow {
	best := accounts[0]
	for _, a := range accounts {
		switch {
		case a.Org == org:
			return a
		case best.Active == 0 && a.Active == 1:
			best = a
		}
	}
	return best
}
