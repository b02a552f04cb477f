package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// auditRows is how many events the benchmark of lists has.
const auditRows = 1_000_000

// auditPage is what the first page of any list may take.
const auditPage = 50 * time.Millisecond

// BenchmarkAuditList times the first page of a million events by each filter, by one that finds the rarest, and by one that
// finds nothing; it fails where one takes more than auditPage.
func BenchmarkAuditList(b *testing.B) {
	db := storetest.SQLite(b)
	began := time.Now()
	fillAudit(b, db)
	b.Logf("%d events written in %s", auditRows, time.Since(began))
	for name, p := range map[string]store.ListAuditEventsParams{
		"all":            {},
		"since":          {Since: auditRows - 10},
		"until":          {Until: 1000},
		"area":           {Area: "session"},
		"rare area":      {Area: "lock"},
		"action":         {Action: "session:start"},
		"no such action": {Action: "none"},
		"who":            {Who: "user17@example.com"},
		"rare who":       {Who: "rare@example.com"},
		"who by id":      {WhoID: "usr_17"},
		"refused":        {Outcome: "refused"},
		"failed":         {Outcome: "failed"},
		"session":        {Session: "ses_500000"},
		"on":             {OnName: "web-20"},
		"on instance":    {OnID: "ins_20"},
		"on session":     {OnID: "ses_500000"},
		"on key":         {OnID: "key_rare"},
		"on nothing":     {OnID: "usr_none"},
		"on org":         {OnID: "org_a"},
		"instance":       {Instance: "ins_20"},
		"address":        {Address: "10.0.0.17"},
		"who and action": {Who: "user17@example.com", Action: "session:ended"},
		"rare and area":  {Who: "rare@example.com", Area: "session"},
	} {
		p.Log, p.BeforeAt, p.Page = "org_a", store.FirstPage().At, 100
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				storetest.Read(b, db, func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.ListAuditEvents(ctx, p)
					return err
				})
			}
			if d := b.Elapsed() / time.Duration(max(b.N, 1)); d > auditPage {
				b.Errorf("%s, more than %s", d, auditPage)
			}
		})
	}
}

// fillAudit writes the events: two hundred users, a thousand instances, and a few of everything rare.
func fillAudit(b *testing.B, db *store.DB) {
	b.Helper()
	const batch = 10_000
	for first := 0; first < auditRows; first += batch {
		storetest.Write(b, db, func(ctx context.Context, tx *store.Tx) error {
			for i := first; i < first+batch; i++ {
				p := someEvent(i)
				if i%100_000 == 7 {
					p.Action, p.Who, p.Outcome, p.OnID = "lock:add", "rare@example.com", "failed", "key_rare"
				}
				p.Area = store.AuditArea(p.Action)
				if err := tx.AppendAuditEvent(ctx, p); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
