package identity

import (
	"context"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// MaxLogins of one member live.
const MaxLogins = maxLogins

// HashCount says how many password hashes were computed.
func (s *Service) HashCount() int64 { return s.hasher.count.Load() }

// FillHasher takes all places to hash at, and in the queue.
func (s *Service) FillHasher() (release func()) {
	s.hasher.queued.Add(maxHashing + maxWaiting)
	return func() { s.hasher.queued.Add(-maxHashing - maxWaiting) }
}

// For tests of the pure parts.
var (
	CheckNewPassword = checkNewPassword
	NormalEmail      = normalEmail
	NameFromHost     = nameFromHost
	FreeName         = freeName
	CheckLabels      = checkLabels
	Clip             = clip
	InstallLine      = installLine
	EnrolLine        = enrolLine
	Quote            = quote
	ParseHash        = parseHash
)

// RevokeUserLogins ends the logins of a user as if they had run out: nothing is told of it.
func (s *Service) RevokeUserLogins(org sess.OrgID, user sess.UserID) error {
	return s.db.Write(context.Background(), func(tx *store.Tx) error {
		now := store.Micros(s.now())
		_, err := tx.RevokeOtherLogins(context.Background(), org, user, &now, "")
		return err
	})
}
