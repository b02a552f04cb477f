package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sessctl/sess/internal/sess"
)

// Limits of an event. Longer texts are cut and end in "…"; more details are dropped, and the detail "cut" says so.
const (
	MaxEvent       = 16 << 10 // bytes of an encoded event
	MaxDetails     = 32
	MaxDetailKey   = 64
	MaxDetailValue = 1 << 10
	maxName        = 256
	maxWord        = 96
	maxReason      = 512
)

// BoxLog names the log of what belongs to no organisation.
const BoxLog = "box"

// LogOf names the log of an organisation; no organisation has the box's.
func LogOf(org sess.OrgID) string {
	if org == "" {
		return BoxLog
	}
	return string(org)
}

// Outcome says how something asked for came out.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "allowed" // decided for, and done
	Refused Outcome = "refused" // decided against; nothing was done
	Failed  Outcome = "failed"  // decided for, and then not done; Code says why
)

// Who is who asked, or what acted.
type Who struct {
	User         sess.UserID     `json:"user,omitempty"`
	Name         string          `json:"name,omitempty"`
	Kind         sess.UserKind   `json:"kind,omitempty"`
	Instance     sess.InstanceID `json:"instance,omitempty"` // an agent's
	Credential   sess.Credential `json:"credential,omitempty"`
	CredentialID string          `json:"credential_id,omitempty"`
	Address      string          `json:"address,omitempty"` // the client's, as the server believes it
}

// Thing is what it was about.
type Thing struct {
	Type    string         `json:"type,omitempty"`
	ID      string         `json:"id,omitempty"`
	Name    string         `json:"name,omitempty"`
	Project sess.ProjectID `json:"project,omitempty"`
}

// Event is one entry of the log. ID, Time, Action and Outcome are always set. It never holds a secret.
type Event struct {
	ID      sess.EventID
	Time    time.Time // kept to the microsecond, in UTC
	Org     sess.OrgID
	Action  string
	Outcome Outcome
	Who     Who
	On      Thing
	Session sess.SessionID
	Reason  string    // in words: what was missing, what failed, or what the person gave
	Code    sess.Code // of a failure or refusal
	Request string    // the id of the API request
	Details map[string]string
	Count   int64 // how many like it this event stands for, when refusals were put together; 0 means 1

	Instance sess.InstanceID // that it ran on or concerned, if any
}

// encoded is an Event as it is written: the order of its fields is the order in the log. Fields may be added at the
// end, and readers skip those they don't know.
type encoded struct {
	ID      sess.EventID      `json:"id"`
	Time    string            `json:"time"`
	Org     sess.OrgID        `json:"org,omitempty"`
	Action  string            `json:"action"`
	Outcome Outcome           `json:"outcome"`
	Who     Who               `json:"who"`
	On      Thing             `json:"on"`
	Session sess.SessionID    `json:"session,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	Code    sess.Code         `json:"code,omitempty"`
	Request string            `json:"request,omitempty"`
	Details map[string]string `json:"details,omitempty"`
	Count   int64             `json:"count,omitempty"`

	Instance sess.InstanceID `json:"instance,omitempty"`
}

const timeFormat = "2006-01-02T15:04:05.000000Z"

// Encode gives the bytes of e that are stored and hashed: one line of JSON, fields in a fixed order, the keys of
// details sorted, no more than MaxEvent bytes. The same event gives the same bytes.
func (e Event) Encode() ([]byte, error) {
	if e.ID == "" || e.Time.IsZero() || e.Action == "" || e.Outcome == "" {
		return nil, fmt.Errorf("audit event %q lacks an id, time, action or outcome", e.ID)
	}
	x := encoded{
		ID: sess.EventID(cut(string(e.ID), maxWord)), Time: e.Time.UTC().Format(timeFormat), Org: sess.OrgID(cut(string(e.Org), maxWord)),
		Action: cut(e.Action, maxWord), Outcome: Outcome(cut(string(e.Outcome), maxWord)),
		Who: Who{
			User: sess.UserID(cut(string(e.Who.User), maxWord)), Name: cut(e.Who.Name, maxName), Kind: sess.UserKind(cut(string(e.Who.Kind), maxWord)),
			Instance: sess.InstanceID(cut(string(e.Who.Instance), maxWord)), Credential: sess.Credential(cut(string(e.Who.Credential), maxWord)),
			CredentialID: cut(e.Who.CredentialID, maxWord), Address: cut(e.Who.Address, maxWord),
		},
		On:      Thing{Type: cut(e.On.Type, maxWord), ID: cut(e.On.ID, maxWord), Name: cut(e.On.Name, maxName), Project: sess.ProjectID(cut(string(e.On.Project), maxWord))},
		Session: sess.SessionID(cut(string(e.Session), maxWord)), Reason: cut(e.Reason, maxReason), Code: sess.Code(cut(string(e.Code), maxWord)),
		Request: cut(e.Request, maxWord), Details: boundDetails(e.Details), Count: e.Count,
		Instance: sess.InstanceID(cut(string(e.Instance), maxWord)),
	}
	b, err := marshal(x)
	for err == nil && len(b) > MaxEvent {
		if !shrink(x.Details) {
			return nil, fmt.Errorf("audit event %s takes %d bytes, more than %d", e.ID, len(b), MaxEvent)
		}
		b, err = marshal(x)
	}
	return b, err
}

// DecodeEvent reads what Encode wrote.
func DecodeEvent(b []byte) (Event, error) {
	var x encoded
	if len(b) > MaxEvent {
		return Event{}, fmt.Errorf("audit event of %d bytes is larger than %d", len(b), MaxEvent)
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return Event{}, fmt.Errorf("audit event is not valid JSON: %w", err)
	}
	t, err := time.Parse(time.RFC3339Nano, x.Time)
	if err != nil {
		return Event{}, fmt.Errorf("audit event has no valid time: %w", err)
	}
	if x.ID == "" || x.Action == "" || x.Outcome == "" {
		return Event{}, fmt.Errorf("audit event lacks an id, action or outcome")
	}
	return Event{
		ID: x.ID, Time: t.UTC(), Org: x.Org, Action: x.Action, Outcome: x.Outcome, Who: x.Who, On: x.On, Session: x.Session,
		Reason: x.Reason, Code: x.Code, Request: x.Request, Details: x.Details, Count: x.Count, Instance: x.Instance,
	}, nil
}

func marshal(x encoded) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		return nil, fmt.Errorf("encode audit event: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// cut bounds s to n bytes of valid UTF-8; what is cut ends in "…".
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
