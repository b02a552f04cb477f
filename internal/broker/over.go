package broker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// exitAfterEnd notes how the processes of a session ended that had been ended before they were: by an admin, a lock, its
// time. It changes nothing of the end, and a status that is on record stays. A session that lives is over if the agent says
// that it ended it because its lease ran out.
func (s *Service) exitAfterEnd(ctx context.Context, l *agentLink, c wire.Control) error {
	if c.Exit == nil {
		return nil
	}
	exit := stated(*c.Exit)
	body, err := json.Marshal(wire.Exit{Exit: exit, Finals: []wire.Final{}})
	if err != nil {
		return fmt.Errorf("encode exit: %w", err)
	}
	var after store.Session
	var e ending
	first := false
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		first = false
		r, err := lock(ctx, tx, l.org, c.Session)
		if isNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		lives := r.State != sess.StateEnded
		if r.Instance != l.instance || r.Exit != "" || lives && (exit.Reason != sess.EndServerLost || r.Node != s.node) {
			return nil
		}
		r.Exit = string(body)
		if lives {
			e = leaseOver(*r)
			if first, err = s.finish(ctx, tx, r, e); err != nil {
				return err
			}
		}
		after = *r
		if err := s.noteSpent(ctx, tx, r, exit); err != nil {
			return err
		}
		if err := s.programsEvent(ctx, tx, *r, exit.Programs); err != nil {
			return err
		}
		return save(ctx, tx, r)
	})
	if err != nil {
		return fmt.Errorf("note exit: %w", err)
	}
	if first {
		s.carryOut(after, e)
	}
	return nil
}

// stated is what an agent states of the end of a session's processes, on whichever way, fit to be kept and shown.
func stated(x sess.Exit) sess.Exit {
	x.Message, x.Signal, x.Reason = clean(x.Message, maxReject), clean(x.Signal, maxVersion), sess.EndReason(clean(string(x.Reason), maxVersion))
	x.Limits, x.Left = clean(x.Limits, maxVersion), max(0, x.Left)
	if p := x.Programs; p != nil {
		x.Programs = &sess.ProgramsSum{Count: max(0, p.Count), Lost: max(0, p.Lost), None: clean(p.None, maxStated), Digest: clean(p.Digest, maxStated)}
	}
	return x
}

// leaseOver is the end of a session whose agent heard of no server for as long as its lease.
func leaseOver(r store.Session) ending {
	return ending{reason: sess.EndServerLost, message: "its lease is " + sess.FormatDuration(lease(r)), who: sess.System(r.Org)}
}
