package broker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// Nobody fills the server with sessions that never begin, and nobody else is kept from starting by somebody who tries.
func TestPendingSessionsAreLimited(t *testing.T) {
	t.Parallel()
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

// An instance that is removed in the moment in which its agent connects does not stay connected.
func TestRemovedWhileConnecting(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		server, agent := newPipe()
		if err := broker.StillThere(t.Context(), w.Service, w.org, w.instance, server); err != nil {
			t.Fatal(err)
		}
		now := int64(1)
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.RemoveInstance(ctx, w.org, w.instance, &now)
			return err
		})
		if err := broker.StillThere(t.Context(), w.Service, w.org, w.instance, server); !errors.Is(err, sess.ErrUnauthenticated) {
			t.Errorf("a removed instance: %v", err)
		}
		if c, err := agent.ReadControl(); err != nil || c.T != wire.ControlRefuse {
			t.Errorf("the agent heard %+v, %v", c, err)
		}
	})
}
