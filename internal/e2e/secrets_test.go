package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// keeper has the secrets that were made, and what was said to people along the way.
type keeper struct {
	*world

	t       *testing.T
	secrets map[string][]string // by what they are
	said    bytes.Buffer        // all that commands wrote on standard error, and answers that are failures
}

// TestNoSecretAtRest makes one of everything that is secret on a real server, uses some of it rightly and some wrongly, and
// looks for each, in clear, base64 and hex, in all that the server keeps: the database and its log, the recordings, what it
// logs, and what it says when something fails. Only the data directory's keys are left out, which lie nowhere else.
func TestNoSecretAtRest(t *testing.T) {
	t.Parallel()
	w, err := newWorld("", func(w *world) { w.flags = []string{"--log-level", "debug", "--idp-allow-private"} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.finish(t) })
	k := &keeper{world: w, t: t, secrets: map[string][]string{}}
	k.people()
	if err := w.addAgent("web-1"); err != nil {
		t.Fatal(err)
	}
	k.invited()
	k.machines()
	k.sessions()
	k.providers()
	k.factors()
	k.mistakes()
	k.search("while it runs")
	for _, kind := range sess.TokenKinds() {
		if len(k.secrets[string(kind)]) == 0 {
			t.Errorf("no token of the kind %s was made: teach TestNoSecretAtRest how they come to be", kind)
		}
	}
	// After a restart the write-ahead log is in the database.
	if err := w.stopServer(9); err != nil {
		t.Fatal(err)
	}
	if err := w.startServer(); err != nil {
		t.Fatal(err)
	}
	k.search("after a restart")
}

// keep notes a secret.
func (k *keeper) keep(what, secret string) string {
	k.t.Helper()
	if len(secret) < 6 {
		k.t.Fatalf("%s: %q is no secret", what, secret)
	}
	if kind, _, _ := strings.Cut(secret, "_"); slices.Contains(sess.TokenKinds(), sess.TokenKind(kind)) {
		what = kind
	}
	k.secrets[what] = append(k.secrets[what], secret)
	return secret
}

// run runs sessctl as the admin with its login, and keeps every token that it prints or leaves in its files.
func (k *keeper) run(in string, args ...string) answer {
	k.t.Helper()
	a := result(k.ctl(k.t.Context(), args...), strings.NewReader(in))
	tokens := regexp.MustCompile(sess.TokenPattern())
	if a.code != 0 {
		k.said.Write(slices.Concat(a.err, a.out))
	} else { // what is printed to be copied is not said in passing
		k.said.Write(tokens.ReplaceAll(a.err, nil))
	}
	stored, _ := os.ReadFile(k.path("admin", "credentials.json"))
	for _, text := range [][]byte{a.out, a.err, stored} {
		for _, token := range tokens.FindAllString(string(text), -1) {
			if a.code == 0 {
				k.keep("token", token)
			}
		}
	}
	return a
}

// must is run for what has to work.
func (k *keeper) must(in string, args ...string) answer {
	k.t.Helper()
	a := k.run(in, args...)
	if a.code != 0 {
		k.t.Fatalf("sessctl %q: exit %d: %s", args, a.code, a.err)
	}
	return a
}

// api calls the API and gives the fields of the answer.
func (k *keeper) api(method, path, body string) map[string]any {
	k.t.Helper()
	args := []string{"api", method, path}
	if body != "" {
		args = append(args, "--input", "-")
	}
	var out map[string]any
	if a := k.must(body, args...); json.Unmarshal(a.out, &out) != nil {
		k.t.Fatalf("%s %s: %s", method, path, a.out)
	}
	return out
}

// file writes a secret into a file for a command to read.
func (k *keeper) file(name, text string) string {
	k.t.Helper()
	if err := os.WriteFile(k.path(name), []byte(text+"\n"), 0o600); err != nil {
		k.t.Fatal(err)
	}
	return k.path(name)
}

// people: the first admin's link and password, logins.
func (k *keeper) people() {
	k.t.Helper()
	link, err := k.link()
	if err != nil {
		k.t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		k.t.Fatal(err)
	}
	k.keep("invitation", u.Fragment)
	k.keep("password", adminPassword)
	k.file("password", adminPassword)
	k.must("", "accept", link, "--email", adminEmail, "--password-file", k.path("password"))
	k.must("", "login", "--server", k.url(), "--email", adminEmail, "--password-file", k.path("password"))
	k.key = strings.TrimSpace(string(k.must("", "key", "create", "evidence").out))
}

