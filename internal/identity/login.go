package identity

import (
	"context"
	"crypto/subtle"
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
	// touchEvery bounds how often a use is written down.
	touchEvery = time.Minute
	maxClient  = 200 // bytes of a client's description of itself
)

// Login logs a person in by e-mail address and password. Whether the account exists, has a password, or the password is
// wrong, the answer is the same and costs the same: one hash. Errors: unauthenticated, limited (too many failures from
// that address), unavailable (too many logins at once), denied (right password, but the account is not active).
func (s *Service) Login(ctx context.Context, addr netip.Addr, in api.LoginIn) (api.LoginOut, error) {
	var out api.LoginOut
	email, err := normalEmail(in.Body.Email)
	if err != nil {
		return out, err
	}
	if len(in.Body.Password) > maxPassword {
		return out, sess.New(sess.CodeInvalid, fmt.Sprintf("the password is longer than %d bytes", maxPassword), "")
	}
	attempt, err := s.failures.begin(ctx, email, addr)
	if err != nil {
		if e, ok := errors.AsType[*sess.Error](err); ok && e.Code == sess.CodeLimited {
			return out, s.refuse(ctx, "", addr, policy.Login, "", e)
		}
		return out, err
	}
	account, err := s.checkPassword(ctx, email, in.Body.Password)
	if err != nil {
		return out, errors.Join(err, s.failures.cancel(context.WithoutCancel(ctx), attempt))
	}
	if account.wrong {
		return out, s.refuse(ctx, account.Org, addr, policy.Login, account.name, errWrongPassword())
	}
	who := sess.Principal{Org: account.Org, User: account.UserID, Name: email, UserKind: sess.UserLocal, Addr: addr}
	on := policy.Resource{Org: who.Org, Type: policy.TypeLogin, Owner: who.User}
	err = s.gate.Do(ctx, who, policy.Login, on, func(tx *gate.Tx) error {
		if err := s.samePassword(ctx, tx, account.GetAccountRow); err != nil {
			return err
		}
		if err := s.failures.succeed(ctx, tx.Tx, attempt); err != nil {
			return err
		}
		out, err = s.newLogin(ctx, tx, in.Body.Client)
		out.OrgName = account.OrgName
		return err
	})
	if err != nil {
		if !errors.Is(err, sess.ErrUnauthenticated) && !errors.Is(err, sess.ErrDenied) { // our failure, not theirs
			err = errors.Join(err, s.failures.cancel(context.WithoutCancel(ctx), attempt))
		}
		return api.LoginOut{}, err
	}
	return out, nil
}

type checkedAccount struct {
	store.GetAccountRow

	name  string // its e-mail address; empty when there is none
	wrong bool
}

func (s *Service) checkPassword(ctx context.Context, email, password string) (a checkedAccount, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) (err error) {
		a.GetAccountRow, err = tx.GetAccount(ctx, email)
		return err
	})
	switch {
	case err == nil:
		a.name = email
	case !isNotFound(err):
		return a, err
	}
	right, err := s.hasher.check(ctx, a.PasswordHash, password)
	a.wrong = !right
	return a, err
}

