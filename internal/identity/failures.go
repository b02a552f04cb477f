package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Failed logins are counted three ways. By account: so many lock it, wherever they come from. By account and address where
// the account has logged in from that address before: there only failures from there count, so that strangers, who can lock
// an account, can't lock its owner out. And by address alone, so that one address can't try one password on everybody; an
// address that goes on is blocked, each time for twice as long. An IPv6 address counts as its /64.
const (
	addressFailures = 25 // per address within addressWindow: many people may share one
	addressWindow   = 15 * time.Minute
	firstBlock      = 15 * time.Minute
	maxBlock        = 24 * time.Hour
	strikesLast     = 24 * time.Hour      // after the end of a block, the next one is as long as the first
	placeLife       = 90 * 24 * time.Hour // since the last login from there
	purgeEvery      = 15 * time.Minute
	loginsKept      = 30 * 24 * time.Hour // rows of logins, since they ran out; what they did is in the audit log for ever
	purgeLogins     = 10_000              // of them at once
)

// failures counts attempts to log in. An attempt by password counts as failed from its beginning until it succeeds, so any
// number of them at once is counted right.
type failures struct {
	db     *store.DB
	now    func() time.Time
	purged atomic.Int64 // when old ones were last deleted, microseconds
}

// attempt is one attempt to log in.
type attempt struct {
	email   string
	org     sess.OrgID // of whom an identity provider sends; empty: a person of this server
	account string     // the subject of the account; hashed: what is typed as an e-mail address may be a password
	from    string     // the address as failures count it
	id      string

	subject string // what it counts for beside the address, once guarded
	known   bool   // the account has logged in from there
	locks   bool   // if it fails, the account is locked for that subject
}

func newAttempt(email string, addr netip.Addr) *attempt {
	return newAttemptAs(email, email, addr)
}

// attemptOf is an attempt of who is known already. Whom an identity provider sends is somebody of one organisation, whatever
// address the provider gives them: not the person of this server who has it.
func attemptOf(who sess.Principal) *attempt {
	if who.UserKind != sess.UserIDP {
		return newAttempt(who.Name, who.Addr)
	}
	a := newAttemptAs("", "member "+string(who.Org)+" "+string(who.User), who.Addr) // no address has spaces in it
	a.org = who.Org
	return a
}

func newAttemptAs(email, account string, addr netip.Addr) *attempt {
	var id [10]byte
	_, _ = rand.Read(id[:]) // never fails: it crashes the program instead
	sum := sha256.Sum256([]byte(account))
	a := &attempt{email: email, account: "account:" + hex.EncodeToString(sum[:16]), from: network(addr).String(), id: hex.EncodeToString(id[:])}
	a.subject = a.place()
	return a
}

func (a *attempt) address() string { return "address:" + a.from }

func (a *attempt) place() string { return a.account + "@" + a.from }

// network is the address as failures count it.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}

// begin counts an attempt, or refuses it as limited.
func (f *failures) begin(ctx context.Context, email string, addr netip.Addr) (*attempt, error) {
	a := newAttempt(email, addr)
	purge := f.duePurge()
	var limited *sess.Error
	err := f.db.Write(ctx, func(tx *store.Tx) (err error) {
		if limited, err = f.guard(ctx, tx, a); err != nil {
			return err
		}
		if limited == nil {
			err = f.count(ctx, tx, a)
		}
		if err == nil && purge {
			err = f.purge(ctx, tx)
		}
		return err
	})
	if err == nil && limited != nil {
		return a, limited
	}
	return a, err
}

// guard says whether the attempt may be made; what it writes (a block) is to be kept when it may not. It looks at nothing
// that depends on whether there is such an account, but for how many failures lock it.
func (f *failures) guard(ctx context.Context, tx *store.Tx, a *attempt) (limited *sess.Error, err error) {
	now := f.now()
	// Always in this order: two attempts never wait for each other.
	if limited, err = f.guardAddress(ctx, tx, a, now); limited != nil || err != nil {
		return limited, err
	}
	if err := tx.Lock(ctx, "login_failure "+a.account); err != nil {
		return nil, err
	}
	a.subject, a.known = a.account, false
	place, err := tx.GetLoginPlace(ctx, a.account, a.from)
	switch {
	case err == nil && place.UsedAt > store.Micros(now.Add(-placeLife)):
		a.subject, a.known = a.place(), true
	case err != nil && !isNotFound(err):
		return nil, fmt.Errorf("look for former logins: %w", err)
	}
	limit, window, err := lockLimit(ctx, tx, a)
	if err != nil {
		return nil, err
	}
	times, err := tx.ListLoginFailures(ctx, a.subject, store.Micros(now.Add(-window)), int32(limit)) //nolint:gosec // a small number
	if err != nil {
		return nil, fmt.Errorf("count failed logins: %w", err)
	}
	a.locks = len(times)+1 >= limit
	if len(times) < limit {
		return nil, nil
	}
	return errLocked(store.Time(times[len(times)-1]).Add(window), now), nil
}

