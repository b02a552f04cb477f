package identity_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		var in api.TokenIn
		in.Body.Region, in.Body.Labels = "eu-1", map[string]string{"env": "prod", "team": "a/b"}
		tok := must[api.Token](w, "create token")(w.CreateToken(t.Context(), admin, in))
		w.secret(tok.Secret)
		p, err := sess.ParseToken(tok.Secret, sess.TokenEnrol)
		if err != nil || string(p.Pin) != string(pin) {
			t.Errorf("token carries pin %x, %v", p.Pin, err)
		}
		if tok.Uses != 1 || tok.Used != 0 || tok.Project != "default" || tok.ExpiresAt.Sub(tok.CreatedAt) != time.Hour || tok.CreatedBy != adminEmail || tok.Region != "eu-1" {
			t.Errorf("token = %+v", tok)
		}
		if want := "sess-agent enroll --server https://box.example:8443 --token " + tok.Secret + " && sess-agent run"; tok.EnrolLine != want {
			t.Errorf("enrol line = %s\nwant %s", tok.EnrolLine, want)
		}
		if !strings.HasPrefix(tok.InstallLine, "curl -fsSL -k --pinnedpubkey sha256//") || !strings.HasSuffix(tok.InstallLine, " --token "+tok.Secret) {
			t.Errorf("install line = %s", tok.InstallLine)
		}
		w.agents = false
		w.pass(time.Second)
		if other := must[api.Token](w, "create token")(w.CreateToken(t.Context(), admin, api.TokenIn{})); other.InstallLine != "" {
			t.Errorf("install line without binaries = %s", other.InstallLine)
		}
		list := must[api.TokenList](w, "list")(w.ListTokens(t.Context(), admin, api.Page{Limit: 1}))
		if len(list.Items) != 1 || list.Next == "" {
			t.Fatalf("first page = %+v", list)
		}
		list = must[api.TokenList](w, "list")(w.ListTokens(t.Context(), admin, api.Page{Limit: 1, After: list.Next}))
		if len(list.Items) != 1 || list.Next != "" || list.Items[0].ID != tok.ID || list.Items[0].Secret != "" || list.Items[0].Labels["team"] != "a/b" {
			t.Fatalf("second page = %+v", list)
		}
		ci := w.machine(admin, "ci", sess.RoleOperator)
		_, err = w.CreateToken(t.Context(), ci, in)
		w.wantCode("an operator's token", err, sess.CodeDenied)
		_, err = w.ListTokens(t.Context(), ci, api.Page{})
		w.wantCode("an operator's list", err, sess.CodeDenied)
		w.wantCode("an operator's deletion", w.DeleteToken(t.Context(), ci, api.IDRef{ID: string(tok.ID)}), sess.CodeNotFound)
		if err := w.DeleteToken(t.Context(), admin, api.IDRef{ID: string(tok.ID)}); err != nil {
			t.Fatal(err)
		}
		_, err = w.Enrol(t.Context(), home, enrolIn(t, tok.Secret, "web-1"))
		w.wantCode("enrolment with a deleted token", err, sess.CodeExpired)
		w.wantCode("deleting it again", w.DeleteToken(t.Context(), admin, api.IDRef{ID: string(tok.ID)}), sess.CodeNotFound)
		w.wantEvent(admin.Org, `"token:create"`, string(tok.ID))
		w.wantEvent(admin.Org, `"token:delete"`, string(tok.ID))
	})
}

func TestTokensHostileInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprintf("l%d", i)] = "v"
	}
	for what, set := range map[string]func(*api.TokenIn){
		"negative uses":   func(in *api.TokenIn) { in.Body.Uses = -1 },
		"endless uses":    func(in *api.TokenIn) { in.Body.Uses = 1 << 40 },
		"a negative life": func(in *api.TokenIn) { in.Body.TTL = -1 },
		"an endless life": func(in *api.TokenIn) { in.Body.TTL = 1 << 62 },
		"a bad region":    func(in *api.TokenIn) { in.Body.Region = "a b" },
		"a bad label":     func(in *api.TokenIn) { in.Body.Labels = map[string]string{"A": "b"} },
		"an empty label":  func(in *api.TokenIn) { in.Body.Labels = map[string]string{"": "b"} },
		"a long value":    func(in *api.TokenIn) { in.Body.Labels = map[string]string{"a": strings.Repeat("b", 129)} },
		"an escape":       func(in *api.TokenIn) { in.Body.Labels = map[string]string{"a": "\x1b]0;x\a"} },
		"too many labels": func(in *api.TokenIn) { in.Body.Labels = many },
	} {
		var in api.TokenIn
		set(&in)
		_, err := w.CreateToken(t.Context(), admin, in)
		w.wantCode(what, err, sess.CodeInvalid)
	}
	var in api.TokenIn
	in.Body.Project = "nowhere"
	_, err := w.CreateToken(t.Context(), admin, in)
	w.wantCode("an unknown project", err, sess.CodeNotFound)
}

