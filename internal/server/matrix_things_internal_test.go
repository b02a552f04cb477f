package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// The things of an organisation that the matrix's requests name.

// static gives things for requests that don't get as far as them.
func (o *matrixOrg) static(op operation) map[string]string {
	out := map[string]string{}
	for _, p := range op.things() {
		k := op.kind(p)
		if o.statics[k] == "" {
			o.statics[k] = o.make(k, o.admin).id
		}
		out[p] = o.statics[k]
	}
	return out
}

// fresh makes things of the organisation for one request; what op is about belongs to m if own says so.
func (o *matrixOrg) fresh(op operation, m member, own bool) map[string]string {
	out := map[string]string{}
	for _, p := range op.things() {
		owner := o.admin
		if own && p == op.subject() {
			owner = m
		}
		k := op.kind(p)
		if k == "key" && own {
			id, _ := o.w.key(m, nil)
			out[p] = string(id)
			continue
		}
		out[p] = o.make(k, owner).id
	}
	return out
}

// send calls the API as the organisation's admin, and gives the answer's fields.
func (o *matrixOrg) send(method, path, body string) map[string]any {
	o.w.t.Helper()
	got := o.w.ask(operation{id: "setting up: " + path, method: method, path: path, entry: entry{body: body}}, o.w.login(o.admin, nil), nil, "")
	var out map[string]any
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status/100 != 2 {
		o.w.t.Fatalf("%s %s: %s, %v", method, path, got, err)
	}
	return out
}

func str(v any) string { s, _ := v.(string); return s }

// make makes something of a kind.
func (o *matrixOrg) make(kind string, owner member) thing {
	o.w.t.Helper()
	name := o.w.name(kind)
	create := func(path, body string) thing {
		return thing{id: str(o.send(http.MethodPost, path, body)["id"]), name: name}
	}
	switch kind {
	case "participant": // a number in a session, and nobody's
		return thing{id: "1"}
	case "instance":
		return o.enrol(name)
	case "sink":
		if old, ok := o.send(http.MethodGet, "/v1/audit/sinks", "")["items"].([]any); ok && len(old) > 5 { // there are few at a time
			o.w.ask(operation{id: "making room", method: http.MethodDelete, path: "/v1/audit/sinks/" + str(old[len(old)-1].(map[string]any)["id"])}, o.w.login(o.admin, nil), nil, "")
		}
		sink, _ := o.send(http.MethodPost, "/v1/audit/sinks", `{"name":"`+name+`","url":"https://127.0.0.1:1/"}`)["sink"].(map[string]any)
		return thing{id: str(sink["id"]), name: name}
	case "event":
		items, _ := o.send(http.MethodGet, "/v1/audit?limit=1", "")["items"].([]any)
		raw, err := base64.StdEncoding.DecodeString(str(items[0].(map[string]any)["raw"]))
		if err != nil {
			o.w.t.Fatal(err)
		}
		var e struct{ ID string }
		if err := json.Unmarshal(raw, &e); err != nil {
			o.w.t.Fatal(err)
		}
		return thing{id: e.ID}
	case "session", "recording":
		return thing{id: o.session(owner)}
	case "token":
		return thing{id: create("/v1/tokens", `{}`).id}
	case "key":
		return thing{id: create("/v1/keys", `{"machine":"`+name+`"}`).id}
	case "group":
		return create("/v1/groups", `{"name":"`+name+`"}`)
	case "project":
		return create("/v1/projects", `{"name":"`+name+`"}`)
	case "grant":
		group := o.make("group", owner)
		return thing{id: create("/v1/grants", `{"group":"`+group.id+`","role":"operator"}`).id}
	case "alert": // there can be few at a time
		o.w.sql("DELETE FROM alert_hook WHERE org = $1 AND id NOT IN (SELECT id FROM alert_hook WHERE org = $1 ORDER BY created_at LIMIT 3)", o.org)
		return thing{id: create("/v1/alerts", `{"url":"https://127.0.0.1/x","on":["all"]}`).id}
	case "idp": // there can be few at a time
		o.w.sql("DELETE FROM idp WHERE org = $1 AND id NOT IN (SELECT id FROM idp WHERE org = $1 ORDER BY created_at LIMIT 3)", o.org)
		return create("/v1/idps", `{"name":"`+name+`","kind":"github","secret":"s","settings":{"client_id":"c","allow_orgs":["o"]}}`)
	case "lock":
		return thing{id: create("/v1/locks", `{"kind":"user","target":"`+string(o.member("").id)+`"}`).id}
	case "share": // of another recording
		return thing{id: sess.NewRecordingShareID()}
	case "role": // known by its name
		o.send(http.MethodPost, "/v1/roles", `{"name":"`+name+`","actions":["instance:list"]}`)
		return thing{id: name}
	case "policy":
		o.send(http.MethodPut, "/v1/policies/"+name, harmlessPolicy)
		return thing{id: name}
	case "org": // which is one's own
		var name string
		if err := o.w.db.QueryRowContext(o.w.t.Context(), "SELECT name FROM org WHERE id = $1", o.org).Scan(&name); err != nil {
			o.w.t.Fatal(err)
		}
		return thing{string(o.org), name}
	case "user":
		m := o.member("")
		return thing{string(m.id), m.name}
	case "machine":
		return thing{str(o.send(http.MethodPost, "/v1/machines", `{"name":"`+name+`"}`)["user"]), name}
	}
	o.w.t.Fatalf("a thing of the kind %q is needed: teach matrixOrg.make (matrix_world_internal_test.go) to make one, or say in the entry's kinds what it is", kind)
	return thing{}
}

// enrol makes an instance of a new agent.
func (o *matrixOrg) enrol(name string) thing {
	o.w.t.Helper()
	token := str(o.send(http.MethodPost, "/v1/tokens", `{}`)["secret"])
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		o.w.t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(token))
	body, err := json.Marshal(map[string]any{
		"token": token, "public_key": public, "signature": ed25519.Sign(key, wire.SignedMessage(wire.PurposeEnrol, hash[:])),
		"name": name, "hostname": name, "os": "linux", "arch": "amd64", "version": "1",
	})
	if err != nil {
		o.w.t.Fatal(err)
	}
	return thing{str(o.send(http.MethodPost, "/v1/enrol", string(body))["instance"]), name}
}

// session makes the row of a session that owner began, on an instance that is not online.
func (o *matrixOrg) session(owner member) string {
	o.w.t.Helper()
	if o.statics["instance"] == "" {
		o.statics["instance"] = o.make("instance", o.admin).id
	}
	id := sess.NewSessionID()
	o.w.write(func(ctx context.Context, tx *store.Tx) error {
		err := tx.InsertSession(ctx, store.InsertSessionParams{
			Org: o.org, ID: id, Kind: sess.KindExec, Instance: sess.InstanceID(o.statics["instance"]), InstanceName: "x", Project: o.project,
			UserID: owner.id, UserName: owner.name, Credential: sess.CredentialLogin, Command: "[]", OwnerKey: "k", Node: "nod_elsewhere",
			GraceMS: 60_000, CreatedAt: store.Micros(time.Now()),
		})
		if err != nil {
			return err
		}
		return tx.InsertSessionParams(ctx, o.org, id, base64.StdEncoding.EncodeToString([]byte(`{}`)))
	})
	o.w.sql("UPDATE session SET started_at = created_at WHERE id = $1", id)
	return string(id)
}
