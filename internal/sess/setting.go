package sess

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Setting describes one of the settings of an organisation: what it is called, and how it is read and written as text.
type Setting struct {
	Key     string
	Summary string // one line
	// Example is a value, for people.
	Example string

	get func(Settings) string
	set func(*Settings, string) error
}

// Get gives the value in s as text, and whether it is the default.
func (k Setting) Get(s Settings) (value string, byDefault bool) {
	value = k.get(s)
	reset := s
	k.reset(&reset)
	return value, reset == s
}

// Set reads value into s; "default" takes back what was set. Its errors are *Error and say what would do.
func (k Setting) Set(s *Settings, value string) error {
	if value == settingDefault {
		k.reset(s)
		return nil
	}
	return k.set(s, value)
}

func (k Setting) reset(s *Settings) { _ = k.set(s, "") }

// settingDefault is the value that takes back what was set.
const settingDefault = "default"

// The keys of settings.
const (
	SettingSessionManager  = "session-manager"
	SettingRequireMFA      = "require-mfa"
	SettingLoginValidity   = "login-validity"
	SettingIdleLogout      = "idle-logout"
	SettingLockoutFailures = "lockout-failures"
	SettingLockoutWindow   = "lockout-window"
	SettingKeyValidity     = "key-validity"
	SettingKeyMaxValidity  = "key-max-validity"
)

// Bounds of settings. A use of a login is written down once a minute, so that a shorter idle time than minIdle would end
// logins that are in use.
const (
	minLogin, maxLogin               = 5 * time.Minute, 90 * 24 * time.Hour
	minIdle, maxIdle                 = 5 * time.Minute, 90 * 24 * time.Hour
	minLockFailures, maxLockFailures = 2, 100
	minLockWindow, maxLockWindow     = time.Minute, 24 * time.Hour
	minKeyLife, maxKeyLife           = time.Hour, 10 * 366 * 24 * time.Hour
)

// AllSettings lists the settings of an organisation, in the order in which they are shown.
func AllSettings() []Setting {
	return append([]Setting{
		sessionManager(),
		onOff(SettingRequireMFA, "everybody shows a second factor, and enrols one first who has none", func(s *Settings) *bool { return &s.RequireMFA }),
		duration(SettingLoginValidity, "how long a login is valid", "12h", minLogin, maxLogin,
			Settings.Login, func(s *Settings) *int64 { return &s.LoginSeconds }),
		duration(SettingIdleLogout, "how long a login is valid without use", "30m", minIdle, maxIdle,
			Settings.Idle, func(s *Settings) *int64 { return &s.IdleSeconds }),
		lockFailures(),
		duration(SettingLockoutWindow, "in this time", "15m", minLockWindow, maxLockWindow,
			func(s Settings) time.Duration { _, d := s.LockLimit(); return d }, func(s *Settings) *int64 { return &s.LockSeconds }),
		duration(SettingKeyValidity, "how long an API key is valid whose maker does not say", "30d", minKeyLife, maxKeyLife,
			func(s Settings) time.Duration { return orDefault(s.KeySeconds, DefaultKeyLife) }, func(s *Settings) *int64 { return &s.KeySeconds }),
		duration(SettingKeyMaxValidity, "how long an API key is valid at most", "180d", minKeyLife, maxKeyLife,
			func(s Settings) time.Duration { _, d := s.KeyLife(); return d }, func(s *Settings) *int64 { return &s.KeyMaxSeconds }),
	}, append(sessionSettings(), recordingSettings()...)...)
}

// FindSetting gives the setting of a key.
func FindSetting(key string) (Setting, error) {
	var keys []string
	for _, k := range AllSettings() {
		if k.Key == key {
			return k, nil
		}
		keys = append(keys, k.Key)
	}
	return Setting{}, New(CodeInvalid, fmt.Sprintf("there is no setting %.40q", key), "there are "+strings.Join(keys, ", "))
}

// Check says what is wrong with settings as a whole; nil: nothing.
func (s Settings) Check() error {
	life, most := orDefault(s.KeySeconds, DefaultKeyLife), orDefault(s.KeyMaxSeconds, DefaultKeyMax)
	if s.KeySeconds > 0 && life > most {
		return New(CodeInvalid, fmt.Sprintf("%s can't be more than %s, which is %s", SettingKeyValidity, SettingKeyMaxValidity, FormatDuration(most)),
			"set "+SettingKeyMaxValidity+" first")
	}
	return nil
}

