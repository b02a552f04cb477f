package broker_test

import (
	"context"
	"slices"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/wire"
)

// The record of a session says who and what it was, from where, and what it took, and stays as it is when what it was made
// of changes.
func TestRecord(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.dial(func(h *wire.AgentHello) {
			h.Host = wire.Host{Hostname: "web-1.local", OS: "linux", Arch: "amd64", Kernel: "6.1", Addrs: []string{"10.0.0.7", "fd00::7"}, RunsAs: "root"}
		})
		a.want(wire.ControlWelcome)
		w.eventually("online", w.online)
		k := newKey(t)
		in := startIn(t, "web-1", k)
		in.Body.Tags = map[string]string{"ticket": "OPS-4711", "ci.run": "42"}
		ticket, err := w.Start(t.Context(), w.alice, in)
		if err != nil {
			t.Fatal(err)
		}
		offer := a.want(wire.ControlOffer)
		a.send(wire.Control{T: wire.ControlAccept, Session: ticket.Session, OSUser: "deploy\x1b"})
		a.settled()
		s := session{id: ticket.Session, key: k, client: ticket, agent: offer.Ticket}
		if _, err := w.join(s, ticket.Token, k); err != nil {
			t.Fatal(err)
		}
		w.present(s, 0, sess.SideClient, true)
		if _, err := w.joinAgent(s, s.agent); err != nil {
			t.Fatal(err)
		}
		w.present(s, 1, sess.SideAgent, true)
		exit := wire.Exit{Exit: sess.Exit{Status: 3, CPUMicros: 1_500_000, MemPeak: 9 << 20}}
		for range 2 {
			if err := w.Exited(t.Context(), w.org, s.id, 1, exit); err != nil {
				t.Fatal(err)
			}
			exit.CPUMicros = 7 // who says it again changes nothing
		}
		moved := sess.Traffic{In: 3, Out: 50, Err: 2}
		if err := w.Recorded(t.Context(), w.org, s.id, sess.Recorded{State: sess.RecordingComplete, Stored: 77, Digest: "ab", Moved: moved}); err != nil {
			t.Fatal(err)
		}
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			now := int64(1)
			_, err := tx.ConnectInstance(ctx, store.ConnectInstanceParams{Org: w.org, ID: w.instance, Hostname: "other", Host: `{"hostname":"other"}`, LastSeen: &now})
			return err
		})

		got, err := w.Show(t.Context(), w.alice, api.SessionRef{Session: string(s.id)})
		if err != nil {
			t.Fatal(err)
		}
		if got.RanAs != "deploy" || got.Bytes != moved || got.CPUMicros != 1_500_000 || got.MemPeak != 9<<20 || got.RecordingBytes != 77 ||
			got.CredentialID != w.alice.CredentialID || got.Project != w.project || len(got.Tags) != 2 || got.Tags["ticket"] != "OPS-4711" {
			t.Errorf("shown: %+v", got)
		}
		if h := got.Host; h.Hostname != "web-1.local" || h.Kernel != "6.1" || !slices.Equal(h.Addrs, []string{"10.0.0.7", "fd00::7"}) || h.RunsAs != "root" || h.Version != "test" {
			t.Errorf("host: %+v", h)
		}
		if len(got.Joins) != 2 || got.Joins[0].Side != sess.SideClient || got.Joins[1].Side != sess.SideAgent || got.Joins[0].Address != addr.String() ||
			got.Joins[0].RedeemedAt.Before(got.Joins[0].MintedAt) {
			t.Errorf("joins: %+v", got.Joins)
		}
		if p := got.Participants; len(p) != 1 || p[0].Role != "owner" || p[0].JoinedAt == nil || p[0].LeftAt == nil || p[0].LeftReason != "ended" {
			t.Errorf("participants: %+v", p)
		}
		if n := w.events(s.id, policy.SessionStart, "allowed"); n != 1 {
			t.Errorf("%d events of the start", n)
		}

		for tag, want := range map[string]int{"ticket=OPS-4711": 1, "ticket=OPS-4712": 0, "ticket=%": 0, "ci.run=42": 1, "other=42": 0} {
			l, err := w.List(t.Context(), w.alice, api.SessionsIn{State: "all", Tag: tag})
			if err != nil || len(l.Items) != want {
				t.Errorf("with tag %s: %d sessions, %v; want %d", tag, len(l.Items), err, want)
			}
		}
		for _, tags := range []map[string]string{{"": "x"}, {"a b": "x"}, {"a": ""}, {"a": "line\nbreak"}, {"a": "\xff"}, many(17)} {
			in.Body.Tags = tags
			if _, err := w.Start(t.Context(), w.alice, in); sess.Public(err).Code != sess.CodeInvalid {
				t.Errorf("tags %q: %v", tags, err)
			}
		}
	})
}

func many(n int) map[string]string {
	tags := map[string]string{}
	for i := range n {
		tags["a"+string(rune('a'+i))] = "x"
	}
	return tags
}
