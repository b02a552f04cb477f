package sess

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Control names one of the Controls, as it is called in JSON.
type Control string

// The names of controls.
const (
	ControlOSUsers      Control = "os_users"
	ControlKinds        Control = "kinds"
	ControlIdle         Control = "idle_seconds"
	ControlMax          Control = "max_seconds"
	ControlGrace        Control = "grace_seconds"
	ControlLease        Control = "lease_seconds"
	ControlEndWithLogin Control = "end_with_login"
	ControlSessions     Control = "sessions"
	ControlConnections  Control = "connections"
	ControlReason       Control = "reason_required"
	ControlRecording    Control = "recording"
	ControlInput        Control = "input"
	ControlNoLinks      Control = "no_links"
	ControlModerators   Control = "moderators"
	ControlRecipients   Control = "recipients"
	ControlModWait      Control = "moderator_wait_seconds"
	ControlEndUnmod     Control = "end_unmoderated"
)

// Bounds of controls. Times are told to the second, and looked at once a second.
const (
	MaxIdle       = 30 * 24 * time.Hour
	MaxDuration   = 366 * 24 * time.Hour
	MaxGrace      = 24 * time.Hour
	MinLease      = 5 * time.Second // an agent has to hear of a server several times in it
	MaxLease      = MaxGrace + LeaseExtra
	MaxAtATime    = 10000 // sessions, or connections
	MaxModerators = 16
	MaxModWait    = 24 * time.Hour
)

// LeaseExtra is by how much the lease of a session is longer than its grace, where no control says otherwise: a server that lives
// decides first.
const LeaseExtra = time.Minute

// ModeratorWait is for how long a session stands still for want of moderators before it ends, where no role says.
const ModeratorWait = 10 * time.Minute

// SourceOrg is where a control comes from that is set for the whole organisation. From a role it is "role/NAME".
const SourceOrg = "organisation"

// SourceRole says that a control comes from a role.
func SourceRole(r Role) string { return "role/" + string(r) }

// SourceText puts where a control comes from into words.
func SourceText(source string) string {
	if name, ok := strings.CutPrefix(source, "role/"); ok {
		return "the role " + name
	}
	return "the organisation"
}

// Effective are the controls that hold for a session: the strictest of all that apply to it, each with where it comes from.
// It is kept as JSON.
type Effective struct {
	Controls

	// From says where each comes from that limits something: "role/NAME", or "organisation".
	From map[Control]string `json:"from,omitempty"`
}

// Text gives e as JSON, for the store.
func (e Effective) Text() string {
	b, _ := json.Marshal(e) // strings, numbers and booleans
	return string(b)
}

// ParseEffective reads what Text wrote.
func ParseEffective(text string) (Effective, error) {
	var e Effective
	if text == "" || text == "{}" {
		return e, nil
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Effective{}, fmt.Errorf("read controls of session: %w", err)
	}
	return e, nil
}

// Idle is after how long without input a session ends; 0: never.
func (c Controls) Idle() time.Duration { return time.Duration(c.IdleSeconds) * time.Second }

// Longest is how long a session may run; 0: for ever.
func (c Controls) Longest() time.Duration { return time.Duration(c.MaxSeconds) * time.Second }

// Grace is how long a session of a kind lives on without its owner.
func (c Controls) Grace(kind Kind) time.Duration {
	return orDefault(c.GraceSeconds, Kinds[kind].Grace)
}

// Lease is how long a session of a kind lives on, on its instance, without word from a server.
func (c Controls) Lease(kind Kind) time.Duration {
	return orDefault(c.LeaseSeconds, c.Grace(kind)+LeaseExtra)
}

// ModWait is for how long a session stands still for want of moderators before it ends.
func (c Controls) ModWait() time.Duration { return orDefault(c.ModeratorWaitSeconds, ModeratorWait) }

// RecordingMode is whether such sessions are recorded, never empty.
func (c Controls) RecordingMode() RecordingMode {
	if c.Recording == "" {
		return RecordOn
	}
	return c.Recording
}

// InputMode is what of the input is on record, never empty.
func (c Controls) InputMode() InputMode {
	if c.Input == "" {
		return InputOn
	}
	return c.Input
}

// Source says in words where a control comes from; empty: nothing limits it.
func (e Effective) Source(c Control) string {
	if e.From[c] == "" {
		return ""
	}
	return SourceText(e.From[c])
}

// Rule names the rule by which a control limits, as decisions name rules.
func (e Effective) Rule(c Control) string {
	return strings.TrimPrefix(e.From[c], "role/") + "/controls"
}

