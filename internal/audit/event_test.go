package audit_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/sess"
)

func sample(i int) audit.Event {
	return audit.Event{
		ID: sess.EventID(fmt.Sprintf("evt_%04d", i)), Time: time.Date(2026, 3, 1, 12, 0, i%60, 123456000, time.UTC), Org: "org_a",
		Action: "session:start", Outcome: audit.Allowed,
		Who:     audit.Who{User: "usr_1", Name: "ada@example.com", Kind: sess.UserLocal, Credential: sess.CredentialLogin, CredentialID: "log_1", Address: "192.0.2.7"},
		On:      audit.Thing{Type: "instance", ID: "ins_1", Name: "web-1", Project: "prj_1"},
		Session: "ses_1", Request: "req_1", Details: map[string]string{"kind": "exec", "command": "echo <&> \"ä\""},
	}
}

// The bytes are what is hashed and signed: they may not change between releases.
func TestEncodeIsFixed(t *testing.T) {
	const want = `{"id":"evt_0007","time":"2026-03-01T12:00:07.123456Z","org":"org_a","action":"session:start","outcome":"allowed",` +
		`"who":{"user":"usr_1","name":"ada@example.com","kind":"local","credential":"login","credential_id":"log_1","address":"192.0.2.7"},` +
		`"on":{"type":"instance","id":"ins_1","name":"web-1","project":"prj_1"},"session":"ses_1","request":"req_1",` +
		`"details":{"command":"echo <&> \"ä\"","kind":"exec"}}`
	got, err := sample(7).Encode()
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

func TestEncodeNeedsTheEssentials(t *testing.T) {
	for _, e := range []audit.Event{
		{},
		{ID: "evt_1", Action: "x", Outcome: audit.Allowed},
		{ID: "evt_1", Time: time.Unix(1, 0), Outcome: audit.Allowed},
		{ID: "evt_1", Time: time.Unix(1, 0), Action: "x"},
		{Time: time.Unix(1, 0), Action: "x", Outcome: audit.Allowed},
	} {
		if b, err := e.Encode(); err == nil {
			t.Errorf("encoded: %s", b)
		}
	}
}

func TestEventComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		short := rapid.StringN(0, 20, 60)
		e := audit.Event{
			ID: sess.EventID("evt_" + short.Draw(t, "id")), Action: "a" + short.Draw(t, "action"), Outcome: audit.Refused,
			Time: time.UnixMicro(rapid.Int64Range(1, 4e15).Draw(t, "time")).UTC(), Org: sess.OrgID(short.Draw(t, "org")),
			Who:    audit.Who{Name: short.Draw(t, "name"), Address: short.Draw(t, "address")},
			On:     audit.Thing{Name: short.Draw(t, "thing")},
			Reason: short.Draw(t, "reason"), Count: rapid.Int64Min(0).Draw(t, "count"),
		}
		if rapid.Bool().Draw(t, "details") {
			e.Details = rapid.MapOfN(short, short, 1, 20).Draw(t, "which")
		}
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := audit.DecodeEvent(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestEncodeIsBounded(t *testing.T) {
	for name, filler := range map[string]string{"letters": "x", "escapes": "\x01", "invalid": "\xff", "wide": "\u2028", "mixed": "ä\x00<"} {
		long := strings.Repeat(filler, 4<<10)
		details := map[string]string{}
		for i := range 60 {
			details[fmt.Sprintf("%03d", i)+long] = long
		}
		e := audit.Event{
			ID: sess.EventID(long), Time: time.Unix(1, 0), Org: sess.OrgID(long), Action: long, Outcome: audit.Outcome(long),
			Who: audit.Who{
				User: sess.UserID(long), Name: long, Kind: sess.UserKind(long), Instance: sess.InstanceID(long),
				Credential: sess.Credential(long), CredentialID: long, Address: long,
			},
			On:      audit.Thing{Type: long, ID: long, Name: long, Project: sess.ProjectID(long)},
			Session: sess.SessionID(long), Reason: long, Code: sess.Code(long), Request: long, Details: details, Count: 1 << 62,
		}
		b, err := e.Encode()
		if err != nil || len(b) > audit.MaxEvent || !json.Valid(b) || !utf8.Valid(b) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		again, err := e.Encode()
		if err != nil || string(again) != string(b) {
			t.Errorf("%s: encoded twice, it differs", name)
		}
		got, err := audit.DecodeEvent(b)
		if err != nil || got.Details["cut"] == "" {
			t.Errorf("%s: %v, details %v", name, err, slices.Sorted(maps.Keys(got.Details)))
		}
	}
	few := sample(1)
	few.Details = map[string]string{"text": strings.Repeat("ä", 600)}
	b, err := few.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.DecodeEvent(b)
	if v := got.Details["text"]; err != nil || len(v) > audit.MaxDetailValue || !strings.HasSuffix(v, "…") || !utf8.ValidString(v) {
		t.Errorf("a long value: %d bytes, %v", len(v), err)
	}
	if few.Details["text"] != strings.Repeat("ä", 600) {
		t.Error("the caller's map was changed")
	}
}
