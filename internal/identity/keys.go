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

const (
	maxKeys    = 100 // that work, per user
	maxKeyName = 64
	maxKeyLife = 10 * 366 * 24 * time.Hour // whatever the organisation allows
	hintSize   = 6                         // characters of a key behind its prefix that lists show: 30 of its 256 bits
)

// keyWish is what a new key is to be like.
type keyWish struct {
	name string
	life time.Duration // 0: what the organisation says
	from sess.Addresses
}

// CreateKey makes an API key: the caller's own, or a machine user's. Its secret is in the answer and nowhere else. A key
// makes no further key for its own user, so that a leaked one can't outlive itself.
func (s *Service) CreateKey(ctx context.Context, who sess.Principal, in api.KeyIn) (api.Key, error) {
	act, on := policy.KeyCreate, policy.Resource{Org: who.Org, Type: policy.TypeKey, Owner: who.User, Name: in.Body.Name}
	if in.Body.Machine != "" || in.Body.User != "" && in.Body.User != who.Name && in.Body.User != string(who.User) {
		act, on = policy.KeyCreateMachine, policy.Org(who.Org)
	}
	var out api.Key
	err := s.gate.Do(ctx, who, act, on, func(tx *gate.Tx) error {
		wish, err := readWish(in)
		if err != nil {
			return err
		}
		owner, err := s.keyOwner(ctx, tx, in)
		if err != nil {
			return err
		}
		if owner.UserID == who.User && who.Credential != sess.CredentialLogin {
			return sess.New(sess.CodeDenied, "an API key can't make another key for itself", "log in for that; or, as an admin, use --user NAME")
		}
		out, err = s.newKey(ctx, tx, owner, wish)
		return err
	})
	if err != nil {
		return api.Key{}, err
	}
	return out, nil
}

// keyOwner gives the member that a new key is for.
func (s *Service) keyOwner(ctx context.Context, tx *gate.Tx, in api.KeyIn) (store.Member, error) {
	who := tx.Who()
	switch {
	case in.Body.Machine != "" && in.Body.User != "":
		return store.Member{}, sess.New(sess.CodeInvalid, "a key is for one user", "name it once")
	case in.Body.Machine != "":
		return s.machine(ctx, tx, in.Body.Machine, in.Body.Role)
	case in.Body.Role != "":
		return store.Member{}, sess.New(sess.CodeInvalid, "a role is given along with a new machine user only", "a key may do what its user may do")
	}
	m, err := tx.GetMember(ctx, who.Org, who.User)
	if in.Body.User != "" && in.Body.User != who.Name && in.Body.User != string(who.User) {
		m, err = memberByRef(ctx, tx, in.Body.User)
		if err == nil && m.Kind != sess.UserMachine {
			return m, sess.New(sess.CodeDenied, m.Name+" is no machine user", "people make their own keys: sessctl key create")
		}
	}
	if err != nil {
		return m, fmt.Errorf("load owner of key: %w", err)
	}
	if err := activeMachine(m); err != nil || m.UserID == who.User {
		return m, err
	}
	return m, mayActAs(ctx, tx, m)
}

// memberByRef finds a member of the caller's organisation by name or id; deleted ones are not found.
func memberByRef(ctx context.Context, tx *gate.Tx, ref string) (store.Member, error) {
	org := tx.Who().Org
	if !sess.ValidID("usr", ref) {
		m, err := tx.GetMemberByName(ctx, org, strings.ToLower(ref))
		return m, asNoUser(err, ref)
	}
	m, err := tx.GetMember(ctx, org, sess.UserID(ref))
	if err == nil && m.DeletedAt != nil {
		err = store.ErrNotFound
	}
	return m, asNoUser(err, ref)
}

func asNoUser(err error, ref string) error {
	if err != nil && isNotFound(err) {
		return sess.New(sess.CodeNotFound, fmt.Sprintf("no user %q in this organisation", clip(ref, maxEmail)), "sessctl key list --all shows whose keys there are")
	}
	return err
}

