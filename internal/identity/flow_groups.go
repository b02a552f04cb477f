package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// applyGroups puts a member into the groups of the organisation that the provider named, and takes them out of those that
// it names no more. Those unknown here give nothing: a provider makes no groups. Groups given by hand are another matter.
// A group that makes the member the last org admin stays, whatever the provider says: those are given back, by name.
func (s *Service) applyGroups(ctx context.Context, tx *gate.Tx, m store.Member, said []string) (kept []string, err error) {
	want, unknown, err := namedGroups(ctx, tx, m.Org, said)
	if err != nil {
		return nil, err
	}
	have, err := tx.ListTeamsByIDP(ctx, m.Org, m.UserID)
	if err != nil {
		return nil, fmt.Errorf("load groups: %w", err)
	}
	changed := false
	for _, id := range want {
		if !slices.Contains(have, id) {
			changed = true
			if err := tx.AddTeamByIDP(ctx, m.Org, id, m.UserID); err != nil {
				return nil, fmt.Errorf("join group: %w", err)
			}
		}
	}
	for _, id := range have {
		if slices.Contains(want, id) {
			continue
		}
		changed = true
		stays, err := s.leaveGroup(ctx, tx, m, id)
		if err != nil {
			return nil, err
		}
		if stays != "" {
			kept = append(kept, stays)
		}
	}
	groupDetails(tx, said, unknown, kept)
	if !changed {
		return nil, nil
	}
	return kept, changeRules(ctx, tx)
}

// namedGroups gives the groups that a provider named, and the names that no group has.
func namedGroups(ctx context.Context, tx *gate.Tx, org sess.OrgID, said []string) (want []sess.TeamID, unknown []string, err error) {
	for _, name := range said {
		id, err := tx.FindTeamForIDP(ctx, org, name)
		switch {
		case err == nil:
			want = append(want, id)
		case isNotFound(err):
			unknown = append(unknown, name)
		default:
			return nil, nil, fmt.Errorf("look for group: %w", err)
		}
	}
	return want, unknown, nil
}

// leaveGroup takes a member out of a group, unless that would leave the organisation without an admin: then it gives the
// group's name.
func (s *Service) leaveGroup(ctx context.Context, tx *gate.Tx, m store.Member, id sess.TeamID) (stays string, err error) {
	last, err := s.lastAdmin(ctx, tx, func() error { return tx.RemoveTeamByIDP(ctx, m.Org, id, m.UserID) })
	if err != nil || !last {
		return "", err
	}
	if err := tx.AddTeamByIDP(ctx, m.Org, id, m.UserID); err != nil {
		return "", fmt.Errorf("stay in group: %w", err)
	}
	t, err := tx.GetTeam(ctx, m.Org, id)
	if err != nil {
		return "", fmt.Errorf("load group: %w", err)
	}
	return t.Name, nil
}

// groupDetails writes down what the provider said, and what came of it.
func groupDetails(tx *gate.Tx, said, unknown, kept []string) {
	if len(said) > len(unknown) {
		tx.Detail("groups", clip(strings.Join(slices.DeleteFunc(slices.Clone(said), func(g string) bool { return slices.Contains(unknown, g) }), " "), maxText))
	}
	if len(unknown) > 0 {
		tx.Detail("groups_unknown", clip(strings.Join(unknown, " "), maxText))
	}
	if len(kept) > 0 {
		tx.Detail("groups_kept", clip(strings.Join(kept, " "), maxText))
	}
}

// keptNote tells a person that they stay in groups that their provider names no more.
func keptNote(kept []string) string {
	if len(kept) == 0 {
		return ""
	}
	return "Your identity provider does not name the group " + strings.Join(kept, ", ") +
		" any more. You stay in it, because you are the last admin of the organisation: make somebody else org-admin."
}