// guardAddress looks at the address alone.
func (f *failures) guardAddress(ctx context.Context, tx *store.Tx, a *attempt, now time.Time) (*sess.Error, error) {
	if err := tx.Lock(ctx, "login_failure "+a.address()); err != nil {
		return nil, err
	}
	block, err := tx.GetLoginBlock(ctx, a.from)
	if err != nil && !isNotFound(err) {
		return nil, fmt.Errorf("look for block: %w", err)
	}
	if until := store.Time(block.BlockedUntil); err == nil && until.After(now) {
		return errBlocked(until, now), nil
	}
	times, err := tx.ListLoginFailures(ctx, a.address(), store.Micros(now.Add(-addressWindow)), addressFailures)
	if err != nil {
		return nil, fmt.Errorf("count failed logins: %w", err)
	}
	if len(times) < addressFailures {
		return nil, nil
	}
	if store.Time(block.BlockedUntil).Add(strikesLast).Before(now) {
		block.Strikes = 0
	}
	until := now.Add(min(maxBlock, firstBlock<<min(block.Strikes, 10)))
	if err := tx.PutLoginBlock(ctx, a.from, block.Strikes+1, store.Micros(until)); err != nil {
		return nil, fmt.Errorf("block address: %w", err)
	}
	if err := tx.DeleteLoginFailures(ctx, a.address()); err != nil { // they are paid for
		return nil, fmt.Errorf("forget failed logins: %w", err)
	}
	return errBlocked(until, now), nil
}

// lockLimit is how many failures within which time lock an account: the strictest of its organisations counts. Of an
// account that nobody has, some organisation's count, always the same one: the limit must not tell who is known here.
func lockLimit(ctx context.Context, tx *store.Tx, a *attempt) (failures int, window time.Duration, err error) {
	if a.org != "" {
		st, err := settingsOf(ctx, tx, a.org)
		failures, window = st.LockLimit()
		return failures, window, err
	}
	rows, err := tx.ListAccounts(ctx, a.email)
	if err != nil {
		return 0, 0, fmt.Errorf("load limits: %w", err)
	}
	var all []string
	for _, r := range rows {
		all = append(all, r.Settings)
	}
	if len(all) == 0 {
		sum := sha256.Sum256([]byte(a.account))
		from := "org_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:12]
		o, err := tx.GetOrgFrom(ctx, sess.OrgID(from))
		if err != nil && isNotFound(err) {
			o, err = tx.GetOrgFrom(ctx, "")
		}
		if err != nil && !isNotFound(err) {
			return 0, 0, fmt.Errorf("load limits: %w", err)
		}
		if err == nil {
			all = append(all, o.Settings)
		}
	}
	failures, window = sess.Settings{}.LockLimit()
	for i, text := range all {
		st, err := sess.ParseSettings(text)
		if err != nil {
			return 0, 0, fmt.Errorf("load limits: %w", err)
		}
		n, w := st.LockLimit()
		if i == 0 {
			failures, window = n, w
		}
		failures, window = min(failures, n), max(window, w)
	}
	return failures, window, nil
}

// count counts a guarded attempt as failed.
func (f *failures) count(ctx context.Context, tx *store.Tx, a *attempt) error {
	for _, subject := range []string{a.address(), a.subject} {
		if err := tx.AddLoginFailure(ctx, subject, store.Micros(f.now()), a.id); err != nil {
			return fmt.Errorf("count login: %w", err)
		}
	}
	return nil
}

// cancel takes an attempt back that was not decided.
func (f *failures) cancel(ctx context.Context, a *attempt) error {
	return f.db.Write(ctx, func(tx *store.Tx) error { return f.takeBack(ctx, tx, a) })
}

// takeBack is cancel within a transaction.
func (f *failures) takeBack(ctx context.Context, tx *store.Tx, a *attempt) error {
	for _, subject := range []string{a.address(), a.subject} {
		if err := tx.DeleteLoginFailure(ctx, subject, a.id); err != nil {
			return fmt.Errorf("forget login: %w", err)
		}
	}
	return nil
}

