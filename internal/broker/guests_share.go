package broker

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

// Sharing gives nobody what no role gives them: it lets somebody who may work on the instance into a session of somebody
// else there. When it runs out or is taken back, whoever is there by it has to go.

const (
	shareTTL    = time.Hour
	maxShareTTL = 7 * 24 * time.Hour
	maxShares   = 100 // of one session, not run out
)

// Share shares a session with a member, or makes a link that shares it with the first one who opens it.
func (s *Service) Share(ctx context.Context, who sess.Principal, in api.ShareIn) (api.Share, error) {
	var found store.Session
	var row store.SessionShare
	var token string
	err := s.gate.DoFind(ctx, who, policy.SessionShare, byRef(ctx, in.Session, &found), func(tx *gate.Tx) (err error) {
		tx.Detail("role", string(in.Body.Role))
		if row, token, err = s.newShare(ctx, tx, found, in); err != nil {
			return err
		}
		tx.Detail("share", string(row.ID))
		if row.UserName != "" {
			tx.Detail("with", row.UserName)
		} else {
			tx.Detail("with", "whoever opens the link first")
		}
		return tx.InsertShare(ctx, store.InsertShareParams{
			Org: row.Org, ID: row.ID, Session: row.Session, Role: row.Role, UserID: row.UserID, UserName: row.UserName, Hash: row.Hash,
			CreatedBy: row.CreatedBy, CreatedAt: row.CreatedAt, ExpiresAt: row.ExpiresAt,
		})
	})
	if err != nil {
		return api.Share{}, err
	}
	out := publicShare(row)
	if token != "" {
		out.Link = sess.ShareLink(s.public, token)
	}
	return out, nil
}

func (s *Service) newShare(ctx context.Context, tx *gate.Tx, r store.Session, in api.ShareIn) (row store.SessionShare, token string, err error) {
	now := s.now()
	ttl := time.Duration(in.Body.TTLSeconds) * time.Second
	if ttl == 0 {
		ttl = shareTTL
	}
	row = store.SessionShare{
		Org: r.Org, ID: sess.NewShareID(), Session: r.ID, Role: in.Body.Role, CreatedBy: tx.Who().Name, CreatedAt: store.Micros(now),
		ExpiresAt: store.Micros(now.Add(ttl)),
	}
	live, err := tx.ListSharesOfSession(ctx, r.Org, r.ID, store.Micros(now))
	switch {
	case err != nil:
		return row, "", fmt.Errorf("count shares: %w", err)
	case len(live) >= maxShares:
		return row, "", sess.New(sess.CodeLimited, fmt.Sprintf("the session is shared %d times already", len(live)), "sessctl session unshare "+string(r.ID)+" takes all of it back")
	case r.State == sess.StateEnded:
		return row, "", endedError(r)
	case ttl < 0 || ttl > maxShareTTL:
		return row, "", sess.New(sess.CodeInvalid, "a session is shared for up to "+maxShareTTL.String(), "")
	case in.Body.Role.Types() && r.Tty == 0:
		return row, "", sess.New(sess.CodeInvalid, "this is a command without a terminal: it can be watched, but nobody joins its input", "--role observer")
	}
	if in.Body.With == "" {
		token, err = sess.NewToken(sess.TokenShare, s.pin)
		row.Hash = sess.HashToken(token)
		return row, token, err
	}
	m, err := member(ctx, tx.Tx, r.Org, in.Body.With)
	if err != nil {
		return row, "", err
	}
	if m.UserID == r.UserID {
		return row, "", sess.New(sess.CodeConflict, "the session is theirs already", "")
	}
	row.UserID, row.UserName = m.UserID, m.Name
	return row, "", nil
}

// member finds whom a person names by an e-mail address, a name or an id.
func member(ctx context.Context, tx *store.Tx, org sess.OrgID, ref string) (store.Member, error) {
	m, err := tx.GetMemberByName(ctx, org, ref)
	if isNotFound(err) && sess.ValidID("usr", ref) {
		m, err = tx.GetMember(ctx, org, sess.UserID(ref))
	}
	if isNotFound(err) || err == nil && m.DeletedAt != nil {
		return m, sess.New(sess.CodeNotFound, fmt.Sprintf("no user %q in this organisation", ref), "write the whole e-mail address")
	}
	if err != nil {
		return m, fmt.Errorf("look up user: %w", err)
	}
	return m, nil
}

