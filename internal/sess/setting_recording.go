package sess

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The keys of settings about recordings.
const (
	SettingRecordingRetention = "recording-retention"
	SettingRecordingMaxSize   = "recording-max-size"
)

// Bounds of settings about recordings.
const (
	maxRetention     = 20 * 366 * 24 * time.Hour
	maxRecordingSize = 1 << 50
)

func recordingSettings() []Setting {
	return []Setting{
		limit(SettingRecordingRetention, "recordings are deleted so long after their session's end, but those that are held", "90d", time.Second, maxRetention,
			func(s *Settings) *int64 { return &s.RecordingSeconds }),
		bytesLimit(SettingRecordingMaxSize, "recordings take no more room than this: the oldest are deleted, but those that are held", "50G",
			func(s *Settings) *int64 { return &s.RecordingBytes }),
		recordingRecipients(),
	}
}

// bytesLimit is a number of bytes that limits nothing when it is not set.
func bytesLimit(key, summary, example string, at func(*Settings) *int64) Setting {
	return Setting{
		Key: key, Summary: summary, Example: example,
		get: func(s Settings) string {
			if n := *at(&s); n > 0 {
				return FormatBytes(n)
			}
			return settingNone
		},
		set: func(s *Settings, v string) error {
			if unset(v) {
				*at(s) = 0
				return nil
			}
			n, err := ParseBytes(v)
			if err != nil || n > maxRecordingSize {
				return New(CodeInvalid, fmt.Sprintf("%s is a number of bytes, not %.40q", key, v), "write it like 500M, 50G or 2T: sessctl org set "+key+" "+example)
			}
			*at(s) = n
			return nil
		},
	}
}

const byteUnits = "KMGTP"

// ParseBytes reads a number of bytes as people write it: 500M, 50G, 2T; K is 1024.
func ParseBytes(s string) (int64, error) {
	bad := New(CodeInvalid, fmt.Sprintf("%.40q is no number of bytes", s), "write it like 500M, 50G or 2T")
	number, unit := s, int64(1)
	if s != "" {
		if i := strings.IndexByte(byteUnits, s[len(s)-1]); i >= 0 {
			number, unit = s[:len(s)-1], 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return 0, bad
	}
	return n * unit, nil
}

// FormatBytes writes a number of bytes as ParseBytes reads it.
func FormatBytes(n int64) string {
	unit := ""
	for i := 0; i < len(byteUnits) && n%1024 == 0 && n > 0; i++ {
		n, unit = n/1024, byteUnits[i:i+1]
	}
	return strconv.FormatInt(n, 10) + unit
}
