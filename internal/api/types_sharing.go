package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// JoinIn asks to be let into a session beside its owner.
type JoinIn struct {
	SessionRef
	Body struct {
		Role      sess.JoinRole `json:"role" enum:"peer,observer,moderator"`
		PublicKey []byte        `json:"public_key" doc:"P-256, uncompressed point: it signs the joins and the requests for fresh tickets"`
	}
}

// JoinOut lets somebody join a session, or says that its owner is being asked.
type JoinOut struct {
	Ticket
	Participant uint16        `json:"participant"` // their number in the session
	Role        sess.JoinRole `json:"role"`
	Owner       string        `json:"owner"` // the name of whose session it is
	Terminal    bool          `json:"terminal"`
	// Waiting: the owner is being asked, until then; there is no ticket yet.
	Waiting *time.Time `json:"waiting,omitempty"`
}

// ParticipantRef names somebody in a session by their number there.
type ParticipantRef struct {
	SessionRef
	Participant uint16 `path:"participant" minimum:"1"`
}

// AnswerIn is the owner's answer to somebody who asks to be let in.
type AnswerIn struct {
	ParticipantRef
	Body struct {
		Allow bool `json:"allow"`
	}
}

// KickIn puts somebody out of a session.
type KickIn struct {
	SessionRef
	Body struct {
		Who    string `json:"who" minLength:"1" maxLength:"254" doc:"An e-mail address, a name, or a number in the session"`
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}

// KickOut says who was put out.
type KickOut struct {
	Participants []SessionParticipant `json:"participants"`
}

// ShareIn shares a session with somebody, or makes a link.
type ShareIn struct {
	SessionRef
	Body struct {
		With       string        `json:"with,omitempty" maxLength:"254" doc:"An e-mail address or name; empty: make a link"`
		Role       sess.JoinRole `json:"role" enum:"peer,observer,moderator"`
		TTLSeconds int64         `json:"ttl_seconds,omitempty" minimum:"0" maximum:"604800" doc:"0: an hour"`
	}
}

// Share is a session shared with somebody.
type Share struct {
	ID        sess.ShareID   `json:"id"`
	Session   sess.SessionID `json:"session"`
	Role      sess.JoinRole  `json:"role"`
	UserName  string         `json:"user_name,omitempty"` // with whom; empty: nobody has opened the link yet
	Link      string         `json:"link,omitempty"`      // shown once
	CreatedBy string         `json:"created_by"`
	ExpiresAt time.Time      `json:"expires_at"`
}

// ShareList are the shares of a session.
type ShareList struct {
	Items []Share `json:"items"`
}

// UnshareIn takes back what was shared.
type UnshareIn struct {
	SessionRef
	Body struct {
		With string `json:"with,omitempty" maxLength:"254" doc:"An e-mail address or name; empty: with everybody, links included"`
	}
}

// OpenShareIn opens a link to a session, once.
type OpenShareIn struct {
	Body struct {
		Token string `json:"token" maxLength:"128"`
	}
}
