package api

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Host is the instance of a session as its agent saw it when the session was started. No policy trusts it.
type Host struct {
	Hostname string   `json:"hostname,omitempty"`
	OS       string   `json:"os,omitempty"`
	Arch     string   `json:"arch,omitempty"`
	Kernel   string   `json:"kernel,omitempty"`
	Addrs    []string `json:"addresses,omitempty"` // its own, behind whatever translates them
	RunsAs   string   `json:"runs_as,omitempty"`   // the user that the agent runs as
	Version  string   `json:"version,omitempty"`   // the agent's
}

// SessionJoin is one ticket that was used to join a session, and from where.
type SessionJoin struct {
	Side       sess.Side `json:"side"`
	MintedAt   time.Time `json:"minted_at"`
	RedeemedAt time.Time `json:"redeemed_at"`
	Address    string    `json:"address"`
}

// SessionParticipant is somebody who is or was in a session. Number 0 is its owner.
type SessionParticipant struct {
	Num        int64       `json:"num"`
	Role       string      `json:"role"`
	User       sess.UserID `json:"user"`
	UserName   string      `json:"user_name"`
	ClientAddr string      `json:"client_address"`
	JoinedAt   *time.Time  `json:"joined_at,omitempty"` // first connected
	LeftAt     *time.Time  `json:"left_at,omitempty"`
	LeftReason string      `json:"left_reason,omitempty"`
}
