package alert

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

// story feeds events to the rules and tells what they find.
type story struct {
	t   *testing.T
	db  *store.DB
	org sess.OrgID
}

func newStory(t *testing.T, db *store.DB) *story {
	t.Helper()
	s := &story{t, db, sess.NewOrgID()}
	storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateOrg(ctx, s.org, string(s.org), 1)
		return err
	})
	return s
}

// want feeds one event and checks what is found.
func (s *story) want(e audit.Event, kinds ...Kind) {
	s.t.Helper()
	var got []Kind
	storetest.Write(s.t, s.db, func(ctx context.Context, tx *store.Tx) error {
		got = nil
		found, err := judge{tx, s.org}.look(ctx, e)
		for _, f := range found {
			if f.summary == "" {
				s.t.Errorf("%s without a summary", f.kind)
			}
			got = append(got, f.kind)
		}
		return err
	})
	if fmt.Sprint(got) != fmt.Sprint(kinds) {
		s.t.Errorf("%s %s at %s from %s: %v, want %v", e.Action, e.Outcome, e.Time.Format(time.DateTime), e.Who.Address, got, kinds)
	}
}

func event(act policy.Action, o audit.Outcome, at time.Time, change ...func(*audit.Event)) audit.Event {
	e := audit.Event{ID: sess.NewEventID(), Action: string(act), Outcome: o, Time: at, Who: audit.Who{User: "usr_a", Name: "ann", Address: "192.0.2.7"}}
	for _, c := range change {
		c(&e)
	}
	return e
}

func from(addr string) func(*audit.Event) { return func(e *audit.Event) { e.Who.Address = addr } }
func by(id sess.UserID) func(*audit.Event) {
	return func(e *audit.Event) { e.Who.User, e.Who.Name = id, string(id) }
}

