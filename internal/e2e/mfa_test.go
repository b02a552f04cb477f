package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"
)

// phone is an authenticator app that knows one secret.
type phone struct {
	secret string
	last   int64 // the step of the code shown last
}

// code gives a code that was not given before, waiting for the step in which the server accepts it.
func (p *phone) code(t *testing.T) string {
	t.Helper()
	now := func() int64 { return time.Now().Unix() / int64(totpStep/time.Second) }
	step := max(p.last+1, now()-1)
	if step == now()-1 && time.Until(time.Unix((step+2)*30, 0)) < totpStep/2 {
		step++ // this one is nearly too old
	}
	for deadline := time.Now().Add(2 * totpStep); step > now()+1; <-time.After(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("the clock stands still")
		}
	}
	p.last = step
	code, err := hotp.GenerateCode(p.secret, uint64(step))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// TestSecondFactorAtATerminal: where the organisation demands a second factor, a login steers through its enrolment, and a
// policy that wants a fresh one has start ask for a code and go on.
func TestSecondFactorAtATerminal(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := w.do("api", "PATCH", "/v1/org/settings", "--input", file("set.json", `{"settings":{"require-mfa":"on"}}`)); err != nil {
		t.Fatal(err)
	}
	password, err := os.ReadFile(w.path("password"))
	if err != nil {
		t.Fatal(err)
	}

	s := sitAt(t, w.env(), 100, 60, filepath.Join(binaries, "sessctl"), "login", "--server", w.url(), "--email", adminEmail)
	s.see("Password:")
	s.typ(strings.TrimSpace(string(password)) + "\r")
	s.see("demands a second factor")
	s.see("or type in the secret:")
	m := regexp.MustCompile(`type in the secret: ([A-Z2-7 ]+)`).FindStringSubmatch(s.text())
	if m == nil {
		t.Fatalf("no secret on the screen:\n%s", s.text())
	}
	p := &phone{secret: strings.ReplaceAll(strings.TrimSpace(m[1]), " ", "")}
	if got := scan(t, s.text()); !strings.HasPrefix(got, "otpauth://totp/") || !strings.Contains(got, "secret="+p.secret) || !strings.Contains(got, "admin") {
		t.Errorf("the QR code says %q, the secret is %s", got, p.secret)
	}
	s.see("The code it shows now:")
	s.typ("000000\r")
	s.see("the code is wrong")
	s.typ(p.code(t) + "\r")
	s.see("keep these recovery codes")
	s.see("logged in to")
	s.exits(0)

	// The next login asks for a code, and again after a wrong one.
	s = sitAt(t, w.env(), 100, 30, filepath.Join(binaries, "sessctl"), "login", "--server", w.url(), "--email", adminEmail)
	s.see("Password:")
	s.typ(strings.TrimSpace(string(password)) + "\r")
	s.see("Code of your authenticator app:")
	s.typ("000000\r")
	s.see("wrong, or was used before")
	s.typ(p.code(t) + "\r")
	s.see("logged in to")
	s.exits(0)

	// A policy wants a fresh one.
	fresh := `@id("fresh") forbid (principal, action == Action::"session:start", resource) unless { context has mfaAge && context.mfaAge < 2 };`
	if err := w.do("policy", "put", "fresh", file("fresh.cedar", fresh)); err != nil {
		t.Fatal(err)
	}
	for { // the factor of the login grows old
		cmd := exec.Command(filepath.Join(binaries, "sessctl"), "exec", "web-1", "--", "true")
		cmd.Env = w.env()
		out, err := cmd.CombinedOutput()
		if err != nil {
			if !strings.Contains(string(out), "second factor") {
				t.Fatalf("a factor that is not fresh: %v, %s", err, out)
			}
			break
		}
		<-time.After(300 * time.Millisecond)
	}
	s = w.sit(t, "start", "web-1", "--", "sh", "-c", "echo in''side; read x")
	s.see("second factor")
	s.see("Code of your authenticator app:")
	s.typ(p.code(t) + "\r")
	s.see("inside")
	s.typ("\r")
	s.exits(0)
}