func readWish(in api.KeyIn) (keyWish, error) {
	life, err := readLife(in.Body.TTL)
	if err != nil {
		return keyWish{}, err
	}
	if len(in.Body.Name) > maxKeyName || !printable(in.Body.Name) {
		return keyWish{}, sess.New(sess.CodeInvalid, "the name of the key is too long or not plain text", fmt.Sprintf("use up to %d bytes", maxKeyName))
	}
	from, err := sess.ParseAddresses(in.Body.From)
	return keyWish{name: in.Body.Name, life: life, from: from}, err
}

// readLife reads a validity in seconds.
func readLife(seconds int64) (time.Duration, error) {
	if seconds < 0 || seconds > int64(maxKeyLife/time.Second) {
		return 0, sess.New(sess.CodeInvalid, "this can't be the validity of an API key", "leave it out for what the organisation says")
	}
	return time.Duration(seconds) * time.Second, nil
}

// keyLife says how long a new key of owner is valid: what is wished, within what the organisation and the user's row allow.
func keyLife(ctx context.Context, tx *gate.Tx, owner store.Member, wish time.Duration) (time.Duration, error) {
	usual, most, err := keyLives(ctx, tx, owner)
	switch {
	case err != nil:
		return 0, err
	case wish == 0:
		return usual, nil
	case wish > most:
		return 0, sess.New(sess.CodeInvalid, "an API key is valid for "+inDays(most)+" at most here", "ask for less, or leave it out: sessctl key create --ttl 720h")
	}
	return wish, nil
}

// keyLives says how long a key of owner is valid when nobody says, and at most.
func keyLives(ctx context.Context, tx *gate.Tx, owner store.Member) (usual, most time.Duration, err error) {
	org, err := tx.GetOrg(ctx, owner.Org)
	if err != nil {
		return 0, 0, fmt.Errorf("load organisation: %w", err)
	}
	settings, err := sess.ParseSettings(org.Settings)
	if err != nil {
		return 0, 0, err
	}
	usual, most = settings.KeyLife()
	if owner.ValidSeconds > 0 {
		most = min(most, time.Duration(owner.ValidSeconds)*time.Second)
	}
	return min(usual, most), most, nil
}

func inDays(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
	return d.String()
}

// newKey makes a key for owner.
func (s *Service) newKey(ctx context.Context, tx *gate.Tx, owner store.Member, wish keyWish) (api.Key, error) {
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
	life, err := keyLife(ctx, tx, owner, wish.life)
	if err != nil {
		return api.Key{}, err
	}
	secret, err := sess.NewToken(sess.TokenAPIKey, nil)
	if err != nil {
		return api.Key{}, err
	}
	k := store.CreateAPIKeyParams{
		Org: owner.Org, ID: sess.NewKeyID(), Hash: sess.HashToken(secret), UserID: owner.UserID, Name: wish.name,
		CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(life)), Addresses: wish.from.Text(), Hint: hintOf(secret),
	}
	if err := tx.CreateAPIKey(ctx, k); err != nil {
		return api.Key{}, fmt.Errorf("create API key: %w", err)
	}
	tx.On(policy.Resource{Org: owner.Org, Type: policy.TypeKey, ID: string(k.ID), Owner: owner.UserID, Name: wish.name, Machine: owner.Kind == sess.UserMachine})
	tx.Detail("owner", owner.Name)
	tx.Detail("expires", store.Time(k.ExpiresAt).Format(time.RFC3339))
	if k.Addresses != "" {
		tx.Detail("from", clip(k.Addresses, maxText))
	}
	return api.Key{
		ID: k.ID, Secret: secret, Hint: k.Hint, Name: k.Name, User: owner.Name, UserID: owner.UserID, Machine: owner.Kind == sess.UserMachine,
		From: strings.Fields(k.Addresses), CreatedAt: store.Time(k.CreatedAt), ExpiresAt: store.Time(k.ExpiresAt),
	}, nil
}

// hintOf is how a key begins, for people to recognise it by.
func hintOf(secret string) string {
	return secret[:min(len(secret), len(sess.TokenAPIKey)+1+hintSize)]
}
