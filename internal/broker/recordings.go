package broker

import (
	"fmt"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// recordable refuses a session that runs only with a recording while none can be written.
func (s *Service) recordable(r store.Session) error {
	c := controls(r)
	if c.RecordingMode() != sess.RecordStrict || s.recorder == nil {
		return nil
	}
	err := s.recorder()
	if err == nil {
		return nil
	}
	s.log.Error("a session was refused that can't be recorded", "err", err)
	return sess.Wrap(err, sess.CodeUnavailable, "the session can't be recorded, and it runs only with a recording, because of "+c.Source(sess.ControlRecording),
		"the server's recordings directory can't be written: its admin finds why in the server's log")
}

// kept refuses a replay of what is not there, and says why.
func kept(r store.Session) error {
	c := controls(r)
	switch {
	case c.RecordingMode() == sess.RecordOff:
		return sess.New(sess.CodeNotFound, fmt.Sprintf("what was in session %s is not kept", r.ID), "because of "+c.Source(sess.ControlRecording)+"; sessctl session show tells what is known of it")
	case r.Recording == sess.RecordingExpired:
		return sess.New(sess.CodeNotFound, fmt.Sprintf("the recording of session %s has expired: %s", r.ID, r.RecProblem),
			"the settings recording-retention and recording-max-size of the organisation say how long recordings are kept")
	}
	return nil
}

// sealedTo gives the public keys that the recording of a session is encrypted to; none: it is not.
func sealedTo(r store.Session) []string {
	c := controls(r)
	if c.RecordingMode() == sess.RecordOff {
		return nil
	}
	return c.Recipients
}
