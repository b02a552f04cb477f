package identity

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	hintLogin = `run "sessctl login"`
	hintKey   = `make a new one with "sessctl key create" and put it into SESSCTL_API_KEY`
)

// Authenticate turns a login token or an API key into the principal it stands for. It reads one row, every time: what was
// revoked a moment ago is refused. Refusals are unauthenticated, or denied for a key
// that is right but comes from an address it is not accepted from, and say what to do.
func (s *Service) Authenticate(ctx context.Context, bearer string, addr netip.Addr) (sess.Principal, error) {
	if bearer == "" {
		return sess.Principal{}, sess.New(sess.CodeUnauthenticated, "you are not logged in", hintLogin)
	}
	t, err := sess.ParseToken(bearer, sess.TokenLogin, sess.TokenAPIKey)
	if err != nil {
		public := sess.Public(err)
		return sess.Principal{}, s.refuse(ctx, "", addr, policy.Authenticate, "",
			sess.New(sess.CodeUnauthenticated, public.Message, "copy the key again, or "+hintLogin))
	}
	check := s.byLogin
	if t.Kind == sess.TokenAPIKey {
		check = s.byKey
	}
	who, err := check(ctx, sess.HashToken(bearer), addr)
	if err != nil {
		if e, ok := errors.AsType[*sess.Error](err); ok && (e.Code == sess.CodeUnauthenticated || e.Code == sess.CodeDenied) {
			return sess.Principal{}, s.refuse(ctx, who.Org, addr, policy.Authenticate, who.Name, e)
		}
		return sess.Principal{}, err
	}
	return who, nil
}

func (s *Service) byLogin(ctx context.Context, hash string, addr netip.Addr) (sess.Principal, error) {
	var l store.GetLoginByHashRow
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		l, err = tx.GetLoginByHash(ctx, hash)
		return err
	})
	if err != nil && isNotFound(err) || err == nil && !sameHash(hash, l.Hash) {
		return sess.Principal{}, unauthenticated("this login is not known here", hintLogin)
	}
	if err != nil {
		return sess.Principal{}, fmt.Errorf("look for login: %w", err)
	}
	who := sess.Principal{
		Org: l.Org, User: l.UserID, Name: l.Name, UserKind: l.Kind, Credential: sess.CredentialLogin, CredentialID: string(l.ID),
		MFAAt: store.TimePtr(l.MFAAt), IDP: string(l.IDP), Addr: addr,
	}
	st, err := sess.ParseSettings(l.Settings)
	if err != nil {
		return who, fmt.Errorf("authenticate: %w", err)
	}
	who.Stage = stageOf(l.Stage, st, l.MFAAt)
	now := s.now()
	// What an admin shortened holds for the logins there are.
	life := loginLife(st, l.ValidSeconds)
	switch {
	case l.RevokedAt != nil:
		return who, unauthenticated("this login was ended", hintLogin)
	case l.ExpiresAt <= store.Micros(now), store.Time(l.CreatedAt).Add(life).Compare(now) <= 0:
		return who, unauthenticated(fmt.Sprintf("this login is over: it was valid for %s", inWords(life)), hintLogin)
	case l.LastUsedAt <= store.Micros(now.Add(-st.Idle())):
		return who, unauthenticated(fmt.Sprintf("this login is over: it was not used for %s", inWords(st.Idle())), hintLogin)
	case l.Active == 0, l.Pending == 1:
		return who, unauthenticated("your account is not active", "ask an admin of the organisation to activate it")
	}
	if l.LastUsedAt < store.Micros(now.Add(-touchEvery)) {
		s.noted(ctx, s.touch(ctx, who, l.ID))
	}
	return who, nil
}

