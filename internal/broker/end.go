package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

const (
	// tailTime is how long the last output and the status of a session that was ended softly may take. With it, ending
	// takes effect within a second.
	tailTime = 800 * time.Millisecond
	// afterTimeout bounds what is done about an end after its commit.
	afterTimeout = 5 * time.Second
)

// ending says why and how a session ends.
type ending struct {
	reason  sess.EndReason
	by      string         // who ended it, for people; empty: nobody
	message string         // why, for people
	who     sess.Principal // of the event
	// How it is carried out. stop: the agent is ordered to end it. soft: its last output may still flow.
	stop, soft bool
	rules      string // that decided so, for the event
}

// End ends a session: the row at once, the processes within a second. The agent gets a signed order and the last output a
// moment to arrive; then both sides are cut and told who ended it and why. An agent that can't be reached is told when it
// is back. A session that is over is sess.ErrEnded.
func (s *Service) End(ctx context.Context, who sess.Principal, in api.EndIn) (api.Session, error) {
	var found, after store.Session
	e := ending{reason: sess.EndEnded, by: who.Name, message: clean(in.Body.Reason, maxReason), who: who, stop: true, soft: true}
	err := s.gate.DoFind(ctx, who, policy.SessionEnd, byRef(ctx, in.Session, &found), func(tx *gate.Tx) error {
		tx.Reason(e.message)
		row, err := lock(ctx, tx.Tx, found.Org, found.ID)
		if err != nil {
			return err
		}
		first, err := s.finish(ctx, tx.Tx, row, e)
		if err == nil && !first {
			err = endedError(*row)
		}
		after = *row
		return err
	})
	if err != nil {
		return api.Session{}, err
	}
	s.carryOut(after, e)
	return public(after), nil
}

// Failed ends a session that the relay can't go on with: reason is tampered, protocol or recording.
func (s *Service) Failed(ctx context.Context, org sess.OrgID, id sess.SessionID, epoch uint64, reason sess.EndReason, message string) error {
	e := ending{reason: reason, message: message, who: sess.System(org), stop: true}
	err := s.endIf(ctx, org, id, e, func(r *store.Session) (ending, error) { return e, s.fenced(r, epoch) })
	return err
}

// OnCredentialRevoked ends, at once, what was started by a login or API key that is revoked now.
func (s *Service) OnCredentialRevoked(ctx context.Context, org sess.OrgID, credentialID string) error {
	e := ending{reason: sess.EndRevoked, message: "the login or API key it was started with was revoked", who: sess.System(org), stop: true}
	guests := s.withdrawGuests(ctx, "the login or API key by which they joined was revoked", func(tx *store.Tx) ([]store.Participant, error) {
		return tx.ListGuestsOfCredential(ctx, org, credentialID)
	})
	return errors.Join(guests, s.endAll(ctx, e, func(tx *store.Tx) ([]store.Session, error) {
		return tx.ListLiveSessionsOfCredential(ctx, org, credentialID)
	}))
}

// OnUserDeactivated ends, at once, what a user who may do nothing any more has running.
func (s *Service) OnUserDeactivated(ctx context.Context, org sess.OrgID, user sess.UserID) error {
	e := ending{reason: sess.EndRevoked, message: "its user was deactivated", who: sess.System(org), stop: true}
	guests := s.withdrawGuestsOfUser(ctx, org, user, "they were deactivated")
	return errors.Join(guests, s.endAll(ctx, e, func(tx *store.Tx) ([]store.Session, error) { return tx.ListLiveSessionsOfUser(ctx, org, user) }))
}

// OnUserRevoked ends, at once, what a user has running whose logins and keys are all revoked now.
func (s *Service) OnUserRevoked(ctx context.Context, org sess.OrgID, user sess.UserID) error {
	e := ending{reason: sess.EndRevoked, message: "all logins and keys of its user were revoked", who: sess.System(org), stop: true}
	guests := s.withdrawGuestsOfUser(ctx, org, user, "all their logins and keys were revoked")
	return errors.Join(guests, s.endAll(ctx, e, func(tx *store.Tx) ([]store.Session, error) { return tx.ListLiveSessionsOfUser(ctx, org, user) }))
}