// Apply adds controls to those that hold: of each, the stricter stays.
func (e *Effective) Apply(c Controls, source string) {
	e.tighten(c, func(Control) string { return source })
	if len(c.OSUsers) > 0 {
		e.OSUsers = both(e.OSUsers, c.OSUsers)
		e.note(ControlOSUsers, source)
	}
	if len(c.Kinds) > 0 {
		e.Kinds = both(e.Kinds, c.Kinds)
		e.note(ControlKinds, source)
	}
	if c.ReasonRequired && !e.ReasonRequired {
		e.ReasonRequired = true
		e.note(ControlReason, source)
	}
	if c.LeaseSeconds > 0 && (e.LeaseSeconds == 0 || c.LeaseSeconds < e.LeaseSeconds) {
		e.LeaseSeconds = c.LeaseSeconds
		e.note(ControlLease, source)
	}
	if strictness(c.Recording) > strictness(e.Recording) {
		e.Recording = c.Recording
		e.note(ControlRecording, source)
	}
	if keepsLess(c.Input) > keepsLess(e.Input) {
		e.Input = c.Input
		e.note(ControlInput, source)
	}
	if len(c.Recipients) > 0 {
		e.Recipients = c.Recipients
		e.note(ControlRecipients, source)
	}
}

// Tighten adds what holds now to what a session that runs began with, as far as that can still change: as whom it runs, why,
// what of it is on record and its lease were settled then. It reports whether anything became stricter.
func (e *Effective) Tighten(now Effective) bool {
	e.From = maps.Clone(e.From) // it may be shared
	return e.tighten(now.Controls, func(c Control) string { return now.From[c] })
}

func (e *Effective) tighten(c Controls, source func(Control) string) bool {
	var changed bool
	less := func(have *int64, want int64, name Control) {
		if want > 0 && (*have == 0 || want < *have) {
			*have, changed = want, true
			e.note(name, source(name))
		}
	}
	yes := func(have *bool, want bool, name Control) {
		if want && !*have {
			*have, changed = true, true
			e.note(name, source(name))
		}
	}
	less(&e.IdleSeconds, c.IdleSeconds, ControlIdle)
	less(&e.MaxSeconds, c.MaxSeconds, ControlMax)
	less(&e.GraceSeconds, c.GraceSeconds, ControlGrace)
	less(&e.Sessions, c.Sessions, ControlSessions)
	less(&e.Connections, c.Connections, ControlConnections)
	less(&e.ModeratorWaitSeconds, c.ModeratorWaitSeconds, ControlModWait)
	yes(&e.EndWithLogin, c.EndWithLogin, ControlEndWithLogin)
	yes(&e.EndUnmoderated, c.EndUnmoderated, ControlEndUnmod)
	yes(&e.NoLinks, c.NoLinks, ControlNoLinks)
	if c.Moderators > e.Moderators {
		e.Moderators, changed = c.Moderators, true
		e.note(ControlModerators, source(ControlModerators))
	}
	return changed
}

func (e *Effective) note(name Control, source string) {
	if e.From == nil {
		e.From = map[Control]string{}
	}
	e.From[name] = source
}

func strictness(m RecordingMode) int {
	return slices.Index([]RecordingMode{RecordOff, RecordOn, RecordStrict}, m) // -1: says nothing
}

func keepsLess(m InputMode) int {
	return slices.Index([]InputMode{InputOn, InputMasked, InputOff}, m)
}

// both gives what two lists allow, of which nil allows everything, and an empty one nothing.
func both[T comparable](a, b []T) []T {
	if a == nil {
		return slices.Clone(b)
	}
	out := []T{}
	for _, x := range a {
		if slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// Check says what is wrong with controls that somebody wants; nil: nothing.
func (c Controls) Check() error {
	bad := func(hint, format string, a ...any) error { return New(CodeInvalid, fmt.Sprintf(format, a...), hint) }
	for _, x := range []struct {
		name    string
		seconds int64
		most    time.Duration
	}{
		{"the idle timeout", c.IdleSeconds, MaxIdle},
		{"the longest duration", c.MaxSeconds, MaxDuration},
		{"the grace", c.GraceSeconds, MaxGrace},
		{"the wait for moderators", c.ModeratorWaitSeconds, MaxModWait},
	} {
		if x.seconds < 0 || x.seconds > int64(x.most/time.Second) {
			return bad("write it like 15m or 12h; none takes the limit away", "%s can be 1s to %s", x.name, FormatDuration(x.most))
		}
	}
	if c.LeaseSeconds != 0 && (c.LeaseSeconds < int64(MinLease/time.Second) || c.LeaseSeconds > int64(MaxLease/time.Second)) {
		return bad("write it like 2m; none: a minute more than the grace", "the lease can be %s to %s", FormatDuration(MinLease), FormatDuration(MaxLease))
	}
	for _, x := range []struct {
		name string
		n    int64
		most int64
	}{{"sessions at a time", c.Sessions, MaxAtATime}, {"connections at a time", c.Connections, MaxAtATime}, {"moderators", c.Moderators, MaxModerators}} {
		if x.n < 0 || x.n > x.most {
			return bad("0 takes the limit away", "%s can be 1 to %d", x.name, x.most)
		}
	}
	switch {
	case c.Recording != "" && strictness(c.Recording) < 0:
		return bad("strict, on or off; empty says nothing", "there is no mode of recording %.40q", c.Recording)
	case c.Input != "" && keepsLess(c.Input) < 0:
		return bad("on, masked or off; empty says nothing", "there is no mode of recording input %.40q", c.Input)
	}
	return nil
}
