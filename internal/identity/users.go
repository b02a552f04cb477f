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

// ListUsers lists the users of an organisation, newest first.
func (s *Service) ListUsers(ctx context.Context, who sess.Principal, in api.UsersIn) (api.UserList, error) {
	out := api.UserList{Items: []api.User{}}
	err := s.gate.Read(ctx, who, policy.UserList, policy.Org(who.Org), func(tx *gate.Tx) error {
		limit, after, err := page(in.Page)
		if err != nil {
			return err
		}
		q := store.ListMembersParams{Org: who.Org, BeforeAt: after.At, BeforeID: after.ID, Kind: in.Kind, Page: int32(limit + 1)} //nolint:gosec // at most a page
		if in.Deleted {
			q.Deleted = 1
		}
		rows, err := tx.ListMembers(ctx, q)
		if err != nil {
			return fmt.Errorf("list users: %w", err)
		}
		if len(rows) > limit {
			rows = rows[:limit]
			out.Next = store.Cursor{At: rows[limit-1].CreatedAt, ID: string(rows[limit-1].UserID)}.String()
		}
		users, err := viewUsers(ctx, tx, rows)
		if err != nil {
			return err
		}
		for _, u := range users {
			if tx.Allowed(policy.UserShow, policy.Resource{Org: who.Org, Type: policy.TypeUser, ID: string(u.ID), Name: u.Name, Owner: u.ID}) {
				out.Items = append(out.Items, u)
			}
		}
		return nil
	})
	if err != nil {
		return api.UserList{}, err
	}
	return out, nil
}

// viewUsers gives rows, which are neighbours in the list, as people see them: with roles and groups.
func viewUsers(ctx context.Context, tx *gate.Tx, rows []store.ListMembersRow) ([]api.User, error) {
	users := make([]api.User, len(rows))
	if len(rows) == 0 {
		return users, nil
	}
	at := make(map[sess.UserID]*api.User, len(rows))
	for i, r := range rows {
		users[i] = viewMember(r)
		at[r.UserID] = &users[i]
	}
	first, last := rows[0], rows[len(rows)-1]
	roles, err := tx.ListRolesOfMembers(ctx, store.ListRolesOfMembersParams{
		Org: first.Org, FirstAt: first.CreatedAt, FirstID: string(first.UserID), LastAt: last.CreatedAt, LastID: string(last.UserID),
	})
	if err != nil {
		return nil, fmt.Errorf("list roles of users: %w", err)
	}
	for _, r := range roles {
		if u := at[r.MemberID]; u != nil {
			u.Roles = append(u.Roles, api.GrantOut{Role: r.Role, Project: r.ProjectName, Group: r.TeamName})
		}
	}
	teams, err := tx.ListTeamsOfMembers(ctx, store.ListTeamsOfMembersParams{
		Org: first.Org, FirstAt: first.CreatedAt, FirstID: string(first.UserID), LastAt: last.CreatedAt, LastID: string(last.UserID),
	})
	if err != nil {
		return nil, fmt.Errorf("list groups of users: %w", err)
	}
	for _, t := range teams {
		u := at[t.MemberID]
		if u == nil || len(u.Groups) > 0 && u.Groups[len(u.Groups)-1] == t.Name { // by hand and by the provider
			continue
		}
		u.Groups = append(u.Groups, t.Name)
	}
	return users, nil
}

func viewMember(r store.ListMembersRow) api.User {
	u := api.User{
		ID: r.UserID, Name: r.Name, FullName: r.FullName, Kind: r.Kind, State: api.UserActive, Groups: []string{}, Roles: []api.GrantOut{},
		Factors: []string{}, LastSeenAt: optionalTime(r.LastSeenAt), CreatedAt: store.Time(r.CreatedAt), DeletedAt: optionalTime(r.DeletedAt),
		ValidSeconds: r.ValidSeconds, ActiveLogin: r.ActiveLogin == 1, IDP: r.IDP,
	}
	switch {
	case r.DeletedAt != nil:
		u.State = api.UserDeleted
	case r.Active == 0:
		u.State = api.UserDeactivated
	case r.Pending == 1, r.Kind == sess.UserLocal && r.PasswordExpiresAt != nil:
		u.State = api.UserInvited
	}
	if r.Factor != "" {
		u.Factors = append(u.Factors, r.Factor)
	}
	return u
}

