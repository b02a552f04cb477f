package sess

import (
	"fmt"
	"time"
)

// MomentHelp says in a flag's help what ParseMoment takes.
const MomentHelp = "so long ago (12h, 7d), or a month, day or time of UTC (2026-01, 2026-01-02, 2026-01-02T15:04:05Z)"

// ParseMoment reads a time as people write it: how long before now, a month or a day (its beginning, UTC), or a time. Empty is
// the zero time.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", time.DateOnly, "2006-01"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, New(CodeInvalid, fmt.Sprintf("%.40q is no time", text), "give it as "+MomentHelp)
}
