package broker_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// A session from start to its recording, with what each step leaves behind.
func TestLife(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect().settled()
		k := newKey(t)
		in := startIn(t, "web-1", k)
		in.Body.Reason, in.Body.OSUser = "ticket 42", "deploy"
		ticket, err := w.Start(t.Context(), w.alice, in)
		if err != nil {
			t.Fatal(err)
		}
		if ticket.StreamURL != "wss://box.example:8443/v1/stream" || ticket.Server != serverName || ticket.Instance != "web-1" ||
			ticket.GraceMS != 60_000 || !ticket.ExpiresAt.Equal(w.clock().Add(10*time.Minute)) {
			t.Fatalf("ticket = %+v", ticket)
		}
		c := a.want(wire.ControlOffer)
		var o wire.Offer
		if err := c.Signed.Verify([]ed25519.PublicKey{w.key.Public().(ed25519.PublicKey)}, wire.PurposeOffer, &o); err != nil {
			t.Fatal(err)
		}
		if hash := sha256.Sum256(in.Body.Params); o.Nonce != a.nonce || o.Session != ticket.Session || o.Instance != w.instance ||
			o.OSUser != "deploy" || o.By != "alice@example.com" || o.Kind != sess.KindExec || !bytes.Equal(o.ParamsHash, hash[:]) {
			t.Fatalf("offer = %+v", o)
		}
		s := session{id: ticket.Session, key: k, client: ticket, agent: c.Ticket}
		w.wantState(s.id, sess.StatePending)

		j, err := w.joinAgent(s, s.agent)
		if err != nil {
			t.Fatal(err)
		}
		if !j.First || j.Epoch != 1 || j.AgentGen != 1 || j.ClientGen != 0 || j.Window != sess.WindowBulk || j.Grace != time.Minute ||
			j.Side != sess.SideAgent || strings.Join(j.Command, " ") != "uptime -p" {
			t.Fatalf("agent joined as %+v", j)
		}
		w.present(s, 1, sess.SideAgent, true)
		w.wantState(s.id, sess.StatePending)
		j, err = w.join(s, s.client.Token, k)
		if err != nil {
			t.Fatal(err)
		}
		if !j.First || j.Takeover || j.Epoch != 1 || j.AgentGen != 1 || j.ClientGen != 1 || j.UserName != "alice@example.com" {
			t.Fatalf("client joined as %+v", j)
		}
		w.present(s, 1, sess.SideClient, true)
		w.wantState(s.id, sess.StateActive)
		w.pass(3 * time.Second)
		w.present(s, 1, sess.SideClient, false)
		w.wantState(s.id, sess.StateDetached)
		w.present(s, 1, sess.SideClient, true)
		w.wantState(s.id, sess.StateActive)

		w.exited(s, 1, 7)
		w.exited(s, 1, 7) // the agent says so until it is answered
		if err := w.Delivered(t.Context(), w.org, s.id, 1); err != nil {
			t.Fatal(err)
		}
		if err := w.Recorded(t.Context(), w.org, s.id, sess.Recorded{State: sess.RecordingComplete, Bytes: 120, Stored: 60, Digest: "ab12", Moved: sess.Traffic{In: 3, Out: 50, Err: 2}}); err != nil {
			t.Fatal(err)
		}
		w.wantEnd(s.id, sess.EndExit)
		for act, n := range map[policy.Action]int{
			policy.SessionStart: 1, policy.SessionStarted: 1, policy.SessionDetached: 1, policy.SessionJoined: 1,
			policy.SessionRedeem: 2, policy.RecordingClosed: 1,
		} {
			if got := w.events(s.id, act, "allowed"); got != n {
				t.Errorf("%d events %s, want %d", got, act, n)
			}
		}
		shown, err := w.Show(t.Context(), w.alice, api.SessionRef{Session: string(s.id[:10])})
		if err != nil {
			t.Fatal(err)
		}
		if shown.Exit == nil || shown.Exit.Status != 7 || shown.EndReason != sess.EndExit || shown.Reason != "ticket 42" ||
			strings.Join(shown.Command, " ") != "uptime -p" || shown.StartedAt == nil || shown.ClientAddr != addr.String() {
			t.Fatalf("shown = %+v", shown)
		}
		rec, err := w.Replay(t.Context(), w.alice, api.SessionRef{Session: string(s.id)})
		if err != nil || rec.State != sess.RecordingComplete || rec.DurationMS != 3000 || rec.Bytes != 120 {
			t.Fatalf("recording = %+v, %v", rec, err)
		}
		w.wantNoCut()
	})
}