// viewUser gives one user as people see them.
func (s *Service) viewUser(ctx context.Context, tx *gate.Tx, m store.Member) (api.User, error) {
	row, err := tx.ShowMember(ctx, m.Org, m.UserID)
	if err != nil {
		return api.User{}, fmt.Errorf("load user: %w", err)
	}
	users, err := viewUsers(ctx, tx, []store.ListMembersRow{store.ListMembersRow(row)})
	if err != nil {
		return api.User{}, err
	}
	return users[0], nil
}

// GetUser shows a user, with what became of their last invitation while it is open.
func (s *Service) GetUser(ctx context.Context, who sess.Principal, in api.UserRef) (api.User, error) {
	var m store.Member
	var out api.User
	err := s.gate.ReadFind(ctx, who, policy.UserShow, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) (err error) {
		if out, err = s.viewUser(ctx, tx, m); err != nil {
			return err
		}
		if out.Provider, err = viewProvider(ctx, tx, m); err != nil {
			return err
		}
		i, err := tx.GetLastInvite(ctx, m.Org, m.UserID)
		switch {
		case err != nil && isNotFound(err):
			return nil
		case err != nil:
			return fmt.Errorf("load invitation: %w", err)
		}
		out.Invitation = &api.Invitation{
			CreatedAt: store.Time(i.CreatedAt), ExpiresAt: store.Time(i.ExpiresAt), UsedAt: optionalTime(i.UsedAt), Mail: s.mailState(i.Mail, i.CreatedAt),
		}
		return nil
	})
	if err != nil {
		return api.User{}, err
	}
	return out, nil
}

// PatchUser changes what the organisation says of a user: how long their credentials are valid, and whether their keys need
// a login that lives. What is over by that ends at once. The name of a person who is a member elsewhere, too, is not one
// organisation's to change.
func (s *Service) PatchUser(ctx context.Context, who sess.Principal, in api.UserPatchIn) (api.User, error) {
	var m store.Member
	var out api.User
	var list []ended
	err := s.gate.DoFind(ctx, who, policy.UserChange, s.findUser(ctx, who.Org, in.User, &m), func(tx *gate.Tx) (err error) {
		list = nil
		if err := s.notAbove(ctx, tx, m); err != nil {
			return err
		}
		if err := tx.Lock(ctx, gate.MemberLock(m.Org, m.UserID)); err != nil {
			return err
		}
		if in.Body.FullName != nil {
			if err := s.rename(ctx, tx, m, *in.Body.FullName); err != nil {
				return err
			}
		}
		if list, err = s.limit(ctx, tx, &m, in); err != nil {
			return err
		}
		if out, err = s.viewUser(ctx, tx, m); err != nil {
			return err
		}
		return changeRules(ctx, tx)
	})
	if err != nil {
		return api.User{}, err
	}
	s.endAll(ctx, list)
	return out, nil
}

// rename sets the name of a person, for people.
func (s *Service) rename(ctx context.Context, tx *gate.Tx, m store.Member, name string) error {
	if len(name) > maxFullName || !printable(name) {
		return sess.New(sess.CodeInvalid, "the name is too long or not plain text", fmt.Sprintf("use up to %d bytes", maxFullName))
	}
	if m.Kind == sess.UserMachine {
		return sess.New(sess.CodeInvalid, m.Name+" is a machine user: it has no other name", "")
	}
	there, err := elsewhere(ctx, tx.Tx, m.UserID, m.Org)
	if err != nil {
		return err
	}
	if there {
		return sess.New(sess.CodeDenied, m.Name+" is a member of another organisation, too", "their name is theirs to change")
	}
	if _, err := tx.SetPersonName(ctx, m.UserID, name); err != nil {
		return fmt.Errorf("name person: %w", err)
	}
	tx.Detail("full_name", name)
	return nil
}

