package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// KeyIn makes an API key: the caller's own, or a machine user's.
type KeyIn struct {
	Body struct {
		Name    string    `json:"name,omitempty" maxLength:"64" doc:"What it is for"`
		User    string    `json:"user,omitempty" maxLength:"254" doc:"Name or id of the machine user that it is for; empty means the caller"`
		Machine string    `json:"machine,omitempty" maxLength:"64" doc:"Like user, but made when there is none"`
		Role    sess.Role `json:"role,omitempty" maxLength:"64" doc:"For a new machine user; empty means operator"`
		TTL     int64     `json:"ttl_seconds,omitempty" minimum:"0" maximum:"315360000" doc:"0 means what the organisation says: 90 days, if nothing"`
		From    []string  `json:"from,omitempty" maxItems:"64" doc:"Addresses and networks that it is accepted from; none means anywhere"`
	}
}

// Key is an API key. Secret is set only in the answer that makes it.
type Key struct {
	ID         sess.KeyID  `json:"id"`
	Secret     string      `json:"secret,omitempty"`
	Hint       string      `json:"hint"` // how the secret begins
	Name       string      `json:"name"`
	User       string      `json:"user"` // whose it is
	UserID     sess.UserID `json:"user_id"`
	Machine    bool        `json:"machine"`
	From       []string    `json:"from,omitempty"` // addresses and networks it is accepted from
	CreatedAt  time.Time   `json:"created_at"`
	ExpiresAt  time.Time   `json:"expires_at"`
	LastUsedAt *time.Time  `json:"last_used_at,omitempty"`
	LastUsedBy string      `json:"last_used_from,omitempty"` // address
}

// KeysIn asks for keys: the caller's own, everybody's, or one user's.
type KeysIn struct {
	Page
	All  bool   `query:"all" doc:"Of everyone in the organisation"`
	User string `query:"user" maxLength:"254" doc:"Of this user: name or id"`
}

// KeyList is a page of keys, newest first.
type KeyList struct {
	Items []Key  `json:"items"`
	Next  string `json:"next,omitempty"`
}

// KeyRotateIn replaces a key by a new one.
type KeyRotateIn struct {
	IDRef
	Body struct {
		Overlap int64 `json:"overlap_seconds" minimum:"0" maximum:"2592000" doc:"How long the old key still works; 0 means not at all"`
		TTL     int64 `json:"ttl_seconds,omitempty" minimum:"0" maximum:"315360000" doc:"Validity of the new key; 0 means as long as the old one was made for"`
	}
}

// MachineIn makes a machine user: a program, with API keys and nothing else.
type MachineIn struct {
	Body struct {
		Name    string    `json:"name" minLength:"1" maxLength:"64"`
		Role    sess.Role `json:"role,omitempty" maxLength:"64" doc:"Empty means none yet"`
		Project string    `json:"project,omitempty" maxLength:"64" doc:"Name or id of the project that the role holds on; empty means the whole organisation"`
	}
}

// Machine is a machine user.
type Machine struct {
	User      sess.UserID `json:"user"`
	Name      string      `json:"name"`
	Grants    []GrantOut  `json:"grants"`
	CreatedAt time.Time   `json:"created_at"`
}
