package identity

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// ListKeys lists API keys that are not deleted, newest first: the caller's own, everybody's, or one user's.
func (s *Service) ListKeys(ctx context.Context, who sess.Principal, in api.KeysIn) (api.KeyList, error) {
	act, on := policy.KeyList, policy.Resource{Org: who.Org, Type: policy.TypeKey, Owner: who.User}
	others := in.User != "" && in.User != who.Name && in.User != string(who.User)
	if in.All || others {
		act, on = policy.KeyListAll, policy.Org(who.Org)
	}
	out := api.KeyList{Items: []api.Key{}}
	err := s.gate.Read(ctx, who, act, on, func(tx *gate.Tx) error {
		limit, after, err := page(in.Page)
		if err != nil {
			return err
		}
		owner := who.User
		if others {
			m, err := memberByRef(ctx, tx, in.User)
			if err != nil {
				return err
			}
			owner = m.UserID
		} else if in.All && in.User == "" {
			owner = ""
		}
		if owner == "" && act == policy.KeyList {
			return nil // nobody in particular has no keys
		}
		rows, err := tx.ListAPIKeys(ctx, store.ListAPIKeysParams{Org: who.Org, BeforeAt: after.At, BeforeID: after.ID, Owner: string(owner), Page: int32(limit + 1)}) //nolint:gosec // at most a page
		if err != nil {
			return fmt.Errorf("list API keys: %w", err)
		}
		if len(rows) > limit {
			last := rows[limit-1]
			rows, out.Next = rows[:limit], store.Cursor{At: last.CreatedAt, ID: string(last.ID)}.String()
		}
		for _, k := range rows {
			out.Items = append(out.Items, viewKey(k))
		}
		return nil
	})
	if err != nil {
		return api.KeyList{}, err
	}
	return out, nil
}

func viewKey(k store.ListAPIKeysRow) api.Key {
	return api.Key{
		ID: k.ID, Hint: k.Hint, Name: k.Name, User: k.UserName, UserID: k.UserID, Machine: k.UserKind == sess.UserMachine,
		From: strings.Fields(k.Addresses), CreatedAt: store.Time(k.CreatedAt), ExpiresAt: store.Time(k.ExpiresAt),
		LastUsedAt: optionalTime(k.LastUsedAt), LastUsedBy: k.LastUsedFrom,
	}
}

// findKey finds a key that is not deleted, for the gate, and keeps it in into.
func findKey(ctx context.Context, org sess.OrgID, id string, into *store.GetAPIKeyRow) gate.Find {
	return gate.Find{Type: policy.TypeKey, Name: clip(id, maxName), By: func(tx *gate.Tx) (policy.Resource, error) {
		k, err := tx.GetAPIKey(ctx, org, sess.KeyID(id))
		*into = k
		return policy.Resource{Org: k.Org, Type: policy.TypeKey, ID: string(k.ID), Owner: k.UserID, Name: k.Name, Machine: k.UserKind == sess.UserMachine}, err
	}}
}

// DeleteKey deletes an API key: it stops working at once, and the sessions it started end.
func (s *Service) DeleteKey(ctx context.Context, who sess.Principal, in api.IDRef) error {
	var k store.GetAPIKeyRow
	err := s.gate.DoFind(ctx, who, policy.KeyDelete, findKey(ctx, who.Org, in.ID, &k), func(tx *gate.Tx) error {
		tx.Detail("owner", k.UserName)
		return s.voidKey(ctx, tx, k.ID)
	})
	if err != nil {
		return err
	}
	s.revoked(ctx, who.Org, in.ID)
	return nil
}

func (s *Service) voidKey(ctx context.Context, tx *gate.Tx, id sess.KeyID) error {
	now := store.Micros(s.now())
	if _, err := tx.RevokeAPIKey(ctx, tx.Who().Org, id, &now); err != nil {
		return fmt.Errorf("delete API key: %w", err)
	}
	return nil
}
