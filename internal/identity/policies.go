package identity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// ListPolicies lists the organisation's policies without their text, the last changed first.
func (s *Service) ListPolicies(ctx context.Context, who sess.Principal) (api.PolicyList, error) {
	out := api.PolicyList{Items: []api.Policy{}}
	err := s.gate.Read(ctx, who, policy.PolicyList, policy.Org(who.Org), func(tx *gate.Tx) error {
		rows, err := tx.ListPolicies(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("list policies: %w", err)
		}
		for _, row := range rows {
			p := publicPolicy(tx, row)
			p.Body = ""
			out.Items = append(out.Items, p)
		}
		slices.SortStableFunc(out.Items, func(a, b api.Policy) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
		return nil
	})
	if err != nil {
		return api.PolicyList{}, err
	}
	return out, nil
}

// GetPolicy shows a policy.
func (s *Service) GetPolicy(ctx context.Context, who sess.Principal, in api.PolicyRef) (api.Policy, error) {
	var out api.Policy
	err := s.gate.Read(ctx, who, policy.PolicyShow, roleResource(who.Org, in.Policy), func(tx *gate.Tx) error {
		row, err := tx.GetPolicy(ctx, who.Org, in.Policy)
		if err != nil {
			return noPolicy(in.Policy, err)
		}
		out = publicPolicy(tx, row)
		return nil
	})
	if err != nil {
		return api.Policy{}, err
	}
	return out, nil
}

// PutPolicy writes a policy. It holds from the next decision on, and live sessions are looked at again.
func (s *Service) PutPolicy(ctx context.Context, who sess.Principal, in api.PolicyPutIn) (api.Policy, error) {
	t := policy.Text{Name: in.Policy, Body: in.Body.Body}
	var out api.Policy
	err := s.gate.Do(ctx, who, policy.PolicyPut, roleResource(who.Org, in.Policy), func(tx *gate.Tx) error {
		if err := s.gate.Policy().CheckPolicy(t); err != nil {
			return err
		}
		if err := tx.Lock(ctx, "policies "+string(who.Org)); err != nil {
			return err
		}
		have, err := tx.ListPolicies(ctx, who.Org)
		if err != nil {
			return fmt.Errorf("count policies: %w", err)
		}
		if err := roomFor(have, t); err != nil {
			return err
		}
		now := store.Micros(s.now())
		if err := tx.PutPolicy(ctx, store.PutPolicyParams{Org: who.Org, Name: t.Name, Body: t.Body, UpdatedAt: now, UpdatedBy: who.Name}); err != nil {
			return fmt.Errorf("write policy: %w", err)
		}
		row, err := tx.GetPolicy(ctx, who.Org, t.Name)
		if err != nil {
			return fmt.Errorf("read policy: %w", err)
		}
		out = publicPolicy(tx, row)
		out.Broken = false
		tx.Detail("bytes", fmt.Sprint(len(t.Body)))
		tx.Detail("sha256", digest(t.Body))
		tx.Detail("policy", t.Body)
		return changeRules(ctx, tx)
	})
	if err != nil {
		return api.Policy{}, err
	}
	return out, nil
}

// roomFor says whether one policy more, or another text of one, fits.
func roomFor(have []store.Policy, t policy.Text) error {
	n, bytes := 1, len(t.Body)
	for _, p := range have {
		if p.Name != t.Name {
			n, bytes = n+1, bytes+len(p.Body)
		}
	}
	switch {
	case n > policy.MaxPolicies:
		return sess.New(sess.CodeLimited, fmt.Sprintf("an organisation has %d policies at most", policy.MaxPolicies), "put several statements into one policy, or delete some")
	case bytes > policy.MaxOrgText:
		return sess.New(sess.CodeTooLarge, fmt.Sprintf("all policies of an organisation together have %d KiB at most", policy.MaxOrgText>>10), "delete some")
	}
	return nil
}

func digest(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// DeletePolicy deletes a policy.
func (s *Service) DeletePolicy(ctx context.Context, who sess.Principal, in api.PolicyRef) error {
	return s.gate.Do(ctx, who, policy.PolicyDelete, roleResource(who.Org, in.Policy), func(tx *gate.Tx) error {
		row, err := tx.GetPolicy(ctx, who.Org, in.Policy)
		if err != nil {
			return noPolicy(in.Policy, err)
		}
		tx.Detail("sha256", digest(row.Body))
		_, err = tx.DeletePolicy(ctx, who.Org, row.Name)
		return cmp.Or(err, changeRules(ctx, tx))
	})
}

func noPolicy(name string, err error) error {
	if isNotFound(err) {
		return sess.New(sess.CodeNotFound, fmt.Sprintf("there is no policy %q", clip(name, maxName)), "sessctl policy list shows them")
	}
	return fmt.Errorf("load policy: %w", err)
}

func publicPolicy(tx *gate.Tx, row store.Policy) api.Policy {
	return api.Policy{
		Name: row.Name, Body: row.Body, Bytes: len(row.Body), CreatedAt: store.Time(row.CreatedAt), UpdatedAt: store.Time(row.UpdatedAt),
		UpdatedBy: row.UpdatedBy, Broken: slices.Contains(tx.Rules().Broken(), "policy/"+row.Name),
	}
}
