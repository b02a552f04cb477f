package cli

import (
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// moment reads a time as all commands take it.
func (a *app) moment(text string) (time.Time, error) { return sess.ParseMoment(text, a.now()) }

// momentText is moment as the API takes it.
func (a *app) momentText(text string) (string, error) {
	t, err := a.moment(text)
	if err != nil || t.IsZero() {
		return "", err
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}
