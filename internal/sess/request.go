package sess

import "context"

type requestKey struct{}

// WithRequest gives ctx the id of the API request that it belongs to, which names it in answers, in the log and in the audit log.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestID gives the id of the API request that ctx belongs to; empty: none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}
