package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// BoxLog is the name of the audit log of the box itself. An organisation's log has the organisation's id for a name.
const BoxLog = "box"

// MaxAuditHashes bounds one call of AuditHashes.
const MaxAuditHashes = 1000

// AuditHashes returns the stored hashes of a log's tree at the given places, by place; those that are not there are left
// out. (The one query that is written here: a list of any length has no spelling that SQLite and PostgreSQL share.)
func (tx *Tx) AuditHashes(ctx context.Context, log string, places []int64) (map[int64]string, error) {
	if len(places) > MaxAuditHashes {
		return nil, fmt.Errorf("read audit hashes: %d at once, more than %d", len(places), MaxAuditHashes)
	}
	got := make(map[int64]string, len(places))
	if len(places) == 0 {
		return got, nil
	}
	list := make([]string, len(places))
	for i, p := range places {
		list[i] = strconv.FormatInt(p, 10)
	}
	//nolint:gosec // numbers only
	rows, err := tx.tx.QueryContext(ctx, "SELECT idx, hash FROM audit_hash WHERE log = $1 AND idx IN ("+strings.Join(list, ",")+")", log)
	if err != nil {
		return nil, fmt.Errorf("read audit hashes: %w", err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err's
	for rows.Next() {
		var idx int64
		var hash string
		if err := rows.Scan(&idx, &hash); err != nil {
			return nil, fmt.Errorf("read audit hashes: %w", err)
		}
		got[idx] = hash
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read audit hashes: %w", err)
	}
	return got, nil
}
