package broker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// awaitStep is how long one call waits for an answer.
const awaitStep = 20 * time.Second

// answers wakes those who wait for the answer of a session's owner.
type answers struct {
	mu      sync.Mutex // protects the following
	waiting map[asked]chan struct{}
}

type asked struct {
	session sess.SessionID
	num     int64
}

// channel gives what is closed when there may be an answer; the caller says when it waits no more.
func (a *answers) channel(id sess.SessionID, num int64) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := asked{id, num}
	if a.waiting == nil {
		a.waiting = map[asked]chan struct{}{}
	}
	if a.waiting[k] == nil {
		a.waiting[k] = make(chan struct{})
	}
	return a.waiting[k]
}

// tell wakes who waits for an answer about a participant.
func (a *answers) tell(id sess.SessionID, num int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := asked{id, num}
	if c := a.waiting[k]; c != nil {
		close(c)
		delete(a.waiting, k)
	}
}

// askOwner shows the owner of a session who wants to be let in.
func (s *Service) askOwner(r store.Session, p store.Participant) {
	s.notice(r.ID, askText(p))
}

func askText(p store.Participant) string {
	what := map[sess.JoinRole]string{sess.JoinPeer: "join, and type", sess.JoinObserver: "watch", sess.JoinModerator: "moderate"}[p.Role]
	return fmt.Sprintf("%s asks to %s: ~y lets them in, ~n does not", p.UserName, what)
}

// askAgain shows an owner who is back who still waits for an answer.
func (s *Service) askAgain(ctx context.Context, org sess.OrgID, id sess.SessionID) {
	var rows []store.Participant
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.ListParticipants(ctx, org, id)
		return err
	})
	if err != nil {
		s.log.WarnContext(ctx, "ask the owner again", attrSession, string(id), "err", err)
		return
	}
	for _, p := range rows {
		if p.AskedAt != nil && p.AnsweredAt == nil && p.LeftAt == nil {
			s.notice(id, askText(p))
		}
	}
}

// AwaitAnswer waits a moment for the owner's answer to who asked to be let in, and gives the ticket when it is yes. With
// no answer yet it says so; no is sess.ErrDenied.
func (s *Service) AwaitAnswer(ctx context.Context, who sess.Principal, in api.ParticipantRef) (api.JoinOut, error) {
	out, err := s.lookForAnswer(ctx, who, in)
	if err != nil || out.Waiting == nil {
		return out, err
	}
	answered := s.answers.channel(out.Session, int64(in.Participant))
	if out, err = s.lookForAnswer(ctx, who, in); err != nil || out.Waiting == nil { // it may have come in between
		return out, err
	}
	timer := time.NewTimer(awaitStep)
	defer timer.Stop()
	select {
	case <-answered:
	case <-timer.C:
	case <-s.closed:
	case <-ctx.Done():
		return out, ctx.Err()
	}
	return s.lookForAnswer(ctx, who, in)
}

func (s *Service) lookForAnswer(ctx context.Context, who sess.Principal, in api.ParticipantRef) (api.JoinOut, error) {
	var found store.Session
	var out api.JoinOut
	err := s.gate.DoFind(ctx, who, policy.SessionAsk, s.byRefShared(ctx, in.Session, &found, ""), func(tx *gate.Tx) error {
		tx.Detail("participant", fmt.Sprint(in.Participant))
		tx.Detail("step", "await")
		r, p, err := lockGuest(ctx, tx.Tx, found.Org, found.ID, int64(in.Participant))
		switch {
		case err != nil:
			return err
		case p.UserID != who.User:
			return sess.New(sess.CodeDenied, "somebody else asked to be let in by this number", "")
		case p.LeftAt != nil:
			return goneError(*p)
		case r.State == sess.StateEnded:
			return endedError(*r)
		}
		out, err = s.joinAnswer(ctx, tx.Tx, *r, p)
		return err
	})
	return out, err
}

