package identity

import (
	"context"
	"fmt"
	"time"

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

// maxUnlocks a day are what the organisations of a person who is in several may do together: an admin of one must not make
// it possible to guess on at the password of all.
const (
	maxUnlocks   = 3
	unlockWindow = 24 * time.Hour
)

// UnlockUser forgets the failed logins of a person's account, so that it may be tried again at once. Addresses that are
// blocked for failing too often stay so.
func (s *Service) UnlockUser(ctx context.Context, who sess.Principal, in api.UserRef) error {
	var m store.Member
	return s.gate.DoFind(ctx, who, policy.UserUnlock, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) error {
		switch {
		case m.Kind == sess.UserMachine:
			return sess.New(sess.CodeInvalid, m.Name+" is a machine user: it never logs in, and so nothing is locked", "")
		case m.Pending == 1:
			return sess.New(sess.CodeConflict, m.Name+" has not accepted the invitation yet, and so nothing of theirs is locked here", "")
		}
		there, err := elsewhere(ctx, tx.Tx, m.UserID, m.Org)
		if err != nil {
			return err
		}
		if there {
			if err := s.unlockBeside(ctx, tx, m); err != nil {
				return err
			}
		}
		return s.failures.unlock(ctx, tx.Tx, attemptOf(sess.Principal{Org: m.Org, User: m.UserID, Name: m.Name, UserKind: m.Kind}))
	})
}

// unlockBeside counts the unlocking of a person who is in other organisations, too, and tells those.
func (s *Service) unlockBeside(ctx context.Context, tx *gate.Tx, m store.Member) error {
	subject, now := "unlock:"+string(m.UserID), s.now()
	if err := tx.Lock(ctx, "login_failure "+subject); err != nil {
		return err
	}
	times, err := tx.ListLoginFailures(ctx, subject, store.Micros(now.Add(-unlockWindow)), maxUnlocks)
	if err != nil {
		return fmt.Errorf("count unlockings: %w", err)
	}
	if len(times) >= maxUnlocks {
		return sess.New(sess.CodeLimited, m.Name+" is a member of another organisation, too, and was unlocked "+fmt.Sprint(maxUnlocks)+" times in a day",
			"the account unlocks itself; "+tryAgain(store.Time(times[len(times)-1]).Add(unlockWindow), now))
	}
	if err := tx.AddLoginFailure(ctx, subject, store.Micros(now), string(sess.NewLoginID())); err != nil {
		return fmt.Errorf("count unlocking: %w", err)
	}
	// The other organisations see that it was done, and not who their neighbours are.
	return s.tell(ctx, tx.Tx, sess.Principal{User: m.UserID, Name: m.Name, UserKind: m.Kind}, policy.UserUnlock, m.Org)
}
