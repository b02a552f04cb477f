package sess

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The keys of settings that hold for every session, beside what roles say.
const (
	SettingSessionIdle      = "session-idle-timeout"
	SettingSessionMax       = "session-max-duration"
	SettingSessionGrace     = "session-grace"
	SettingSessionLease     = "session-lease"
	SettingSessionWithLogin = "session-end-with-login"
	SettingSessionReason    = "session-reason"
	SettingSessionRecording = "session-recording"
	SettingSessionInput     = "session-record-input"
	SettingSessionLinks     = "session-recording-links"
	SettingMaxSessions      = "max-sessions"
	SettingMaxConnections   = "max-connections"
)

// settingNone is the value of a limit that is not set.
const settingNone = "none"

func sessionSettings() []Setting {
	links := onOff(SettingSessionLinks, "recordings may be shared by a link", func(s *Settings) *bool { return &s.SessionNoLinks })
	return []Setting{
		limit(SettingSessionIdle, "a session without input for so long ends", "15m", time.Second, MaxIdle, func(s *Settings) *int64 { return &s.SessionIdleSeconds }),
		limit(SettingSessionMax, "a session that ran for so long ends", "8h", time.Second, MaxDuration, func(s *Settings) *int64 { return &s.SessionMaxSeconds }),
		limit(SettingSessionGrace, "a session whose owner is away for so long ends; none: as its kind says", "1h", time.Second, MaxGrace,
			func(s *Settings) *int64 { return &s.SessionGraceSeconds }),
		limit(SettingSessionLease, "a session whose agent hears of no server for so long ends there; none: a minute more than its grace", "2m", MinLease, MaxLease,
			func(s *Settings) *int64 { return &s.SessionLeaseSeconds }),
		onOff(SettingSessionWithLogin, "a session ends when the login or key that started it does", func(s *Settings) *bool { return &s.SessionEndWithLogin }),
		onOff(SettingSessionReason, "whoever starts a session says why", func(s *Settings) *bool { return &s.SessionReason }),
		mode(SettingSessionRecording, "of all sessions: strict, on or off; none: as roles say, else on", "strict", []RecordingMode{RecordStrict, RecordOn, RecordOff},
			func(s *Settings) *RecordingMode { return &s.SessionRecording }),
		mode(SettingSessionInput, "what of the input is on record: on, masked or off; none: as roles say, else on", "masked", []InputMode{InputOn, InputMasked, InputOff},
			func(s *Settings) *InputMode { return &s.SessionInput }),
		inverse(links),
		number(SettingMaxSessions, "sessions of one user at a time", "20", func(s *Settings) *int64 { return &s.MaxSessions }),
		number(SettingMaxConnections, "connections of one user to sessions at a time", "10", func(s *Settings) *int64 { return &s.MaxConnections }),
	}
}

// inverse is a setting that is on while what is kept is off.
func inverse(k Setting) Setting {
	word := map[string]string{"on": "off", "off": "on"}
	get, set := k.get, k.set
	k.Example = "off"
	k.get = func(s Settings) string { return word[get(s)] }
	k.set = func(s *Settings, v string) error {
		if w, ok := word[v]; ok {
			v = w
		}
		return set(s, v)
	}
	return k
}

// unset reports whether a value takes a limit away.
func unset(v string) bool { return v == "" || v == settingNone }

// limit is a time that limits nothing when it is not set.
func limit(key, summary, example string, least, most time.Duration, at func(*Settings) *int64) Setting {
	d := duration(key, summary, example, least, most, nil, at)
	set := d.set
	d.get = func(s Settings) string {
		if n := *at(&s); n > 0 {
			return FormatDuration(time.Duration(n) * time.Second)
		}
		return settingNone
	}
	d.set = func(s *Settings, v string) error {
		if unset(v) {
			v = ""
		}
		return set(s, v)
	}
	return d
}

// number is a count that limits nothing when it is not set.
func number(key, summary, example string, at func(*Settings) *int64) Setting {
	return Setting{
		Key: key, Summary: summary, Example: example,
		get: func(s Settings) string {
			if n := *at(&s); n > 0 {
				return strconv.FormatInt(n, 10)
			}
			return settingNone
		},
		set: func(s *Settings, v string) error {
			if unset(v) {
				*at(s) = 0
				return nil
			}
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 1 || n > MaxAtATime {
				return New(CodeInvalid, fmt.Sprintf("%s is a number from 1 to %d, or none", key, MaxAtATime), "sessctl org set "+key+" "+example)
			}
			*at(s) = n
			return nil
		},
	}
}

// mode is one of several words, or none.
func mode[M ~string](key, summary, example string, modes []M, at func(*Settings) *M) Setting {
	return Setting{
		Key: key, Summary: summary, Example: example,
		get: func(s Settings) string {
			if m := *at(&s); m != "" {
				return string(m)
			}
			return settingNone
		},
		set: func(s *Settings, v string) error {
			if unset(v) {
				*at(s) = ""
				return nil
			}
			var words []string
			for _, m := range modes {
				if string(m) == v {
					*at(s) = m
					return nil
				}
				words = append(words, string(m))
			}
			return New(CodeInvalid, fmt.Sprintf("%s is %s or none, not %.40q", key, strings.Join(words, ", "), v), "sessctl org set "+key+" "+example)
		},
	}
}