// samePassword refuses when the password was changed since it was checked: the change ended all logins, and none may
// slip in behind it.
func (s *Service) samePassword(ctx context.Context, tx *gate.Tx, a store.GetAccountRow) error {
	if err := lockPerson(ctx, tx.Tx, a.UserID); err != nil {
		return err
	}
	p, err := tx.GetPerson(ctx, a.UserID)
	if err != nil {
		return fmt.Errorf("load person: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(p.PasswordHash), []byte(a.PasswordHash)) != 1 {
		return errWrongPassword()
	}
	return nil
}

func lockPerson(ctx context.Context, tx *store.Tx, id sess.UserID) error {
	return tx.Lock(ctx, "person "+string(id))
}

func errWrongPassword() *sess.Error {
	return sess.New(sess.CodeUnauthenticated, "the e-mail address or the password is wrong", `try again; who forgot the password: "sessctl login --forgot"`)
}

// loginLife is how long a login is valid: as the organisation says, or as it says of that user.
func loginLife(st sess.Settings, validSeconds int64) time.Duration {
	if validSeconds > 0 {
		return time.Duration(validSeconds) * time.Second
	}
	return st.Login()
}

// newLogin makes a login for the principal of tx.
func (s *Service) newLogin(ctx context.Context, tx *gate.Tx, client string) (api.LoginOut, error) {
	who, now := tx.Who(), s.now()
	token, err := sess.NewToken(sess.TokenLogin, nil)
	if err != nil {
		return api.LoginOut{}, err
	}
	life, err := s.lifeOfLogin(ctx, tx)
	if err != nil {
		return api.LoginOut{}, err
	}
	stage, err := s.temporary(ctx, tx.Tx, who.User)
	if err != nil {
		return api.LoginOut{}, err
	}
	seen := store.Micros(now)
	if _, err := tx.SeenMember(ctx, who.Org, who.User, &seen, &seen); err != nil {
		return api.LoginOut{}, fmt.Errorf("note access: %w", err)
	}
	id, expires := sess.NewLoginID(), now.Add(life).UTC().Truncate(time.Microsecond)
	if err := tx.CreateLogin(ctx, store.CreateLoginParams{
		Org: who.Org, ID: id, Hash: sess.HashToken(token), UserID: who.User, CreatedAt: store.Micros(now), ExpiresAt: store.Micros(expires),
		Address: who.Addr.String(), Client: clip(client, maxClient), Stage: stage,
	}); err != nil {
		return api.LoginOut{}, fmt.Errorf("create login: %w", err)
	}
	tx.On(policy.Resource{Org: who.Org, Type: policy.TypeLogin, ID: string(id), Owner: who.User, Name: who.Name})
	return api.LoginOut{Token: token, ExpiresAt: expires, User: who.User, Email: who.Name, Org: who.Org, Stage: stage}, nil
}

// lifeOfLogin is how long a login of the principal of tx is valid.
func (s *Service) lifeOfLogin(ctx context.Context, tx *gate.Tx) (time.Duration, error) {
	who := tx.Who()
	org, err := tx.GetOrg(ctx, who.Org)
	if err != nil {
		return 0, fmt.Errorf("load organisation: %w", err)
	}
	m, err := tx.GetMember(ctx, who.Org, who.User)
	if err != nil {
		return 0, fmt.Errorf("load member: %w", err)
	}
	st, err := sess.ParseSettings(org.Settings)
	return loginLife(st, m.ValidSeconds), err
}

// Logout ends the login that asks. Its sessions end with it.
func (s *Service) Logout(ctx context.Context, who sess.Principal) error {
	on := policy.Resource{Org: who.Org, Type: policy.TypeLogin, ID: who.CredentialID, Owner: who.User}
	var list []ended
	err := s.gate.Do(ctx, who, policy.Logout, on, func(tx *gate.Tx) error {
		if who.Credential != sess.CredentialLogin {
			return sess.New(sess.CodeInvalid, "an API key does not log out", "sessctl key delete ends it for good")
		}
		now := store.Micros(s.now())
		if _, err := tx.RevokeLogin(ctx, who.Org, sess.LoginID(who.CredentialID), &now); err != nil {
			return fmt.Errorf("end login: %w", err)
		}
		m, err := tx.GetMember(ctx, who.Org, who.User)
		if err != nil {
			return fmt.Errorf("load member: %w", err)
		}
		list, err = s.keyless(ctx, tx.Tx, m)
		return err
	})
	if err != nil {
		return err
	}
	s.revoked(ctx, who.Org, who.CredentialID)
	s.endAll(ctx, list)
	return nil
}

// Whoami says who is asking, by what, and the roles held.
func (s *Service) Whoami(ctx context.Context, who sess.Principal) (api.WhoamiOut, error) {
	var out api.WhoamiOut
	err := s.gate.Read(ctx, who, policy.Whoami, policy.Org(who.Org), func(tx *gate.Tx) error {
		org, err := tx.GetOrg(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("load organisation: %w", err)
		}
		out = api.WhoamiOut{
			User: who.User, Name: who.Name, Kind: who.UserKind, Org: who.Org, OrgName: org.Name, Credential: who.Credential,
			Address: who.Addr.String(), Grants: []api.GrantOut{},
		}
		if err := whatOneHolds(ctx, tx, &out); err != nil {
			return err
		}
		out.ExpiresAt, err = credentialExpiry(ctx, tx)
		return err
	})
	if err != nil {
		return api.WhoamiOut{}, err
	}
	return out, nil
}

func credentialExpiry(ctx context.Context, tx *gate.Tx) (*time.Time, error) {
	who := tx.Who()
	switch who.Credential {
	case sess.CredentialLogin:
		l, err := tx.GetLogin(ctx, who.Org, sess.LoginID(who.CredentialID))
		if err != nil {
			return nil, fmt.Errorf("load login: %w", err)
		}
		return optionalTime(&l.ExpiresAt), nil
	case sess.CredentialKey:
		k, err := tx.GetAPIKey(ctx, who.Org, sess.KeyID(who.CredentialID))
		if err != nil {
			return nil, fmt.Errorf("load API key: %w", err)
		}
		return optionalTime(&k.ExpiresAt), nil
	case sess.CredentialNone, sess.CredentialAgent, sess.CredentialSystem, sess.CredentialAdmin:
	}
	return nil, nil
}
