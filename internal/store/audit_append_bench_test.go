package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// listIndexes are the indexes by which lists of events are filtered; they cost something with every event.
var listIndexes = []string{
	"audit_event_area", "audit_event_action", "audit_event_who", "audit_event_who_id", "audit_event_outcome", "audit_event_of_session",
	"audit_event_on_id", "audit_event_on_name", "audit_event_instance", "audit_event_address", "audit_event_unfilled",
}

// BenchmarkAuditAppend writes events, one in a transaction and a hundred, into a log of 100,000: with the indexes of lists, and
// without. The difference is what filters cost who writes.
func BenchmarkAuditAppend(b *testing.B) {
	benchEach(b, func(b *testing.B, db *store.DB) {
		next := 0
		add := func(b *testing.B, n int) {
			b.Helper()
			storetest.Write(b, db, func(ctx context.Context, tx *store.Tx) error {
				for range n {
					if err := tx.AppendAuditEvent(ctx, someEvent(next)); err != nil {
						return err
					}
					next++
				}
				return nil
			})
		}
		for range 20 {
			add(b, 5_000)
		}
		for _, name := range []string{"with", "without"} {
			for _, n := range []int{1, 100} {
				b.Run(fmt.Sprintf("%s indexes, %d at once", name, n), func(b *testing.B) {
					for b.Loop() {
						add(b, n)
					}
					b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
					b.ReportMetric(float64(b.Elapsed()/time.Microsecond)/float64(b.N*n), "µs/event")
				})
			}
			if name == "without" {
				break
			}
			storetest.Write(b, db, func(ctx context.Context, tx *store.Tx) error {
				for _, index := range listIndexes {
					if _, err := tx.SQL().ExecContext(ctx, "DROP INDEX "+index); err != nil {
						return err
					}
				}
				return nil
			})
		}
	})
}

// someEvent is the event of number i, in a log of two hundred users and a thousand instances: half of the events are of sessions, the
// others about the organisation, a few about instances.
func someEvent(i int) store.AppendAuditEventParams {
	actions := []string{"session:start", "session:redeem", "session:started", "session:ended", "instance:show", "whoami", "session:list", "audit:list"}
	p := store.AppendAuditEventParams{
		Log: "org_a", ID: sess.NewEventID(), CreatedAt: int64(i), Action: actions[i%len(actions)], Outcome: "allowed",
		Who: fmt.Sprintf("user%d@example.com", i%200), WhoID: fmt.Sprintf("usr_%d", i%200), OnID: "org_a",
		Address: fmt.Sprintf("10.0.%d.%d", i/256%4, i%256), Body: fmt.Sprintf(`{"id":"evt_%d","pad":"%0400d"}`, i, i),
	}
	instance := fmt.Sprintf("ins_%d", i%1000)
	switch i % len(actions) {
	case 0, 1, 2, 3:
		p.OnID = fmt.Sprintf("ses_%d", i/8*8)
		p.Session, p.Instance = sess.SessionID(p.OnID), sess.InstanceID(instance)
	case 4:
		p.OnID, p.OnName, p.Instance = instance, fmt.Sprintf("web-%d", i%1000), sess.InstanceID(instance)
	}
	if i%50 == 3 {
		p.Outcome = "refused"
	}
	p.Area = store.AuditArea(p.Action)
	return p
}
