package server

import (
	"context"
	"net/netip"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// The rooms' verbs take what they need and no more; these bring them into the one shape that bind wants.

// fromAddr adapts a verb for strangers, who are known by their address only.
func fromAddr[In, Out any](f func(context.Context, netip.Addr, In) (Out, error)) func(context.Context, sess.Principal, In) (Out, error) {
	return func(ctx context.Context, who sess.Principal, in In) (Out, error) { return f(ctx, who.Addr, in) }
}

// noIn adapts a verb that takes nothing.
func noIn[Out any](f func(context.Context, sess.Principal) (Out, error)) func(context.Context, sess.Principal, api.None) (Out, error) {
	return func(ctx context.Context, who sess.Principal, _ api.None) (Out, error) { return f(ctx, who) }
}

// noOut adapts a verb that takes and gives nothing.
func noOut(f func(context.Context, sess.Principal) error) func(context.Context, sess.Principal) (api.None, error) {
	return func(ctx context.Context, who sess.Principal) (api.None, error) { return api.None{}, f(ctx, who) }
}

// noOutIn adapts a verb that gives nothing.
func noOutIn[In any](f func(context.Context, sess.Principal, In) error) func(context.Context, sess.Principal, In) (api.None, error) {
	return func(ctx context.Context, who sess.Principal, in In) (api.None, error) {
		return api.None{}, f(ctx, who, in)
	}
}
