package broker_test

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

func (w *world) instanceRow() store.Instance {
	w.t.Helper()
	var i store.Instance
	storetest.Read(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		var err error
		i, err = tx.GetLiveInstance(ctx, w.org, w.instance)
		return err
	})
	return i
}

// Who can't prove to be the agent of an instance is refused, with a reason.
func TestHelloRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		other, _ := w.newInstance(w.org, w.project, "web-2")
		for name, change := range map[string]hello{
			"unknown":       func(h *wire.AgentHello) { h.Instance = sess.NewInstanceID() },
			"another's key": func(h *wire.AgentHello) { h.Instance = other },
			"no signature":  func(h *wire.AgentHello) { h.Signature = []byte{} },
		} {
			a := w.dial(change)
			if c := a.want(wire.ControlRefuse); c.Code != sess.CodeUnauthenticated || c.Message == "" || c.Hint == "" {
				t.Errorf("%s: refused with %+v", name, c)
			}
			a.close()
		}
		if c := w.dial(func(h *wire.AgentHello) { h.Protocol = 0 }).want(wire.ControlRefuse); c.Code != sess.CodeInvalid {
			t.Errorf("no version: refused with %+v", c)
		}
		// A hello that was heard on another link is worth nothing here.
		a := w.connect()
		heard := ed25519.Sign(w.agentKey, wire.SignedMessage(wire.PurposeAgentHello, []byte(a.nonce), []byte(serverName)))
		if c := w.dial(func(h *wire.AgentHello) { h.Signature = heard }).want(wire.ControlRefuse); c.Code != sess.CodeUnauthenticated {
			t.Errorf("replayed: refused with %+v", c)
		}
		if !w.online() {
			t.Error("a refused link made the instance go offline")
		}
		a.close()
	})
}

// Of an instance's links the newest counts: it closes the one before, whose end changes nothing any more.
func TestNewerLink(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		old := w.connect()
		if i := w.instanceRow(); i.Node != w.node || i.Link != 1 || i.Hostname != "web-1.local" || i.Address != addr.String() {
			t.Fatalf("row = %+v", i)
		}
		fresh := w.connect()
		if c, err := old.read(); err == nil {
			t.Fatalf("the old link says %+v", c)
		}
		old.close()
		if i := w.instanceRow(); i.Node != w.node || i.Link != 2 {
			t.Fatalf("row = %+v", i)
		}
		w.start(fresh)
		w.pass(time.Minute)
		fresh.close()
		if i := w.instanceRow(); i.Node != "" || *i.LastSeen != store.Micros(w.clock()) {
			t.Fatalf("row = %+v", i)
		}
		if w.online() {
			t.Error("online without a link")
		}
	})
}

// An agent's signs of life and load are written together, now and then.
func TestTouch(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		before := *w.instanceRow().LastSeen
		w.pass(30 * time.Second)
		a.send(wire.Control{T: wire.ControlBeat, Load: &wire.Load{Load1: 0.5, MemTotal: 1 << 30}})
		a.send(wire.Control{T: "something newer"})
		a.settled() // so what came before was read
		if got := *w.instanceRow().LastSeen; got != before {
			t.Errorf("a beat alone wrote")
		}
		if err := broker.Touch(t.Context(), w.Service); err != nil {
			t.Fatal(err)
		}
		if i := w.instanceRow(); *i.LastSeen != store.Micros(w.clock()) || !strings.Contains(i.Load, `"load1":0.5`) {
			t.Errorf("row = %+v", i)
		}
	})
}

// What an agent says of its host is bounded and can't draw on anybody's terminal.
func TestHostIsCleaned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.connect(func(h *wire.AgentHello) {
		h.Host.Hostname = "web\x1b[2J-1\n" + strings.Repeat("é", 300)
		h.Host.Kernel = strings.Repeat("6", 1000)
		h.Host.Addrs = make([]string, 200)
		h.Sessions = []sess.SessionID{"", "nonsense", "ses_0000000000000000"}
	})
	i := w.instanceRow()
	if !strings.HasPrefix(i.Hostname, "web[2J-1é") || len(i.Hostname) > 255 || len(i.Host) > 2000 {
		t.Errorf("row = %+v", i)
	}
}

