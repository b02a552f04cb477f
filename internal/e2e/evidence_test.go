package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
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
	if err := w.completeEvents(w.path("audit.jsonl")); err != nil {
		return err
	}
	return poll("every end has its event", w.oneEndEach) // a session may be ending just now
}

// endedByServer are events about somebody that the server may bring about by itself, in no request: by its clock, or after a restart.
var endedByServer = map[policy.Action]bool{policy.SessionEnded: true, policy.SessionDetached: true, policy.ParticipantLeft: true}

// completeEvents checks that every event of an exported log says who, what, on what, from where, when, with what outcome, and in which
// request, as far as there can be such a thing: what the server does by itself comes from nowhere, and of a stranger all that is
// known may be an address.
func (w *world) completeEvents(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := audit.NewReader(f)
	if err != nil {
		return err
	}
	lacks := map[string]string{}
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if rec.Body == nil {
			continue
		}
		e, err := audit.DecodeEvent(rec.Body)
		if err != nil {
			return err
		}
		byItself := e.Who.Credential == sess.CredentialSystem
		for what, there := range map[string]bool{
			"id": e.ID != "", "time": !e.Time.IsZero(), "action": e.Action != "", "outcome": e.Outcome != "",
			"who":     e.Who.Name != "" || e.Who.User != "" || e.Who.Instance != "" || e.Who.Credential == "" && e.Outcome == audit.Refused,
			"on":      e.On.Type != "",
			"from":    e.Who.Address != "" || byItself || e.Who.Credential == sess.CredentialAdmin || e.Details["addresses"] != "",
			"request": e.Request != "" || byItself || endedByServer[policy.Action(e.Action)],
			"code":    e.Code != "" || e.Outcome == audit.Allowed,
		} {
			if !there {
				lacks[e.Action+" without "+what] = string(rec.Body)
			}
		}
	}
	for what, body := range lacks {
		err = errors.Join(err, fmt.Errorf("%s: %s", what, body))
	}
	return err
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
