package identity

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxOverlap bounds how long a replaced key may go on working.
const maxOverlap = 30 * 24 * time.Hour

// RotateKey makes a new key like an old one, for the same user and as long as that was made for, and has the old one run
// out when overlap is over; with none it is deleted at once, and what it started ends. A key can't replace itself or another
// of its user, so that a leaked one can't outlive itself.
func (s *Service) RotateKey(ctx context.Context, who sess.Principal, in api.KeyRotateIn) (api.Key, error) {
	var old store.GetAPIKeyRow
	var out api.Key
	err := s.gate.DoFind(ctx, who, policy.KeyRotate, findKey(ctx, who.Org, in.ID, &old), func(tx *gate.Tx) error {
		overlap := time.Duration(in.Body.Overlap) * time.Second
		life, err := readLife(in.Body.TTL)
		switch {
		case err != nil:
			return err
		case in.Body.Overlap < 0 || in.Body.Overlap > int64(maxOverlap/time.Second):
			return sess.New(sess.CodeInvalid, "the overlap is "+inDays(maxOverlap)+" at most", "with 0 the old key stops at once")
		case who.Credential != sess.CredentialLogin && old.UserID == who.User:
			return sess.New(sess.CodeDenied, "an API key can't replace a key of its own user", "log in for that; an admin does it for a machine user")
		}
		owner, err := tx.GetMember(ctx, who.Org, old.UserID)
		if err != nil {
			return fmt.Errorf("load owner of key: %w", err)
		}
		if err := activeMachine(owner); err != nil {
			return err
		}
		if owner.UserID != who.User {
			if err := mayActAs(ctx, tx, owner); err != nil {
				return err
			}
		}
		if out, err = s.likeKey(ctx, tx, owner, old, life); err != nil {
			return err
		}
		tx.Detail("replaces", string(old.ID))
		if overlap == 0 {
			return s.voidKey(ctx, tx, old.ID)
		}
		until := s.now().Add(overlap)
		tx.Detail("overlap", overlap.String())
		if _, err := tx.ShortenAPIKey(ctx, old.Org, old.ID, store.Micros(until)); err != nil {
			return fmt.Errorf("shorten API key: %w", err)
		}
		return nil
	})
	if err != nil {
		return api.Key{}, err
	}
	if in.Body.Overlap == 0 {
		s.revoked(ctx, who.Org, in.ID)
	}
	return out, nil
}

// likeKey makes a key with the name and the addresses of an old one. It is valid as long as that was made for, as far as
// that is allowed now; or for life, if it is given.
func (s *Service) likeKey(ctx context.Context, tx *gate.Tx, owner store.Member, old store.GetAPIKeyRow, life time.Duration) (api.Key, error) {
	from, err := sess.ParseAddresses(strings.Fields(old.Addresses))
	if err != nil {
		return api.Key{}, fmt.Errorf("read addresses of key: %w", err)
	}
	if life == 0 {
		_, most, err := keyLives(ctx, tx, owner)
		if err != nil {
			return api.Key{}, err
		}
		life = min(most, store.Time(old.ExpiresAt).Sub(store.Time(old.CreatedAt)))
	}
	return s.newKey(ctx, tx, owner, keyWish{name: old.Name, life: life, from: from})
}