const maxValid = 366 * 24 * time.Hour

// limit sets how long a user's credentials are valid and when their keys work, and gives those that are over by it.
func (s *Service) limit(ctx context.Context, tx *gate.Tx, m *store.Member, in api.UserPatchIn) ([]ended, error) {
	if in.Body.ValidSeconds == nil && in.Body.ActiveLogin == nil {
		return nil, nil
	}
	if v := in.Body.ValidSeconds; v != nil {
		if *v < 0 || *v > int64(maxValid/time.Second) || *v > 0 && *v < 60 {
			return nil, sess.New(sess.CodeInvalid, "credentials are valid for a minute at least and a year at most", "0 means as the organisation says")
		}
		m.ValidSeconds = *v
		tx.Detail("valid_seconds", fmt.Sprint(*v))
	}
	if on := in.Body.ActiveLogin; on != nil {
		if *on && m.Kind == sess.UserMachine {
			return nil, sess.New(sess.CodeInvalid, m.Name+" is a machine user: it never logs in", "delete its keys, or give them a shorter life")
		}
		m.ActiveLogin = 0
		if *on {
			m.ActiveLogin = 1
		}
		tx.Detail("require_active_login", fmt.Sprint(*on))
	}
	if _, err := tx.SetMemberLimits(ctx, m.Org, m.UserID, m.ValidSeconds, m.ActiveLogin); err != nil {
		return nil, fmt.Errorf("set limits of user: %w", err)
	}
	list, err := s.overdue(ctx, tx.Tx, *m)
	if err != nil {
		return nil, err
	}
	more, err := s.keyless(ctx, tx.Tx, *m)
	return append(list, more...), err
}

// overdue lists the logins and keys of a user that are older than theirs may be. They are not revoked: they count again if
// they may be older.
func (s *Service) overdue(ctx context.Context, tx *store.Tx, m store.Member) ([]ended, error) {
	if m.ValidSeconds == 0 {
		return nil, nil
	}
	born := store.Micros(s.now().Add(-time.Duration(m.ValidSeconds) * time.Second))
	logins, err := tx.ListLoginsSince(ctx, m.Org, m.UserID, born)
	if err != nil {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	keys, err := tx.ListAPIKeysSince(ctx, m.Org, m.UserID, born)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	var list []ended
	for _, id := range logins {
		list = append(list, ended{m.Org, string(id)})
	}
	for _, id := range keys {
		list = append(list, ended{m.Org, string(id)})
	}
	return list, nil
}

// keyless lists the keys of a user that need a login that lives, when none does.
func (s *Service) keyless(ctx context.Context, tx *store.Tx, m store.Member) ([]ended, error) {
	if m.ActiveLogin == 0 {
		return nil, nil
	}
	lives, err := s.loggedIn(ctx, tx, m)
	if err != nil || lives {
		return nil, err
	}
	keys, err := tx.ListAPIKeysSince(ctx, m.Org, m.UserID, store.Micros(s.now()))
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	list := make([]ended, len(keys))
	for i, id := range keys {
		list[i] = ended{m.Org, string(id)}
	}
	return list, nil
}

// loggedIn reports whether a login of a user lives.
func (s *Service) loggedIn(ctx context.Context, tx *store.Tx, m store.Member) (bool, error) {
	org, err := tx.GetOrg(ctx, m.Org)
	if err != nil {
		return false, fmt.Errorf("load organisation: %w", err)
	}
	st, err := sess.ParseSettings(org.Settings)
	if err != nil {
		return false, err
	}
	now := s.now()
	n, err := tx.CountLiveLogins(ctx, store.CountLiveLoginsParams{
		Org: m.Org, UserID: m.UserID, Now: store.Micros(now), UsedSince: store.Micros(now.Add(-st.Idle())),
		BegunSince: store.Micros(now.Add(-loginLife(st, m.ValidSeconds))),
	})
	if err != nil {
		return false, fmt.Errorf("count logins: %w", err)
	}
	return n > 0, nil
}
