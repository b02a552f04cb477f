package agent

import (
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// maxUnsaid bounds the ends of sessions that wait for a control link.
const maxUnsaid = 256

// over tells the server how the processes of a session ended that was ended before they were, by somebody or by its lease, and so has
// no stream any more to state it on. Without a control link it is kept for the next.
func (a *Agent) over(id sess.SessionID, exit sess.Exit) {
	m := wire.Control{T: wire.ControlOver, Session: id, Exit: &exit}
	if c, _ := a.link(); c != nil && c.WriteControl(m) == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.unsaid) < maxUnsaid {
		a.unsaid = append(a.unsaid, m)
	}
}

// sayOver says what waited for this control link.
func (a *Agent) sayOver(c *link.Conn) {
	a.mu.Lock()
	all := a.unsaid
	a.unsaid = nil
	a.mu.Unlock()
	for _, m := range all {
		if err := c.WriteControl(m); err != nil {
			a.log.Debug("tell of an ended session", "error", err)
			return
		}
	}
}