func (s *Service) byKey(ctx context.Context, hash string, addr netip.Addr) (sess.Principal, error) {
	var k store.GetAPIKeyByHashRow
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		k, err = tx.GetAPIKeyByHash(ctx, hash)
		return err
	})
	if err != nil && isNotFound(err) || err == nil && !sameHash(hash, k.Hash) {
		return sess.Principal{}, unauthenticated("this API key is not known here", "is it for another server? "+hintKey)
	}
	if err != nil {
		return sess.Principal{}, fmt.Errorf("look for API key: %w", err)
	}
	who := sess.Principal{Org: k.Org, User: k.UserID, Name: k.Name, UserKind: k.Kind, Credential: sess.CredentialKey, CredentialID: string(k.ID), Addr: addr}
	st, err := sess.ParseSettings(k.Settings)
	if err != nil {
		return who, fmt.Errorf("authenticate: %w", err)
	}
	if st.RequireMFA && k.Kind != sess.UserMachine && k.FactorAt == nil {
		who.Stage = sess.StageMFA // a person's key is no way around the second factor
	}
	now := s.now()
	switch {
	case k.RevokedAt != nil:
		return who, unauthenticated("this API key was deleted", hintKey)
	case k.ExpiresAt <= store.Micros(now):
		return who, unauthenticated("this API key ran out on "+store.Time(k.ExpiresAt).Format(time.DateOnly), hintKey)
	case k.ValidSeconds > 0 && store.Time(k.CreatedAt).Add(time.Duration(k.ValidSeconds)*time.Second).Compare(now) <= 0:
		return who, unauthenticated("this API key is older than "+inWords(time.Duration(k.ValidSeconds)*time.Second)+", which is how long yours are valid", hintKey)
	case k.Active == 0, k.Pending == 1:
		return who, unauthenticated("the account of this API key is not active", "ask an admin of the organisation to activate it")
	}
	if !sess.AddressAccepted(k.Addresses, addr) {
		return who, sess.New(sess.CodeDenied, "this API key is not accepted from your address "+addr.String(),
			"it is limited to the addresses that sessctl key list shows; is a proxy of yours not among --trusted-proxies of the server?")
	}
	if k.ActiveLogin == 1 {
		if err := s.needsLogin(ctx, k); err != nil {
			return who, err
		}
	}
	if older := store.Micros(now.Add(-touchEvery)); k.LastUsedAt == nil || *k.LastUsedAt < older {
		at := store.Micros(now)
		s.noted(ctx, s.db.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.TouchAPIKey(ctx, store.TouchAPIKeyParams{Org: k.Org, ID: k.ID, Now: &at, Address: addr.String(), Older: &older})
			if err == nil {
				_, err = tx.SeenMember(ctx, k.Org, k.UserID, &at, &older)
			}
			return err
		}))
	}
	return who, nil
}

// touch notes, at most once a minute, that a person asks for something by a login: that is an access, too. The broker notes what
// is typed in sessions.
func (s *Service) touch(ctx context.Context, who sess.Principal, id sess.LoginID) error {
	now, older := store.Micros(s.now()), store.Micros(s.now().Add(-touchEvery))
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.TouchLogin(ctx, who.Org, id, now, older); err != nil {
			return err
		}
		_, err := tx.SeenMember(ctx, who.Org, who.User, &now, &older)
		return err
	})
	if err != nil {
		return fmt.Errorf("note use of login: %w", err)
	}
	return nil
}

// needsLogin refuses a key of somebody whose keys work only while they are logged in, when they are not.
func (s *Service) needsLogin(ctx context.Context, k store.GetAPIKeyByHashRow) error {
	lives := false
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		lives, err = s.loggedIn(ctx, tx, store.Member{Org: k.Org, UserID: k.UserID, ValidSeconds: k.ValidSeconds})
		return err
	})
	if err == nil && !lives {
		err = unauthenticated("your API keys work only while you are logged in, and you are not", hintLogin)
	}
	return err
}

// noted logs that a use could not be written down: no reason to turn somebody away.
func (s *Service) noted(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "use of credential not noted", "err", err)
	}
}

// sameHash compares once more what the database found, in constant time and byte by byte.
func sameHash(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func unauthenticated(message, hint string) *sess.Error {
	return sess.New(sess.CodeUnauthenticated, message, hint)
}

func inWords(d time.Duration) string {
	switch {
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return fmt.Sprintf("%d seconds", int(d.Seconds()))
}
