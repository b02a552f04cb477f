package agent

import (
	"context"
	"time"
)

// waitNetwork waits for d.
func waitNetwork(ctx context.Context, d, _ time.Duration) { pause(ctx, d) }
