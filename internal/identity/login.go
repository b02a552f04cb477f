package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	// maxLogins of one member live at a time: the ones used longest ago end for those that come.
	maxLogins = 100
)

// Login logs a person in by e-mail address and password, in the organisation they name or the only one they are in. Whether
// the account exists, has a password, or the password is wrong, the answer is the same and costs the same: one hash. In two
// cases it is no login yet: who is in several organisations and names none is told which, and who has a second factor gets
// a challenge, for LoginMFA. Errors: unauthenticated, limited (too many failures), unavailable (too many logins at once),
// denied (right password, but the account is not active), not found (right password, but no such organisation).
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
	accounts, right, err := s.checkPassword(ctx, email, in.Body.Password)
	if err != nil {
		return out, errors.Join(err, s.failures.cancel(context.WithoutCancel(ctx), attempt))
	}
	if !right {
		return out, s.refusePassword(ctx, attempt, accounts, addr)
	}
	account, err := chooseOrg(accounts, in.Body.Org)
	if err != nil || account.Org == "" {
		// The password was right: no failure, and no login.
		if cerr := s.failures.cancel(context.WithoutCancel(ctx), attempt); cerr != nil {
			return out, cerr
		}
		if e, ok := errors.AsType[*sess.Error](err); ok {
			return out, s.refuse(ctx, accounts[0].Org, addr, policy.Login, email, e)
		}
		return api.LoginOut{Email: email, User: accounts[0].UserID, Orgs: orgNames(accounts)}, nil
	}
	return s.enter(ctx, addr, email, account, attempt, in.Body.Client)
}

// enter logs the person of an account in whose password was right, or asks for the second factor.
func (s *Service) enter(ctx context.Context, addr netip.Addr, email string, account store.ListAccountsRow, a *attempt, client string) (api.LoginOut, error) {
	who := sess.Principal{Org: account.Org, User: account.UserID, Name: email, UserKind: sess.UserLocal, Addr: addr}
	act := policy.Login
	if account.FactorAt != nil {
		act = policy.LoginChallenge
	}
	var out api.LoginOut
	err := s.gate.Do(ctx, who, act, own(who), func(tx *gate.Tx) error {
		if err := s.samePassword(ctx, tx, account.UserID, sess.HashToken(account.PasswordHash)); err != nil {
			return err
		}
		f, err := tx.GetFactor(ctx, who.Org, who.User, factorTOTP)
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("load factor: %w", err)
		}
		if f.ConfirmedAt != nil {
			if err := s.failures.takeBack(ctx, tx.Tx, a); err != nil { // earlier failures stay: it is no login yet
				return err
			}
			out, err = s.challenge(ctx, tx, challenged{password: sess.HashToken(account.PasswordHash), client: client})
		} else {
			if err := s.failures.succeed(ctx, tx.Tx, a); err != nil {
				return err
			}
			out, err = s.newLogin(ctx, tx, loginSpec{client: client})
		}
		out.OrgName = account.OrgName
		return err
	})
	if err != nil {
		if !errors.Is(err, sess.ErrUnauthenticated) && !errors.Is(err, sess.ErrDenied) { // our failure, not theirs
			err = errors.Join(err, s.failures.cancel(context.WithoutCancel(ctx), a))
		}
		return api.LoginOut{}, err
	}
	return out, nil
}

// checkPassword gives the accounts that an e-mail address has, one for each organisation, and whether the password is right.
func (s *Service) checkPassword(ctx context.Context, email, password string) (accounts []store.ListAccountsRow, right bool, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) (err error) {
		accounts, err = tx.ListAccounts(ctx, email)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	hash := ""
	if len(accounts) > 0 {
		hash = accounts[0].PasswordHash
	}
	right, err = s.hasher.check(ctx, hash, password)
	return accounts, right, err
}

// chooseOrg gives the account in the organisation named; in the only one where it is active, when none is; a zero one when
// there are several to choose from.
func chooseOrg(accounts []store.ListAccountsRow, name string) (store.ListAccountsRow, error) {
	var active []store.ListAccountsRow
	for _, a := range accounts {
		if name != "" && a.OrgName == name {
			return a, nil
		}
		if a.Active == 1 {
			active = append(active, a)
		}
	}
	switch {
	case name != "":
		return store.ListAccountsRow{}, errNotIn(name, orgNames(accounts))
	case len(active) == 1:
		return active[0], nil
	case len(active) == 0:
		return accounts[0], nil // the gate says what is the matter
	}
	return store.ListAccountsRow{}, nil
}

func errNotIn(name string, names []string) *sess.Error {
	return sess.New(sess.CodeNotFound, fmt.Sprintf("you are in no organisation %q", clip(name, maxOrgName)), "yours: "+strings.Join(names, ", "))
}

// orgNames gives the names of the organisations where somebody is active.
func orgNames(accounts []store.ListAccountsRow) []string {
	var names []string
	for _, a := range accounts {
		if a.Active == 1 {
			names = append(names, a.OrgName)
		}
	}
	slices.Sort(names)
	return names
}

