package broker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// What the relay reports. Every report carries the epoch that the relay holds; one that is not the row's changes nothing
// and is ErrFenced. When the relay's own epoch has moved on since it made the call (the agent joined here meanwhile), it
// reports again with the new one; else it drops both connections.

// Present says that a side's connection is here, or that it is gone. For a session that is over meanwhile it is
// sess.ErrEnded: a side that came has to go.
func (s *Service) Present(ctx context.Context, org sess.OrgID, id sess.SessionID, epoch uint64, side sess.Side, here bool) error {
	now := s.now()
	us := store.Micros(now)
	var after store.Session
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := lock(ctx, tx, org, id)
		if err != nil {
			return err
		}
		if err := s.fenced(r, epoch); err != nil {
			return err
		}
		if r.State == sess.StateEnded {
			if here && !tail(*r, now) {
				return endedError(*r)
			}
			after = *r
			return nil
		}
		before := r.State
		started := move(r, side, here, us)
		if err := save(ctx, tx, r); err != nil {
			return err
		}
		if err := s.noteRanAs(ctx, tx, r); err != nil {
			return err
		}
		after = *r
		return s.presenceEvents(ctx, tx, *r, before, started)
	})
	if err != nil {
		return fmt.Errorf("note presence: %w", err)
	}
	if after.State == sess.StateEnded {
		s.settle(after)
	} else {
		s.lives.add(after, now)
	}
	if here {
		s.moderate(after) // more may be needed than when the ticket was redeemed
	}
	s.lives.here(id, side, here, now)
	if here && side == sess.SideClient {
		s.askAgain(ctx, org, id)
	}
	return nil
}

// move changes the state of a living session as a side comes or goes, and reports whether it started by it: whether now
// both sides have been there. Between the two joins it is pending still.
func move(r *store.Session, side sess.Side, here bool, now int64) (started bool) {
	switch {
	case side == sess.SideAgent && !here:
		return false // the agent's absence is no state: its grace counts in memory
	case side == sess.SideAgent:
		if r.StartedAt == nil {
			r.StartedAt = &now
		}
	case here:
		r.OwnerAt, r.DetachedAt = &now, nil
	default:
		r.OwnerAt, r.DetachedAt = &now, &now
	}
	if r.StartedAt == nil || r.OwnerAt == nil {
		return false
	}
	started = r.State == sess.StatePending
	r.State = sess.StateActive
	if r.DetachedAt != nil {
		r.State = sess.StateDetached
	}
	return started
}

func (s *Service) presenceEvents(ctx context.Context, tx *store.Tx, r store.Session, before sess.State, started bool) error {
	var acts []policy.Action
	switch {
	case started && r.State == sess.StateDetached:
		acts = append(acts, policy.SessionStarted, policy.SessionDetached)
	case started:
		acts = append(acts, policy.SessionStarted)
	case before == r.State:
	case r.State == sess.StateDetached:
		acts = append(acts, policy.SessionDetached)
	case r.State == sess.StateActive:
		acts = append(acts, policy.SessionJoined)
	}
	for _, act := range acts {
		if err := s.gate.Event(ctx, tx, gate.Entry{Who: s.actor(r), Action: act, On: sessionResource(r), Session: r.ID}); err != nil {
			return err
		}
	}
	return nil
}

// Exited puts how a session's process ended on record and ends the session by it, unless it ended before: then the status
// only fills the row. nil means that it is there: the agent may be told exit_ok. It may be repeated.
func (s *Service) Exited(ctx context.Context, org sess.OrgID, id sess.SessionID, epoch uint64, exit wire.Exit) error {
	exit.Exit = stated(exit.Exit)
	body, err := json.Marshal(exit)
	if err != nil {
		return fmt.Errorf("encode exit: %w", err)
	}
	var after store.Session
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := lock(ctx, tx, org, id)
		if err != nil {
			return err
		}
		if err := s.fenced(r, epoch); err != nil {
			return err
		}
		defer func() { after = *r }()
		if r.Exit == "" {
			r.Exit = string(body)
			if err := s.noteSpent(ctx, tx, r, exit.Exit); err != nil {
				return err
			}
			if err := s.programsEvent(ctx, tx, *r, exit.Programs); err != nil {
				return err
			}
			if r.State == sess.StateEnded {
				return save(ctx, tx, r)
			}
		}
		_, err = s.finish(ctx, tx, r, exitEnding(s.actor(*r), exit.Exit))
		return err
	})
	if err != nil {
		return fmt.Errorf("note exit: %w", err)
	}
	s.settle(after)
	return nil
}

