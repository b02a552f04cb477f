package relay

import (
	"context"
	"time"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// What can't be recorded is not forwarded. A journal whose session may go on without a record does so by itself and never
// says that it can't write; from any other that is the end of the session.

// unrecorded ends a session whose journal can't write; the caller holds mu.
func (s *session) unrecorded(err error) {
	why := recording.Unwritten(err)
	if why == "" || s.failed {
		return
	}
	s.failed = true
	s.call(func(ctx context.Context) error {
		return s.current(ctx, func(epoch uint64) error {
			return s.relay.broker.Failed(ctx, s.org, s.id, epoch, sess.EndRecording, why)
		})
	})
}

// unopened ends a session whose journal can't be opened.
func (r *Relay) unopened(j Join, err error) {
	why := recording.Unwritten(err)
	if why == "" || j.Meta.Recording != sess.RecordStrict || sess.Public(err).Code != sess.CodeInternal {
		return
	}
	if err := r.broker.Failed(r.ctx, j.Org, j.Session, j.Epoch, sess.EndRecording, why); err != nil {
		r.log.Warn("end session that can't be recorded", "session", j.Session, "err", err)
	}
}

// completeAgain is when the end of a recording is tried again that could not be written.
const completeAgain = 15 * time.Second

// later completes a recording that could not be completed now.
func (r *Relay) later(org sess.OrgID, id sess.SessionID) {
	t := time.NewTimer(completeAgain)
	r.joins.Go(func() {
		defer t.Stop()
		select {
		case <-r.stop:
		case <-r.ctx.Done():
		case <-t.C:
			r.Cut(org, id, wire.EndFrame{Reason: sess.EndEnded})
		}
	})
}
