package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func appendEvent(ctx context.Context, tx *store.Tx, id sess.EventID, at int64) error {
	return tx.AppendAuditEvent(ctx, store.AppendAuditEventParams{
		Log: store.BoxLog, ID: id, CreatedAt: at, Action: "a", Outcome: "allowed", Who: "me", Body: `{"id":"` + string(id) + `"}`,
	})
}

func ids(events []store.AuditEvent) []string {
	var s []string
	for _, e := range events {
		s = append(s, string(e.ID))
	}
	return s
}

func TestAuditOrderAndPlaces(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			// Of one time, the id decides.
			return errors.Join(appendEvent(ctx, tx, "evt_d", 3), appendEvent(ctx, tx, "evt_b", 2), appendEvent(ctx, tx, "evt_a", 2), appendEvent(ctx, tx, "evt_c", 1))
		})
		want := []string{"evt_c", "evt_a", "evt_b", "evt_d"}
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			logs, err := tx.ListUnplacedAuditLogs(ctx, 10)
			if err != nil || !slices.Equal(logs, []string{store.BoxLog}) {
				t.Errorf("logs to place = %v, %v", logs, err)
			}
			size, err := tx.GetAuditSize(ctx, store.BoxLog)
			if err != nil || size != 0 {
				t.Errorf("size of an empty log = %d, %v", size, err)
			}
			events, err := tx.ListUnplacedAuditEvents(ctx, store.BoxLog, 3)
			if err != nil || !slices.Equal(ids(events), want[:3]) {
				t.Errorf("to place = %v, want %v: %v", ids(events), want[:3], err)
			}
			for i, e := range events {
				if n, err := tx.PlaceAuditEvent(ctx, store.BoxLog, e.ID, new(int64(i))); n != 1 || err != nil {
					t.Errorf("place %s: %d, %v", e.ID, n, err)
				}
			}
			return nil
		})
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			size, err := tx.GetAuditSize(ctx, store.BoxLog)
			if err != nil || size != 3 {
				t.Errorf("size = %d, want 3: %v", size, err)
			}
			left, err := tx.CountUnplacedAuditEvents(ctx, store.BoxLog)
			if err != nil || left != 1 {
				t.Errorf("unplaced = %d, want 1: %v", left, err)
			}
			events, err := tx.ListAuditRange(ctx, store.BoxLog, 1, 3)
			if err != nil || !slices.Equal(ids(events), want[1:3]) {
				t.Errorf("places 1 and 2 = %v, want %v: %v", ids(events), want[1:3], err)
			}
			return nil
		})
	})
}

// Paging by cursor gives every row once, newest first, though many share a time and new ones come in between.
func TestAuditPages(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const rows = 25
		var want []string
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			for i := range rows {
				id := fmt.Sprintf("evt_%02d", i)
				want = append(want, id)
				if err := appendEvent(ctx, tx, sess.EventID(id), int64(i/4)); err != nil {
					return err
				}
			}
			return nil
		})
		slices.Reverse(want)
		var got []string
		cursor := ""
		for page := range rows {
			c, err := store.ParseCursor(cursor)
			if err != nil {
				t.Fatal(err)
			}
			var events []store.AuditEvent
			storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
				events, err = tx.ListAuditEvents(ctx, store.ListAuditEventsParams{Log: store.BoxLog, BeforeAt: c.At, BeforeID: c.ID, Page: 4})
				return err
			})
			if len(events) == 0 {
				break
			}
			got = append(got, ids(events)...)
			last := events[len(events)-1]
			cursor = store.Cursor{At: last.CreatedAt, ID: string(last.ID)}.String()
			storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
				return appendEvent(ctx, tx, sess.EventID(fmt.Sprintf("evt_new%d", page)), 1000)
			})
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages give\n%v, want\n%v", got, want)
		}
	})
}

func TestAuditFilters(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(appendEvent(ctx, tx, "evt_0", 1), tx.AppendAuditEvent(ctx, store.AppendAuditEventParams{
				Log: store.BoxLog, ID: "evt_1", CreatedAt: 2, Action: "b", Outcome: "refused", Who: "you", Session: "ses_1", Body: "{}",
			}))
		})
		for _, p := range []store.ListAuditEventsParams{{Action: "b"}, {Outcome: "refused"}, {Who: "you"}, {Session: "ses_1"}, {Action: "b", Who: "you"}} {
			p.Log, p.BeforeAt, p.Page = store.BoxLog, store.FirstPage().At, 10
			storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
				events, err := tx.ListAuditEvents(ctx, p)
				if !slices.Equal(ids(events), []string{"evt_1"}) {
					t.Errorf("%+v gives %v, want evt_1", p, ids(events))
				}
				return err
			})
		}
	})
}

func TestAuditHashesAndCheckpoints(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			for i := range int64(10) {
				if err := tx.PutAuditHash(ctx, store.BoxLog, i, fmt.Sprint("h", i)); err != nil {
					return err
				}
			}
			return errors.Join(
				tx.PutAuditHash(ctx, "org_1", 3, "other"),
				tx.PutAuditCheckpoint(ctx, store.BoxLog, 3, "three", 1), tx.PutAuditCheckpoint(ctx, store.BoxLog, 7, "seven", 2),
				tx.PutAuditCheckpoint(ctx, store.BoxLog, 7, "again", 3))
		})
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.AuditHashes(ctx, store.BoxLog, []int64{3, 9, 11})
			if want := map[int64]string{3: "h3", 9: "h9"}; err != nil || !maps.Equal(got, want) {
				t.Errorf("AuditHashes = %v, want %v: %v", got, want, err)
			}
			if got, err := tx.AuditHashes(ctx, store.BoxLog, nil); err != nil || len(got) != 0 {
				t.Errorf("AuditHashes of none = %v, %v", got, err)
			}
			if _, err := tx.AuditHashes(ctx, store.BoxLog, make([]int64, store.MaxAuditHashes+1)); err == nil {
				t.Error("AuditHashes takes a list of any length")
			}
			c, err := tx.GetAuditCheckpoint(ctx, store.BoxLog)
			if c.Size != 7 || c.Note != "seven" {
				t.Errorf("newest checkpoint = %+v, want seven", c)
			}
			return err
		})
	})
}
