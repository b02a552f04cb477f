package gate_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func TestRefusalsOfTheUnknownAreCoalesced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		refuse := func(addr, name string, code sess.Code, in sess.OrgID) {
			h.RefusedAnonymous(t.Context(), gate.Refusal{Org: in, Addr: netip.MustParseAddr(addr), Action: policy.Login, Code: code, Name: name})
		}
		for range 100 {
			refuse("192.0.2.1", "ada@example.com", sess.CodeUnauthenticated, "")
		}
		for i := range 7 {
			refuse(fmt.Sprintf("2001:db8::%d", i+1), fmt.Sprintf("user%d@example.com", i), sess.CodeUnauthenticated, "")
		}
		refuse("192.0.2.1", "ada@example.com", sess.CodeLimited, "")
		refuse("2001:db8:1::5", "ada@example.com", sess.CodeUnauthenticated, "")
		refuse("::ffff:192.0.2.9", "ada@example.com", sess.CodeUnauthenticated, org)
		if n := len(h.events(t, audit.BoxLog)); n != 0 {
			t.Errorf("%d events before the time is up", n)
		}
		if err := h.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]audit.Event{}
		for _, e := range append(h.events(t, audit.BoxLog), h.events(t, string(org))...) {
			got[e.Who.Address+" "+string(e.Code)] = e
		}
		for key, want := range map[string]struct {
			count int64
			name  string
		}{
			"192.0.2.1 unauthenticated":     {100, "ada@example.com"},
			"2001:db8:: unauthenticated":    {7, ""},
			"192.0.2.1 limited":             {1, "ada@example.com"},
			"2001:db8:1::5 unauthenticated": {1, "ada@example.com"},
			"192.0.2.9 unauthenticated":     {1, "ada@example.com"},
		} {
			e := got[key]
			if e.Count != want.count || e.Who.Name != want.name || e.Outcome != audit.Refused || e.Action != "login" {
				t.Errorf("%s: %+v", key, e)
			}
		}
		if len(got) != 5 || len(h.events(t, string(org))) != 1 {
			t.Errorf("%d events, %d of them the organisation's", len(got), len(h.events(t, string(org))))
		}
	})
}

func TestRefusalsAreBounded(t *testing.T) {
	h := newHouse(t, storetest.SQLite(t))
	a := netip.MustParseAddr("10.0.0.0")
	const n = 1500
	for range n {
		h.RefusedAnonymous(t.Context(), gate.Refusal{Addr: a, Action: policy.Login, Code: sess.CodeUnauthenticated})
		a = a.Next()
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var events, total int64
	storeCount(t, h, func(e audit.Event) { events++; total += e.Count })
	if events > 1025 || total != n {
		t.Errorf("%d events for %d refusals", events, total)
	}
}

func storeCount(t *testing.T, h house, f func(audit.Event)) {
	t.Helper()
	for _, e := range h.events(t, audit.BoxLog) {
		f(e)
	}
	// events reads one page of 1000: the rest, by the sequence that the log gets anyway.
	q, _ := newSequencer(t, h)
	if err := q.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.db.Read(t.Context(), func(tx *store.Tx) error {
		size, err := tx.GetAuditSize(t.Context(), audit.BoxLog)
		if err != nil {
			return err
		}
		rows, err := tx.ListAuditEvents(t.Context(), store.ListAuditEventsParams{Log: audit.BoxLog, BeforeAt: 1 << 62, Page: 10_000})
		if int64(len(rows)) != size {
			t.Errorf("%d rows, %d placed", len(rows), size)
		}
		for _, r := range rows[min(1000, len(rows)):] {
			e, err := audit.DecodeEvent([]byte(r.Body))
			if err != nil {
				return err
			}
			f(e)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// After ten seconds they are written without anybody asking.
func TestRefusalsAreWrittenByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.SQLite(t))
		for n := range 2 {
			h.RefusedAnonymous(t.Context(), gate.Refusal{Addr: netip.MustParseAddr("192.0.2.1"), Action: policy.Login, Code: sess.CodeUnauthenticated})
			<-time.After(9 * time.Second)
			if got := len(h.events(t, audit.BoxLog)); got != n {
				t.Fatalf("%d events after nine seconds, want %d", got, n)
			}
			<-time.After(2 * time.Second)
			synctest.Wait()
			if got := len(h.events(t, audit.BoxLog)); got != n+1 {
				t.Fatalf("%d events after eleven seconds, want %d", got, n+1)
			}
		}
	})
}
