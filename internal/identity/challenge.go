package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	challengeLife    = 5 * time.Minute
	challengeGuesses = 5
)

// challenged is what a login that waits for a second factor remembers.
type challenged struct {
	password string     // hex SHA-256 of the password's hash; empty: a provider vouched
	client   string     // what logs in, as it says
	idp      sess.IDPID // the provider
	until    int64      // the login is valid no longer than that; 0: as organisation and member say
}

// challenge asks the person of tx, who showed the first factor, for the second: once, for a short time.
func (s *Service) challenge(ctx context.Context, tx *gate.Tx, c challenged) (api.LoginOut, error) {
	who, now := tx.Who(), s.now()
	token, err := sess.NewToken(sess.TokenChallenge, nil)
	if err != nil {
		return api.LoginOut{}, err
	}
	expires := now.Add(challengeLife).UTC().Truncate(time.Microsecond)
	if err := tx.CreateLoginChallenge(ctx, store.CreateLoginChallengeParams{
		Org: who.Org, Hash: sess.HashToken(token), UserID: who.User, Password: c.password, Client: clip(c.client, maxClient), IDP: c.idp, Until: c.until,
		CreatedAt: store.Micros(now), ExpiresAt: store.Micros(expires),
	}); err != nil {
		return api.LoginOut{}, fmt.Errorf("create challenge: %w", err)
	}
	return api.LoginOut{Challenge: token, ExpiresAt: expires, User: who.User, Email: who.Name, Org: who.Org}, nil
}

// LoginMFA ends a login that asked for a second factor. A wrong code counts as a failed login, and the challenge bears a few.
// Errors: unauthenticated (the code is wrong), expired (the challenge is over, or there were too many guesses), limited.
func (s *Service) LoginMFA(ctx context.Context, addr netip.Addr, in api.LoginMFAIn) (api.LoginOut, error) {
	c, err := s.loadChallenge(ctx, addr, in.Body.Challenge)
	if err != nil {
		return api.LoginOut{}, err
	}
	who := sess.Principal{Org: c.Org, User: c.UserID, Name: c.Name, UserKind: c.Kind, IDP: string(c.IDP), Addr: addr}
	var out api.LoginOut
	err = s.gate.Do(ctx, who, policy.Login, own(who), func(tx *gate.Tx) error {
		now := store.Micros(s.now())
		n, err := tx.GuessLoginChallenge(ctx, c.Org, c.Hash, challengeGuesses, now)
		if err != nil {
			return fmt.Errorf("use challenge: %w", err)
		}
		if n == 0 {
			return errChallenge()
		}
		ok, err := s.tryCode(ctx, tx, in.Body.Code, errWrongCode(sess.CodeUnauthenticated))
		if err != nil || !ok {
			return err
		}
		if n, err = tx.UseLoginChallenge(ctx, c.Org, c.Hash, &now); err != nil || n == 0 {
			return errors.Join(err, errChallenge())
		}
		if c.Password != "" {
			if err := s.samePassword(ctx, tx, c.UserID, c.Password); err != nil {
				return err
			}
		}
		if err := s.failures.succeed(ctx, tx.Tx, attemptOf(who)); err != nil {
			return err
		}
		out, err = s.newLogin(ctx, tx, loginSpec{client: c.Client, mfaAt: now, idp: c.IDP, until: c.Until})
		out.OrgName = c.OrgName
		return err
	})
	if err != nil {
		return api.LoginOut{}, err
	}
	return out, nil
}

// loadChallenge finds a challenge that may be answered at this moment.
func (s *Service) loadChallenge(ctx context.Context, addr netip.Addr, token string) (c store.GetLoginChallengeByHashRow, err error) {
	if _, err := sess.ParseToken(token, sess.TokenChallenge); err != nil {
		e, _ := errors.AsType[*sess.Error](err) // ParseToken says so
		return c, s.refuse(ctx, "", addr, policy.Login, "", e)
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		c, err = tx.GetLoginChallengeByHash(ctx, sess.HashToken(token))
		return err
	})
	switch {
	case err != nil && isNotFound(err):
		return c, s.refuse(ctx, "", addr, policy.Login, "", errChallenge())
	case err != nil:
		return c, err
	case c.UsedAt != nil, c.Guesses >= challengeGuesses, c.ExpiresAt <= store.Micros(s.now()):
		return c, s.refuse(ctx, c.Org, addr, policy.Login, c.Name, errChallenge())
	}
	return c, nil
}

func errChallenge() *sess.Error {
	return sess.New(sess.CodeExpired, "this login took too long, or too many codes were wrong", `begin again: "sessctl login"`)
}
