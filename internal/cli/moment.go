package cli

import (
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// momentHelp says in a flag's help what moment takes.
const momentHelp = "so long ago (12h, 7d), or a month, day or time of UTC (2026-01, 2026-01-02, 2026-01-02T15:04:05Z)"

// moment reads a time: how long ago, a month or a day (its beginning, UTC), or a time. Empty is the zero time.
func (a *app) moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := sess.ParseDuration(text); err == nil {
		return a.now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", time.DateOnly, "2006-01"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, sess.New(sess.CodeInvalid, fmt.Sprintf("%q is no time", text), "give it as "+momentHelp)
}

// momentText is moment as the API takes it.
func (a *app) momentText(text string) (string, error) {
	t, err := a.moment(text)
	if err != nil || t.IsZero() {
		return "", err
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}
