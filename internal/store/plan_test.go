package store_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// scans lists the queries that read a whole table, each with the reason why it stays small or the query rare. Reading a
// partial index from end to end (what lives, what has no place yet) is no such scan.
var scans = map[string]string{
	"AnyIDP":             "it stops at the first row",
	"FirstOrgs":          "it stops at the second row",
	"OldestOrg":          "by hand, and once when a server starts; there are few organisations",
	"ChangeAllRules":     "by hand, by the owner of the box; there are few organisations",
	"ListOrgSettings":    "housekeeping, a few times a minute; there are few organisations",
	"ListBoxLocks":       "there are few, put by hand by the owner of the box",
	"ListLocksOfBox":     "by hand, by the owner of the box",
	"ListAlertsDue":      "one row for each organisation with webhooks",
	"ListAlertHooksDue":  "some rows for each organisation with webhooks",
	"PurgeAlerts":        "housekeeping; nothing in it is older than a month",
	"PurgeAlertSeen":     "housekeeping, each hour",
	"ListAllOrgs":        "by hand, by the owner of the box",
	"ForgetLinksOfNode":  "once, when a server starts",
	"ListAuditLogs":      "by hand, when all logs are checked",
	"ListOtherNodes":     "there are few nodes",
	"PurgeLoginBlocks":   "housekeeping; few addresses are blocked",
	"PurgeLoginPlaces":   "housekeeping; some for each person",
	"PurgeLoginFailures": "housekeeping; nothing in it is older than the window that is counted",
	"ListLogsNewToSink":  "there are few organisations, and few sinks of the box's owner",
	"PurgeResumeNonces":  "housekeeping; nothing in it outlives its session for long",
	"PurgeSessionParams": "housekeeping; nothing in it outlives its session for long",
}

// Every query finds its rows by an index: what takes a moment on ten rows has to take one on a million.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	param := regexp.MustCompile(`\$\d+|sqlc\.arg\(\w+\)`)
	scan := regexp.MustCompile(`^SCAN \w+(?: USING (?:COVERING )?INDEX (\w+))?$`)
	partial := map[string]bool{}
	for _, m := range regexp.MustCompile(`CREATE (?:UNIQUE )?INDEX (\w+) ON \w+ \([^)]*\) WHERE`).FindAllStringSubmatch(schema(t), -1) {
		partial[m[1]] = true
	}
	seen := map[string]bool{}
	for _, q := range loadQueries(t) {
		if q.inserts() {
			continue
		}
		seen[q.name] = true
		var found []string
		storetest.Read(t, db, func(ctx context.Context, tx *store.Tx) error {
			rows, err := tx.SQL().QueryContext(ctx, "EXPLAIN QUERY PLAN "+param.ReplaceAllString(q.text, "'1'"))
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					return err
				}
				if m := scan.FindStringSubmatch(detail); m != nil && !partial[m[1]] {
					found = append(found, detail)
				}
			}
			return rows.Err()
		})
		switch reason := scans[q.name]; {
		case len(found) > 0 && reason == "":
			t.Errorf("%s: %s reads a whole table (%s): give it an index, or a reason in scans\n\t%s", q.file, q.name, strings.Join(found, ", "), q.text)
		case len(found) == 0 && reason != "":
			t.Errorf("scans lists %s, which reads no whole table", q.name)
		}
	}
	for name := range scans {
		if !seen[name] {
			t.Errorf("scans lists %s, which is no query", name)
		}
	}
}
