package gate

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// locksOf loads the locks of an organisation, and those of the box that reach it. What has run out counts no more in any
// decision, so it need not be gone yet.
func locksOf(ctx context.Context, st *store.Tx, org sess.OrgID) ([]policy.Lock, error) {
	rows, err := st.ListLocksOfOrg(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("load locks: %w", err)
	}
	var out []policy.Lock
	for _, r := range rows {
		l := policy.Lock{ID: r.ID, Kind: r.Kind, Target: r.Target, Name: r.Name, Reason: r.Reason}
		if l.Kind == sess.LockGroup { // rules know groups by their names
			if l.Target = r.TeamName; l.Target == "" {
				continue // it is deleted, and nobody is in it
			}
		}
		if r.ExpiresAt != nil {
			l.Expires = *r.ExpiresAt
		}
		out = append(out, l)
	}
	box, err := st.ListBoxLocks(ctx)
	if err != nil {
		return nil, fmt.Errorf("load locks of the server: %w", err)
	}
	for _, r := range box {
		if r.Kind == sess.LockOrg && r.Target != string(org) {
			continue
		}
		l := policy.Lock{ID: r.ID, Kind: r.Kind, Target: r.Target, Name: r.Name, Reason: r.Reason, Box: true}
		if r.ExpiresAt != nil {
			l.Expires = *r.ExpiresAt
		}
		out = append(out, l)
	}
	return out, nil
}

// unlocked refuses a principal who is locked, whatever they ask for: before anything is looked for, so that the answer is the
// same for what there is and what there is not.
func (tx *Tx) unlocked() error {
	if !tx.Rules().HasLocks() {
		return nil
	}
	l, ok := tx.gate.policy.Lock(tx.who, tx.grants, tx.entry.Action, policy.Resource{Org: tx.who.Org}, tx.context())
	if !ok {
		return nil
	}
	tx.Detail("rules", l.Rule())
	return tx.refuse(Locked(l))
}

// Locked is the refusal by a lock.
func Locked(l policy.Lock) *sess.Error {
	hint := "an admin of the organisation can lift it: sessctl lock remove " + string(l.ID)
	if l.Box {
		hint = "the owner of the server put it, and can lift it: lock " + string(l.ID)
	}
	return sess.New(sess.CodeLocked, WhyLocked(l), hint)
}

// WhatIsLocked says of what is locked, and why, to others than those who are.
func WhatIsLocked(l policy.Lock) string {
	text := map[sess.LockKind]string{
		sess.LockUser: "the user " + l.Name, sess.LockGroup: "the group " + l.Name, sess.LockKey: "the API key " + l.Name,
		sess.LockAddress: "the address " + l.Name, sess.LockInstance: "the instance " + l.Name, sess.LockProject: "the project " + l.Name,
		sess.LockOrg: "the organisation",
	}[l.Kind] + " is locked"
	if l.Reason != "" {
		text += ": " + l.Reason
	}
	return text
}

// WhyLocked says to whoever is barred what is locked, until when, and why.
func WhyLocked(l policy.Lock) string {
	text := map[sess.LockKind]string{
		sess.LockUser: "you are locked out", sess.LockGroup: "the group " + l.Name + ", which you are in, is locked",
		sess.LockKey: "this API key is locked", sess.LockAddress: "your address is locked (" + l.Name + ")",
		sess.LockInstance: "the instance " + l.Name + " is locked", sess.LockProject: "the project " + l.Name + " is locked",
		sess.LockOrg: "the organisation is locked",
	}[l.Kind]
	if l.Expires > 0 {
		text += " until " + store.Time(l.Expires).UTC().Format(time.DateTime) + " UTC"
	}
	if l.Reason != "" {
		text += ": " + l.Reason
	}
	return text
}

// Locked gives the lock by which a live session of who on a thing may not go on; from is where its client was and is
// connected from, which may be elsewhere than where it was started from.
func (a *Again) Locked(ctx context.Context, who sess.Principal, on policy.Resource, from ...netip.Addr) (*policy.Lock, error) {
	s, err := a.standing(ctx, who)
	if err != nil || s.Rules == nil {
		return nil, err
	}
	cx := s.recheck(store.Micros(a.gate.now()))
	if l, ok := a.gate.policy.Lock(who, s.Grants, policy.SessionStart, on, cx); ok {
		return &l, nil
	}
	for _, addr := range from {
		if l, ok := s.Rules.LockOfAddress(addr, cx.Now); ok {
			return &l, nil
		}
	}
	return nil, nil
}

// Unlocked refuses, and records, what somebody asks for who is locked or no active member: for the one verb that has to prove
// something before it can ask the gate. What it lets through is not decided yet.
func (g *Gate) Unlocked(ctx context.Context, who sess.Principal, act policy.Action) error {
	var tx *Tx
	err := g.db.Read(ctx, func(st *store.Tx) error {
		tx = g.newTx(ctx, st, who, act)
		return tx.load(ctx)
	})
	if err == nil || tx == nil || tx.refusal == nil {
		return err
	}
	if rerr := g.recordAlone(ctx, tx); rerr != nil {
		return rerr
	}
	return err
}