// exitEnding is the end of a session whose process ended.
func exitEnding(who sess.Principal, x sess.Exit) ending {
	end := ending{reason: sess.EndExit, who: who}
	if x.Reason == sess.EndLimit {
		end.message = "it failed, and had run into a limit of the instance's owner: " + clean(x.Limits, maxReject)
	}
	return end
}

// Delivered says that a client has everything of the session, its status included.
func (s *Service) Delivered(ctx context.Context, org sess.OrgID, id sess.SessionID, epoch uint64) error {
	var after store.Session
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := lock(ctx, tx, org, id)
		if err != nil {
			return err
		}
		if err := s.fenced(r, epoch); err != nil {
			return err
		}
		after = *r
		if r.DeliveredAt != nil {
			return nil
		}
		us := store.Micros(s.now())
		r.DeliveredAt, after.DeliveredAt = &us, &us
		return save(ctx, tx, r)
	})
	if err != nil {
		return fmt.Errorf("note delivery: %w", err)
	}
	s.lives.delivered(id)
	s.settle(after)
	return nil
}

// settle stops looking after a session that has nothing left to fetch.
func (s *Service) settle(r store.Session) {
	if r.State == sess.StateEnded && !tail(r, s.now()) {
		s.lives.drop(r.ID)
		return
	}
	s.lives.update(r, s.now())
}

// Recorded says how the recording of a session stands: when a segment closes, and when it is complete. Saying the same of
// a complete one again changes nothing.
func (s *Service) Recorded(ctx context.Context, org sess.OrgID, id sess.SessionID, how sess.Recorded) error {
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		before, err := tx.GetSession(ctx, org, id)
		if err == nil {
			how = asClosed(before, how)
			how.Moved = believedTraffic(how.Moved, lasted(before, s.now()))
		}
		if err == nil && before.Recording != sess.RecordingActive && before.Recording == how.State && before.RecDigest == how.Digest {
			return nil
		}
		if err == nil && before.Recording == sess.RecordingExpired {
			return nil
		}
		if err == nil && how.State == sess.RecordingComplete && before.RecProblem != "" { // known before a restart, and not on its disk
			how.State, how.Problem = sess.RecordingIncomplete, before.RecProblem
		}
		n, err := tx.SaveRecording(ctx, store.SaveRecordingParams{
			Org: org, ID: id, Recording: how.State, RecBytes: how.Bytes, RecStored: how.Stored, RecDigest: how.Digest, RecProblem: how.Problem,
		})
		if err != nil {
			return fmt.Errorf("save: %w", err)
		}
		if n == 0 {
			return noSession(string(id))
		}
		if err := tx.SetSessionMoved(ctx, store.SetSessionMovedParams{
			Org: org, ID: id, BytesIn: how.Moved.In, BytesOut: how.Moved.Out, BytesErr: how.Moved.Err,
		}); err != nil {
			return fmt.Errorf("save traffic: %w", err)
		}
		if how.State == sess.RecordingActive {
			return nil
		}
		r, err := tx.GetSession(ctx, org, id)
		if err != nil {
			return fmt.Errorf("load session: %w", err)
		}
		return s.gate.Event(ctx, tx, gate.Entry{
			Who: sess.System(org), Action: policy.RecordingClosed, On: recordingResource(r), Session: id, Reason: how.Problem,
			Details: map[string]string{"state": string(how.State), "bytes": fmt.Sprint(how.Bytes), "digest": how.Digest},
		})
	})
	if err != nil {
		return fmt.Errorf("note recording: %w", err)
	}
	return nil
}

// asClosed keeps the digest with which a recording was closed, on record in the audit log: files that have another one now are
// not the recording any more, and their word must not take its place.
func asClosed(before store.Session, how sess.Recorded) sess.Recorded {
	closed := before.Recording == sess.RecordingComplete || before.Recording == sess.RecordingIncomplete
	if closed && before.RecDigest != "" && how.Digest != before.RecDigest {
		how.State, how.Digest = sess.RecordingIncomplete, before.RecDigest
		how.Problem = "its files are not those that were closed: their digest is another one"
	}
	return how
}
