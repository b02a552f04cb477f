package broker_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// Whatever happens to a session in whatever order, the row stays true: one end and one event of it, epochs and
// generations that only grow, an exit status that is never changed, nobody in after the end.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	rapid.Check(t, func(rt *rapid.T) {
		w.t = t
		a := w.connect()
		defer a.close()
		s := w.start(a)
		m := model{w: w, s: s, agentTicket: s.agent, clientTicket: s.client.Token}
		steps := []func(){m.joinClient, m.joinAgent, m.come, m.leave, m.resume, m.exit, m.deliver, m.endIt, m.wait, m.tick}
		for range rapid.IntRange(3, 14).Draw(rt, "steps") {
			steps[rapid.IntRange(0, len(steps)-1).Draw(rt, "step")]()
			m.check(rt)
			if t.Failed() {
				rt.FailNow()
			}
		}
		for len(w.relay.by) > 0 {
			<-w.relay.by
		}
	})
}

type model struct {
	w                         *world
	s                         session
	agentTicket, clientTicket string
	last                      seen
}

type seen struct {
	epoch, client, agent int64
	ended                bool
	reason               sess.EndReason
	exit                 string
}

func (m *model) epoch() uint64 { return uint64(m.w.row(m.s.id).Epoch) }

func (m *model) joinClient() {
	_, err := m.w.join(m.s, m.clientTicket, m.s.key)
	m.allowed("client", err)
}

func (m *model) joinAgent() {
	_, err := m.w.joinAgent(m.s, m.agentTicket)
	m.allowed("agent", err)
}

// allowed checks that nobody gets in after an end that leaves nothing to fetch.
func (m *model) allowed(what string, err error) {
	if err == nil && m.last.ended && m.last.reason != sess.EndExit {
		m.w.t.Errorf("%s joined a session that ended (%s)", what, m.last.reason)
	}
	if err != nil && !errors.Is(err, sess.ErrEnded) && !errors.Is(err, &sess.Error{Code: sess.CodeExpired}) {
		m.w.t.Errorf("%s: %v", what, err)
	}
}

func (m *model) report(err error) {
	if err != nil && !errors.Is(err, sess.ErrEnded) {
		m.w.t.Errorf("report: %v", err)
	}
}

func (m *model) come()  { m.presence(true) }
func (m *model) leave() { m.presence(false) }

func (m *model) presence(here bool) {
	r := m.w.row(m.s.id)
	if r.ClientRedeemed > 0 {
		m.report(m.w.Present(m.w.t.Context(), m.w.org, m.s.id, m.epoch(), sess.SideClient, here))
	}
	if r.AgentRedeemed > 0 {
		m.report(m.w.Present(m.w.t.Context(), m.w.org, m.s.id, m.epoch(), sess.SideAgent, here))
	}
}

func (m *model) resume() {
	if t, err := m.w.resume(m.s, m.s.key); err == nil {
		m.clientTicket = t.Token
	} else if !errors.Is(err, sess.ErrEnded) {
		m.w.t.Errorf("resume: %v", err)
	}
}

func (m *model) exit() {
	if m.w.row(m.s.id).AgentRedeemed > 0 {
		m.report(m.w.Exited(m.w.t.Context(), m.w.org, m.s.id, m.epoch(), wire.Exit{Exit: sess.Exit{Status: 3}}))
	}
}

func (m *model) deliver() {
	if m.w.row(m.s.id).Exit != "" {
		m.report(m.w.Delivered(m.w.t.Context(), m.w.org, m.s.id, m.epoch()))
	}
}

func (m *model) endIt() {
	_, err := m.w.End(m.w.t.Context(), m.w.alice, endIn(m.s.id, ""))
	m.report(err)
}

func (m *model) wait() { m.w.pass(25 * time.Second) }
func (m *model) tick() { m.w.tick() }

func (m *model) check(rt *rapid.T) {
	r := m.w.row(m.s.id)
	now := seen{r.Epoch, r.ClientRedeemed, r.AgentRedeemed, r.State == sess.StateEnded, r.EndReason, r.Exit}
	before := m.last
	m.last = now
	events := m.w.events(m.s.id, policy.SessionEnded, "")
	switch {
	case now.epoch < before.epoch || now.client < before.client || now.agent < before.agent:
		rt.Fatalf("went back: %+v, before %+v", now, before)
	case before.ended && (!now.ended || now.reason != before.reason):
		rt.Fatalf("ended twice: %+v, before %+v", now, before)
	case before.exit != "" && now.exit != before.exit:
		rt.Fatalf("status changed: %+v, before %+v", now, before)
	case now.ended && events != 1, !now.ended && events != 0:
		rt.Fatalf("%d end events: %+v", events, now)
	case now.ended != (r.EndedAt != nil) || now.ended != (r.EndReason != ""):
		rt.Fatalf("half ended: %+v", r)
	case r.State == sess.StateActive && (r.StartedAt == nil || r.OwnerAt == nil || r.DetachedAt != nil):
		rt.Fatalf("active without both: %+v", r)
	case r.State == sess.StateDetached && (r.StartedAt == nil || r.DetachedAt == nil):
		rt.Fatalf("detached without having been started: %+v", r)
	case r.State == sess.StatePending && r.StartedAt != nil && r.OwnerAt != nil:
		rt.Fatalf("pending though both have been there: %+v", r)
	}
}
