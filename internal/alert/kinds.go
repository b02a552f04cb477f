package alert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// Kind is a kind of alert.
type Kind string

// The kinds of alert.
const (
	Lockout    Kind = "lockout"     // an account was locked after failed logins
	Lock       Kind = "lock"        // somebody locked a user, group, instance, project, key or address
	Refusals   Kind = "refusals"    // many refusals of one user, or of one address, in a short time
	NewAddress Kind = "new-address" // a user started a session from an address that is new for them
	OddHours   Kind = "odd-hours"   // a user started a session at an hour that is not theirs
	Recording  Kind = "recording"   // something is missing from a recording, or a session ended since it could not be recorded
	AgentKey   Kind = "agent-key"   // a name has a new instance behind it, or an agent showed a key that is not its instance's
)

// all stands for every kind, also those of later versions.
const all = "all"

// Kinds lists the kinds, in the order of the documentation.
func Kinds() []Kind {
	return []Kind{Lockout, Lock, Refusals, NewAddress, OddHours, Recording, AgentKey}
}

// readKinds checks what a webhook is to be told of and gives it as its row has it.
func readKinds(on []string) (string, error) {
	known := Kinds()
	text, every := "", false
	for _, k := range on {
		if k == all {
			every = true
			continue
		}
		if !slices.Contains(known, Kind(k)) {
			names := make([]string, 0, len(known)+1)
			for _, n := range known {
				names = append(names, string(n))
			}
			return "", sess.New(sess.CodeInvalid, fmt.Sprintf("there is no alert %q", k), "alerts are "+strings.Join(names, ", ")+"; or all")
		}
		if !strings.Contains(text, " "+k+" ") {
			text += " " + k + " "
		}
	}
	if every {
		return all, nil
	}
	if text == "" {
		return "", sess.New(sess.CodeInvalid, "it is not said what the webhook is to be told of", "name alerts, or all")
	}
	return text, nil
}

// wants reports whether a webhook with these kinds is told of k.
func wants(kinds string, k Kind) bool {
	return kinds == all || strings.Contains(kinds, " "+string(k)+" ")
}
