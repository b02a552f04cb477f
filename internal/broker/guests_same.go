package broker

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// One person can be in a session several times: at two machines, or again when a connection broke. They count as one
// moderator, and ask its owner once at a time; and as the numbers of participants are used up for good, nobody uses up those
// of others.
const (
	maxSameGuest = 3  // of one person at a time
	maxSameEver  = 50 // in the life of a session
)

// leftReplaced is why somebody is in a session no more who joined it again.
const leftReplaced = "joined again"

// instead makes place for somebody who joins a session in a role, or asks to: a moderator, or an asker, that they were before
// has to go. The caller holds the session's row.
func (s *Service) instead(ctx context.Context, tx *gate.Tx, r store.Session, role sess.JoinRole, asks bool) error {
	rows, err := tx.ListParticipants(ctx, r.Org, r.ID)
	if err != nil {
		return fmt.Errorf("list participants: %w", err)
	}
	ever, here := 0, 0
	for _, p := range rows {
		if p.UserID != tx.Who().User || p.Num == 0 {
			continue
		}
		ever++
		if p.LeftAt != nil {
			continue
		}
		if role != sess.JoinModerator || p.Role != role {
			if !asks || p.AskedAt == nil || p.AnsweredAt != nil {
				here++
				continue
			}
		}
		if err := s.letGo(ctx, tx.Tx, r, &p, leftReplaced, tx.Who(), ""); err != nil {
			return err
		}
		tx.AfterCommit(func() {
			s.putOut(p, wire.EndFrame{Reason: sess.EndKicked, Message: "you joined again from elsewhere"})
		})
	}
	switch {
	case here >= maxSameGuest:
		return sess.New(sess.CodeLimited, fmt.Sprintf("you are in the session %d times already", here), "leave one of them by ~.")
	case ever >= maxSameEver:
		return sess.New(sess.CodeLimited, fmt.Sprintf("you have joined the session, or asked to, %d times; more are left to others", ever), "")
	}
	return nil
}
