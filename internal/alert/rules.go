package alert

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// The numbers of the rules. docs/guides/alerts.md says them to people.
const (
	lockoutWindow  = 15 * time.Minute // lockouts of one account within it are one alert
	refusalsWindow = 5 * time.Minute
	refusalsMost   = 20 // more within refusalsWindow are many
	agentKeyWindow = time.Hour
	capWindow      = time.Hour
	capMost        = 100 // alerts of one kind in capWindow; what is beyond is in the audit log alone

	hoursNeeded = 20 // starts of a user, on
	daysNeeded  = 5  // so many days, before an hour can be odd
	hoursKept   = 90 * 24 * time.Hour

	addressesKept = 180 * 24 * time.Hour
	windowsKept   = 24 * time.Hour
)

// What rules remember, by the kind column of alert_seen.
const (
	seenWindow  = "window"  // subject: rule and whom it is about; n in a window that began at first_at
	seenAddress = "address" // subject: user; value: network
	seenHour    = "hour"    // subject: user; value: hour of the day, UTC
	seenDays    = "days"    // subject: user; n: days with a start
	seenID      = "id"      // subject: name of an instance; value: id
)

// finding is what a rule found in an event.
type finding struct {
	kind    Kind
	summary string
	details map[string]string
}

// judge runs the rules over one event. It is for one organisation, in the transaction of its watch.
type judge struct {
	tx  *store.Tx
	org sess.OrgID
}

// look runs all rules over an event, and has them remember it.
func (j judge) look(ctx context.Context, e audit.Event) ([]finding, error) {
	var out []finding
	for _, rule := range []func(context.Context, audit.Event) (*finding, error){j.lockout, j.lock, j.refusals, j.newAddress, j.oddHours, j.recording, j.agentKey} {
		f, err := rule(ctx, e)
		if err != nil {
			return nil, err
		}
		if f != nil {
			out = append(out, *f)
		}
	}
	return out, nil
}

func is(e audit.Event, act policy.Action, o audit.Outcome) bool {
	return e.Action == string(act) && e.Outcome == o
}

// whoText names who an event is about, for people.
func whoText(e audit.Event) string {
	switch {
	case e.Who.Name != "":
		return e.Who.Name
	case e.Who.Address != "":
		return "somebody at " + e.Who.Address
	}
	return "somebody"
}

// lockout: an account was locked after failed logins; again and again within a quarter of an hour is one alert.
func (j judge) lockout(ctx context.Context, e audit.Event) (*finding, error) {
	if e.Action != string(policy.LoginLocked) {
		return nil, nil
	}
	n, err := j.window(ctx, "lockout "+e.Who.Name, e.Time, lockoutWindow, 1)
	if err != nil || n > 1 {
		return nil, err
	}
	return &finding{kind: Lockout, summary: fmt.Sprintf("the account of %s is locked: too many failed logins, the last from %s", whoText(e), e.Who.Address)}, nil
}

// lockAdded is the action of whoever locks something.
const lockAdded = "lock:add"

func (j judge) lock(_ context.Context, e audit.Event) (*finding, error) {
	if !is(e, lockAdded, audit.Allowed) {
		return nil, nil
	}
	what := e.On.Name
	if what == "" {
		what = e.On.ID
	}
	return &finding{kind: Lock, summary: fmt.Sprintf("%s locked %s", whoText(e), what)}, nil
}

// refusals: more than refusalsMost of one user, or of one address where nobody is known, within refusalsWindow; one alert for each
// window.
func (j judge) refusals(ctx context.Context, e audit.Event) (*finding, error) {
	subject := string(e.Who.User)
	if subject == "" {
		subject = e.Who.Address
	}
	if e.Outcome != audit.Refused || subject == "" {
		return nil, nil
	}
	count := max(1, e.Count)
	n, err := j.window(ctx, "refusals "+subject, e.Time, refusalsWindow, count)
	if err != nil || n <= refusalsMost || n-count > refusalsMost {
		return nil, err
	}
	return &finding{
		kind: Refusals, summary: fmt.Sprintf("%s was refused %d times within %d minutes", whoText(e), n, int(refusalsWindow.Minutes())),
		details: map[string]string{"count": fmt.Sprint(n)},
	}, nil
}

