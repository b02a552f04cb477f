package api

import "github.com/sessctl/sess/internal/sess"

// ControlsSet changes controls; what is left out stays, and what is empty, 0 or false takes a limit away.
type ControlsSet struct {
	OSUsers *[]string    `json:"os_users,omitempty" maxItems:"64"`
	Kinds   *[]sess.Kind `json:"kinds,omitempty" maxItems:"64"`

	IdleSeconds  *int64 `json:"idle_seconds,omitempty" minimum:"0"`
	MaxSeconds   *int64 `json:"max_seconds,omitempty" minimum:"0"`
	GraceSeconds *int64 `json:"grace_seconds,omitempty" minimum:"0"`
	LeaseSeconds *int64 `json:"lease_seconds,omitempty" minimum:"0"`
	EndWithLogin *bool  `json:"end_with_login,omitempty"`

	Sessions    *int64 `json:"sessions,omitempty" minimum:"0"`
	Connections *int64 `json:"connections,omitempty" minimum:"0"`

	ReasonRequired *bool `json:"reason_required,omitempty"`

	Recording *sess.RecordingMode `json:"recording,omitempty"`
	Input     *sess.InputMode     `json:"input,omitempty"`
	NoLinks   *bool               `json:"no_links,omitempty"`

	Moderators           *int64 `json:"moderators,omitempty" minimum:"0"`
	ModeratorWaitSeconds *int64 `json:"moderator_wait_seconds,omitempty" minimum:"0"`
	EndUnmoderated       *bool  `json:"end_unmoderated,omitempty"`
}

// Apply makes the changes in c.
func (s ControlsSet) Apply(c *sess.Controls) {
	change(&c.OSUsers, s.OSUsers)
	change(&c.Kinds, s.Kinds)
	change(&c.IdleSeconds, s.IdleSeconds)
	change(&c.MaxSeconds, s.MaxSeconds)
	change(&c.GraceSeconds, s.GraceSeconds)
	change(&c.LeaseSeconds, s.LeaseSeconds)
	change(&c.EndWithLogin, s.EndWithLogin)
	change(&c.Sessions, s.Sessions)
	change(&c.Connections, s.Connections)
	change(&c.ReasonRequired, s.ReasonRequired)
	change(&c.Recording, s.Recording)
	change(&c.Input, s.Input)
	change(&c.NoLinks, s.NoLinks)
	change(&c.Moderators, s.Moderators)
	change(&c.ModeratorWaitSeconds, s.ModeratorWaitSeconds)
	change(&c.EndUnmoderated, s.EndUnmoderated)
}

func change[T any](have, want *T) {
	if want != nil {
		*have = *want
	}
}
