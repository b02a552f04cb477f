package identity

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/sess"
)

// whatOneHolds fills in the groups and roles of the principal, and what to do for who has none.
func whatOneHolds(ctx context.Context, tx *gate.Tx, out *api.WhoamiOut) error {
	who := tx.Who()
	teams, err := tx.ListTeamsOfUser(ctx, who.Org, who.User)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	names := map[sess.TeamID]string{}
	for _, t := range teams {
		names[t.ID] = t.Name
		out.Groups = append(out.Groups, t.Name)
	}
	for _, g := range tx.Grants() {
		row := api.GrantOut{Role: g.Role, Group: names[g.Team]}
		if g.Project != "" {
			p, err := tx.GetProject(ctx, who.Org, g.Project)
			if err != nil {
				return fmt.Errorf("load project: %w", err)
			}
			row.Project = p.Name
		}
		out.Grants = append(out.Grants, row)
	}
	out.Stage = who.Stage
	if len(out.Grants) == 0 {
		out.Hint = gate.HintNoAccess
	}
	return nil
}
