package identity

import (
	"context"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// ResetMFA removes the second factors that a member has in this organisation: for who lost phone and recovery codes. Where
// the organisation demands one, their next login begins with enrolling another. Their factors elsewhere stay.
func (s *Service) ResetMFA(ctx context.Context, who sess.Principal, in api.UserRef) error {
	var m store.Member
	return s.gate.DoFind(ctx, who, policy.UserResetMFA, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) error {
		return dropFactors(ctx, tx, m.UserID)
	})
}

// UnlockUser forgets the failed logins of a person's account, so that it may be tried again at once. Addresses that are
// blocked for failing too often stay so.
func (s *Service) UnlockUser(ctx context.Context, who sess.Principal, in api.UserRef) error {
	var m store.Member
	return s.gate.DoFind(ctx, who, policy.UserUnlock, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) error {
		if m.Kind != sess.UserLocal {
			return sess.New(sess.CodeInvalid, m.Name+" has no password here, and so nothing is locked", "")
		}
		return s.failures.unlock(ctx, tx.Tx, m.Name)
	})
}
