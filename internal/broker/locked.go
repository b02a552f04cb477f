package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxWithdrawn bounds the sessions that one transaction ends. It is large: bytes flow until the commit, and whoever locks
// something with 500 sessions waits for the last of them.
const maxWithdrawn = 512

// endLocked ends what runs of an organisation on this node and is locked: before anything else is looked at again, because
// nobody waits longer for it than they must.
func (s *Service) endLocked(ctx context.Context, org sess.OrgID) error {
	var gone []withdrawn
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.ListLiveSessionsOfOrg(ctx, org, s.node)
		if err != nil {
			return fmt.Errorf("list live sessions: %w", err)
		}
		again := s.gate.Again(tx)
		for _, r := range rows {
			l, err := s.lockOf(ctx, again, r)
			if err != nil {
				return err
			}
			if l != nil {
				gone = append(gone, withdrawn{row: r, why: policy.Decision{Rules: []string{l.Rule()}}, lock: l})
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for locked sessions: %w", err)
	}
	return s.withdrawAll(ctx, gone)
}

// lockOf gives the lock that a live session is under; nil: none.
func (s *Service) lockOf(ctx context.Context, again *gate.Again, r store.Session) (*policy.Lock, error) {
	who := owner(r)
	from := []netip.Addr{s.lives.from(r.ID)}
	if a, err := netip.ParseAddr(r.ClientAddr); err == nil {
		who.Addr = a
	}
	on := policy.Resource{Org: r.Org, Project: r.Project, Type: policy.TypeInstance, ID: string(r.Instance), Name: r.InstanceName}
	l, err := again.Locked(ctx, who, on, from...)
	if err != nil {
		return nil, fmt.Errorf("look for lock: %w", err)
	}
	return l, nil
}

// withdrawAll ends sessions that are allowed no more, many in a transaction, and then carries that out.
func (s *Service) withdrawAll(ctx context.Context, gone []withdrawn) error {
	var errs []error
	for len(gone) > 0 {
		batch := gone[:min(len(gone), maxWithdrawn)]
		gone = gone[len(batch):]
		errs = append(errs, s.withdraw(ctx, batch))
	}
	return errors.Join(errs...)
}

func (s *Service) withdraw(ctx context.Context, batch []withdrawn) error {
	type done struct {
		row store.Session
		e   ending
	}
	var over []done
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		over = over[:0]
		for _, w := range batch {
			r, err := lock(ctx, tx, w.row.Org, w.row.ID)
			if isNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			if r.Node != s.node {
				continue // the other node ends it
			}
			e := w.ending()
			first, err := s.finish(ctx, tx, r, e)
			if err != nil {
				return err
			}
			if first {
				over = append(over, done{*r, e})
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	// The agents first, all of them: to close hundreds of recordings takes longer than to tell.
	for _, d := range over {
		s.order(d.row, d.e)
	}
	for _, d := range over {
		s.cut(d.row)
		s.lives.drop(d.row.ID)
	}
	return nil
}

func (w withdrawn) ending() ending {
	e := ending{
		reason: sess.EndRevoked, message: whyWithdrawn(w), who: sess.System(w.row.Org), stop: true,
		rules: strings.Join(append(w.why.Rules, w.why.Failed...), " "),
	}
	if w.lock != nil {
		e.reason = sess.EndLocked
	}
	return e
}

// joinedFrom notes from where the client of a session joined.
func (l *lives) joinedFrom(id sess.SessionID, from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.all[id]; x != nil {
		x.addr = from
	}
}

// from gives the address that joinedFrom noted; the zero address: none here.
func (l *lives) from(id sess.SessionID) netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.all[id]; x != nil {
		return x.addr
	}
	return netip.Addr{}
}
