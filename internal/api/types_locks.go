package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// LockIn puts a lock on something of the organisation.
type LockIn struct {
	Body struct {
		Kind   sess.LockKind `json:"kind" enum:"user,group,instance,project,key,address,org"`
		Target string        `json:"target,omitempty" maxLength:"254" doc:"Name or id; of a key its id, of an address the address or a network; of the organisation none"`
		TTL    int64         `json:"ttl_seconds,omitempty" minimum:"0" maximum:"315360000" doc:"After so long it ends by itself; 0 means when it is removed"`
		Reason string        `json:"reason,omitempty" maxLength:"500" doc:"Whoever it bars is told"`
		Force  bool          `json:"force,omitempty" doc:"Also when it bars the caller; it must end by itself then"`
	}
}

// LockRef names a lock.
type LockRef struct {
	Lock sess.LockID `path:"lock" maxLength:"63"`
}

// LocksIn asks for locks.
type LocksIn struct {
	Page
	Kind sess.LockKind `query:"kind" enum:"user,group,instance,project,key,address,org,"`
}

// Lock bars what it is on, and ends what that has running.
type Lock struct {
	ID        sess.LockID   `json:"id"`
	Kind      sess.LockKind `json:"kind"`
	Target    string        `json:"target"` // the id of what is locked; of an address the network
	Name      string        `json:"name"`   // of what is locked, as it was called then
	Reason    string        `json:"reason,omitempty"`
	MadeBy    string        `json:"made_by"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt *time.Time    `json:"expires_at,omitempty"` // none: until it is removed
}

// LockList is a page of locks, newest first.
type LockList struct {
	Items []Lock `json:"items"`
	Next  string `json:"next,omitempty"`
}