// OnInstanceRemoved ends what runs on an instance that was removed, and its control link.
func (s *Service) OnInstanceRemoved(ctx context.Context, org sess.OrgID, instance sess.InstanceID) error {
	e := ending{reason: sess.EndRemoved, message: "the instance was removed", who: sess.System(org), stop: true}
	err := s.endAll(ctx, e, func(tx *store.Tx) ([]store.Session, error) { return tx.ListLiveSessionsOfInstance(ctx, org, instance) })
	if l := s.links.get(instance); l != nil && l.org == org {
		l.send(wire.Control{T: wire.ControlRefuse, Code: sess.CodeUnauthenticated, Message: "this instance was removed", Hint: "enrol it again with a new token"})
	}
	return err
}

func (s *Service) endAll(ctx context.Context, e ending, list func(*store.Tx) ([]store.Session, error)) error {
	var rows []store.Session
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		var err error
		rows, err = list(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("list sessions to end: %w", err)
	}
	for _, r := range rows {
		if err := s.endIf(ctx, r.Org, r.ID, e, nil); err != nil {
			return err
		}
	}
	return nil
}

// endIf ends a session in a transaction of its own and carries it out. check, if there is one, sees the row as it is then:
// it gives the ending, or an error that leaves the session as it is. A session that somebody ended before stays as it is too.
func (s *Service) endIf(ctx context.Context, org sess.OrgID, id sess.SessionID, e ending, check func(*store.Session) (ending, error)) error {
	var after store.Session
	var first bool
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := lock(ctx, tx, org, id)
		if err != nil {
			return err
		}
		if check != nil {
			if e, err = check(r); err != nil {
				return err
			}
		}
		first, err = s.finish(ctx, tx, r, e)
		after = *r
		return err
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if first {
		s.carryOut(after, e)
	}
	return nil
}

// finish ends a row that the transaction holds, and writes its one end event. It reports whether it did: the first end
// wins.
func (s *Service) finish(ctx context.Context, tx *store.Tx, r *store.Session, e ending) (bool, error) {
	if r.State == sess.StateEnded {
		return false, nil
	}
	now := s.now()
	us := store.Micros(now)
	r.State, r.EndedAt, r.EndReason, r.EndedBy, r.EndMessage = sess.StateEnded, &us, e.reason, e.by, e.message
	if r.StartedAt == nil { // nothing passed the relay: an empty recording is a complete one
		r.Recording = sess.RecordingComplete
		if controls(*r).RecordingMode() == sess.RecordOff {
			r.Recording = sess.RecordingOff
		}
	}
	if err := save(ctx, tx, r); err != nil {
		return false, err
	}
	if err := s.disconnectAll(ctx, tx, r); err != nil {
		return false, err
	}
	details := map[string]string{"reason": string(e.reason), "kind": string(r.Kind), "instance": r.InstanceName, "owner": r.UserName}
	if x := exitOf(*r); x != nil {
		details["status"] = fmt.Sprint(x.Status)
	}
	if e.by != "" {
		details["by"] = e.by
	}
	if e.rules != "" {
		details["rules"] = e.rules
	}
	if r.StartedAt != nil {
		details["duration_ms"] = fmt.Sprint((us - *r.StartedAt) / 1000)
	}
	err := s.gate.Event(ctx, tx, gate.Entry{
		Who: e.who, Action: policy.SessionEnded, On: sessionResource(*r), Session: r.ID, Reason: e.message, Details: details, Time: now,
	})
	return err == nil, err
}