// Answer is the word of a session's owner about somebody who asks to be let in.
func (s *Service) Answer(ctx context.Context, who sess.Principal, in api.AnswerIn) (api.SessionParticipant, error) {
	var found store.Session
	var after store.Participant
	err := s.gate.DoFind(ctx, who, policy.SessionAnswer, byRef(ctx, in.Session, &found), func(tx *gate.Tx) error {
		tx.Detail("participant", fmt.Sprint(in.Participant))
		tx.Detail("allow", strconv.FormatBool(in.Body.Allow))
		r, p, err := lockGuest(ctx, tx.Tx, found.Org, found.ID, int64(in.Participant))
		if err != nil {
			return err
		}
		tx.Detail("user", p.UserName)
		switch {
		case r.State == sess.StateEnded:
			return endedError(*r)
		case p.AskedAt == nil || p.AnsweredAt != nil:
			return sess.New(sess.CodeConflict, p.UserName+" does not ask to be let in", "")
		case p.LeftAt != nil:
			return sess.New(sess.CodeConflict, p.UserName+" does not wait any more", "")
		}
		if in.Body.Allow {
			us := store.Micros(s.now())
			p.AnsweredAt, after = &us, *p
			return saveGuest(ctx, tx.Tx, p)
		}
		err = s.letGo(ctx, tx.Tx, *r, p, leftRefused, who, "")
		after = *p
		return err
	})
	if err != nil {
		return api.SessionParticipant{}, err
	}
	s.answers.tell(found.ID, after.Num)
	return publicGuest(after), nil
}

// Kick puts somebody out of a session, and takes back what was shared with them.
func (s *Service) Kick(ctx context.Context, who sess.Principal, in api.KickIn) (api.KickOut, error) {
	var found store.Session
	var gone []store.Participant
	reason := clean(in.Body.Reason, maxReason)
	err := s.gate.DoFind(ctx, who, policy.SessionKick, byRef(ctx, in.Session, &found), func(tx *gate.Tx) error {
		gone = nil
		tx.Detail("who", clean(in.Body.Who, maxReason))
		tx.Reason(reason)
		r, err := lock(ctx, tx.Tx, found.Org, found.ID)
		if err != nil {
			return err
		}
		rows, err := tx.ListParticipants(ctx, r.Org, r.ID)
		if err != nil {
			return fmt.Errorf("list participants: %w", err)
		}
		for _, p := range rows {
			if p.LeftAt != nil || p.Num == 0 || !named(p, in.Body.Who) {
				continue
			}
			if err := s.letGo(ctx, tx.Tx, *r, &p, leftKicked, who, reason); err != nil {
				return err
			}
			us := store.Micros(s.now())
			if _, err := tx.RevokeShares(ctx, &us, r.Org, r.ID, string(p.UserID)); err != nil {
				return fmt.Errorf("take back what was shared: %w", err)
			}
			gone = append(gone, p)
		}
		if len(gone) == 0 {
			return sess.New(sess.CodeNotFound, fmt.Sprintf("%q is not in the session", in.Body.Who), "sessctl session show "+string(r.ID)+" lists who is there")
		}
		return nil
	})
	if err != nil {
		return api.KickOut{}, err
	}
	out := api.KickOut{Participants: []api.SessionParticipant{}}
	for _, p := range gone {
		s.putOut(p, wire.EndFrame{Reason: sess.EndKicked, By: who.Name, Message: reason})
		out.Participants = append(out.Participants, publicGuest(p))
		if who.User != found.UserID {
			s.notice(found.ID, p.UserName+" was put out by "+who.Name)
		}
		if err := s.moderatorLeft(ctx, p); err != nil {
			return api.KickOut{}, err
		}
	}
	return out, nil
}

// named reports whether a person means p: by name, or by number in the session.
func named(p store.Participant, who string) bool {
	return strings.EqualFold(p.UserName, who) || strconv.FormatInt(p.Num, 10) == who
}

// publicGuest is a participant as the API shows them.
func publicGuest(p store.Participant) api.SessionParticipant {
	return api.SessionParticipant{
		Num: p.Num, Role: string(p.Role), User: p.UserID, UserName: p.UserName, ClientAddr: p.ClientAddr,
		JoinedAt: timePtr(p.JoinedAt), LeftAt: timePtr(p.LeftAt), LeftReason: p.LeftReason,
		Here: p.HereAt != nil && p.LeftAt == nil, Waiting: p.AskedAt != nil && p.AnsweredAt == nil && p.LeftAt == nil,
	}
}