// invited: links and temporary passwords of people who are invited, and links that set new ones.
func (k *keeper) invited() {
	k.t.Helper()
	as := func(name string, in string, args ...string) {
		k.t.Helper()
		cmd := k.ctl(k.t.Context(), args...)
		cmd.Env = append(cmd.Env, "SESSCTL_CONFIG_DIR="+k.path(name))
		a := result(cmd, strings.NewReader(in))
		if a.code != 0 {
			k.t.Fatalf("sessctl %.40q: exit %d: %s", args, a.code, a.err)
		}
		stored, _ := os.ReadFile(k.path(name, "credentials.json"))
		for _, token := range regexp.MustCompile(sess.TokenPattern()).FindAllString(string(stored), -1) {
			k.keep("token", token)
		}
	}
	bob := k.api("POST", "/v1/users", `{"email":"bob@example.com","role":"operator"}`)
	link, _ := bob["link"].(string)
	u, err := url.Parse(link)
	if err != nil {
		k.t.Fatal(err)
	}
	k.keep("invitation", u.Fragment)
	k.file("bobs", k.keep("password", "four grey herons fly"))
	as("bob", "", "accept", link, "--password-file", k.path("bobs"))
	k.api("POST", "/v1/users", `{"email":"dan@example.com"}`) // whose link nobody uses
	carol := k.api("POST", "/v1/users", `{"email":"carol@example.com","temporary_password":true}`)
	temporary, _ := carol["temporary_password"].(string)
	k.keep("temporary password", temporary)
	k.api("POST", "/v1/login", `{"email":"carol@example.com","password":"`+temporary+`"}`)
	for range 2 {
		reset := k.api("POST", "/v1/users/bob@example.com/reset", "")
		link, _ = reset["link"].(string)
		if u, err = url.Parse(link); err != nil {
			k.t.Fatal(err)
		}
		k.keep("reset", u.Fragment)
	}
	k.api("POST", "/v1/password/reset", `{"token":"`+u.Fragment+`","password":"`+k.keep("password", "five white swans land")+`"}`)
}

// machines: API keys, enrolment tokens.
func (k *keeper) machines() {
	k.t.Helper()
	k.must("", "user", "create", "--machine", "ci", "--role", "operator")
	k.must("", "key", "create", "--user", "ci")
	key := k.api("POST", "/v1/keys", `{"user":"ci","from":["127.0.0.1"]}`)
	id, _ := key["id"].(string)
	k.must("", "key", "rotate", id)
	k.must("", "token", "create", "--uses", "2")
	k.must("", "token", "create", "--json")
}

// sessions: tickets. What a session carries is not secret to the recording, so nothing that is goes through it.
func (k *keeper) sessions() {
	k.t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		k.t.Fatal(err)
	}
	point, err := own.PublicKey.Bytes()
	if err != nil {
		k.t.Fatal(err)
	}
	k.must("some input", "exec", "web-1", "--", "cat")
	ticket := k.api("POST", "/v1/sessions", `{"instance":"web-1","kind":"exec","params":"`+
		base64.StdEncoding.EncodeToString([]byte(`{"argv":["true"]}`))+`","public_key":"`+base64.StdEncoding.EncodeToString(point)+`"}`)
	token, _ := ticket["token"].(string)
	k.keep("ticket", token)
	id, _ := ticket["session"].(string)
	share := k.api("POST", "/v1/sessions/"+id+"/shares", `{"role":"observer"}`)
	link, _ := share["link"].(string)
	if _, token, err = sess.ParseShareLink(link); err != nil {
		k.t.Fatal(err)
	}
	k.keep("share", token)
	k.must("", "session", "end", id)
}

// providers: the client secret of an identity provider, the codes of a login that a browser ends.
func (k *keeper) providers() {
	k.t.Helper()
	k.api("POST", "/v1/idps", `{"name":"hub","kind":"github","secret":"`+k.keep("client secret", "cs-4f0b7c1d9e2a6835")+`","settings":{"client_id":"c","allow_orgs":["o"]}}`)
	k.api("PATCH", "/v1/idps/hub", `{"secret":"`+k.keep("client secret", "cs-another-one-77b3")+`"}`)
	device := k.api("POST", "/v1/login/device", `{"client":"test"}`)
	code, _ := device["device_code"].(string)
	k.keep("device code", code)
	user, _ := device["user_code"].(string)
	k.keep("user code", user)
}

// factors: the secret of an authenticator app and recovery codes, on a server that has them.
func (k *keeper) factors() {
	k.t.Helper()
	reference, err := os.ReadFile("../../docs/reference/openapi.json")
	if err != nil {
		k.t.Fatal(err)
	}
	if !bytes.Contains(reference, []byte(`"/v1/mfa/totp"`)) {
		return
	}
	enrolment := k.api("POST", "/v1/mfa/totp", "")
	text, _ := enrolment["secret"].(string)
	k.keep("authenticator secret", text)
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(strings.TrimRight(text, "=")))
	if err != nil {
		k.t.Fatal(err)
	}
	k.keep("authenticator secret", string(key))
	confirmed := k.api("POST", "/v1/mfa/totp/confirm", `{"code":"`+totp(key, time.Now())+`"}`)
	codes, _ := confirmed["recovery_codes"].([]any)
	for _, c := range codes {
		code, _ := c.(string)
		k.keep("recovery code", code)
	}
	if len(codes) == 0 {
		k.t.Errorf("no recovery codes: %v", confirmed)
	}
	k.run(`{"email":"`+adminEmail+`","password":"`+adminPassword+`"}`, "api", "POST", "/v1/login", "--input", "-")
}