// Shares lists with whom a session is shared.
func (s *Service) Shares(ctx context.Context, who sess.Principal, in api.SessionRef) (api.ShareList, error) {
	var found store.Session
	out := api.ShareList{Items: []api.Share{}}
	err := s.gate.ReadFind(ctx, who, policy.SessionShare, byRef(ctx, in.Session, &found), func(tx *gate.Tx) error {
		rows, err := tx.ListSharesOfSession(ctx, found.Org, found.ID, store.Micros(s.now()))
		if err != nil {
			return fmt.Errorf("list shares: %w", err)
		}
		for _, r := range rows {
			out.Items = append(out.Items, publicShare(r))
		}
		return nil
	})
	return out, err
}

// Unshare takes back what was shared with somebody, or with everybody, and puts out who is there by it alone.
func (s *Service) Unshare(ctx context.Context, who sess.Principal, in api.UnshareIn) error {
	var found store.Session
	err := s.gate.DoFind(ctx, who, policy.SessionShare, byRef(ctx, in.Session, &found), func(tx *gate.Tx) error {
		tx.Detail("take_back", "yes")
		user := ""
		if in.Body.With != "" {
			m, err := member(ctx, tx.Tx, found.Org, in.Body.With)
			if err != nil {
				return err
			}
			user = string(m.UserID)
			tx.Detail("with", m.Name)
		}
		us := store.Micros(s.now())
		n, err := tx.RevokeShares(ctx, &us, found.Org, found.ID, user)
		if err == nil && n == 0 {
			err = sess.New(sess.CodeNotFound, "the session is not shared with them", "sessctl session share "+string(found.ID)+" --list shows with whom")
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.againGuests(ctx, found.Org)
}

// OpenShare opens the link to a session, once: it is shared with who asks then, if they may come by it at all.
func (s *Service) OpenShare(ctx context.Context, who sess.Principal, in api.OpenShareIn) (api.Share, error) {
	var row store.SessionShare
	err := s.gate.Do(ctx, who, policy.SessionOpen, policy.Org(who.Org), func(tx *gate.Tx) error {
		if _, err := sess.ParseToken(in.Body.Token, sess.TokenShare); err != nil {
			return err
		}
		var err error
		if row, err = tx.GetShareByHash(ctx, tx.Who().Org, sess.HashToken(in.Body.Token)); isNotFound(err) {
			return sess.New(sess.CodeNotFound, "there is no such link in this organisation", "copy the whole of it; sessctl whoami says which organisation you are in")
		} else if err != nil {
			return fmt.Errorf("look for link: %w", err)
		}
		r, err := tx.GetSession(ctx, row.Org, row.Session)
		if err != nil {
			return fmt.Errorf("load session of link: %w", err)
		}
		tx.Session(r.ID)
		tx.Detail("share", string(row.ID))
		tx.Detail("role", string(row.Role))
		return s.openShare(ctx, tx, &row, r)
	})
	if err != nil {
		return api.Share{}, err
	}
	return publicShare(row), nil
}

func (s *Service) openShare(ctx context.Context, tx *gate.Tx, row *store.SessionShare, r store.Session) error {
	who, now := tx.Who(), store.Micros(s.now())
	const fresh = "ask for a fresh one: sessctl session share makes it"
	on := sessionResource(r)
	on.Shared = row.Role
	switch {
	case row.RevokedAt != nil:
		return sess.New(sess.CodeExpired, "the link was taken back", fresh)
	case now >= row.ExpiresAt:
		return sess.New(sess.CodeExpired, "the link ran out", fresh)
	case r.State == sess.StateEnded:
		return endedError(r)
	case r.UserID == who.User:
		return sess.New(sess.CodeConflict, "the session is yours already", "sessctl attach "+string(r.ID))
	case !tx.Allowed(roleAction(row.Role), on):
		return sess.New(sess.CodeDenied, "a link lets nobody in who may not work on the instance", "ask an admin of the organisation for the role operator there")
	case row.UserID == who.User:
		return nil // once more by the same person: their terminal may have been closed
	}
	n, err := tx.OpenShare(ctx, store.OpenShareParams{Org: row.Org, ID: row.ID, UserID: who.User, UserName: who.Name, Now: &now})
	if err != nil {
		return fmt.Errorf("open link: %w", err)
	}
	if n == 0 {
		return sess.New(sess.CodeExpired, "the link was opened before", fresh)
	}
	row.UserID, row.UserName = who.User, who.Name
	return nil
}

func publicShare(r store.SessionShare) api.Share {
	return api.Share{ID: r.ID, Session: r.Session, Role: r.Role, UserName: r.UserName, CreatedBy: r.CreatedBy, ExpiresAt: store.Time(r.ExpiresAt)}
}
