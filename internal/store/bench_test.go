package store_test

import (
	"context"
	"testing"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// Run them on a PostgreSQL that syncs, as a real one does: SESS_TEST_POSTGRES=$(scripts/postgres start DIR) go test
// -bench . -run '^$' ./internal/store (the one that tests start by themselves runs with fsync off).

func benchEach(b *testing.B, f func(b *testing.B, db *store.DB)) {
	b.Run("sqlite", func(b *testing.B) { f(b, storetest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { f(b, storetest.Postgres(b)) })
}

// A verb as the gate runs it: read who and what, change a row, append an event; from one caller and from 16.
func BenchmarkWrite(b *testing.B) {
	benchEach(b, func(b *testing.B, db *store.DB) {
		storetest.Write(b, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_1") })
		one := func() error {
			ctx := b.Context()
			return db.Write(ctx, func(tx *store.Tx) error {
				if _, err := tx.GetOrg(ctx, "org_1"); err != nil {
					return err
				}
				if _, err := tx.ListGrantsOfUser(ctx, "org_1", "usr_1"); err != nil {
					return err
				}
				id := sess.NewProjectID()
				if err := tx.CreateProject(ctx, "org_1", id, string(id), 1); err != nil {
					return err
				}
				return appendEvent(ctx, tx, sess.NewEventID(), 1)
			})
		}
		b.Run("serial", func(b *testing.B) {
			for b.Loop() {
				if err := one(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
		b.Run("parallel", func(b *testing.B) {
			b.SetParallelism(8) // times GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := one(); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
	})
}

func BenchmarkRead(b *testing.B) {
	benchEach(b, func(b *testing.B, db *store.DB) {
		storetest.Write(b, db, func(ctx context.Context, tx *store.Tx) error { return addOrg(ctx, tx, "org_1") })
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				storetest.Read(b, db, func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.GetOrg(ctx, "org_1")
					return err
				})
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
	})
}