func TestEnrol(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		tok := w.token(admin, 3, map[string]string{"env": "prod"})
		in := enrolIn(t, tok.Secret, "Web_1.example.com")
		out := must[api.EnrolOut](w, "enrol")(w.Enrol(t.Context(), home, in))
		if out.Name != "web-1" || !sess.ValidID("ins", string(out.Instance)) || len(out.BrokerKeys) != 1 || len(out.BrokerKeys[0]) != ed25519.PublicKeySize || out.Server.Name != "box.example" {
			t.Errorf("enrol = %+v", out)
		}
		// The agent that did not hear the answer asks again: the same instance, no second use.
		if again := must[api.EnrolOut](w, "enrol again")(w.Enrol(t.Context(), home, in)); again.Instance != out.Instance || again.Name != out.Name {
			t.Errorf("asked again: %+v, want %+v", again, out)
		}
		if second := w.enrol(tok.Secret, "web-1"); second.Name != "web-1-2" || second.Instance == out.Instance {
			t.Errorf("second = %+v", second)
		}
		if third := w.enrol(tok.Secret, "web-1"); third.Name != "web-1-3" {
			t.Errorf("third = %+v", third)
		}
		_, err := w.Enrol(t.Context(), home, enrolIn(t, tok.Secret, "web-1"))
		w.wantCode("fourth of three", err, sess.CodeExpired)

		inst := must[api.Instance](w, "show")(w.GetInstance(t.Context(), admin, api.InstanceRef{Instance: "web-1"}))
		if inst.ID != out.Instance || inst.Labels["env"] != "prod" || inst.Project != "default" || inst.Online || inst.OS != "linux" || inst.Address != home.String() || inst.Hostname != "Web_1.example.com" {
			t.Errorf("instance = %+v", inst)
		}
		if list := must[api.TokenList](w, "list")(w.ListTokens(t.Context(), admin, api.Page{})); list.Items[0].Used != 3 {
			t.Errorf("token = %+v, want 3 used", list.Items[0])
		}
		agent := must[identity.Agent](w, "agent")(w.AgentByID(t.Context(), home, out.Instance))
		if string(agent.PublicKey) != string(in.Body.PublicKey) || agent.Org != admin.Org || agent.Name != "web-1" {
			t.Errorf("agent = %+v", agent)
		}
		_, err = w.AgentByID(t.Context(), home, "ins_aaaaaaaaaaaaaaaa")
		w.wantCode("an unknown agent", err, sess.CodeUnauthenticated)
		w.wantEvent(admin.Org, `"enrol"`, string(out.Instance), string(tok.ID))

		late := w.token(admin, 1, nil)
		w.pass(time.Hour)
		_, err = w.Enrol(t.Context(), home, enrolIn(t, late.Secret, "web-1"))
		w.wantCode("enrolment after an hour", err, sess.CodeExpired)
	})
}

// A single-use token makes one instance, however many machines use it at the same moment; one of n uses makes n.
func TestEnrolRace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		for _, uses := range []int{1, 3} {
			tok := w.token(admin, uses, nil)
			var wg sync.WaitGroup
			var mu sync.Mutex
			names := map[string]bool{}
			for range 8 {
				in := enrolIn(t, tok.Secret, "box")
				wg.Go(func() {
					out, err := w.Enrol(t.Context(), home, in)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						names[out.Name] = true
					} else if !errors.Is(err, sess.ErrExpired) {
						t.Errorf("enrol = %v, want expired", err)
					}
				})
			}
			wg.Wait()
			if len(names) != uses {
				t.Errorf("a token of %d uses made %v", uses, names)
			}
		}
	})
}

func TestEnrolNeedsProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	tok, other := w.token(admin, 1, nil), w.token(admin, 1, nil)
	for what, c := range map[string]struct {
		code sess.Code
		set  func(*api.EnrolIn)
	}{
		"no token":                    {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Token = "" }},
		"a typing mistake":            {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Token = in.Body.Token[:40] + "a" + in.Body.Token[41:] + "b" }},
		"somebody else's key":         {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.PublicKey = enrolIn(t, tok.Secret, "x").Body.PublicKey }},
		"a signature over another":    {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Token = other.Secret }},
		"no key":                      {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.PublicKey = nil }},
		"a short key":                 {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.PublicKey = in.Body.PublicKey[:31] }},
		"no signature":                {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Signature = nil }},
		"a name that is none":         {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Name = "Über; rm -rf" }},
		"a name that ends in a dash":  {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Name = "web-" }},
		"a name that is an option":    {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Name = "--help" }},
		"a name with a wildcard":      {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Name = "web%" }},
		"a name of sixty-four":        {sess.CodeInvalid, func(in *api.EnrolIn) { in.Body.Name = strings.Repeat("a", 64) }},
		"a token of another server's": {sess.CodeInvalid, func(in *api.EnrolIn) { s, _ := sess.NewToken(sess.TokenEnrol, nil); in.Body.Token = s }},
	} {
		in := enrolIn(t, tok.Secret, "web-1")
		c.set(&in)
		_, err := w.Enrol(t.Context(), home, in)
		w.wantCode("enrol with "+what, err, c.code)
	}
	stranger, _ := sess.NewToken(sess.TokenEnrol, nil)
	_, err := w.Enrol(t.Context(), home, enrolIn(t, stranger, "web-1"))
	w.wantCode("enrol with a token not known here", err, sess.CodeExpired)
	// What a machine says of itself is cut and cleaned, and can't hurt.
	in := enrolIn(t, tok.Secret, "\x1b[2Jweb\x00"+strings.Repeat("é", 4000))
	in.Body.OS, in.Body.Version = strings.Repeat("x", 1<<16), "\xff\xfe\u202ev1"
	out := must[api.EnrolOut](w, "enrol")(w.Enrol(t.Context(), home, in))
	inst := must[api.Instance](w, "show")(w.GetInstance(t.Context(), admin, api.InstanceRef{Instance: string(out.Instance)}))
	if inst.Name != "2jweb" || strings.ContainsAny(inst.Hostname, "\x00\x1b") || len(inst.Hostname) > 255 || len(inst.OS) != 32 || inst.Version != "v1" {
		t.Errorf("instance = %+v", inst)
	}
	w.wantEvent("box", `"enrol"`, `"refused"`)
}
