package identity

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
)

// limitsOf gives the decision about a start that the rules allow, as controls make it which are looked at besides: a reason
// that is asked for and, now, how many sessions and connections there are.
func limitsOf(ctx context.Context, tx *gate.Tx, a asked, now bool, d policy.Decision) (policy.Decision, error) {
	if a.act != policy.SessionStart || a.on.Type != policy.TypeInstance {
		return d, nil
	}
	if rule, why := a.standing.Rules.Reason(a.standing.Grants, a.on); rule != "" {
		return policy.Decision{Rules: []string{rule}, Limit: why}, nil
	}
	e := a.standing.Rules.Controls(a.standing.Grants, a.on)
	if !now {
		return d, nil
	}
	for _, c := range []struct {
		control sess.Control
		most    int64
		what    string
		count   func() (int64, error)
	}{
		{sess.ControlSessions, e.Sessions, "sessions", func() (int64, error) { return tx.CountLiveSessionsOfUser(ctx, a.on.Org, a.who.User) }},
		{sess.ControlConnections, e.Connections, "connections to sessions", func() (int64, error) {
			return tx.CountConnectionsOfUser(ctx, a.on.Org, a.who.User, "", 0)
		}},
	} {
		if c.most <= 0 {
			continue
		}
		n, err := c.count()
		if err != nil {
			return d, fmt.Errorf("count %s: %w", c.what, err)
		}
		if n >= c.most {
			return policy.Decision{
				Rules: []string{e.Rule(c.control)},
				Limit: fmt.Sprintf("%s has %d %s, and %s allows %d at a time", a.standing.Name, n, c.what, e.Source(c.control), c.most),
			}, nil
		}
	}
	return d, nil
}
