package identity

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// Enrol makes a machine an instance: it takes one use of an enrolment token and registers the machine's public key, in
// one transaction. Labels, region and project come from the token, never from the machine. An agent that did not hear the
// answer asks again with the same key and gets the same instance, without a second use. Errors: expired (used up, deleted
// or too old), invalid (a token, key, signature or name that won't do).
func (s *Service) Enrol(ctx context.Context, addr netip.Addr, in api.EnrolIn) (api.EnrolOut, error) {
	hash, err := s.enrolProof(ctx, addr, in)
	if err != nil {
		return api.EnrolOut{}, err
	}
	token, err := s.loadEnrolToken(ctx, addr, hash)
	if err != nil {
		return api.EnrolOut{}, err
	}
	base := in.Body.Name
	if base == "" {
		base = nameFromHost(in.Body.Hostname)
	}
	if err := checkInstanceName(base); err != nil {
		return api.EnrolOut{}, err
	}
	labels, err := decodeLabels(token.Labels)
	if err != nil {
		return api.EnrolOut{}, err
	}
	id := sess.NewInstanceID()
	who := sess.Principal{Org: token.Org, Instance: id, Name: base, Credential: sess.CredentialAgent, CredentialID: string(token.ID), Addr: addr}
	on := policy.Resource{Org: token.Org, Project: token.Project, Type: policy.TypeInstance, ID: string(id), Instance: id, Name: base, Labels: labels, Region: token.Region}
	var instance store.Instance
	err = s.gate.Do(ctx, who, policy.Enrol, on, func(tx *gate.Tx) error {
		instance, err = s.enrolOnce(ctx, tx, token, id, base, labels, in)
		on.ID, on.Instance, on.Name = string(instance.ID), instance.ID, instance.Name
		tx.On(on)
		tx.Detail("token", string(token.ID))
		return err
	})
	if err != nil {
		return api.EnrolOut{}, err
	}
	out := api.EnrolOut{Instance: instance.ID, Name: instance.Name, Server: s.server}
	for _, k := range s.keys() {
		out.BrokerKeys = append(out.BrokerKeys, k)
	}
	return out, nil
}

// enrolProof checks that whoever asks holds the new key and the token, and gives the token's hash.
func (s *Service) enrolProof(ctx context.Context, addr netip.Addr, in api.EnrolIn) (string, error) {
	if _, err := sess.ParseToken(in.Body.Token, sess.TokenEnrol); err != nil {
		e, _ := errors.AsType[*sess.Error](err) // ParseToken says so
		return "", s.refuse(ctx, "", addr, policy.Enrol, "", e)
	}
	hash := sess.HashToken(in.Body.Token)
	raw, err := hex.DecodeString(hash)
	if err != nil {
		return "", fmt.Errorf("decode hash: %w", err)
	}
	key, sig := ed25519.PublicKey(in.Body.PublicKey), in.Body.Signature
	if len(key) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize || !ed25519.Verify(key, wire.SignedMessage(wire.PurposeEnrol, raw), sig) {
		return "", s.refuse(ctx, "", addr, policy.Enrol, "", sess.New(sess.CodeInvalid, "the signature does not prove the instance's key", "use sess-agent of a version that fits this server"))
	}
	return hash, nil
}

// loadEnrolToken finds a token by its hash. One that is void, too old or used up is refused here already, except that a
// used one may still be asked about again by the instance that used it.
func (s *Service) loadEnrolToken(ctx context.Context, addr netip.Addr, hash string) (t store.EnrolToken, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		t, err = tx.GetEnrolTokenByHash(ctx, hash)
		return err
	})
	switch {
	case err != nil && isNotFound(err) || err == nil && !sameHash(hash, t.Hash):
		return t, s.refuse(ctx, "", addr, policy.Enrol, "", errToken("is not known here"))
	case err != nil:
		return t, fmt.Errorf("look for enrolment token: %w", err)
	case t.RevokedAt != nil:
		return t, s.refuse(ctx, t.Org, addr, policy.Enrol, string(t.ID), errToken("was deleted"))
	case t.ExpiresAt <= store.Micros(s.now()):
		return t, s.refuse(ctx, t.Org, addr, policy.Enrol, string(t.ID), errToken("has run out"))
	}
	return t, nil
}