// Unknown, offline, not allowed and malformed are four different answers, each with what to do next.
func TestStartAnswers(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ask := func(who sess.Principal, change func(*api.StartIn)) error {
			in := startIn(t, "web-1", newKey(t))
			if change != nil {
				change(&in)
			}
			_, err := w.Start(t.Context(), who, in)
			return err
		}
		named := func(name string) func(*api.StartIn) { return func(in *api.StartIn) { in.Body.Instance = name } }

		e := wantCode(t, "never connected", ask(w.alice, nil), sess.CodeOffline)
		if !strings.Contains(e.Message, "never connected") || e.Hint == "" {
			t.Errorf("never connected: %+v", e)
		}
		a := w.connect()
		a.close()
		w.pass(4 * time.Minute)
		if e := wantCode(t, "offline", ask(w.alice, nil), sess.CodeOffline); e.Message != "web-1 is offline, last seen 4 min ago" || e.Hint == "" {
			t.Errorf("offline: %+v", e)
		}
		a = w.connect()
		for _, name := range []string{"web-9", "", "%", "_", "web-1%", string(sess.NewInstanceID())} {
			if e := wantCode(t, name, ask(w.alice, named(name)), sess.CodeNotFound); e.Hint == "" {
				t.Errorf("unknown: %+v", e)
			}
		}
		wantCode(t, "read-only", ask(w.carol, nil), sess.CodeDenied)
		wantCode(t, "no role", ask(w.eve, nil), sess.CodeDenied)
		wantCode(t, "no role, and no such thing", ask(w.eve, named("web-9")), sess.CodeDenied)
		mallory := w.member(first(w.newOrg("other")), "mallory@example.com", sess.RoleAdmin)
		wantCode(t, "another org", ask(mallory, named(string(w.instance))), sess.CodeNotFound)

		wantCode(t, "kind", ask(w.alice, func(in *api.StartIn) { in.Body.Kind = "party" }), sess.CodeInvalid)
		wantCode(t, "params", ask(w.alice, func(in *api.StartIn) { in.Body.Params = []byte("{}") }), sess.CodeInvalid)
		wantCode(t, "huge", ask(w.alice, func(in *api.StartIn) { in.Body.Params = make([]byte, sess.MaxParams+1) }), sess.CodeTooLarge)
		for name, key := range map[string][]byte{
			"none": nil, "short": {4, 1, 2}, "not on the curve": append([]byte{4}, make([]byte, 64)...),
			"compressed": append([]byte{2}, newKey(t).public(t)[1:33]...),
		} {
			wantCode(t, "key "+name, ask(w.alice, func(in *api.StartIn) { in.Body.PublicKey = key }), sess.CodeInvalid)
		}

		w.newInstance(w.org, w.project, "web-2")
		if e := wantCode(t, "ambiguous", ask(w.alice, named("we")), sess.CodeInvalid); !strings.Contains(e.Message, "web-1, web-2") {
			t.Errorf("ambiguous: %+v", e)
		}
		for _, name := range []string{"web-1", string(w.instance), string(w.instance[:9])} {
			if err := ask(w.alice, named(name)); err != nil {
				t.Errorf("start on %q: %v", name, err)
			}
			a.want(wire.ControlOffer)
		}
	})
}

func first[A, B any](a A, _ B) A { return a }
