package trail_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
	"github.com/sessctl/sess/internal/trail"
)

const (
	org      = sess.OrgID("org_aaaaaaaaaaaaaaaa")
	admin    = sess.UserID("usr_aaaaaaaaaaaaaaaa")
	operator = sess.UserID("usr_bbbbbbbbbbbbbbbb")
	patience = 20 * time.Second
)

// plainSealer seals nothing: how secrets are sealed is tried elsewhere.
type plainSealer struct{}

func (plainSealer) Seal(plain []byte, where string) string { return where + "|" + string(plain) }

func (plainSealer) Open(sealed, where string) ([]byte, error) {
	b, ok := bytes.CutPrefix([]byte(sealed), []byte(where+"|"))
	if !ok {
		return nil, fmt.Errorf("sealed for something else")
	}
	return b, nil
}

// world is a log with its verbs.
type world struct {
	t      *testing.T
	db     *store.DB
	gate   *gate.Gate
	seq    *audit.Sequencer
	signer *audit.Signer
	*trail.Service
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.CreateOrg(ctx, org, string(org), 1); err != nil {
			return err
		}
		for u, role := range map[sess.UserID]sess.Role{admin: sess.RoleAdmin, operator: sess.RoleOperator} {
			if _, err := tx.CreateMember(ctx, store.CreateMemberParams{Org: org, UserID: u, Kind: sess.UserLocal, Name: string(u) + "@example.com", CreatedAt: 1}); err != nil {
				return err
			}
			if _, err := tx.CreateGrant(ctx, store.CreateGrantParams{Org: org, ID: sess.GrantID("gra_" + u), UserID: u, Role: role, CreatedAt: 1}); err != nil {
				return err
			}
		}
		return nil
	})
	w := &world{t: t, db: db}
	w.open("nod_1")
	return w
}

// open makes the rooms, as a server that starts does.
func (w *world) open(node sess.NodeID) {
	w.t.Helper()
	engine, err := policy.New()
	if err != nil {
		w.t.Fatal(err)
	}
	if w.signer, err = audit.NewSigner("sess.example", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))); err != nil {
		w.t.Fatal(err)
	}
	w.seq = audit.NewSequencer(gate.Rows(w.db), w.signer, nil)
	w.gate = gate.New(gate.Config{DB: w.db, Policy: engine})
	w.Service = w.service(node)
}

func (w *world) service(node sess.NodeID) *trail.Service {
	return trail.New(trail.Config{
		Gate: w.gate, DB: w.db, Sequencer: w.seq, Key: w.signer.VerifierKey(), Sealer: plainSealer{}, Node: node, Version: "1.2.3", Host: "sess.example",
		Guard: outbound.Guard{AllowPrivate: true},
	})
}

func who(u sess.UserID) sess.Principal {
	return sess.Principal{
		Org: org, User: u, Name: string(u) + "@example.com", UserKind: sess.UserLocal, Credential: sess.CredentialLogin, CredentialID: "log_1",
		Addr: netip.MustParseAddr("192.0.2.7"), RequestID: "req_1",
	}
}

// add writes events, numbered in their reason, of a time.
func (w *world) add(from, to int, at time.Time) {
	w.t.Helper()
	storetest.Write(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
		for i := from; i < to; i++ {
			if err := w.gate.Event(ctx, tx, gate.Entry{
				Who: sess.System(org), Action: policy.SessionEnded, Reason: fmt.Sprint(i), Time: at.Add(time.Duration(i) * time.Microsecond),
				Session: "ses_1", On: policy.Resource{Org: org, Type: policy.TypeSession, ID: "ses_1", Instance: "ins_aaaaaaaaaaaaaaaa"},
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) flush() {
	w.t.Helper()
	if err := w.seq.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// number gives the number of an event that add wrote; empty for others.
func number(raw []byte) string {
	var e struct{ Action, Reason string }
	if json.Unmarshal(raw, &e) != nil || e.Action != string(policy.SessionEnded) {
		return ""
	}
	return e.Reason
}

// until looks until there is nothing wrong any more.
func until(t *testing.T, what string, wrong func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; {
		err := wrong()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}