func errToken(why string) *sess.Error {
	return sess.New(sess.CodeExpired, "this enrolment token "+why, `make a new one: "sessctl token create"`)
}

// enrolOnce takes one use of the token and makes the instance; or finds the one this key made with it before.
func (s *Service) enrolOnce(ctx context.Context, tx *gate.Tx, token store.EnrolToken, id sess.InstanceID, base string, labels map[string]string, in api.EnrolIn) (store.Instance, error) {
	key := base64.StdEncoding.EncodeToString(in.Body.PublicKey)
	if err := tx.Lock(ctx, "instance names "+string(token.Org)); err != nil {
		return store.Instance{}, err
	}
	old, err := tx.GetEnrolledInstance(ctx, token.Org, token.ID, key)
	if err == nil {
		tx.Detail("again", "yes")
		return old, nil
	}
	if !isNotFound(err) {
		return old, fmt.Errorf("look for instance: %w", err)
	}
	n, err := tx.UseEnrolToken(ctx, token.Org, token.ID, store.Micros(s.now()))
	if err != nil {
		return old, fmt.Errorf("use enrolment token: %w", err)
	}
	if n == 0 {
		return old, errToken("is used up")
	}
	taken, err := tx.ListInstanceNames(ctx, token.Org, base)
	if err != nil {
		return old, fmt.Errorf("list names: %w", err)
	}
	row := store.CreateInstanceParams{
		Org: token.Org, ID: id, Project: token.Project, Name: freeName(base, taken), Region: token.Region, PublicKey: key, Token: token.ID,
		Hostname: clip(in.Body.Hostname, maxText), OS: clip(in.Body.OS, 32), Arch: clip(in.Body.Arch, 32), Version: clip(in.Body.Version, 64),
		Address: tx.Who().Addr.String(), CreatedAt: store.Micros(s.now()),
	}
	if err := tx.CreateInstance(ctx, row); err != nil {
		return old, fmt.Errorf("create instance: %w", err)
	}
	for name, value := range labels {
		if err := tx.PutLabel(ctx, token.Org, id, name, value); err != nil {
			return old, fmt.Errorf("label instance: %w", err)
		}
	}
	return store.Instance{Org: row.Org, ID: row.ID, Name: row.Name, Project: row.Project, Region: row.Region}, nil
}

// Agent is what the control link needs to know of the instance at its other end.
type Agent struct {
	Org       sess.OrgID
	ID        sess.InstanceID
	Name      string
	Project   sess.ProjectID
	PublicKey ed25519.PublicKey
}

// AgentByID finds the instance that an agent says it is. It proves nothing: the agent has to sign with the key. Errors:
// unauthenticated (no such instance), denied (it was removed).
func (s *Service) AgentByID(ctx context.Context, addr netip.Addr, id sess.InstanceID) (Agent, error) {
	var row store.GetAgentRow
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.GetAgent(ctx, id)
		return err
	})
	const hint = `enrol it again with a new token: "sessctl token create"`
	switch {
	case err != nil && isNotFound(err):
		return Agent{}, s.refuse(ctx, "", addr, policy.InstanceConnect, "", unauthenticated("this instance is not known here", hint))
	case err != nil:
		return Agent{}, fmt.Errorf("look for instance: %w", err)
	case row.RemovedAt != nil:
		return Agent{}, s.refuse(ctx, row.Org, addr, policy.InstanceConnect, row.Name, sess.New(sess.CodeDenied, "this instance was removed", hint))
	}
	key, err := base64.StdEncoding.DecodeString(row.PublicKey)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return Agent{}, fmt.Errorf("public key of %s in the database is damaged", row.ID)
	}
	return Agent{Org: row.Org, ID: row.ID, Name: row.Name, Project: row.Project, PublicKey: key}, nil
}
