package broker

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// maxHolders bounds the sessions that a refusal names.
const maxHolders = 5

// limitsLock names what is held while somebody's sessions or connections are counted and one is added: of two at the same
// moment the second sees the first. It is taken after the row of a session, never before.
func limitsLock(org sess.OrgID, user sess.UserID) string {
	return "limits " + string(org) + " " + string(user)
}

// mayStart says which of the controls that would hold for a session stands against starting it; nil: none does.
func mayStart(ctx context.Context, tx *gate.Tx, r store.Session, on policy.Resource, e sess.Effective) (*sess.Error, error) {
	if rule, why := tx.Rules().Reason(tx.Grants(), on); rule != "" {
		return limited(tx, e, sess.ControlReason, sess.New(sess.CodeDenied, why, `add it: --reason "what for"`)), nil
	}
	if e.Sessions > 0 {
		if err := tx.Lock(ctx, limitsLock(r.Org, r.UserID)); err != nil {
			return nil, fmt.Errorf("lock limits: %w", err)
		}
		n, err := tx.CountLiveSessionsOfUser(ctx, r.Org, r.UserID)
		if err != nil {
			return nil, fmt.Errorf("count sessions: %w", err)
		}
		if n >= e.Sessions {
			return tooManySessions(ctx, tx, r, e, n)
		}
	}
	return mayConnect(ctx, tx, r, 0, e, sess.CodeLimited)
}

func tooManySessions(ctx context.Context, tx *gate.Tx, r store.Session, e sess.Effective, n int64) (*sess.Error, error) {
	rows, err := tx.ListHeldSessions(ctx, r.Org, r.UserID, maxHolders)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	held := make([]string, len(rows))
	for i, h := range rows {
		held[i] = fmt.Sprintf("%s (%s on %s, %s)", h.ID, h.Kind, h.InstanceName, h.State)
	}
	first := "SESSION"
	if len(rows) > 0 {
		first = string(rows[0].ID)
	}
	return limited(tx, e, sess.ControlSessions, sess.New(sess.CodeLimited,
		fmt.Sprintf("you have %s, and %s allows %d at a time: %s", counted(n, "session"), e.Source(sess.ControlSessions), e.Sessions, holders(held, n)),
		"end one first: sessctl session end "+first)), nil
}

// mayConnect says that somebody who is about to be participant num of a session has as many connections as they may; nil:
// they don't. What is no connection yet has the number of none: 0 of a session that is not there counts nobody out.
func mayConnect(ctx context.Context, tx *gate.Tx, r store.Session, num int64, e sess.Effective, code sess.Code) (*sess.Error, error) {
	if e.Connections <= 0 {
		return nil, nil //nolint:nilnil // nothing limits it
	}
	user := tx.Who().User
	if err := tx.Lock(ctx, limitsLock(r.Org, user)); err != nil {
		return nil, fmt.Errorf("lock limits: %w", err)
	}
	n, err := tx.CountConnectionsOfUser(ctx, r.Org, user, r.ID, num)
	if err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	if n < e.Connections {
		return nil, nil //nolint:nilnil // nothing stands against it
	}
	rows, err := tx.ListHeldConnections(ctx, r.Org, user, maxHolders)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	held := make([]string, len(rows))
	own, hint := "", "leave one of them first, by ~. in it"
	for i, h := range rows {
		whose := ""
		if h.Num != 0 {
			whose = " of " + h.UserName
		}
		held[i] = fmt.Sprintf("%s (%s%s on %s)", h.ID, h.Kind, whose, h.InstanceName)
		if h.Num == 0 && own == "" { // theirs to end
			own = string(h.ID)
			hint = "leave one with ~d, or end it: sessctl session end " + own
		}
	}
	return limited(tx, e, sess.ControlConnections, sess.New(code,
		fmt.Sprintf("you are connected to %s, and %s allows %d at a time: %s", counted(n, "session"), e.Source(sess.ControlConnections), e.Connections, holders(held, n)),
		hint)), nil
}

// limited notes in the event which control of which role refuses, for those who have it explained.
func limited(tx *gate.Tx, e sess.Effective, c sess.Control, err *sess.Error) *sess.Error {
	tx.Detail("rules", e.Rule(c))
	tx.Detail("limit", err.Message)
	tx.Detail("control", string(c))
	if err.Code == sess.CodeLimited { // of a denial the gate says so
		err.Hint += fmt.Sprintf(" (denial %s)", tx.EventID())
	}
	return err
}

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// holders lists what holds a limit, of which there are n.
func holders(shown []string, n int64) string {
	text := strings.Join(shown, ", ")
	if more := n - int64(len(shown)); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
