package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir() + "/a dir?x#%41"
	db, err := store.Open(ctx, store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	if err := db.Write(ctx, func(tx *store.Tx) error {
		tx.AfterCommit(func() { ran++ })
		return tx.AppendAuditEvent(ctx, store.AppendAuditEventParams{Log: "box", ID: "evt_1", CreatedAt: store.Micros(time.Now()), Action: "a", Body: "{}"})
	}); err != nil || ran != 1 {
		t.Fatal(err, ran)
	}
	err = db.Read(ctx, func(tx *store.Tx) error {
		evs, err := tx.ListAuditEvents(ctx, store.ListAuditEventsParams{Log: "box", BeforeAt: store.FirstPage().At, Page: 10})
		if err != nil || len(evs) != 1 {
			t.Error(err, evs)
		}
		_, err = tx.GetOrg(ctx, "x")
		return err
	})
	if !errors.Is(err, sess.ErrNotFound) {
		t.Error(err)
	}
	if err := db.Read(ctx, func(tx *store.Tx) error {
		return tx.AppendAuditEvent(ctx, store.AppendAuditEventParams{Log: "box", ID: "evt_2"})
	}); err == nil {
		t.Error("wrote in Read")
	}
	if _, err := store.Open(ctx, store.Config{Dir: dir}); !errors.Is(err, sess.ErrConflict) {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