// newAddress: a session from a network where the user never started one, or not for half a year. A user's first session teaches.
func (j judge) newAddress(ctx context.Context, e audit.Event) (*finding, error) {
	addr, _ := netip.ParseAddr(e.Who.Address)
	if !is(e, policy.SessionStart, audit.Allowed) || e.Who.User == "" || !addr.IsValid() {
		return nil, nil
	}
	known, err := j.tx.ListAlertSeen(ctx, j.org, seenAddress, string(e.Who.User), 1)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	isNew, err := j.note(ctx, seenAddress, string(e.Who.User), network(addr), e.Time, addressesKept)
	if err != nil || !isNew || len(known) == 0 {
		return nil, err
	}
	return &finding{
		kind: NewAddress, summary: fmt.Sprintf("%s started a session from %s for the first time", whoText(e), addr.Unmap()),
		details: map[string]string{"network": network(addr)},
	}, nil
}

// network is the address as it is remembered: somebody with IPv6 has a /64.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// oddHours: a session at an hour of the day (UTC) at which, and at the hours beside which, the user has not started one for 90 days,
// though they have started hoursNeeded on daysNeeded days. It teaches: the next one at that hour is not odd.
func (j judge) oddHours(ctx context.Context, e audit.Event) (*finding, error) {
	if !is(e, policy.SessionStart, audit.Allowed) || e.Who.User == "" {
		return nil, nil
	}
	user, at := string(e.Who.User), e.Time.UTC()
	rows, err := j.tx.ListAlertSeen(ctx, j.org, seenHour, user, 24)
	if err != nil {
		return nil, fmt.Errorf("list hours: %w", err)
	}
	days, err := j.days(ctx, user, at)
	if err != nil {
		return nil, err
	}
	since := store.Micros(at.Add(-hoursKept))
	var starts int64
	near := false
	for _, r := range rows {
		if r.LastAt < since {
			continue
		}
		starts += r.N
		for _, d := range []int{23, 0, 1} {
			near = near || r.Value == hour((at.Hour()+d)%24)
		}
	}
	if _, err := j.note(ctx, seenHour, user, hour(at.Hour()), at, hoursKept); err != nil {
		return nil, err
	}
	if near || starts < hoursNeeded || days < daysNeeded {
		return nil, nil
	}
	return &finding{
		kind: OddHours, summary: fmt.Sprintf("%s started a session at %s UTC, an hour at which they don't", whoText(e), at.Format("15:04")),
		details: map[string]string{"starts": fmt.Sprint(starts), "days": fmt.Sprint(days)},
	}, nil
}

func hour(h int) string { return fmt.Sprintf("%02d", h) }

// days counts the days on which a user started something before at, and at's own.
func (j judge) days(ctx context.Context, user string, at time.Time) (before int64, err error) {
	r, err := j.tx.GetAlertSeen(ctx, j.org, seenDays, user, "")
	if err != nil && !isNotFound(err) {
		return 0, fmt.Errorf("load days: %w", err)
	}
	if err == nil && sameDay(store.Time(r.LastAt).UTC(), at) {
		return r.N, nil
	}
	us := store.Micros(at)
	if err != nil {
		r.FirstAt = us
	}
	return r.N, j.put(ctx, seenDays, user, "", r.N+1, r.FirstAt, us)
}

func sameDay(a, b time.Time) bool { return a.YearDay() == b.YearDay() && a.Year() == b.Year() }

