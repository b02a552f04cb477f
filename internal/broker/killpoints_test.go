package broker_test

import (
	"testing"
	"time"

	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// killed is a session with whoever is in it, until somebody is killed.
type killed struct {
	*world
	a     *agent
	s     session
	epoch uint64
	token string         // a ticket that is not used yet
	in    *broker.Joined // the client's connection
	here  [2]bool        // the client, the agent: the relay has said so
	key   sessionKey     // the client's now
}

// steps are what happens in the life of a session, from its start to its end; between any two somebody may die.
var steps = []struct {
	name string
	do   func(*killed)
}{
	{"claimed", func(k *killed) {
		k.s = k.start(k.a)
		k.key, k.token = k.s.key, k.s.client.Token
	}},
	{"the client's ticket is redeemed", (*killed).redeem},
	{"the client is there", func(k *killed) { k.comes(sess.SideClient, true) }},
	{"the agent's ticket is redeemed", func(k *killed) {
		_, err := k.joinAgent(k.s, k.s.agent)
		k.must(err)
		k.epoch = 1
	}},
	{"both are there", func(k *killed) { k.comes(sess.SideAgent, true) }},
	{"the client has left", (*killed).leaves},
	{"its way back has a ticket", func(k *killed) {
		t, err := k.resume(k.s, k.key)
		k.must(err)
		k.token = t.Token
	}},
	{"which is redeemed", (*killed).redeem},
	{"it is there again", func(k *killed) { k.comes(sess.SideClient, true) }},
	{"another takes over, and has a ticket", func(k *killed) {
		k.key = newKey(k.t)
		t, err := k.attach(k.alice, k.s, k.key)
		k.must(err)
		k.token = t.Token
	}},
	{"which is redeemed, too", func(k *killed) {
		was := k.in
		k.redeem()
		k.Left(k.t.Context(), *was)
	}},
	{"they are there", func(k *killed) { k.comes(sess.SideClient, true) }},
	{"the status is stated", func(k *killed) { k.exited(k.s, k.epoch, 3) }},
	{"it is delivered", func(k *killed) { k.must(k.Delivered(k.t.Context(), k.org, k.s.id, k.epoch)) }},
}

func (k *killed) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *killed) redeem() {
	k.t.Helper()
	j, err := k.join(k.s, k.token, k.key)
	k.must(err)
	k.in = &j
}

func (k *killed) comes(side sess.Side, here bool) {
	k.t.Helper()
	k.present(k.s, k.epoch, side, here)
	k.here[map[sess.Side]int{sess.SideClient: 0, sess.SideAgent: 1}[side]] = here
}

// leaves is the end of the client's connection, as the relay sees it.
func (k *killed) leaves() {
	k.t.Helper()
	if k.here[0] {
		k.comes(sess.SideClient, false)
	}
	if k.in != nil {
		k.Left(k.t.Context(), *k.in)
		k.in = nil
	}
}

// dies is the end of the agent and of its connections.
func (k *killed) dies() {
	k.t.Helper()
	if k.here[1] {
		k.comes(sess.SideAgent, false)
	}
	k.a.close()
}

// reboots is the end of the server, without a word, and the start of another.
func (k *killed) reboots() {
	k.t.Helper()
	k.Close()
	k.a.close()
	k.boot()
	k.in, k.here = nil, [2]bool{}
}

// calm waits until the server is done with what connecting entails, and drops what it said meanwhile.
func (a *agent) calm() *agent {
	a.t.Helper()
	a.send(wire.Control{T: wire.ControlWant, Session: "ses_none"})
	for {
		c, err := a.read()
		if err != nil {
			a.t.Fatal(err)
		}
		if c.T == wire.ControlEnded && c.Session == "ses_none" {
			return a
		}
	}
}

// victims are who dies, and who comes back.
var victims = map[string]func(*killed){
	"the client":          (*killed).leaves,
	"the agent":           func(k *killed) { k.dies(); k.a = k.connect(boot("boo_2")).calm() },
	"the agent, for good": (*killed).dies,
	"the server":          func(k *killed) { k.reboots(); k.a = k.connect(lists(k.s.id)).calm() },
	"the server and the agent, and the client does not come back": func(k *killed) { k.reboots(); k.a = k.connect(boot("boo_2")).calm() },
	"everybody":              (*killed).reboots,
	"the client, unobserved": func(*killed) {}, // its connection stands: the relay finds out only later
}

// TestNothingLeaksWhoeverDiesWhenever kills everybody in turn after every step: the session ends, once; no connection counts on, and
// with room for one session and one connection the next one starts and is joined.
func TestNothingLeaksWhoeverDiesWhenever(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for victim, die := range victims {
			w := newWorld(t, db)
			w.limit("one", sess.Controls{Sessions: 1, Connections: 1})
			k := &killed{world: w, a: w.connect()}
			for n := range steps {
				k.in, k.here, k.epoch = nil, [2]bool{}, 0
				for _, s := range steps[:n+1] {
					s.do(k)
				}
				die(k)
				if victim == "the client, unobserved" {
					k.pass(time.Minute)
					k.leaves()
				}
				k.over(victim, steps[n].name)
				k.a.close()
				k.a = k.connect(boot(sess.NewBootID())).calm()
			}
		}
	})
}

// over waits, on the clock of the test, until nothing is left of a session, and checks that it ended once.
func (k *killed) over(victim, step string) {
	k.t.Helper()
	for range 60 {
		if k.row(k.s.id).State == sess.StateEnded && k.connections(k.alice.User) == 0 {
			break
		}
		k.pass(30 * time.Second)
		k.tick()
		k.reconcile()
	}
	for len(k.relay.by) > 0 {
		<-k.relay.by
	}
	r := k.row(k.s.id)
	if n := k.connections(k.alice.User); r.State != sess.StateEnded || n > 0 {
		k.t.Fatalf("%s died when %s: the session is %s, %d connections, half an hour later", victim, step, r.State, n)
	}
	if n := k.events(k.s.id, policy.SessionEnded, ""); n != 1 {
		k.t.Errorf("%s died when %s: it has %d ends", victim, step, n)
	}
	k.t.Logf("%s died when %s: it ended by %s", victim, step, r.EndReason)
}