// carryOut makes an end that is committed come true: connections and processes. An exit has its own way (wire/PROTOCOL.md,
// "The end") and is not carried out.
func (s *Service) carryOut(r store.Session, e ending) {
	s.order(r, e)
	if !e.soft {
		s.cut(r)
		s.lives.drop(r.ID)
		return
	}
	s.lives.update(r, s.now())
	done, ok := s.lives.tail(r.ID)
	if !ok {
		return
	}
	s.wg.Go(func() { s.cutLater(r, done) })
}

// order tells the agent of a session that ended. One that is not here is told when it is back.
func (s *Service) order(r store.Session, e ending) {
	link := s.links.get(r.Instance)
	if link == nil {
		return
	}
	if e.stop {
		link.order(s.key, r, e)
	}
	link.release(r.ID)
}

// cutLater cuts a session once its last output was delivered, or had its time. It outlives the request that ended the
// session, and Close waits for it.
//
//nolint:contextcheck // that is why
func (s *Service) cutLater(r store.Session, done <-chan struct{}) {
	timer := time.NewTimer(tailTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	case <-s.closed:
	}
	ctx, cancel := context.WithTimeout(context.Background(), afterTimeout) //nolint:forbidigo // it outlives the request
	defer cancel()
	err := s.db.Read(ctx, func(tx *store.Tx) error { // the status may have come meanwhile
		now, err := tx.GetSession(ctx, r.Org, r.ID)
		if err == nil {
			r = now
		}
		return err
	})
	if err != nil {
		s.log.WarnContext(ctx, "status of an ended session not read", attrSession, string(r.ID), "err", err)
	}
	s.lives.untail(r.ID)
	s.cut(r)
	s.lives.drop(r.ID)
}

// cut tells both sides that the session is over and closes them.
func (s *Service) cut(r store.Session) {
	if s.relay != nil {
		s.relay.Cut(r.Org, r.ID, endFrame(r))
	}
}

func endFrame(r store.Session) wire.EndFrame {
	// The client puts reason and person into words; the message is what there is to say besides.
	return wire.EndFrame{Reason: r.EndReason, By: r.EndedBy, Message: r.EndMessage, Exit: exitOf(r)}
}

// endText says in words why a session ended.
func endText(r store.Session) string {
	text := map[sess.EndReason]string{
		sess.EndExit: "its command ended", sess.EndEnded: "it was ended", sess.EndAgentLost: "its agent lost it: the agent was restarted or died",
		sess.EndAgentGone:   "its instance was not heard of for too long",
		sess.EndDetached:    "nobody was attached for longer than the grace",
		sess.EndRejected:    "the instance refused it",
		sess.EndNoAgent:     "the instance did not take it in time",
		sess.EndNoClient:    "its client never came",
		sess.EndRevoked:     "the right to it was revoked",
		sess.EndLocked:      "it was locked",
		sess.EndRemoved:     "its instance was removed",
		sess.EndTampered:    "a repeated byte differed from the one on record",
		sess.EndProtocol:    "one side broke the protocol",
		sess.EndRecording:   "it could not be recorded",
		sess.EndTimeout:     "its time was up",
		sess.EndUnmoderated: "no moderator was there",
		sess.EndServerLost:  "its lease ran out: its instance heard of no server for so long",

		sess.EndIdle:         "it was idle for too long",
		sess.EndMaxDuration:  "it ran for as long as it may",
		sess.EndLoginExpired: "the login or key that started it ran out",
	}[r.EndReason]
	switch {
	case r.EndReason == sess.EndEnded && r.EndedBy != "":
		text = "ended by " + r.EndedBy
	case text == "":
		text = string(r.EndReason)
	}
	if r.EndMessage != "" && r.EndMessage != text {
		text += ": " + r.EndMessage
	}
	return text
}

// endedError is sess.ErrEnded with what people want to know of the end.
func endedError(r store.Session) error {
	text := "the session is over: " + endText(r)
	if x := exitOf(r); x != nil {
		text += fmt.Sprintf(" (status %d)", x.Status)
	}
	return sess.New(sess.CodeEnded, text, "sessctl session show "+string(r.ID)+" tells more")
}
