package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// noLimit takes a limit away.
const noLimit = "none"

// controlFlags are the controls of a role as flags.
type controlFlags struct {
	osUsers, kinds                    []string
	idle, longest, grace, lease       string
	withLogin, reason                 bool
	sessions, connections, moderators string
	recording, input                  string
	noLinks, endUnmoderated           bool
	moderatorWait                     string
}

func (f *controlFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringSliceVar(&f.osUsers, "os-user", nil, "let its holders be only this `USER` on instances; may be repeated")
	fl.StringSliceVar(&f.kinds, "kind", nil, "let its holders start only this `KIND` of session; may be repeated")
	fl.StringVar(&f.idle, "idle-timeout", "", "end a session after this `TIME` without input: 15m is a good one")
	fl.StringVar(&f.longest, "max-duration", "", "end a session that ran for this `TIME`")
	fl.StringVar(&f.grace, "grace", "", "end a session whose owner is away for this `TIME`; none: as its kind says")
	fl.StringVar(&f.lease, "lease", "", "end a session whose agent hears of no server for this `TIME`; none: a minute more than its grace")
	fl.BoolVar(&f.withLogin, "end-with-login", false, "end a session when the login or key that started it ends or runs out")
	fl.StringVar(&f.sessions, "max-sessions", "", "let each holder have only `N` sessions at a time")
	fl.StringVar(&f.connections, "max-connections", "", "let each holder be connected to only `N` sessions at a time")
	fl.BoolVar(&f.reason, "require-reason", false, "have whoever starts a session say why")
	fl.StringVar(&f.recording, "recording", "", "`MODE` of recording: strict (no recorder, no session), on or off")
	fl.StringVar(&f.input, "record-input", "", "`MODE` of recording what is typed: on, masked (what the terminal echoed, never anything else) or off")
	fl.BoolVar(&f.noLinks, "no-recording-links", false, "let nobody share recordings of its sessions by a link")
	fl.StringVar(&f.moderators, "moderators", "", "let a session run only while `N` moderators are there")
	fl.StringVar(&f.moderatorWait, "moderator-wait", "", "end a session that stood still for this `TIME` for want of moderators; none: 10m")
	fl.BoolVar(&f.endUnmoderated, "end-unmoderated", false, "end a session when a moderator that it needs leaves, rather than have it stand still")
}

// read gives what the flags that were given change.
func (f *controlFlags) read(cmd *cobra.Command) (api.ControlsSet, error) {
	var s api.ControlsSet
	given := cmd.Flags().Changed
	if given("os-user") {
		s.OSUsers = &f.osUsers
	}
	if given("kind") {
		kinds := make([]sess.Kind, len(f.kinds))
		for i, k := range f.kinds {
			kinds[i] = sess.Kind(k)
		}
		s.Kinds = &kinds
	}
	for _, x := range []struct {
		flag, value string
		to          **int64
		read        func(string) (int64, error)
	}{
		{"idle-timeout", f.idle, &s.IdleSeconds, seconds},
		{"max-duration", f.longest, &s.MaxSeconds, seconds},
		{"grace", f.grace, &s.GraceSeconds, seconds},
		{"lease", f.lease, &s.LeaseSeconds, seconds},
		{"max-sessions", f.sessions, &s.Sessions, count},
		{"max-connections", f.connections, &s.Connections, count},
		{"moderators", f.moderators, &s.Moderators, count},
		{"moderator-wait", f.moderatorWait, &s.ModeratorWaitSeconds, seconds},
	} {
		if !given(x.flag) {
			continue
		}
		n, err := x.read(x.value)
		if err != nil {
			return s, &usageError{cmd: cmd, err: fmt.Errorf("--%s: %w", x.flag, err)}
		}
		*x.to = &n
	}
	s.EndWithLogin, s.ReasonRequired = ifGiven(cmd, "end-with-login", &f.withLogin), ifGiven(cmd, "require-reason", &f.reason)
	s.NoLinks, s.EndUnmoderated = ifGiven(cmd, "no-recording-links", &f.noLinks), ifGiven(cmd, "end-unmoderated", &f.endUnmoderated)
	if given("recording") {
		m := sess.RecordingMode(without(f.recording))
		s.Recording = &m
	}
	if given("record-input") {
		m := sess.InputMode(without(f.input))
		s.Input = &m
	}
	return s, nil
}

// ifGiven gives the value of a flag, nil when it was not given.
func ifGiven[T any](cmd *cobra.Command, flag string, value *T) *T {
	if cmd.Flags().Changed(flag) {
		return value
	}
	return nil
}

// without makes the word for no limit empty.
func without(v string) string {
	if v == noLimit {
		return ""
	}
	return v
}

// seconds reads a time; none, 0 and nothing are 0.
func seconds(v string) (int64, error) {
	if v = without(v); v == "" || v == "0" {
		return 0, nil
	}
	d, err := sess.ParseDuration(v)
	return int64(d / time.Second), err
}

// count reads a number; none and nothing are 0.
func count(v string) (int64, error) {
	if v = without(v); v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no number", v)
	}
	return n, nil
}

// controlFields shows controls, each with where it comes from if that is known.
func controlFields(e sess.Effective) []field {
	var out []field
	add := func(name string, c sess.Control, value string) {
		if value == "" {
			return
		}
		if from := e.Source(c); from != "" {
			value += " (" + from + ")"
		}
		out = append(out, field{name, value})
	}
	for _, x := range []struct {
		name    string
		control sess.Control
		n       int64
	}{{"Idle timeout", sess.ControlIdle, e.IdleSeconds}, {"Longest", sess.ControlMax, e.MaxSeconds}, {"Grace limit", sess.ControlGrace, e.GraceSeconds}, {"Lease limit", sess.ControlLease, e.LeaseSeconds}} {
		if x.n > 0 {
			add(x.name, x.control, sess.FormatDuration(time.Duration(x.n)*time.Second))
		}
	}
	add("Ends with login", sess.ControlEndWithLogin, yes(e.EndWithLogin))
	add("Sessions", sess.ControlSessions, atATime(e.Sessions))
	add("Connections", sess.ControlConnections, atATime(e.Connections))
	add("Reason needed", sess.ControlReason, yes(e.ReasonRequired))
	add("Record", sess.ControlRecording, string(e.Recording))
	add("Record input", sess.ControlInput, string(e.Input))
	for _, k := range e.Recipients {
		add("Encrypted to", sess.ControlRecipients, k)
	}
	if e.NoLinks {
		add("Recording links", sess.ControlNoLinks, "no")
	}
	if e.Moderators > 0 {
		add("Moderators", sess.ControlModerators, strconv.FormatInt(e.Moderators, 10))
		add("Waits for them", sess.ControlModWait, sess.FormatDuration(e.ModWait()))
	}
	add("Ends without", sess.ControlEndUnmod, yes(e.EndUnmoderated))
	add("Users there", sess.ControlOSUsers, strings.Join(e.OSUsers, " "))
	add("Kinds", sess.ControlKinds, kindsText(e.Kinds))
	return out
}

func kindsText(kinds []sess.Kind) string {
	s := make([]string, len(kinds))
	for i, k := range kinds {
		s[i] = string(k)
	}
	return strings.Join(s, " ")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func atATime(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10) + " at a time"
}
