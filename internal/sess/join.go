package sess

import "fmt"

// JoinRole is what somebody who is in a session beside its owner does there.
type JoinRole string

// The roles in a session.
const (
	JoinOwner     JoinRole = "owner"     // who started it
	JoinPeer      JoinRole = "peer"      // sees it and types in it
	JoinObserver  JoinRole = "observer"  // sees it
	JoinModerator JoinRole = "moderator" // sees it, and can end it; some sessions need one to run
)

// Limits on who is in a session beside its owner.
const (
	MaxGuests       = 20  // at a time
	MaxParticipants = 500 // one after the other, in the life of a session
)

// ParseJoinRole reads the role that somebody is to have in a session.
func ParseJoinRole(s string) (JoinRole, error) {
	switch r := JoinRole(s); r {
	case JoinPeer, JoinObserver, JoinModerator:
		return r, nil
	case JoinOwner:
	}
	return "", New(CodeInvalid, fmt.Sprintf("%q is no role in a session", s), "roles are observer, peer and moderator")
}

// Types reports whether the role may type.
func (r JoinRole) Types() bool { return r == JoinPeer }

// EndKicked is what a participant who is not the owner is told who was put out. The session goes on.
const EndKicked EndReason = "kicked"

// EndUnmoderated is how a session ends that needs moderators and had too few for too long.
const EndUnmoderated EndReason = "unmoderated"
