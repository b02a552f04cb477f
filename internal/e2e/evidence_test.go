package e2e

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sessctl/sess/internal/api"
)

// evidence checks what must hold of every world, whatever happened in it: the audit log verifies, offline too, and every
// session that ended has exactly one event that says so.
func (w *world) evidence() error {
	if w.server == nil {
		return nil
	}
	if err := w.do("audit", "verify"); err != nil {
		return err
	}
	key, err := w.verifierKey()
	if err != nil {
		return err
	}
	if err := w.do("audit", "export", "--output", w.path("audit.jsonl")); err != nil {
		return err
	}
	if err := w.do("audit", "verify", w.path("audit.jsonl"), "--key", key); err != nil {
		return err
	}
	return poll("every end has its event", w.oneEndEach) // a session may be ending just now
}

// oneEndEach checks that every session that ended has exactly one event that says so, and no other has.
func (w *world) oneEndEach() error {
	sessions, err := get[[]api.Session](w, "session", "list", "--all", "--limit", "0")
	if err != nil {
		return err
	}
	ended, err := w.endEvents()
	if err != nil {
		return err
	}
	for _, s := range sessions {
		want := 0
		if s.EndedAt != nil {
			want = 1
		}
		if got := ended[string(s.ID)]; got != want {
			err = errors.Join(err, fmt.Errorf("session %s is %s and has %d events that it ended", s.ID, s.State, got))
		}
	}
	return err
}

// endEvents counts the events that say a session ended, by session.
func (w *world) endEvents() (map[string]int, error) {
	a := w.ask(nil, "audit", "list", "--action", "session:ended", "--limit", "0", "--json")
	if a.code != 0 {
		return nil, fmt.Errorf("audit list: %s", a.err)
	}
	var events []struct {
		Event struct {
			Session string `json:"session"`
		} `json:"event"`
	}
	if err := json.Unmarshal(a.out, &events); err != nil {
		return nil, fmt.Errorf("audit list: %w: %.300s", err, a.out)
	}
	n := map[string]int{}
	for _, e := range events {
		n[e.Event.Session]++
	}
	return n, nil
}

// verifierKey is what proves an exported log.
func (w *world) verifierKey() (string, error) {
	a := w.ask(nil, "api", "GET", "/v1/audit/verify")
	var out api.AuditVerifyOut
	if err := json.Unmarshal(a.out, &out); err != nil || a.code != 0 {
		return "", errors.Join(fmt.Errorf("verify: exit %d: %s", a.code, a.err), err)
	}
	return out.Key, nil
}
