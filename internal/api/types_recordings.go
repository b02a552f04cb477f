package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// RecordingShareIn shares a recording with one of a user, a group and everybody.
type RecordingShareIn struct {
	Session string `path:"session" maxLength:"63"`
	Body    struct {
		User     string `json:"user,omitempty" maxLength:"254"`
		Group    string `json:"group,omitempty" maxLength:"63"`
		Everyone bool   `json:"everyone,omitempty" doc:"Everybody in the organisation"`
		TTL      int64  `json:"ttl_seconds,omitempty" minimum:"0" maximum:"31622400" doc:"0: 7 days"`
	}
}

// RecordingShare is a recording that is shared.
type RecordingShare struct {
	ID        string         `json:"id"`
	Link      string         `json:"link"` // opening it takes a login of one it is shared with
	Session   sess.SessionID `json:"session"`
	With      string         `json:"with"` // user, group or org
	WithName  string         `json:"with_name,omitempty"`
	By        string         `json:"by"`
	CreatedAt time.Time      `json:"created_at"`
	ExpiresAt time.Time      `json:"expires_at"`
}

// RecordingSharesIn asks for shares, newest first.
type RecordingSharesIn struct {
	Page
	Session string `query:"session" maxLength:"63"`
}

// RecordingShareList is a page of shares.
type RecordingShareList struct {
	Items []RecordingShare `json:"items"`
	Next  string           `json:"next,omitempty"`
}

// RecordingShareRef names a share of a recording.
type RecordingShareRef struct {
	Session string `path:"session" maxLength:"63"`
	Share   string `path:"share" maxLength:"63"`
}

// HoldIn holds a recording.
type HoldIn struct {
	Session string `path:"session" maxLength:"63"`
	Body    struct {
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}

// Hold says that a recording is kept whatever its age.
type Hold struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}