// sessionManager is the switch that refuses new sessions.
func sessionManager() Setting {
	word := map[bool]string{false: "on", true: "off"}
	return Setting{
		Key: SettingSessionManager, Summary: "off: nobody may start a session", Example: "off",
		get: func(s Settings) string { return word[s.SessionsOff] },
		set: func(s *Settings, v string) error {
			on, err := readOnOff(SettingSessionManager, v, true)
			if err == nil {
				s.SessionsOff, s.SessionsEnd = !on, false
			}
			return err
		},
	}
}

func onOff(key, summary string, at func(*Settings) *bool) Setting {
	return Setting{
		Key: key, Summary: summary, Example: "on",
		get: func(s Settings) string {
			if *at(&s) {
				return "on"
			}
			return "off"
		},
		set: func(s *Settings, v string) error {
			on, err := readOnOff(key, v, false)
			if err == nil {
				*at(s) = on
			}
			return err
		},
	}
}

func readOnOff(key, v string, def bool) (bool, error) {
	switch v {
	case "":
		return def, nil
	case "on", "off":
		return v == "on", nil
	}
	return false, New(CodeInvalid, fmt.Sprintf("%s is on or off, not %.40q", key, v), "sessctl org set "+key+" on")
}

func duration(key, summary, example string, least, most time.Duration, get func(Settings) time.Duration, at func(*Settings) *int64) Setting {
	return Setting{
		Key: key, Summary: summary, Example: example,
		get: func(s Settings) string { return FormatDuration(get(s)) },
		set: func(s *Settings, v string) error {
			if v == "" {
				*at(s) = 0
				return nil
			}
			d, err := ParseDuration(v)
			if err != nil {
				return New(CodeInvalid, fmt.Sprintf("%s is a duration, not %.40q", key, v), "write it like "+example+", 90m or 7d")
			}
			if d < least || d > most {
				return New(CodeInvalid, fmt.Sprintf("%s can be %s to %s", key, FormatDuration(least), FormatDuration(most)), "sessctl org set "+key+" "+example)
			}
			*at(s) = int64(d / time.Second)
			return nil
		},
	}
}

func lockFailures() Setting {
	return Setting{
		Key: SettingLockoutFailures, Summary: "so many failed logins lock an account", Example: "5",
		get: func(s Settings) string { n, _ := s.LockLimit(); return strconv.Itoa(n) },
		set: func(s *Settings, v string) error {
			if v == "" {
				s.LockFailures = 0
				return nil
			}
			n, err := strconv.ParseInt(v, 10, 32)
			if err != nil || n < minLockFailures || n > maxLockFailures {
				return New(CodeInvalid, fmt.Sprintf("%s is a number from %d to %d", SettingLockoutFailures, minLockFailures, maxLockFailures),
					"sessctl org set "+SettingLockoutFailures+" 5")
			}
			s.LockFailures = n
			return nil
		},
	}
}

const (
	day         = 24 * time.Hour
	maxDuration = 100 * 366 * day
)

// ParseDuration reads a duration of whole seconds as people write it: 90s, 15m, 12h, 30d, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	bad := New(CodeInvalid, fmt.Sprintf("%.40q is no duration", s), "write it like 15m, 12h or 30d")
	days, rest, ok := strings.Cut(s, "d")
	var total time.Duration
	if ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, bad
		}
		total = time.Duration(n) * day
	} else {
		rest = s
	}
	if rest != "" || !ok {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || d > maxDuration || rest[0] == '+' || rest[0] == '-' {
			return 0, bad
		}
		total += d
	}
	if total <= 0 || total > maxDuration || total%time.Second != 0 {
		return 0, bad
	}
	return total, nil
}

// FormatDuration writes a duration of whole seconds as ParseDuration reads it.
func FormatDuration(d time.Duration) string {
	var b strings.Builder
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		// Up to two days in hours: 24h is how people say it.
		if u.unit == day && d < 2*day {
			continue
		}
		if n := d / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}
