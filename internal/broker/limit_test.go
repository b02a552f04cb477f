package broker_test

import (
	"errors"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// Nobody fills the server with sessions that never begin, and nobody else is kept from starting by somebody who tries.
func TestPendingSessionsAreLimited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.connect().settled()
		in := startIn(t, "web-1", newKey(t))
		var one api.Ticket
		for n := range 200 {
			var err error
			if one, err = w.Start(t.Context(), w.alice, in); err != nil {
				t.Fatalf("start %d: %v", n, err)
			}
		}
		if _, err := w.Start(t.Context(), w.alice, in); !errors.Is(err, sess.ErrLimited) {
			t.Fatalf("one more: %v", err)
		}
		if _, err := w.Start(t.Context(), w.bob, in); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		if _, err := w.End(t.Context(), w.alice, api.EndIn{SessionRef: api.SessionRef{Session: string(one.Session)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Start(t.Context(), w.alice, in); err != nil {
			t.Errorf("after one ended: %v", err)
		}
	})
}
