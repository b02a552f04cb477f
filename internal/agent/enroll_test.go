package agent_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/sess"
)

func TestEnroll(t *testing.T) {
	w := newWorld(t)
	id, err := agent.Enroll(t.Context(), w.enrolment())
	if err != nil {
		t.Fatal(err)
	}
	if id.Instance != w.id || id.Name != "web-1" || id.ServerName != serverName || id.Server != w.server.String() {
		t.Errorf("identity = %+v", id)
	}
	_, key, err := w.state.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !key.Public().(ed25519.PublicKey).Equal(w.agent) {
		t.Error("the key kept is not the key registered")
	}
	entries, err := os.ReadDir(string(w.state))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), fi.Mode())
		}
		b, _ := os.ReadFile(filepath.Join(string(w.state), e.Name()))
		if bytes.Contains(b, []byte(w.token)) {
			t.Errorf("%s holds the token", e.Name())
		}
	}
	_, err = agent.Enroll(t.Context(), w.enrolment())
	if !errors.Is(err, sess.ErrConflict) || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("second enrolment: %v, want a conflict that names the first", err)
	}
	again := w.enrolment()
	again.Force = true
	if _, err := agent.Enroll(t.Context(), again); err != nil {
		t.Errorf("forced enrolment: %v", err)
	}
	_, other, err := w.state.Load()
	if err != nil || key.Equal(other) {
		t.Errorf("a forced enrolment keeps the old key: %v", err)
	}
}

func TestEnrollMistakes(t *testing.T) {
	w := newWorld(t)
	unpinned, err := sess.NewToken(sess.TokenEnrol, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*agent.Enrolment)
		text   string
	}{
		"url":       {func(e *agent.Enrolment) { e.Server = "ftp://x" }, "no server URL"},
		"http":      {func(e *agent.Enrolment) { e.Server = "http://sess.example.com" }, "in the clear"},
		"token":     {func(e *agent.Enrolment) { e.Token = "sesn_xyz" }, "typing mistake"},
		"kind":      {func(e *agent.Enrolment) { e.Token = "abc" }, "no token"},
		"pins":      {func(e *agent.Enrolment) { e.Server += "#pin=sha256:" + strings.Repeat("00", 32) }, "not the pin in the token"},
		"untrusted": {func(e *agent.Enrolment) { e.Token = unpinned }, "not signed by anyone this machine trusts"},
		"used up": {func(e *agent.Enrolment) {
			e.Token, _ = sess.NewToken(sess.TokenEnrol, w.server.Pin)
		}, "used up"},
		"unreachable": {func(e *agent.Enrolment) { e.Server = "https://127.0.0.1:1" }, "can't reach 127.0.0.1:1"},
	} {
		e := w.enrolment()
		c.change(&e)
		_, err := agent.Enroll(t.Context(), e)
		var face *sess.Error
		if !errors.As(err, &face) || !strings.Contains(face.Message, c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
		if err != nil && strings.Contains(err.Error(), e.Token) {
			t.Errorf("%s: the error holds the token", name)
		}
		if w.state.Enrolled() {
			t.Errorf("%s: enrolled all the same", name)
		}
	}
}

func TestStateThatIsMissingOrDamaged(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.state.Load(); !errors.Is(err, sess.ErrNotFound) {
		t.Errorf("load of nothing: %v", err)
	}
	if _, err := agent.Enroll(t.Context(), w.enrolment()); err != nil {
		t.Fatal(err)
	}
	rewrite(t, w.state, `"instance"`, `"instanze"`)
	if _, _, err := w.state.Load(); !errors.Is(err, sess.ErrInvalid) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("load of a damaged identity: %v", err)
	}
}

func TestOneAgentForEachState(t *testing.T) {
	w := newWorld(t)
	w.start(agent.Config{})
	w.link()
	a, err := agent.New(agent.Options{State: w.state})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); !errors.Is(err, sess.ErrConflict) {
		t.Errorf("second agent: %v, want a conflict", err)
	}
	e := w.enrolment()
	e.Force = true
	if _, err := agent.Enroll(t.Context(), e); !errors.Is(err, sess.ErrConflict) {
		t.Errorf("enrolment under a running agent: %v, want a conflict", err)
	}
}

// rewrite changes text in the identity.
func rewrite(t *testing.T, state agent.StateDir, from, to string) {
	t.Helper()
	name := filepath.Join(string(state), "identity.json")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		t.Fatalf("identity lacks %q", from)
	}
	if err := os.WriteFile(name, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o600); err != nil {
		t.Fatal(err)
	}
}