// totp gives the code of an authenticator app at a time (RFC 6238).
func totp(key []byte, at time.Time) string {
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

func TestTOTPOfTheTests(t *testing.T) {
	if got := totp([]byte("12345678901234567890"), time.Unix(59, 0)); got != "287082" {
		t.Errorf("the code of RFC 6238's first example is %s", got)
	}
}

// mistakes: secrets typed in the wrong place, used twice, cut off.
func (k *keeper) mistakes() {
	k.t.Helper()
	typed := k.keep("typed password", "wrong donkey 9 saddle")
	k.file("typed", typed)
	fail := func(env []string, in string, args ...string) {
		k.t.Helper()
		cmd := k.ctl(k.t.Context(), args...)
		cmd.Env = append(cmd.Env, env...)
		a := result(cmd, strings.NewReader(in))
		if a.code == 0 {
			k.t.Errorf("sessctl %q: that should have failed", args)
		}
		k.said.Write(a.out)
		k.said.Write(a.err)
	}
	server := "SESSCTL_SERVER=" + k.url()
	fail(nil, "", "login", "--server", k.url(), "--email", adminEmail, "--password-file", k.path("typed"))
	fail(nil, "", "login", "--server", k.url(), "--email", typed, "--password-file", k.path("password"))
	fail(nil, "", "login", "--server", k.url(), "--email", typed+"@example.com", "--password-file", k.path("typed"))
	for kind, secrets := range k.secrets {
		s := secrets[0]
		fail([]string{server, "SESSCTL_API_KEY=" + s[:len(s)-1]}, "", "whoami")
		if kind != string(sess.TokenAPIKey) && kind != string(sess.TokenLogin) {
			fail([]string{server, "SESSCTL_API_KEY=" + s}, "", "whoami")
		}
		body, err := json.Marshal(map[string]string{"email": s, "password": s, "token": s, "name": s, "client": s, "device_code": s + "x"})
		if err != nil {
			k.t.Fatal(err)
		}
		for _, path := range []string{"/v1/login", "/v1/accept", "/v1/enrol", "/v1/login/redeem", "/v1/accept/look", "/v1/password/reset"} {
			fail(nil, string(body), "api", "POST", path, "--input", "-")
		}
	}
}

// forms gives what a secret looks like wherever it may lie: as it is, in hex, and in base64 whatever stands before it.
func forms(secret string) []string {
	out := []string{secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	if _, body, ok := strings.Cut(secret, "_"); ok && len(body) > 20 {
		out = append(out, body)
	}
	for before := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString([]byte(strings.Repeat("x", before) + secret))
			text = text[(before*8+5)/6 : len(text)-1] // without what its neighbours share
			if len(text) >= 8 {
				out = append(out, text)
			}
		}
	}
	return out
}

// search looks for every secret in all that is kept and was said.
func (k *keeper) search(when string) {
	k.t.Helper()
	places := map[string][]byte{"what was said": k.said.Bytes()}
	read := func(name, path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			k.t.Fatal(err)
		}
		places[name] = b
	}
	err := filepath.WalkDir(k.path("data"), func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(k.path("data"), path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && name == "keys":
			return fs.SkipDir
		case d.Type().IsRegular():
			read(name, path)
		}
		return nil
	})
	logs, _ := filepath.Glob(k.path("*.log"))
	for _, l := range logs {
		read(filepath.Base(l), l)
	}
	if err != nil || len(logs) < 2 {
		k.t.Fatalf("%d logs, %v", len(logs), err)
	}
	// The link of the first start is printed for the box's owner, once.
	places["server.log"] = acceptLink.ReplaceAll(places["server.log"], nil)
	k.sees(places)
	found := 0
	for what, secrets := range k.secrets {
		for _, s := range secrets {
			for _, form := range forms(s) {
				for place, text := range places {
					if bytes.Contains(text, []byte(form)) {
						found++
						k.t.Errorf("%s: the %s %.12s… is in %s", when, what, s, place)
					}
				}
			}
		}
	}
	k.t.Logf("%s: %d kinds of secrets in %d places: %d found", when, len(k.secrets), len(places), found)
}

// sees fails when the search would not find what is there.
func (k *keeper) sees(places map[string][]byte) {
	k.t.Helper()
	db := slices.Concat(places["sess.db"], places["sess.db-wal"])
	for _, there := range []string{adminEmail, sess.HashToken(k.key), "web-1"} {
		if !bytes.Contains(db, []byte(there)) {
			k.t.Errorf("the database does not have %q: this test does not see what it keeps", there)
		}
	}
	if !bytes.Contains(places["server.log"], []byte("level=DEBUG")) || !bytes.Contains(places["what was said"], []byte("wrong")) {
		k.t.Error("this test does not see what is logged and said")
	}
	recorded := 0
	for name := range places {
		if strings.HasPrefix(name, "recordings"+string(filepath.Separator)) {
			recorded++
		}
	}
	if recorded == 0 {
		k.t.Error("there is no recording to look into")
	}
}
