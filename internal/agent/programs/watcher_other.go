//go:build !linux

package programs

import (
	"context"
	"io"
	"log/slog"

	"github.com/sessctl/sess/internal/sess"
)

// Watcher sees programs start and end; not here.
type Watcher struct{}

// Open says that there is nothing to open.
func Open(context.Context, *slog.Logger) (*Watcher, error) {
	return nil, &Unavailable{Code: sess.NoProgramsSystem, Message: "programs can be told on Linux only"}
}

// Close does nothing.
func (*Watcher) Close() {}

// Follow gives nothing to follow.
func (*Watcher) Follow(io.Writer) (*Trail, error) { return &Trail{}, nil }

// Trail is what is known of one session's programs.
type Trail struct{}

// Spawn calls start.
func (*Trail) Spawn(start func() error) error { return start() }

// Pids knows none.
func (*Trail) Pids() []int { return nil }

// Kill kills none.
func (*Trail) Kill() int { return 0 }

// Finish sums nothing up.
func (*Trail) Finish() sess.ProgramsSum { return sess.ProgramsSum{None: sess.NoProgramsSystem} }
