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

const (
	keyLife    = 90 * 24 * time.Hour
	maxKeyLife = 365 * 24 * time.Hour
	maxKeys    = 100 // that work, per user
	maxKeyName = 64
)

// CreateKey makes an API key: the caller's own, or a machine user's (made when there is none). Its secret is in the answer
// and nowhere else. A key makes no further key for its own user, so that a leaked one can't outlive itself.
func (s *Service) CreateKey(ctx context.Context, who sess.Principal, in api.KeyIn) (api.Key, error) {
	act, on := policy.KeyCreate, policy.Resource{Org: who.Org, Type: policy.TypeKey, Owner: who.User, Name: in.Body.Name}
	if in.Body.Machine != "" {
		act, on = policy.KeyCreateMachine, policy.Org(who.Org)
	}
	var out api.Key
	err := s.gate.Do(ctx, who, act, on, func(tx *gate.Tx) error {
		life, err := keyTTL(in)
		if err != nil {
			return err
		}
		owner := store.Member{Org: who.Org, UserID: who.User, Name: who.Name, Kind: who.UserKind}
		switch {
		case in.Body.Machine != "":
			if owner, err = s.machine(ctx, tx, in.Body.Machine, in.Body.Role); err != nil {
				return err
			}
		case in.Body.Role != "":
			return sess.New(sess.CodeInvalid, "a role is given along with a new machine user only", "your own keys may do what you may do")
		case who.Credential != sess.CredentialLogin:
			return sess.New(sess.CodeDenied, "an API key can't make another key for itself", "log in for that; or, as an admin, use --machine NAME")
		}
		out, err = s.newKey(ctx, tx, owner, in.Body.Name, life)
		return err
	})
	if err != nil {
		return api.Key{}, err
	}
	return out, nil
}

func keyTTL(in api.KeyIn) (time.Duration, error) {
	if in.Body.TTL < 0 || in.Body.TTL > int64(maxKeyLife/time.Second) {
		return 0, sess.New(sess.CodeInvalid, "an API key is valid for a year at most", "")
	}
	if len(in.Body.Name) > maxKeyName || !printable(in.Body.Name) {
		return 0, sess.New(sess.CodeInvalid, "the name of the key is too long or not plain text", fmt.Sprintf("use up to %d bytes", maxKeyName))
	}
	if in.Body.TTL == 0 {
		return keyLife, nil
	}
	return time.Duration(in.Body.TTL) * time.Second, nil
}

// machine finds the machine user of that name, or makes one with the role.
func (s *Service) machine(ctx context.Context, tx *gate.Tx, name string, role sess.Role) (store.Member, error) {
	org := tx.Who().Org
	m, err := tx.GetMemberByName(ctx, org, name)
	switch {
	case err == nil && m.Kind != sess.UserMachine:
		return m, sess.New(sess.CodeConflict, name+" is no machine user", "people make their own keys; give the machine user another name")
	case err == nil && m.Active == 0:
		return m, sess.New(sess.CodeConflict, "the machine user "+name+" is not active", "activate it first")
	case err == nil:
		return m, s.sameRole(ctx, tx, m, role)
	case !isNotFound(err):
		return m, fmt.Errorf("look for machine user: %w", err)
	}
	if !machineName.MatchString(name) {
		return m, sess.New(sess.CodeInvalid, "this can't be the name of a machine user", "use up to 64 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit")
	}
	if role == "" {
		role = sess.RoleOperator
	}
	if role != sess.RoleAdmin && role != sess.RoleOperator && role != sess.RoleReadOnly && role != sess.RoleAuditor {
		return m, sess.New(sess.CodeInvalid, fmt.Sprintf("unknown role %q", clip(string(role), 32)), "roles are org-admin, operator, read-only, auditor")
	}
	now := store.Micros(s.now())
	m = store.Member{Org: org, UserID: sess.NewUserID(), Kind: sess.UserMachine, Name: name, Active: 1, CreatedAt: now}
	n, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: org, UserID: m.UserID, Kind: m.Kind, Name: name, CreatedAt: now})
	if err != nil {
		return m, fmt.Errorf("create machine user: %w", err)
	}
	if n == 0 {
		return m, sess.New(sess.CodeConflict, "somebody else made a machine user "+name+" at this moment", "try again")
	}
	if _, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: org, ID: sess.NewGrantID(), UserID: m.UserID, Role: role, CreatedAt: now}); err != nil {
		return m, fmt.Errorf("grant role: %w", err)
	}
	tx.Detail("machine_user", "created")
	tx.Detail("role", string(role))
	return m, nil
}

