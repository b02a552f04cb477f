package broker

import (
	"context"

	"github.com/sessctl/sess/internal/sess"
)

// Tick, Touch and Purge are what Run does, for tests that turn the clock.
func Tick(ctx context.Context, s *Service) error  { return s.tick(ctx) }
func Touch(ctx context.Context, s *Service) error { return s.touch(ctx) }
func Purge(ctx context.Context, s *Service) error { return s.purge(ctx) }

// Online reports whether the server holds a control link of the instance.
func Online(s *Service, i sess.InstanceID) bool { return s.links.get(i) != nil }