// succeed takes an attempt back, remembers that the account has logged in from there, and forgets the failures before it of
// the same account from the same address. Those of strangers stay.
func (f *failures) succeed(ctx context.Context, tx *store.Tx, a *attempt) error {
	if err := f.takeBack(ctx, tx, a); err != nil {
		return err
	}
	if err := tx.DeleteLoginFailures(ctx, a.place()); err != nil {
		return fmt.Errorf("forget failed logins: %w", err)
	}
	if err := tx.PutLoginPlace(ctx, a.account, a.from, store.Micros(f.now())); err != nil {
		return fmt.Errorf("note address of login: %w", err)
	}
	return nil
}

// unlock forgets the failures of the account of a; addresses that are blocked stay so.
func (f *failures) unlock(ctx context.Context, tx *store.Tx, a *attempt) error {
	if err := tx.Lock(ctx, "login_failure "+a.account); err != nil {
		return err
	}
	places, err := tx.ListLoginPlaces(ctx, a.account)
	if err != nil {
		return fmt.Errorf("list addresses of logins: %w", err)
	}
	subjects := []string{a.account}
	for _, p := range places {
		subjects = append(subjects, p.Account+"@"+p.Address)
	}
	for _, subject := range subjects {
		if err := tx.DeleteLoginFailures(ctx, subject); err != nil {
			return fmt.Errorf("forget failed logins: %w", err)
		}
	}
	return nil
}

// duePurge says, once in a while, that old rows are to go.
func (f *failures) duePurge() bool {
	now, last := store.Micros(f.now()), f.purged.Load()
	return now-last > purgeEvery.Microseconds() && f.purged.CompareAndSwap(last, now)
}

func (f *failures) purge(ctx context.Context, tx *store.Tx) error {
	now := f.now()
	for _, p := range []struct {
		del func(context.Context, int64) error
		age time.Duration
	}{
		{tx.PurgeLoginFailures, max(sess.MaxLockWindow, addressWindow)},
		{tx.PurgeLoginPlaces, placeLife},
		{tx.PurgeLoginBlocks, strikesLast},
		{tx.PurgeLoginChallenges, challengeLife},
	} {
		if err := p.del(ctx, store.Micros(now.Add(-p.age))); err != nil {
			return fmt.Errorf("delete what is over: %w", err)
		}
	}
	if _, err := tx.PurgeLogins(ctx, store.Micros(now.Add(-loginsKept)), purgeLogins); err != nil {
		return fmt.Errorf("delete old logins: %w", err)
	}
	return nil
}

// refusePassword refuses a wrong password. Where that locked the account, it is on record before the answer, so that no kill of
// the server loses it; of an account that nobody has, too, in the log of the box: nobody learns from the time of an answer which
// accounts there are.
func (s *Service) refusePassword(ctx context.Context, a *attempt, accounts []store.ListAccountsRow, addr netip.Addr) error {
	org, name := sess.OrgID(""), "" // of an account that exists
	if len(accounts) > 0 {
		org, name = accounts[0].Org, a.email
	}
	err := s.refuse(ctx, org, addr, policy.Login, name, errWrongPassword())
	if !a.locks {
		return err
	}
	werr := s.db.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if len(accounts) == 0 {
			return s.lockedOut(ctx, tx, a, sess.Principal{Addr: addr})
		}
		for _, x := range accounts {
			if err := s.lockedOut(ctx, tx, a, sess.Principal{Org: x.Org, Name: a.email, Addr: addr}); err != nil {
				return err
			}
		}
		return nil
	})
	if werr != nil {
		return fmt.Errorf("record locked account: %w", werr)
	}
	return err
}

// lockedOut puts it on record within tx where an account was locked by an attempt that failed. Whose it is, is known; not who tried.
func (s *Service) lockedOut(ctx context.Context, tx *store.Tx, a *attempt, who sess.Principal) error {
	if !a.locks {
		return nil
	}
	return s.gate.Event(ctx, tx, gate.Entry{
		Who: sess.Principal{Org: who.Org, Name: who.Name, Addr: who.Addr.Unmap(), RequestID: who.RequestID}, Action: policy.LoginLocked,
		Outcome: audit.Refused, Code: sess.CodeLimited, On: policy.Org(who.Org),
	})
}

func errBlocked(again, now time.Time) *sess.Error {
	return sess.New(sess.CodeLimited, "too many failed logins from your address", tryAgain(again, now))
}

// errLocked says that an account is locked. It is said of every account that somebody tries, whether there is one or not.
func errLocked(again, now time.Time) *sess.Error {
	return sess.New(sess.CodeLimited, "too many failed logins: the account is locked",
		tryAgain(again, now)+"; an admin may unlock it: sessctl user unlock EMAIL")
}

func tryAgain(again, now time.Time) string {
	wait := max(again.Sub(now), time.Second).Round(time.Second)
	return fmt.Sprintf("try again in %s, at %s", wait, again.UTC().Format("15:04:05 UTC"))
}
