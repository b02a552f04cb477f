package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// Mistakes with arguments are said in words of this program.
func TestArgumentsThatDontFit(t *testing.T) {
	one := &cobra.Command{Use: "move INSTANCE --project PROJECT", Args: args(cobra.ExactArgs(1)), RunE: func(*cobra.Command, []string) error { return nil }}
	none := &cobra.Command{Use: "add", Args: args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error { return nil }}
	none.Flags().String("user", "", "")
	root := &cobra.Command{Use: "sessctl"}
	root.AddCommand(one, none)
	for want, got := range map[string]error{
		"2 arguments: it is used as sessctl move INSTANCE --project PROJECT": one.Args(one, []string{"local", "web"}),
		"no argument: it is used as":                                         one.Args(one, nil),
		`sessctl add takes flags, and "dave@example.com" is none`:            none.Args(none, []string{"dave@example.com", "operator"}),
	} {
		if got == nil || !strings.Contains(got.Error(), want) {
			t.Errorf("%v, want %s", got, want)
		}
	}
}

// A time is written as people write it.
func TestTimesOfQuestions(t *testing.T) {
	now := time.Date(2026, 7, 3, 12, 30, 15, 0, time.FixedZone("here", 2*3600))
	for text, want := range map[string]string{
		"03:00": "2026-07-03T03:00:00+02:00", "2026-01-31 15:04": "2026-01-31T15:04:00+02:00", "2026-01-31T15:04:05Z": "2026-01-31T15:04:05Z",
	} {
		if got, err := aTime(text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v", text, got.Format(time.RFC3339), err)
		}
	}
	for _, text := range []string{"", "3", "tomorrow", "25:00", "2026-13-01 10:00"} {
		if got, err := aTime(text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
