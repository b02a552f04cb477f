package trail

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/store"
)

// fillPage is how many events of an older version are filled in at once.
const fillPage = 200

// unreadable stands for the area of an event that can't be read: verifying tells about it.
const unreadable = "?"

// fill writes down, for lists, what events of an older version say. After an upgrade it takes a page at a time; else there is
// nothing to do.
func (s *Service) fill(ctx context.Context) error {
	var rows []store.AuditEvent
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.ListUnfilledAuditEvents(ctx, fillPage)
		return err
	})
	if err != nil || len(rows) == 0 {
		return err //nolint:wrapcheck // it says everything
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error { //nolint:wrapcheck // it says everything
		for _, r := range rows {
			p := store.FillAuditEventParams{Log: r.Log, ID: r.ID, Area: unreadable}
			if e, err := audit.DecodeEvent([]byte(r.Body)); err == nil {
				p = store.FillAuditEventParams{
					Log: r.Log, ID: r.ID, Area: store.AuditArea(e.Action), WhoID: gate.WhoID(e), OnID: e.On.ID, OnName: e.On.Name,
					Instance: e.Instance, Address: e.Who.Address,
				}
			}
			if _, err := tx.FillAuditEvent(ctx, p); err != nil {
				return fmt.Errorf("fill in event %s: %w", r.ID, err)
			}
		}
		return nil
	})
}
