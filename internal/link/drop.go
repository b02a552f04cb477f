package link

import (
	"fmt"
	"slices"
)

// Drop removes a sending stream that was never written to: an agent learns from the session's parameters only whether
// standard error is a stream of its own. It is not named in exit's finals, and the far end need not know it.
func (e *Endpoint) Drop(ch uint32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	kept := make([]*Sender, 0, len(e.out))
	for _, s := range e.out {
		if s.ch != ch {
			kept = append(kept, s)
		} else if s.end() != 0 {
			return fmt.Errorf("drop channel %d: it has been used", ch)
		}
	}
	e.out, e.turn = slices.Clip(kept), 0
	return nil
}
