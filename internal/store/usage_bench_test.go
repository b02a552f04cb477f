package store_test

import (
	"context"
	"os"
	"testing"

	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// manySessions are the rows of BenchmarkUsage: a million where SESS_BENCH_SESSIONS=million, else few, so that it can be tried.
func manySessions() int {
	if os.Getenv("SESS_BENCH_SESSIONS") == "million" {
		return 1_000_000
	}
	return 20_000
}

const fillSessions = `
WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($1 AS BIGINT))
INSERT INTO session (org, id, kind, state, instance, instance_name, project, hostname, instance_addr, user_id, user_name, credential, credential_id,
    client_addr, os_user, reason, command, tty, owner_key, former_keys, node, epoch, client_minted, client_redeemed, agent_minted, agent_redeemed, grace_ms,
    created_at, started_at, ended_at, end_reason, ended_by, end_message, exit, recording, rec_bytes, rec_stored, rec_digest, rec_problem,
    cpu_us, mem_peak, bytes_in, bytes_out, bytes_err, host)
SELECT 'org_1', 'ses_' || i, CASE i % 3 WHEN 0 THEN 'shell' ELSE 'exec' END, 'ended', 'ins_' || (i % 500), 'web-' || (i % 500), 'prj_' || (i % 20), 'web.example.com', '192.0.2.7',
    'usr_' || (i % 200), 'somebody' || (i % 200) || '@example.com', 'login', 'log_x', '192.0.2.9', '', '', '["uptime"]', 0, 'key', '', 'nod_x', 1, 1, 1, 1, 1, 60000,
    i * 2000000, i * 2000000 + 5000, i * 2000000 + 905000, 'exit', '', '', '{"status":0}', 'complete', 4000, 900, 'ab12', '',
    1000 + i % 7, 1000000, i % 1000, i % 5000, i % 10, '{"hostname":"web.example.com","os":"linux","arch":"amd64","kernel":"6.1.0","addrs":["10.0.0.7"]}'
FROM n`

// Sums over all sessions of an organisation, by user. The figure of docs/benchmarks.md is that of a million.
func BenchmarkUsage(b *testing.B) {
	benchEach(b, func(b *testing.B, db *store.DB) {
		n := manySessions()
		storetest.Write(b, db, func(ctx context.Context, tx *store.Tx) error {
			if err := addOrg(ctx, tx, "org_1"); err != nil {
				return err
			}
			_, err := tx.SQL().ExecContext(ctx, fillSessions, n)
			return err
		})
		for _, by := range []string{"user", "kind"} {
			b.Run("by "+by, func(b *testing.B) {
				for b.Loop() {
					var sum int64
					storetest.Read(b, db, func(ctx context.Context, tx *store.Tx) error {
						rows, err := tx.SumUsage(ctx, store.SumUsageParams{Org: "org_1", By: by, Until: 1 << 60, SeeAll: 1, Hidden: ",", SeeProjects: ",", Page: 1000})
						for _, r := range rows {
							sum += r.Sessions
						}
						return err
					})
					if sum != int64(n) {
						b.Fatalf("%d sessions of %d", sum, n)
					}
				}
			})
		}
		b.Run("one month by user", func(b *testing.B) { // a twentieth of them
			for b.Loop() {
				storetest.Read(b, db, func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.SumUsage(ctx, store.SumUsageParams{Org: "org_1", By: "user", Until: int64(n) * 100_000, SeeAll: 1, Hidden: ",", SeeProjects: ",", Page: 1000})
					return err
				})
			}
		})
	})
}
