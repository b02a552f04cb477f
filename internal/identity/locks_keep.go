package identity

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// keepOneIn refuses a lock by which nobody could get back in: one that bars its maker, unless it is meant and ends by itself;
// one without an end that leaves no org admin unlocked. A lock on the organisation leaves its admins in by itself.
func (s *Service) keepOneIn(ctx context.Context, tx *gate.Tx, row store.Lock, force bool) error {
	l := asLock(row)
	mine, err := groupNames(ctx, tx, tx.Who().User)
	if err != nil {
		return err
	}
	if l.Bars(tx.Who(), mine) {
		switch {
		case !force:
			return sess.New(sess.CodeConflict, "this would lock you out yourself", "if you mean it: --force, and --ttl for how long")
		case row.ExpiresAt == nil:
			return sess.New(sess.CodeConflict, "this would lock you out yourself, for good", "say with --ttl for how long")
		}
	}
	if row.ExpiresAt != nil || row.Kind != sess.LockUser && row.Kind != sess.LockGroup {
		return nil
	}
	return s.keepAnAdmin(ctx, tx, l)
}

// keepAnAdmin refuses a lock without an end on the last org admin who has none.
func (s *Service) keepAnAdmin(ctx context.Context, tx *gate.Tx, next policy.Lock) error {
	org := tx.Who().Org
	rows, err := tx.ListLocksOfOrg(ctx, org)
	if err != nil {
		return fmt.Errorf("list locks: %w", err)
	}
	forGood := []policy.Lock{next}
	for _, r := range rows {
		if r.ExpiresAt == nil {
			forGood = append(forGood, asLock(store.Lock{Kind: r.Kind, Target: r.Target, Name: r.TeamName}))
		}
	}
	admins, err := tx.ListAdminsByID(ctx, org)
	if err != nil {
		return fmt.Errorf("list admins: %w", err)
	}
	for _, id := range admins {
		groups, err := groupNames(ctx, tx, id)
		if err != nil {
			return err
		}
		barred := false
		for _, l := range forGood {
			barred = barred || l.Bars(sess.Principal{Org: org, User: id}, groups)
		}
		if !barred {
			return nil
		}
	}
	if len(admins) == 0 { // none there is to keep
		return nil
	}
	return sess.New(sess.CodeConflict, "this would lock the last admin of the organisation out, for good", "say with --ttl for how long; or make somebody else org-admin first")
}

// asLock is a row as decisions know it. A group is known by its name, which is the row's.
func asLock(row store.Lock) policy.Lock {
	l := policy.Lock{ID: row.ID, Kind: row.Kind, Target: row.Target, Name: row.Name}
	if l.Kind == sess.LockGroup {
		l.Target = row.Name
	}
	return l
}

func groupNames(ctx context.Context, tx *gate.Tx, user sess.UserID) ([]string, error) {
	teams, err := tx.ListTeamsOfUser(ctx, tx.Who().Org, user)
	if err != nil {
		return nil, fmt.Errorf("load groups: %w", err)
	}
	var names []string
	for _, t := range teams {
		names = append(names, t.Name)
	}
	return names, nil
}
