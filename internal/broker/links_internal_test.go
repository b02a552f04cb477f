package broker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// An agent can't fill the server's memory by accepting sessions that nobody offered.
func TestHeldSessionsAreBounded(t *testing.T) {
	t.Parallel()
	l := newLink(store.Instance{}, "", nil, []sess.SessionID{sess.SessionID(strings.Repeat("x", 30_000)), "", "ses_\x1b[2J"})
	if len(l.held) > 0 {
		t.Errorf("%d ids that are none are kept", len(l.held))
	}
	for range 3 * maxHeld {
		l.hold(sess.NewSessionID())
		l.hold(sess.SessionID(fmt.Sprintf("%p", t)))
	}
	if len(l.held) > maxHeld {
		t.Errorf("%d are kept", len(l.held))
	}
}
