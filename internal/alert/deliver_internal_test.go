package alert

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// open seals nothing.
type open struct{}

func (open) Seal(plain []byte, _ string) string    { return string(plain) }
func (open) Open(sealed, _ string) ([]byte, error) { return []byte(sealed), nil }
func (s *story) hooks(n int, url string, secret string) {
	s.t.Helper()
	storetest.Write(s.t, s.db, func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			err := tx.CreateAlertHook(ctx, store.CreateAlertHookParams{
				Org: s.org, ID: fmt.Sprintf("%s-%d", s.org, i), URL: url, Kinds: " lock ", Secret: secret, CreatedAt: 1, CreatedBy: "x", NextNum: 1,
			})
			if err != nil {
				return err
			}
		}
		for i := range int64(200) {
			err := tx.AddAlert(ctx, store.AddAlertParams{Org: s.org, Num: i + 1, ID: fmt.Sprintf("alr-%s-%d", s.org, i), Kind: string(Lock), CreatedAt: 1, Body: "{}"})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// TestSlowWebhooksHoldUpTheirOwnAlone: organisations whose webhooks take their time over each alert, and never fail, must not
// keep others from being told: an alert that comes too late is the one that was to be silenced.
func TestSlowWebhooksHoldUpTheirOwnAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		over := make(chan struct{})
		told := make(chan struct{}, 1000)
		slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-over:
			case <-time.After(300 * time.Millisecond): // of twenty seconds
			}
		}))
		defer slow.Close()
		fast := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { told <- struct{}{} }))
		defer fast.Close()
		s := New(Config{DB: db, Sealer: open{}, Guard: outbound.Guard{AllowPrivate: true}})
		secret := outbound.NewSecret()
		victim := newStory(t, db)
		for range 20 {
			attacker := newStory(t, db)
			for attacker.org > victim.org { // first in any order of their own
				attacker.org, victim.org = victim.org, attacker.org
			}
			attacker.hooks(maxHooks, slow.URL, secret)
		}
		victim.hooks(1, fast.URL, secret)
		ctx, cancel := context.WithCancel(t.Context())
		d := newDeliveries(s)
		defer d.wait()
		defer close(over)
		defer cancel()
		late := time.After(15 * time.Second)
		for {
			if err := d.start(ctx); err != nil {
				t.Fatal(err)
			}
			select {
			case <-told:
				return
			case <-late:
				t.Fatal("the others' webhooks are told all the time, and this one never")
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

// TestDeliveriesOfOneOrganisationAreFew: of all places one organisation takes a few.
func TestDeliveriesOfOneOrganisationAreFew(t *testing.T) {
	d := newDeliveries(New(Config{}))
	n := 0
	for i := range 10 {
		if d.claim(store.AlertHook{Org: "org_a", ID: fmt.Sprint(i)}, maxOfOrg-1) {
			n++
		}
	}
	if n != maxOfOrg || d.claim(store.AlertHook{Org: "org_c", ID: "y"}, 0) && d.claim(store.AlertHook{Org: "org_c", ID: "z"}, 0) || !d.claim(store.AlertHook{Org: sess.OrgID("org_b"), ID: "x"}, 0) {
		t.Errorf("%d of ten", n)
	}
	d.done(store.AlertHook{Org: "org_a", ID: "0"})
	if !d.claim(store.AlertHook{Org: "org_a", ID: "9"}, maxOfOrg-1) {
		t.Error("a place that is free again is not taken")
	}
}
