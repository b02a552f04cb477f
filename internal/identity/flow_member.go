package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/identity/idp"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// takeIn makes a member of whom a provider vouches for, or finds the one it made before, applies the groups, and ends the
// flow: all or nothing. Who it is follows from provider, issuer and subject; an address is a name and proves nothing.
func (s *Service) takeIn(ctx context.Context, b Browser, f store.LoginFlow, row store.IDP, p idp.Person) (FlowEnd, error) {
	who := sess.System(row.Org)
	who.Addr = b.Addr
	var end FlowEnd
	err := s.gate.Do(ctx, who, policy.IDPLogin, idpResource(row), func(tx *gate.Tx) error {
		tx.Detail("subject", clip(p.Subject, maxText))
		if err := tx.Lock(ctx, "idp accounts "+string(row.Org)); err != nil {
			return err
		}
		m, err := s.memberOf(ctx, tx, row, p)
		if err != nil {
			return err
		}
		tx.Detail("user", string(m.UserID))
		tx.Detail("name", m.Name)
		kept, err := s.applyGroups(ctx, tx, m, p.Groups)
		if err != nil {
			return err
		}
		var mfaAt *int64
		if p.MFA {
			mfaAt = new(store.Micros(s.now()))
			tx.Detail("mfa", "by the provider")
		}
		end, err = s.proved(ctx, tx.Tx, b, f, ending{org: row.Org, idp: row.ID, user: m.UserID, mfaAt: mfaAt})
		end.Name, end.Note = m.Name, keptNote(kept)
		return err
	})
	if err != nil {
		return FlowEnd{}, err
	}
	return end, nil
}

// memberOf finds or makes the member.
func (s *Service) memberOf(ctx context.Context, tx *gate.Tx, row store.IDP, p idp.Person) (store.Member, error) {
	said, err := json.Marshal(p.Groups)
	if err != nil {
		return store.Member{}, fmt.Errorf("keep groups: %w", err)
	}
	now := store.Micros(s.now())
	acct, err := tx.GetIDPAccount(ctx, row.Org, row.ID, p.Issuer, p.Subject)
	if err != nil && isNotFound(err) {
		return s.newIDPMember(ctx, tx, row, p, string(said))
	}
	if err != nil {
		return store.Member{}, fmt.Errorf("look for account: %w", err)
	}
	m, err := tx.GetMember(ctx, row.Org, acct.UserID)
	switch {
	case err != nil:
		return m, fmt.Errorf("load member: %w", err)
	case m.DeletedAt != nil:
		return m, sess.New(sess.CodeDenied, "your account in this organisation was deleted", "ask an admin of the organisation")
	case m.Active == 0:
		return m, sess.New(sess.CodeDenied, "your account in this organisation is not active", "ask an admin of the organisation to activate it")
	}
	if _, err := tx.TouchIDPAccount(ctx, store.TouchIDPAccountParams{
		Org: row.Org, IDP: row.ID, Issuer: p.Issuer, Subject: p.Subject, LastLoginAt: now, Said: string(said),
	}); err != nil {
		return m, fmt.Errorf("note login: %w", err)
	}
	return m, renameByIDP(ctx, tx, &m, p.Email)
}

// renameByIDP follows a change of address, when nobody else has the new one.
func renameByIDP(ctx context.Context, tx *gate.Tx, m *store.Member, email string) error {
	if email == "" || email == m.Name {
		return nil
	}
	email, err := normalEmail(email)
	if err != nil {
		return nil //nolint:nilerr // the old name serves on
	}
	switch _, err := tx.GetMemberByName(ctx, m.Org, email); {
	case err == nil:
		tx.Detail("address_taken", email)
		return nil
	case !isNotFound(err):
		return fmt.Errorf("look for member: %w", err)
	}
	if _, err := tx.RenameMember(ctx, m.Org, m.UserID, email); err != nil {
		return fmt.Errorf("name member: %w", err)
	}
	tx.Detail("old_name", m.Name)
	m.Name = email
	return changeRules(ctx, tx)
}

func changeRules(ctx context.Context, tx *gate.Tx) error {
	if _, err := tx.ChangeRules(ctx, tx.Who().Org); err != nil {
		return fmt.Errorf("note change of rules: %w", err)
	}
	return nil
}

// newIDPMember makes a member without any role.
func (s *Service) newIDPMember(ctx context.Context, tx *gate.Tx, row store.IDP, p idp.Person, said string) (store.Member, error) {
	if p.Email == "" {
		return store.Member{}, sess.New(sess.CodeDenied, "the identity provider does not vouch for an e-mail address of yours",
			"have your address verified there; where the provider does not tell, an admin may say so: sessctl idp set "+row.Name+" --trust-email")
	}
	email, err := normalEmail(p.Email)
	if err != nil {
		return store.Member{}, sess.New(sess.CodeDenied, "what the identity provider gives as your e-mail address is none", "ask its admin")
	}
	m := store.Member{Org: row.Org, UserID: sess.NewUserID(), Name: email, Kind: sess.UserIDP, Active: 1, IDP: row.ID}
	now := store.Micros(s.now())
	n, err := tx.CreateIDPMember(ctx, store.CreateIDPMemberParams{Org: row.Org, UserID: m.UserID, Name: email, CreatedAt: now, IDP: row.ID})
	if err != nil {
		return m, fmt.Errorf("create member: %w", err)
	}
	if n == 0 {
		tx.Detail("name", email)
		return m, sess.New(sess.CodeConflict, "somebody in this organisation has your e-mail address already, and is not known to come from this identity provider",
			"an account is never taken over by its address: log in as before, or ask an admin to delete that user first")
	}
	if err := tx.CreateIDPAccount(ctx, store.CreateIDPAccountParams{
		Org: row.Org, IDP: row.ID, Issuer: p.Issuer, Subject: p.Subject, UserID: m.UserID, CreatedAt: now, Said: said,
	}); err != nil {
		return m, fmt.Errorf("create account: %w", err)
	}
	tx.Detail("new", "yes")
	return m, changeRules(ctx, tx)
}

// ending is who ended a flow, and how.
type ending struct {
	org      sess.OrgID
	idp      sess.IDPID // empty: by a password
	user     sess.UserID
	mfaAt    *int64
	password string // hex SHA-256 of the hash of the password that was right
}

// endFlow notes who it was, and makes the code that the browser carries to the client.
func (s *Service) endFlow(ctx context.Context, tx *store.Tx, b Browser, f store.LoginFlow, e ending) (FlowEnd, error) {
	now := s.now()
	code, p := "", store.EndLoginFlowParams{
		ID: f.ID, Browser: b.hash(), Chosen: e.org, IDP: e.idp, UserID: e.user, MFAAt: e.mfaAt, Password: e.password,
		Token: f.Token, Until: f.ExpiresAt, Now: new(store.Micros(now)),
	}
	if f.Kind == flowCode {
		code = randomText()
		p.Token, p.Until = sess.HashToken(code), min(f.ExpiresAt, store.Micros(now.Add(codeLife)))
	}
	n, err := tx.EndLoginFlow(ctx, p)
	if err != nil {
		return FlowEnd{}, fmt.Errorf("end login: %w", err)
	}
	if n == 0 {
		return FlowEnd{}, errFlowOver()
	}
	end := FlowEnd{Client: f.Client}
	if f.Kind == flowCode {
		end.URL = backTo(f, url.Values{"code": {code}})
	}
	return end, nil
}
