package broker

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// noControls is what the column says of a session that nothing limits.
const noControls = "{}"

// controls gives the controls that hold for a session. A row that somebody wrote by hand and that can't be read limits
// nothing.
func controls(r store.Session) sess.Effective {
	e, err := sess.ParseEffective(r.Controls)
	if err != nil {
		return sess.Effective{}
	}
	return e
}

// shownControls are those for people; nil: nothing limits the session.
func shownControls(r store.Session) *sess.Effective {
	if r.Controls == "" || r.Controls == noControls {
		return nil
	}
	e := controls(r)
	return &e
}

// hold has controls hold for a session.
func hold(r *store.Session, e sess.Effective) {
	r.Controls, r.GraceMS = e.Text(), e.Grace(r.Kind).Milliseconds()
}

// saveControls writes the controls of a session that the transaction holds or has just inserted.
func saveControls(ctx context.Context, tx *store.Tx, r *store.Session) error {
	if r.Controls == noControls {
		return nil
	}
	if err := tx.SetSessionControls(ctx, r.Org, r.ID, r.Controls, r.GraceMS); err != nil {
		return fmt.Errorf("save controls: %w", err)
	}
	return nil
}
