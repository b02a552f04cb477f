package server

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/alert"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/broker"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/relay"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/trail"
)

// closeTimeout bounds what is still written when the server stops.
const closeTimeout = 10 * time.Second

// openRooms makes the rooms and binds them to each other.
func (s *Server) openRooms(ctx context.Context) error {
	key, err := s.dir.loadKey(brokerKey)
	if err != nil {
		return err
	}
	node, err := s.dir.loadWord("node", string(sess.NewNodeID()))
	if err != nil {
		return err
	}
	if err := s.openGate(ctx); err != nil {
		return err
	}
	if s.recordings, err = recording.OpenDir(s.dir.join("recordings"), recording.Options{Log: s.log}); err != nil {
		return fmt.Errorf("open recordings: %w", err)
	}
	s.onClose(s.recordings.Close)
	if s.broker, err = broker.New(broker.Config{
		Gate: s.gate, DB: s.store, Node: sess.NodeID(node), PublicURL: s.public, Pin: s.pin, Key: key, Log: s.log,
		Recorder: s.recordings.Ready,
	}); err != nil {
		return fmt.Errorf("make broker: %w", err)
	}
	// Connections outlive the context that New was called with, and end when Run or Close says so.
	s.conns = newConns(context.WithoutCancel(ctx))
	s.relay = relay.New(context.WithoutCancel(ctx), s.broker, s.recordings, s.log)
	s.broker.UseRelay(s.relay)
	s.onClose(func() error {
		s.relay.Close()
		s.broker.Close()
		s.conns.close()
		return nil
	})
	if err := s.openIdentity(key); err != nil {
		return err
	}
	s.trail = trail.New(trail.Config{
		Gate: s.gate, DB: s.store, Sequencer: s.sequencer, Key: s.signer.VerifierKey(), Sealer: s.identity, Node: sess.NodeID(node),
		Version: s.cfg.Version, Host: s.public.Hostname(), Guard: outbound.Guard{AllowPrivate: s.cfg.WebhookAllowPrivate}, Now: s.now, Log: s.log,
	})
	s.alerts = alert.New(alert.Config{
		Gate: s.gate, DB: s.store, Sealer: s.identity, Guard: outbound.Guard{AllowPrivate: s.cfg.WebhookAllowPrivate}, Now: s.now, Log: s.log,
	})
	return s.broker.Recover(ctx) //nolint:wrapcheck // it says everything
}

// openGate makes the policy engine, the gate and the audit log behind it.
func (s *Server) openGate(ctx context.Context) error {
	key, err := s.dir.loadKey(auditKey)
	if err != nil {
		return err
	}
	// The key's name is part of every checkpoint, so a new public URL must not change it.
	name, err := s.dir.loadWord("audit.name", s.public.Hostname())
	if err != nil {
		return err
	}
	if s.signer, err = audit.NewSigner(name, key); err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	engine, err := policy.New()
	if err != nil {
		return fmt.Errorf("load policies: %w", err)
	}
	s.sequencer = audit.NewSequencer(gate.Rows(s.store), s.signer, s.log)
	if s.cfg.AuditWitness != "" {
		if s.publisher, err = trail.NewPublisher(s.cfg.AuditWitness, s.signer.VerifierKey(), s.sequencer, s.now, s.log); err != nil {
			return err //nolint:wrapcheck // it says everything
		}
	}
	s.gate = gate.New(gate.Config{
		DB: s.store, Policy: engine, Log: s.log, Recorded: s.sequencer.Wake,
		Changed: func() { // both are there before anything is served
			s.broker.RulesChanged()
			s.changed.ring()
		},
	})
	s.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := s.gate.Close(ctx); err != nil {
			return fmt.Errorf("close audit log: %w", err)
		}
		return s.sequencer.Flush(ctx) //nolint:wrapcheck // it says everything
	})
	return nil
}

func (s *Server) openIdentity(key ed25519.PrivateKey) error {
	seal, err := s.dir.loadSealKey()
	if err != nil {
		return err
	}
	public, _ := key.Public().(ed25519.PublicKey) // it is what an Ed25519 key has
	s.identity = identity.New(identity.Config{
		Gate: s.gate, DB: s.store, Log: s.log, PublicURL: s.public, Pin: s.pin, Server: s.info, SealKey: seal,
		BrokerKeys: func() []ed25519.PublicKey { return []ed25519.PublicKey{public} },
		HasAgents:  s.binaries.any,

		IDPAllowPrivate: s.cfg.IDPAllowPrivate,
		OnCredentialRevoked: func(ctx context.Context, org sess.OrgID, id string) {
			s.ended("credential", id, s.broker.OnCredentialRevoked(ctx, org, id))
		},
		Mail: s.mailerOrNone(),
		OnUserDeactivated: func(ctx context.Context, org sess.OrgID, user sess.UserID) {
			s.ended("user", string(user), s.broker.OnUserDeactivated(ctx, org, user))
		},
		OnUserRevoked: func(ctx context.Context, org sess.OrgID, user sess.UserID) {
			s.ended("user", string(user), s.broker.OnUserRevoked(ctx, org, user))
		},
		OnInstanceRemoved: func(ctx context.Context, org sess.OrgID, id sess.InstanceID) {
			s.ended("instance", string(id), s.broker.OnInstanceRemoved(ctx, org, id))
		},
	})
	s.auth = s.identity
	s.refused = func(ctx context.Context, addr netip.Addr, code sess.Code) {
		s.gate.RefusedAnonymous(ctx, gate.Refusal{Addr: addr, Action: policy.Authenticate, Code: code})
	}
	return nil
}

// ended logs that sessions which should have ended with something may go on: the broker's expiry finds them.
func (s *Server) ended(what, id string, err error) {
	if err != nil {
		s.log.Error("end what a "+what+" had running", what, id, "err", err)
	}
}

// mailerOrNone gives what identity sends mail by; an interface that is nil where there is none.
func (s *Server) mailerOrNone() identity.Mailer {
	if s.mailer == nil {
		return nil
	}
	return s.mailer
}
