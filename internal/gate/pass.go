package gate

import (
	"context"
	"sync/atomic"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Pass is what a Read let through, for answers that take long: Still decides about it again.
type Pass struct{ let atomic.Pointer[letThrough] }

type letThrough struct {
	who sess.Principal
	act policy.Action
	on  policy.Resource
	has func(context.Context, *Tx) error // what else must hold; nil: nothing
}

type passKey struct{}

// WithPass gives a context in which the next Read or ReadFind notes in the pass what it lets through.
func WithPass(ctx context.Context) (context.Context, *Pass) {
	p := new(Pass)
	return context.WithValue(ctx, passKey{}, p), p
}

// While has Still ask for more than the decision, of a transaction of its own: what else lets somebody in and may end, as a share does.
func (tx *Tx) While(holds func(context.Context, *Tx) error) { tx.has = holds }

// pass notes what tx let through, if somebody wants to know.
func (tx *Tx) pass(ctx context.Context) {
	p, ok := ctx.Value(passKey{}).(*Pass)
	if !ok {
		return
	}
	let := letThrough{who: tx.who, act: tx.entry.Action, on: tx.decided, has: tx.has}
	let.on.Began = store.Micros(tx.entry.Time) // a second factor that was fresh enough then stays so
	p.let.CompareAndSwap(nil, &let)
}

// Still decides once more about what a pass was given for, by the roles, rules and locks of now. A refusal is recorded and
// returned, as Read's; a pass that was never given is refused nothing.
func (g *Gate) Still(ctx context.Context, p *Pass) error {
	let := p.let.Load()
	if let == nil {
		return nil
	}
	var tx *Tx
	err := g.db.Read(ctx, func(st *store.Tx) error {
		tx = g.newTx(ctx, st, let.who, let.act)
		if err := tx.revoked(ctx); err != nil {
			return err
		}
		if err := tx.decide(ctx, known(let.on)); err != nil || let.has == nil {
			return err
		}
		return let.has(ctx, tx)
	})
	if err == nil || tx == nil || tx.refusal == nil {
		return err
	}
	if rerr := g.recordAlone(ctx, tx); rerr != nil {
		return rerr
	}
	return err
}
