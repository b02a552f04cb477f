package audit_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/audit"
)

// shape is what OCSF says of a class or an object.
type shape struct {
	Attributes []string            `json:"attributes"`
	Required   []string            `json:"required"`
	OneOf      []string            `json:"at_least_one"`
	Enums      map[string][]string `json:"enums"`
}

func (s shape) check(t *testing.T, where string, v map[string]any) {
	t.Helper()
	for _, r := range s.Required {
		if v[r] == nil {
			t.Errorf("%s: %s is required", where, r)
		}
	}
	if len(s.OneOf) > 0 && !slices.ContainsFunc(s.OneOf, func(a string) bool { return v[a] != nil }) {
		t.Errorf("%s: needs one of %v", where, s.OneOf)
	}
	for k, value := range v {
		if !slices.Contains(s.Attributes, k) {
			t.Errorf("%s: there is no attribute %s", where, k)
		}
		if enum := s.Enums[k]; enum != nil && !slices.Contains(enum, strconv.Itoa(int(value.(float64)))) {
			t.Errorf("%s: %s is %v, not one of %v", where, k, value, enum)
		}
	}
}

// Whatever an event is, it becomes a valid event of its class in OCSF's schema.
func TestOCSFIsValid(t *testing.T) {
	t.Parallel()
	var schema struct {
		Version          string
		Classes, Objects map[string]shape
	}
	b, err := os.ReadFile("testdata/ocsf-1.3.0.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	objects := map[string]string{
		"metadata": "metadata", "actor": "actor", "user": "user", "src_endpoint": "network_endpoint", "service": "service", "entity": "managed_entity", "api": "api",
	}
	seen := map[string]bool{}
	for _, e := range everyEvent(t) {
		body, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		out, err := audit.ToOCSF(7, body, "1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(out)
		var v map[string]any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		class := strconv.Itoa(out.ClassUID)
		seen[class] = true
		where := e.Action + " by " + string(e.Who.Credential)
		schema.Classes[class].check(t, where, v)
		for attr, object := range objects {
			if sub, ok := v[attr].(map[string]any); ok {
				schema.Objects[object].check(t, where+", "+attr, sub)
			}
		}
		if u, ok := v["actor"].(map[string]any)["user"].(map[string]any); ok {
			schema.Objects["user"].check(t, where+", actor.user", u)
		}
		if out.TypeUID != out.ClassUID*100+out.ActivityID || out.CategoryUID != out.ClassUID/1000 || out.Metadata.Version != schema.Version || out.RawData != string(body) {
			t.Errorf("%s: %s", where, text)
		}
		if (out.StatusID == 2) != (e.Outcome != audit.Allowed) {
			t.Errorf("%s: status %d", where, out.StatusID)
		}
	}
	if len(seen) != len(schema.Classes) {
		t.Errorf("only the classes %v came out", seen)
	}
}

// everyEvent gives events of all documented actions, and of one that is not known, by everybody who may act.
func everyEvent(t *testing.T) (list []audit.Event) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/reference/audit-events.md")
	if err != nil {
		t.Fatal(err)
	}
	actions := []string{"new:thing", "newer"}
	for _, line := range strings.Split(string(doc), "\n") {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok && strings.HasPrefix(line, "| `") {
			actions = append(actions, name)
		}
	}
	if len(actions) < 80 {
		t.Fatalf("only %d actions in the reference", len(actions))
	}
	whos := []audit.Who{
		{User: "usr_1", Name: "ann@example.com", Kind: "local", Credential: "login", CredentialID: "log_1", Address: "192.0.2.1"},
		{Name: "web-1", Instance: "ins_1", Credential: "agent"},
		{Name: "sess-server", Credential: "system"},
		{},
	}
	for _, a := range actions {
		for i, who := range whos {
			e := audit.Event{ID: "evt_1", Time: time.Unix(1, 0), Org: "org_1", Action: a, Outcome: []audit.Outcome{audit.Allowed, audit.Refused, audit.Failed, audit.Allowed}[i], Who: who}
			if i%2 == 0 {
				e.On = audit.Thing{Type: "user", ID: "usr_2", Name: "bob@example.com"}
				e.Request, e.Code, e.Reason, e.Details = "req_1", "denied", "no", map[string]string{"k": "v"}
			}
			list = append(list, e)
		}
	}
	return list
}
