package sess

import (
	"encoding/json"
	"fmt"
	"time"
)

// Settings are what an organisation's admins set for all of it. The zero value is what a new organisation has; a zero
// number means the default that the method of its name gives. It is kept as JSON.
type Settings struct {
	SessionsOff bool `json:"sessions_off,omitempty"` // the Session Manager is off: no new session
	SessionsEnd bool `json:"sessions_end,omitempty"` // and what runs ends, too
	RequireMFA  bool `json:"require_mfa,omitempty"`  // everybody's next login steers through a second factor

	LoginSeconds int64 `json:"login_seconds,omitempty"` // how long a login is valid
	IdleSeconds  int64 `json:"idle_seconds,omitempty"`  // and how long without use

	LockFailures int64 `json:"lock_failures,omitempty"` // so many failed logins
	LockSeconds  int64 `json:"lock_seconds,omitempty"`  // in so long a time lock an account

	KeySeconds    int64 `json:"key_seconds,omitempty"`     // validity of an API key whose maker says nothing
	KeyMaxSeconds int64 `json:"key_max_seconds,omitempty"` // and at most

	// Controls of every session, beside those of roles; the zero value of each limits nothing.
	SessionIdleSeconds  int64         `json:"session_idle_seconds,omitempty"`
	SessionMaxSeconds   int64         `json:"session_max_seconds,omitempty"`
	SessionGraceSeconds int64         `json:"session_grace_seconds,omitempty"`
	SessionLeaseSeconds int64         `json:"session_lease_seconds,omitempty"`
	SessionEndWithLogin bool          `json:"session_end_with_login,omitempty"`
	SessionReason       bool          `json:"session_reason,omitempty"`
	SessionRecording    RecordingMode `json:"session_recording,omitempty"`
	SessionInput        InputMode     `json:"session_input,omitempty"`
	SessionNoLinks      bool          `json:"session_no_links,omitempty"`
	MaxSessions         int64         `json:"max_sessions,omitempty"`
	MaxConnections      int64         `json:"max_connections,omitempty"`

	RecordingSeconds int64 `json:"recording_seconds,omitempty"` // recordings are kept so long; 0: for ever
	RecordingBytes   int64 `json:"recording_bytes,omitempty"`   // and take no more room than this, all together

	RecordingRecipients string `json:"recording_recipients,omitempty"` // public keys that new ones are encrypted to, with commas between
}

// Controls are those that hold for every session of the organisation.
func (s Settings) Controls() Controls {
	return Controls{
		IdleSeconds: s.SessionIdleSeconds, MaxSeconds: s.SessionMaxSeconds, GraceSeconds: s.SessionGraceSeconds, LeaseSeconds: s.SessionLeaseSeconds,
		EndWithLogin: s.SessionEndWithLogin, ReasonRequired: s.SessionReason, Recording: s.SessionRecording,
		Input: s.SessionInput, NoLinks: s.SessionNoLinks, Sessions: s.MaxSessions, Connections: s.MaxConnections,
		Recipients: s.Recipients(),
	}
}

// The defaults of Settings.
const (
	DefaultLogin        = 24 * time.Hour
	DefaultIdle         = time.Hour
	DefaultLockFailures = 5
	DefaultLockWindow   = 15 * time.Minute
	DefaultKeyLife      = 90 * 24 * time.Hour
	DefaultKeyMax       = 366 * 24 * time.Hour
)

// MaxLockWindow is the longest time in which failed logins are counted.
const MaxLockWindow = 24 * time.Hour

// ParseSettings reads what Text wrote.
func ParseSettings(text string) (Settings, error) {
	var s Settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return Settings{}, fmt.Errorf("read settings of organisation: %w", err)
	}
	return s, nil
}

// Text gives s as JSON, for the store.
func (s Settings) Text() string {
	b, _ := json.Marshal(s) // numbers, booleans and strings
	return string(b)
}

// Login is how long a login is valid.
func (s Settings) Login() time.Duration { return orDefault(s.LoginSeconds, DefaultLogin) }

// Idle is how long a login is valid without use.
func (s Settings) Idle() time.Duration { return orDefault(s.IdleSeconds, DefaultIdle) }

// LockLimit is how many failures within window lock an account.
func (s Settings) LockLimit() (failures int, window time.Duration) {
	failures = DefaultLockFailures
	if s.LockFailures > 0 {
		failures = int(s.LockFailures)
	}
	return failures, orDefault(s.LockSeconds, DefaultLockWindow)
}

// KeyLife is how long an API key is valid whose maker does not say, and how long at most.
func (s Settings) KeyLife() (life, most time.Duration) {
	most = orDefault(s.KeyMaxSeconds, DefaultKeyMax)
	return min(orDefault(s.KeySeconds, DefaultKeyLife), most), most
}

func orDefault(seconds int64, def time.Duration) time.Duration {
	if seconds <= 0 {
		return def
	}
	return time.Duration(seconds) * time.Second
}
