package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Failed logins are counted by account and address together, so that a stranger elsewhere can't lock anybody out, and by
// address alone, so that one address can't try one password on everybody. An IPv6 address counts as its /64.
const (
	failureWindow   = 15 * time.Minute
	accountFailures = 5  // per account and address
	addressFailures = 25 // per address: many people may share one
)

// failures counts attempts to log in. An attempt counts as failed from its beginning until it succeeds, so any number of
// them at once is counted right.
type failures struct {
	db     *store.DB
	now    func() time.Time
	purged atomic.Int64 // when old ones were last deleted, microseconds
}

// attempt is one attempt to log in.
type attempt struct {
	account, address, id string
}

func newAttempt(email string, addr netip.Addr) attempt {
	from := network(addr).String()
	var id [10]byte
	_, _ = rand.Read(id[:]) // never fails: it crashes the program instead
	// Hashed: what is typed as an e-mail address may be a password.
	sum := sha256.Sum256([]byte(email))
	return attempt{account: "account:" + hex.EncodeToString(sum[:16]) + "@" + from, address: "address:" + from, id: hex.EncodeToString(id[:])}
}

// network is the address as failures count it.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}

// begin counts an attempt, or refuses it as limited.
func (f *failures) begin(ctx context.Context, email string, addr netip.Addr) (attempt, error) {
	a := newAttempt(email, addr)
	now := f.now()
	since := store.Micros(now.Add(-failureWindow))
	purge := f.duePurge(now)
	err := f.db.Write(ctx, func(tx *store.Tx) error {
		// Always in this order: two attempts never wait for each other.
		for _, c := range []struct {
			subject string
			limit   int32
		}{{a.address, addressFailures}, {a.account, accountFailures}} {
			if err := tx.Lock(ctx, "login_failure "+c.subject); err != nil {
				return err
			}
			times, err := tx.ListLoginFailures(ctx, c.subject, since, c.limit)
			if err != nil {
				return fmt.Errorf("count failed logins: %w", err)
			}
			if len(times) >= int(c.limit) {
				return errLimited(store.Time(times[len(times)-1]).Add(failureWindow), now)
			}
			if err := tx.AddLoginFailure(ctx, c.subject, store.Micros(now), a.id); err != nil {
				return fmt.Errorf("count login: %w", err)
			}
		}
		if purge {
			return tx.PurgeLoginFailures(ctx, since)
		}
		return nil
	})
	return a, err
}

// duePurge says, once per window, that old rows are to go.
func (f *failures) duePurge(now time.Time) bool {
	last := f.purged.Load()
	return store.Micros(now)-last > failureWindow.Microseconds() && f.purged.CompareAndSwap(last, store.Micros(now))
}

// cancel takes an attempt back that was not decided.
func (f *failures) cancel(ctx context.Context, a attempt) error {
	return f.db.Write(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteLoginFailure(ctx, a.account, a.id); err != nil {
			return err
		}
		return tx.DeleteLoginFailure(ctx, a.address, a.id)
	})
}

// succeed takes an attempt back, and forgets the failures before it of the same account from the same address.
func (f *failures) succeed(ctx context.Context, tx *store.Tx, a attempt) error {
	if err := tx.DeleteLoginFailures(ctx, a.account); err != nil {
		return fmt.Errorf("forget failed logins: %w", err)
	}
	if err := tx.DeleteLoginFailure(ctx, a.address, a.id); err != nil {
		return fmt.Errorf("forget login: %w", err)
	}
	return nil
}

func errLimited(again, now time.Time) *sess.Error {
	wait := max(again.Sub(now), time.Second).Round(time.Second)
	return sess.New(sess.CodeLimited, "too many failed logins from your address",
		fmt.Sprintf("try again in %s, at %s", wait, again.UTC().Format("15:04:05 UTC")))
}
