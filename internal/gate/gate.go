// Package gate is the one door to everything that broker and identity do: it decides (policy) and records (audit) in the
// transaction of what it guards.
//
// Every exported verb of those rooms begins with Do or Read, and a test (verbs_test.go) fails when one does not. What is
// refused is recorded and changes nothing; what is done is recorded in the same commit; what can't be recorded is not
// done.
package gate

import (
	"context"
	"log/slog"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// recordTimeout bounds the writing of an event whose request is over already.
const recordTimeout = 10 * time.Second

// Config is what a Gate is made of. DB and Policy are required.
type Config struct {
	DB     *store.DB
	Policy *policy.Engine
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged
	// Recorded is called after each commit that wrote an event: the sequencer's Wake. It must not block. May be nil.
	Recorded func()
	// Changed is called after each commit that changed what decides in some organisation. It must not block. May be nil.
	Changed func()
}

// Gate decides and records. Its methods may be called from any goroutine.
type Gate struct {
	db       *store.DB
	policy   *policy.Engine
	now      func() time.Time
	log      *slog.Logger
	recorded func()
	changed  func()
	refusals refusals
	rules    rules
}

// New makes a Gate. Close it to write the refusals that it still holds.
func New(c Config) *Gate {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Recorded == nil {
		c.Recorded = func() {}
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	return &Gate{db: c.DB, policy: c.Policy, now: c.Now, log: c.Log, recorded: c.Recorded, changed: c.Changed}
}

// Policy gives the engine that the gate decides with.
func (g *Gate) Policy() *policy.Engine { return g.policy }

// Do lets who do act to on: in one write transaction it looks who up (a member who is not active is refused), decides,
// runs fn and appends the event. fn may be run several times, as store.DB.Write says.
//
// A refusal is recorded alone and returned as CodeDenied with the event's id. When fn fails, its changes are rolled back,
// an event of outcome "failed" is recorded alone, and fn's error is returned. When the event can't be written, nothing is
// done and the error says so.
func (g *Gate) Do(ctx context.Context, who sess.Principal, act policy.Action, on policy.Resource, fn func(*Tx) error) error {
	return g.write(ctx, who, act, known(on), fn)
}

// DoFind is Do for a thing that has to be loaded first to know whose it is and where. What who may not see is not found.
func (g *Gate) DoFind(ctx context.Context, who sess.Principal, act policy.Action, what Find, fn func(*Tx) error) error {
	return g.write(ctx, who, act, what.resolve, fn)
}

// Read lets who look: it decides and runs fn in a transaction that only reads, and then commits the event. An error means
// that nothing may be shown, whatever fn has gathered. For long answers load and open in fn, and send after Read.
func (g *Gate) Read(ctx context.Context, who sess.Principal, act policy.Action, on policy.Resource, fn func(*Tx) error) error {
	return g.read(ctx, who, act, known(on), fn)
}

// ReadFind is Read for a thing that has to be loaded first. What who may not see is not found.
func (g *Gate) ReadFind(ctx context.Context, who sess.Principal, act policy.Action, what Find, fn func(*Tx) error) error {
	return g.read(ctx, who, act, what.resolve, fn)
}

// finder tells what an action is about. denied is the answer for who may not do it: nil for the usual refusal.
type finder func(tx *Tx) (on policy.Resource, err error)

func known(on policy.Resource) finder {
	return func(*Tx) (policy.Resource, error) { return on, nil }
}

func (g *Gate) write(ctx context.Context, who sess.Principal, act policy.Action, find finder, fn func(*Tx) error) error {
	var tx *Tx
	var verdict error // a refusal: recorded by the commit
	err := g.db.Write(ctx, func(st *store.Tx) error {
		tx, verdict = g.newTx(ctx, st, who, act), nil
		tx.write = true
		if err := tx.decide(ctx, find); err != nil {
			if tx.refusal == nil {
				return err
			}
			verdict = tx.refusal
			return tx.record(ctx, st)
		}
		if err := fn(tx); err != nil {
			return err
		}
		if tx.incomplete != nil {
			return tx.incomplete
		}
		verdict = tx.refusal
		return tx.record(ctx, st)
	})
	if err != nil {
		return g.failed(ctx, tx, err)
	}
	return verdict
}

func (g *Gate) read(ctx context.Context, who sess.Principal, act policy.Action, find finder, fn func(*Tx) error) error {
	var tx *Tx
	err := g.db.Read(ctx, func(st *store.Tx) error {
		tx = g.newTx(ctx, st, who, act)
		if err := tx.decide(ctx, find); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		return tx.incomplete
	})
	if err != nil && (tx == nil || tx.refusal == nil) {
		return g.failed(ctx, tx, err)
	}
	if rerr := g.recordAlone(ctx, tx); rerr != nil {
		return rerr
	}
	if err == nil {
		tx.pass(ctx)
	}
	return err
}

// failed records that something allowed was not done because of err, and returns err.
func (g *Gate) failed(ctx context.Context, tx *Tx, err error) error {
	if tx == nil { // the transaction did not even begin: the database is away, and so is the log
		return err
	}
	tx.entry.Outcome = audit.Failed
	public := sess.Public(err)
	tx.entry.Code, tx.entry.Reason = public.Code, public.Message
	if rerr := g.recordAlone(ctx, tx); rerr != nil {
		g.log.ErrorContext(ctx, "event of a failure not recorded", "action", string(tx.entry.Action), "err", rerr)
	}
	return err
}

// recordAlone commits the event of tx by itself, even when the request is gone: what was refused or failed is known then.
func (g *Gate) recordAlone(ctx context.Context, tx *Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	return g.db.Write(ctx, func(st *store.Tx) error { return tx.record(ctx, st) })
}