// An agent's refusal ends the session, and its words reach the user.
func TestReject(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		s := w.start(a)
		a.send(wire.Control{T: wire.ControlReject, Session: s.id, Code: sess.CodeDenied, Message: "no user \x1b]deploy", Hint: "allow_users in agent.conf"})
		f := w.wantCut(s.id)
		if f.Reason != sess.EndRejected || !strings.Contains(f.Message, "no user ]deploy (allow_users in agent.conf)") {
			t.Errorf("cut with %+v", f)
		}
		w.wantEnd(s.id, sess.EndRejected)
		_, err := w.join(s, s.client.Token, s.key)
		wantCode(t, "join", err, sess.CodeEnded)

		// It is too late to refuse what runs, and not its business to refuse another's.
		running := w.both(a)
		a.send(wire.Control{T: wire.ControlReject, Session: running.id})
		a.send(wire.Control{T: wire.ControlReject, Session: sess.NewSessionID()})
		a.send(wire.Control{T: wire.ControlWant, Session: running.id})
		a.want(wire.ControlTicket)
		w.wantState(running.id, sess.StateActive)
	})
}

// An agent gets tickets for its own sessions only.
func TestWantOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	a := w.connect()
	s := w.both(a)
	other, key := w.newInstance(w.org, w.project, "web-2")
	w.instance, w.agentKey = other, key
	b := w.dial(lists(s.id))
	b.want(wire.ControlWelcome)
	b.want(wire.ControlEnded) // it said that it runs what is not its own
	b.send(wire.Control{T: wire.ControlWant, Session: s.id})
	if c := b.want(wire.ControlEnded); c.Session != s.id || c.Ticket != "" {
		t.Errorf("answer = %+v", c)
	}
	w.wantState(s.id, sess.StateActive)
}

// The agent reconnects in the middle of a start: the offer is not lost, and comes once.
func TestOfferSurvivesReconnect(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.connect()
		k := newKey(t)
		ticket, err := w.Start(t.Context(), w.alice, startIn(t, "web-1", k))
		if err != nil {
			t.Fatal(err)
		}
		a.close() // with the offer unread
		a = w.connect()
		offer := a.want(wire.ControlOffer)
		s := session{id: ticket.Session, key: k, client: ticket, agent: offer.Ticket}
		if offer.Session != s.id {
			t.Fatalf("offered %s", offer.Session)
		}
		if j, err := w.joinAgent(s, s.agent); err != nil || j.AgentGen < 2 {
			t.Fatalf("join: %+v, %v", j, err)
		}
		w.wantState(s.id, sess.StatePending)
		a.settled() // and no second offer before that
	})
}

// Going offline is an event; so is coming.
func TestConnectEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.connect().close()
	w.connect().close()
	for act, want := range map[policy.Action]int{policy.InstanceConnect: 2, policy.InstanceDisconnected: 2} {
		if n := w.events("", act, "allowed"); n != want {
			t.Errorf("%d events %s, want %d", n, act, want)
		}
	}
}

// The same over a real WebSocket.
func TestRealLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	served := make(chan error, 1)
	hs := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		conn, err := link.Accept(rw, r, wire.ControlSubprotocol)
		if err != nil {
			served <- err
			return
		}
		served <- w.ServeAgent(w.t.Context(), conn, addr)
	}))
	defer hs.Close()
	u, _ := url.Parse(hs.URL)
	d := &link.Dialer{Server: link.Server{URL: u, Pin: link.Pin(hs.Certificate())}}
	defer d.CloseIdle()
	conn, err := d.Dial(t.Context(), "wss://"+u.Host+"/v1/agent", wire.ControlSubprotocol, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, w: w, conn: conn, done: served}
	a.hello()
	a.want(wire.ControlWelcome)
	w.eventually("online", w.online)
	s := w.both(a)
	if _, err := w.End(t.Context(), w.alice, endIn(s.id, "")); err != nil {
		t.Fatal(err)
	}
	a.wantOrder()
	w.wantCut(s.id)
	a.close()
	if w.online() {
		t.Error("online without a link")
	}
}
