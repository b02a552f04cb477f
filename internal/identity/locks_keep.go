package identity

import (
	"context"
	"fmt"
	"slices"

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

// keepAnAdmin refuses a lock without an end on the last org admin whom none is on.
func (s *Service) keepAnAdmin(ctx context.Context, tx *gate.Tx, next policy.Lock) error {
	before, err := adminsIn(ctx, tx)
	if err != nil {
		return err
	}
	after, err := adminsIn(ctx, tx, next)
	if err != nil || after > 0 || before == 0 {
		return err
	}
	return sess.New(sess.CodeConflict, "this would lock the last admin of the organisation out, for good", "say with --ttl for how long; or make somebody else org-admin first")
}

// adminsIn counts the org admins who can log in and are not locked out for good, by the locks there are and more.
func adminsIn(ctx context.Context, tx *gate.Tx, more ...policy.Lock) (int64, error) {
	org := tx.Who().Org
	rows, err := tx.ListLocksOfOrg(ctx, org)
	if err != nil {
		return 0, fmt.Errorf("list locks: %w", err)
	}
	forGood := more
	for _, r := range rows {
		if r.ExpiresAt == nil && (r.Kind == sess.LockUser || r.Kind == sess.LockGroup) {
			forGood = append(forGood, asLock(store.Lock{Kind: r.Kind, Target: r.Target, Name: r.TeamName}))
		}
	}
	if len(forGood) == 0 {
		n, err := tx.CountOrgAdmins(ctx, org)
		if err != nil {
			return 0, fmt.Errorf("count admins: %w", err)
		}
		return n, nil
	}
	admins, err := tx.ListAdminsByID(ctx, org)
	if err != nil {
		return 0, fmt.Errorf("list admins: %w", err)
	}
	var in int64
	for _, id := range admins {
		groups, err := groupNames(ctx, tx, id)
		if err != nil {
			return 0, err
		}
		if !slices.ContainsFunc(forGood, func(l policy.Lock) bool { return l.Bars(sess.Principal{Org: org, User: id}, groups) }) {
			in++
		}
	}
	return in, nil
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