func TestRules(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		t.Run("lockout", func(t *testing.T) {
			s := newStory(t, db)
			s.want(event(policy.LoginLocked, audit.Refused, noon), Lockout)
			s.want(event(policy.LoginLocked, audit.Refused, noon.Add(time.Minute)))
			s.want(event(policy.LoginLocked, audit.Refused, noon.Add(time.Minute), by("usr_b")), Lockout)
			s.want(event(policy.LoginLocked, audit.Refused, noon.Add(20*time.Minute)), Lockout)
		})
		t.Run("lock", func(t *testing.T) {
			s := newStory(t, db)
			s.want(event(lockAdded, audit.Allowed, noon, func(e *audit.Event) { e.On.Name = "bob" }), Lock)
			s.want(event(lockAdded, audit.Refused, noon))
			s.want(event("lock:list", audit.Allowed, noon))
		})
		t.Run("refusals", func(t *testing.T) {
			s := newStory(t, db)
			for i := range refusalsMost {
				s.want(event(policy.SessionStart, audit.Refused, noon.Add(time.Duration(i)*time.Second)))
			}
			s.want(event(policy.SessionStart, audit.Refused, noon.Add(30*time.Second), by("usr_b")))
			s.want(event(policy.InstanceShow, audit.Refused, noon.Add(time.Minute)), Refusals)
			s.want(event(policy.SessionStart, audit.Refused, noon.Add(2*time.Minute)))  // once
			s.want(event(policy.SessionStart, audit.Refused, noon.Add(10*time.Minute))) // a new window
			// Of nobody known, by the address; several in one event.
			s.want(event(policy.Login, audit.Refused, noon, by(""), func(e *audit.Event) { e.Count = refusalsMost }))
			s.want(event(policy.Login, audit.Refused, noon.Add(time.Second), by("")), Refusals)
			s.want(event(policy.Login, audit.Failed, noon, by(""), from("192.0.2.8"), func(e *audit.Event) { e.Count = 100 }))
		})
		t.Run("new address", func(t *testing.T) {
			s := newStory(t, db)
			s.want(event(policy.SessionStart, audit.Allowed, noon))
			s.want(event(policy.SessionStart, audit.Allowed, noon.Add(time.Minute)))
			s.want(event(policy.SessionStart, audit.Refused, noon, from("203.0.113.9")))
			s.want(event(policy.SessionStart, audit.Allowed, noon, from("203.0.113.9")), NewAddress)
			s.want(event(policy.SessionStart, audit.Allowed, noon, from("203.0.113.9")))
			s.want(event(policy.SessionStart, audit.Allowed, noon, from("2001:db8::1")), NewAddress)
			s.want(event(policy.SessionStart, audit.Allowed, noon, from("2001:db8::2"))) // the same network
			s.want(event(policy.SessionStart, audit.Allowed, noon, from("203.0.113.9"), by("usr_b")))
			s.want(event(policy.SessionStart, audit.Allowed, noon.Add(200*24*time.Hour), from("203.0.113.9")), NewAddress) // half a year later
		})
		t.Run("recording", func(t *testing.T) {
			s := newStory(t, db)
			closed := func(state sess.RecordingState) func(*audit.Event) {
				return func(e *audit.Event) { e.Details = map[string]string{"state": string(state)} }
			}
			s.want(event(policy.RecordingClosed, audit.Allowed, noon, closed(sess.RecordingComplete)))
			s.want(event(policy.RecordingClosed, audit.Allowed, noon, closed(sess.RecordingIncomplete)), Recording)
			s.want(event(policy.RecordingClosed, audit.Allowed, noon, closed(sess.RecordingMissing)), Recording)
			ended := func(r sess.EndReason) func(*audit.Event) {
				return func(e *audit.Event) { e.Details = map[string]string{"reason": string(r)} }
			}
			s.want(event(policy.SessionEnded, audit.Allowed, noon, ended(sess.EndRecording)), Recording)
			s.want(event(policy.SessionEnded, audit.Allowed, noon, ended(sess.EndExit)))
		})
		t.Run("agent key", func(t *testing.T) {
			s := newStory(t, db)
			bad := func(e *audit.Event) {
				e.Code, e.Who = sess.CodeUnauthenticated, audit.Who{Name: "web-1", Address: "192.0.2.9"}
			}
			s.want(event(policy.InstanceConnect, audit.Refused, noon, bad), AgentKey)
			s.want(event(policy.InstanceConnect, audit.Refused, noon.Add(time.Minute), bad))
			s.want(event(policy.InstanceConnect, audit.Allowed, noon))
			on := func(id string) func(*audit.Event) {
				return func(e *audit.Event) { e.On = audit.Thing{Type: "instance", ID: id, Name: "web-2"} }
			}
			s.want(event(policy.Enrol, audit.Allowed, noon, on("ins_1")))
			s.want(event(policy.Enrol, audit.Allowed, noon, on("ins_1"))) // the same key again
			s.want(event(policy.Enrol, audit.Allowed, noon, on("ins_2")), AgentKey)
		})
		t.Run("odd hours", func(t *testing.T) { oddHours(t, newStory(t, db)) })
	})
}

// Somebody works from 9 to 17; what is odd for them is not for somebody who is not known well.
func oddHours(t *testing.T, s *story) {
	t.Helper()
	day := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	for d := range 5 {
		for h := 9; h <= 17; h += 2 {
			s.want(event(policy.SessionStart, audit.Allowed, day.AddDate(0, 0, d).Add(time.Duration(h)*time.Hour+30*time.Minute)))
		}
	}
	at := func(d, h int, who sess.UserID) audit.Event {
		return event(policy.SessionStart, audit.Allowed, day.AddDate(0, 0, d).Add(time.Duration(h)*time.Hour), by(who))
	}
	s.want(at(6, 8, "usr_a"))            // an hour beside
	s.want(at(6, 19, "usr_a"), OddHours) // two hours off: 17 is the nearest
	s.want(at(7, 3, "usr_a"), OddHours)
	s.want(at(8, 3, "usr_a")) // it is usual now
	s.want(at(9, 23, "usr_a"), OddHours)
	s.want(at(10, 0, "usr_a")) // beside 23, over midnight
	s.want(at(6, 3, "usr_new"))
	for i := range 30 {
		s.want(at(20, 9+i%3, "usr_busy"))
	}
	s.want(at(20, 22, "usr_busy")) // one day is no habit
	s.want(at(150, 3, "usr_a"))    // what was usual is forgotten: nothing is odd
}