// sameRole refuses a role that an existing machine user does not have: making a key is no way to change roles unseen.
func (s *Service) sameRole(ctx context.Context, tx *gate.Tx, m store.Member, role sess.Role) error {
	if role == "" {
		return nil
	}
	grants, err := tx.ListGrantsOfUser(ctx, m.Org, m.UserID)
	if err != nil {
		return fmt.Errorf("load grants: %w", err)
	}
	for _, g := range grants {
		if g.Role == role && g.Project == "" {
			return nil
		}
	}
	return sess.New(sess.CodeConflict, fmt.Sprintf("the machine user %s exists and has another role", m.Name), "leave the role out")
}

func (s *Service) newKey(ctx context.Context, tx *gate.Tx, owner store.Member, name string, life time.Duration) (api.Key, error) {
	now := s.now()
	if err := tx.Lock(ctx, "api keys "+string(owner.UserID)); err != nil {
		return api.Key{}, err
	}
	n, err := tx.CountAPIKeysOfUser(ctx, owner.Org, owner.UserID, store.Micros(now))
	if err != nil {
		return api.Key{}, fmt.Errorf("count API keys: %w", err)
	}
	if n >= maxKeys {
		return api.Key{}, sess.New(sess.CodeLimited, fmt.Sprintf("%s has %d API keys already", owner.Name, n), "delete those that are not used: sessctl key list")
	}
	secret, err := sess.NewToken(sess.TokenAPIKey, nil)
	if err != nil {
		return api.Key{}, err
	}
	k := store.CreateAPIKeyParams{
		Org: owner.Org, ID: sess.NewKeyID(), Hash: sess.HashToken(secret), UserID: owner.UserID, Name: name,
		CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(life)),
	}
	if err := tx.CreateAPIKey(ctx, k); err != nil {
		return api.Key{}, fmt.Errorf("create API key: %w", err)
	}
	tx.On(policy.Resource{Org: owner.Org, Type: policy.TypeKey, ID: string(k.ID), Owner: owner.UserID, Name: name})
	tx.Detail("owner", owner.Name)
	tx.Detail("expires", store.Time(k.ExpiresAt).Format(time.RFC3339))
	return api.Key{
		ID: k.ID, Secret: secret, Name: name, User: owner.Name, Machine: owner.Kind == sess.UserMachine,
		CreatedAt: store.Time(k.CreatedAt), ExpiresAt: store.Time(k.ExpiresAt),
	}, nil
}

// ListKeys lists API keys that are not deleted, newest first: the caller's own, or everybody's.
func (s *Service) ListKeys(ctx context.Context, who sess.Principal, in api.KeysIn) (api.KeyList, error) {
	act, on, owner := policy.KeyList, policy.Resource{Org: who.Org, Type: policy.TypeKey, Owner: who.User}, string(who.User)
	if in.All {
		act, on, owner = policy.KeyListAll, policy.Org(who.Org), ""
	}
	out := api.KeyList{Items: []api.Key{}}
	err := s.gate.Read(ctx, who, act, on, func(tx *gate.Tx) error {
		limit, after, err := page(in.Page)
		if err != nil {
			return err
		}
		if owner == "" && !in.All {
			return nil // nobody in particular has no keys
		}
		rows, err := tx.ListAPIKeys(ctx, store.ListAPIKeysParams{Org: who.Org, BeforeAt: after.At, BeforeID: after.ID, Owner: owner, Page: int32(limit + 1)}) //nolint:gosec // at most a page
		if err != nil {
			return fmt.Errorf("list API keys: %w", err)
		}
		for i, k := range rows {
			if i == limit {
				last := rows[limit-1]
				out.Next = store.Cursor{At: last.CreatedAt, ID: string(last.ID)}.String()
				break
			}
			out.Items = append(out.Items, api.Key{
				ID: k.ID, Name: k.Name, User: k.UserName, Machine: k.UserKind == sess.UserMachine, CreatedAt: store.Time(k.CreatedAt),
				ExpiresAt: store.Time(k.ExpiresAt), LastUsedAt: optionalTime(k.LastUsedAt), LastUsedBy: k.LastUsedFrom,
			})
		}
		return nil
	})
	if err != nil {
		return api.KeyList{}, err
	}
	return out, nil
}

// DeleteKey deletes an API key: it stops working at once, and the sessions it started end.
func (s *Service) DeleteKey(ctx context.Context, who sess.Principal, in api.IDRef) error {
	find := gate.Find{Type: policy.TypeKey, Name: in.ID, By: func(tx *gate.Tx) (policy.Resource, error) {
		k, err := tx.GetAPIKey(ctx, who.Org, sess.KeyID(in.ID))
		return policy.Resource{Org: k.Org, Type: policy.TypeKey, ID: string(k.ID), Owner: k.UserID, Name: k.Name}, err
	}}
	err := s.gate.DoFind(ctx, who, policy.KeyDelete, find, func(tx *gate.Tx) error {
		now := store.Micros(s.now())
		if _, err := tx.RevokeAPIKey(ctx, who.Org, sess.KeyID(in.ID), &now); err != nil {
			return fmt.Errorf("delete API key: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.revoked(ctx, who.Org, in.ID)
	return nil
}