// samePassword refuses when the password is not the one whose hash's SHA-256 is given: it was changed since it was checked.
// The change ended all logins, and none may slip in behind it.
func (s *Service) samePassword(ctx context.Context, tx *gate.Tx, user sess.UserID, sum string) error {
	if err := lockPerson(ctx, tx.Tx, user); err != nil {
		return err
	}
	p, err := tx.GetPerson(ctx, user)
	if err != nil {
		return fmt.Errorf("load person: %w", err)
	}
	if !sameHash(sess.HashToken(p.PasswordHash), sum) {
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

// loginSpec says how a login comes to be.
type loginSpec struct {
	client string     // what logs in, as it says
	mfaAt  int64      // when a second factor was shown; 0: none was
	idp    sess.IDPID // the provider that sent the person; empty: a password
	until  int64      // valid no longer than that; 0: as organisation and member say
}

// newLogin makes a login for the principal of tx.
func (s *Service) newLogin(ctx context.Context, tx *gate.Tx, how loginSpec) (api.LoginOut, error) {
	who, now := tx.Who(), s.now()
	token, err := sess.NewToken(sess.TokenLogin, nil)
	if err != nil {
		return api.LoginOut{}, err
	}
	life, st, err := s.lifeOfLogin(ctx, tx)
	if err != nil {
		return api.LoginOut{}, err
	}
	stage := sess.StageNone
	if how.idp == "" { // whom a provider sends has no password here
		if stage, err = s.temporary(ctx, tx.Tx, who.User); err != nil {
			return api.LoginOut{}, err
		}
	}
	if stage == sess.StageNone && how.mfaAt == 0 {
		if stage, err = ownFactor(ctx, tx); err != nil {
			return api.LoginOut{}, err
		}
	}
	seen := store.Micros(now)
	if _, err := tx.SeenMember(ctx, who.Org, who.User, &seen, &seen); err != nil {
		return api.LoginOut{}, fmt.Errorf("note access: %w", err)
	}
	var shown *int64
	if how.mfaAt != 0 {
		shown = &how.mfaAt
	}
	id, expires := sess.NewLoginID(), now.Add(life).UTC().Truncate(time.Microsecond)
	if until := store.Time(how.until); how.until != 0 && until.Before(expires) {
		expires = until
	}
	if err := tx.CreateLogin(ctx, store.CreateLoginParams{
		Org: who.Org, ID: id, Hash: sess.HashToken(token), UserID: who.User, CreatedAt: store.Micros(now), ExpiresAt: store.Micros(expires),
		Address: who.Addr.String(), Client: clip(how.client, maxClient), MFAAt: shown, Stage: stage, IDP: how.idp,
	}); err != nil {
		return api.LoginOut{}, fmt.Errorf("create login: %w", err)
	}
	if err := s.endOldest(ctx, tx); err != nil {
		return api.LoginOut{}, err
	}
	tx.On(policy.Resource{Org: who.Org, Type: policy.TypeLogin, ID: string(id), Owner: who.User, Name: who.Name})
	return api.LoginOut{
		Token: token, ExpiresAt: expires, User: who.User, Email: who.Name, Org: who.Org, Stage: stageOf(stage, st, shown),
	}, nil
}

// ownFactor is what a login that has shown no second factor has to do first because its member has one.
func ownFactor(ctx context.Context, tx *gate.Tx) (sess.Stage, error) {
	n, err := tx.HasFactor(ctx, tx.Who().Org, tx.Who().User)
	if err != nil {
		return sess.StageNone, fmt.Errorf("look for factor: %w", err)
	}
	if n > 0 {
		return sess.StageMFA, nil
	}
	return sess.StageNone, nil
}

// endOldest ends the logins of the principal of tx that were used longest ago, where there are too many.
func (s *Service) endOldest(ctx context.Context, tx *gate.Tx) error {
	who, now := tx.Who(), store.Micros(s.now())
	ids, err := tx.EndLoginsBeyond(ctx, &now, who.Org, who.User, maxLogins)
	if err != nil {
		return fmt.Errorf("end the oldest logins: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	tx.Detail("oldest_ended", fmt.Sprint(len(ids)))
	tx.AfterCommit(func() {
		for _, id := range ids {
			s.revoked(context.WithoutCancel(ctx), who.Org, string(id))
		}
	})
	return nil
}

// stageOf is what a login has to do first: its own, or the second factor that the organisation demands of it. The
// organisation may have begun to demand it a moment ago.
func stageOf(own sess.Stage, st sess.Settings, mfaAt *int64) sess.Stage {
	switch {
	case own == sess.StageMFA && mfaAt != nil:
		return sess.StageNone // it was shown since
	case own == sess.StageNone && st.RequireMFA && mfaAt == nil:
		return sess.StageMFA
	}
	return own
}

// lifeOfLogin is how long a login of the principal of tx is valid; and what its organisation set.
func (s *Service) lifeOfLogin(ctx context.Context, tx *gate.Tx) (time.Duration, sess.Settings, error) {
	who := tx.Who()
	st, err := settingsOf(ctx, tx.Tx, who.Org)
	if err != nil {
		return 0, st, err
	}
	m, err := tx.GetMember(ctx, who.Org, who.User)
	if err != nil {
		return 0, st, fmt.Errorf("load member: %w", err)
	}
	return loginLife(st, m.ValidSeconds), st, nil
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
			Address: who.Addr.String(), Stage: who.Stage, MFAAt: optionalTime(store.MicrosPtr(who.MFAAt)), Grants: []api.GrantOut{},
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