// recording: a recording is not whole, or a session ended since it could not be recorded.
func (j judge) recording(_ context.Context, e audit.Event) (*finding, error) {
	state := sess.RecordingState(e.Details["state"])
	switch {
	case e.Action == string(policy.RecordingClosed) && state != "" && state != sess.RecordingComplete && state != sess.RecordingActive:
		return &finding{kind: Recording, summary: fmt.Sprintf("the recording of session %s is %s: %s", e.Session, state, orElse(e.Reason, "nothing more is known"))}, nil
	case e.Action == string(policy.SessionEnded) && e.Details["reason"] == string(sess.EndRecording):
		return &finding{kind: Recording, summary: fmt.Sprintf("session %s ended since it could not be recorded: %s", e.Session, orElse(e.Reason, "nothing more is known"))}, nil
	}
	return nil, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// agentKey: an agent whose key is not its instance's, once an hour for each; or an instance that took a name which another had.
func (j judge) agentKey(ctx context.Context, e audit.Event) (*finding, error) {
	switch {
	case is(e, policy.InstanceConnect, audit.Refused) && e.Code == sess.CodeUnauthenticated:
		n, err := j.window(ctx, "agent "+e.Who.Name, e.Time, agentKeyWindow, 1)
		if err != nil || n > 1 {
			return nil, err
		}
		return &finding{kind: AgentKey, summary: fmt.Sprintf("an agent at %s was refused: it claims to be %s, and its key is not that instance's, or the instance was removed",
			e.Who.Address, orElse(e.Who.Name, "an instance"))}, nil
	case is(e, policy.Enrol, audit.Allowed) && e.On.Name != "" && e.On.ID != "":
		before, err := j.tx.ListAlertSeen(ctx, j.org, seenID, e.On.Name, 2)
		if err != nil {
			return nil, fmt.Errorf("list instances of a name: %w", err)
		}
		isNew, err := j.note(ctx, seenID, e.On.Name, e.On.ID, e.Time, 0)
		if err != nil || !isNew || len(before) == 0 {
			return nil, err
		}
		return &finding{
			kind: AgentKey, summary: fmt.Sprintf("%s enrolled with a new key: another instance had the name before", e.On.Name),
			details: map[string]string{"instance": e.On.ID},
		}, nil
	}
	return nil, nil
}

// window counts n more about a subject, in windows that begin with the first, and gives how many there are in this one.
func (j judge) window(ctx context.Context, subject string, at time.Time, long time.Duration, n int64) (int64, error) {
	us := store.Micros(at)
	r, err := j.tx.GetAlertSeen(ctx, j.org, seenWindow, subject, "")
	if err != nil && !isNotFound(err) {
		return 0, fmt.Errorf("load window: %w", err)
	}
	if err != nil || at.Sub(store.Time(r.FirstAt)) >= long || r.FirstAt > us {
		r.N, r.FirstAt = 0, us
	}
	r.N += n
	return r.N, j.put(ctx, seenWindow, subject, "", r.N, r.FirstAt, us)
}

// note remembers a value and says whether it is new: never seen, or not for the time kept (0: for ever).
func (j judge) note(ctx context.Context, kind, subject, value string, at time.Time, kept time.Duration) (isNew bool, err error) {
	us := store.Micros(at)
	r, err := j.tx.GetAlertSeen(ctx, j.org, kind, subject, value)
	if err != nil && !isNotFound(err) {
		return false, fmt.Errorf("load what was seen: %w", err)
	}
	if isNew = err != nil || kept > 0 && at.Sub(store.Time(r.LastAt)) >= kept; isNew {
		r.N, r.FirstAt = 0, us
	}
	return isNew, j.put(ctx, kind, subject, value, r.N+1, r.FirstAt, us)
}

func (j judge) put(ctx context.Context, kind, subject, value string, n, first, last int64) error {
	err := j.tx.PutAlertSeen(ctx, store.PutAlertSeenParams{Org: j.org, Kind: kind, Subject: subject, Value: value, N: n, FirstAt: first, LastAt: last})
	if err != nil {
		return fmt.Errorf("remember: %w", err)
	}
	return nil
}
