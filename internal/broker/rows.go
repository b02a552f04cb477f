package broker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// maxGrace bounds what a session's grace can be: how far back a starting server looks for output not fetched yet.
const maxGrace = sess.MaxGrace

// save writes back a row that the transaction holds by LockSession.
func save(ctx context.Context, tx *store.Tx, r *store.Session) error {
	err := tx.SaveSession(ctx, store.SaveSessionParams{
		Org: r.Org, ID: r.ID, State: r.State, Credential: r.Credential, CredentialID: r.CredentialID, OwnerKey: r.OwnerKey,
		Node: r.Node, Epoch: r.Epoch, ClientMinted: r.ClientMinted, ClientRedeemed: r.ClientRedeemed,
		AgentMinted: r.AgentMinted, AgentRedeemed: r.AgentRedeemed, StartedAt: r.StartedAt, OwnerAt: r.OwnerAt,
		DetachedAt: r.DetachedAt, EndedAt: r.EndedAt, EndReason: r.EndReason, EndedBy: r.EndedBy, EndMessage: r.EndMessage,
		Exit: r.Exit, DeliveredAt: r.DeliveredAt, Recording: r.Recording, FormerKeys: r.FormerKeys,
	})
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	return nil
}

// lock takes hold of a session's row. One that is gone is sess.ErrNotFound.
func lock(ctx context.Context, tx *store.Tx, org sess.OrgID, id sess.SessionID) (*store.Session, error) {
	r, err := tx.LockSession(ctx, org, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, noSession(string(id))
	case err != nil:
		return nil, fmt.Errorf("lock session: %w", err)
	}
	return &r, nil
}

func noSession(ref string) error {
	return sess.New(sess.CodeNotFound, fmt.Sprintf("no session %q that you may see", ref), "sessctl session list shows what you may see")
}

func grace(r store.Session) time.Duration { return time.Duration(r.GraceMS) * time.Millisecond }

// lease is how long a session lives on, on its instance, without word from a server. Rows of before there were leases have none.
func lease(r store.Session) time.Duration {
	if r.LeaseMS <= 0 {
		return grace(r) + sess.LeaseExtra
	}
	return time.Duration(r.LeaseMS) * time.Millisecond
}

// tail reports whether a session ended by itself with output or a status that nobody has fetched yet, so that both sides
// may still join: until then its ending is not complete for its owner.
func tail(r store.Session, now time.Time) bool {
	return r.State == sess.StateEnded && r.EndReason == sess.EndExit && r.DeliveredAt == nil && r.EndedAt != nil &&
		now.Before(store.Time(*r.EndedAt).Add(grace(r)))
}

// exitOf gives how the process of a session ended; nil: not known.
func exitOf(r store.Session) *sess.Exit {
	if r.Exit == "" {
		return nil
	}
	var x wire.Exit
	if json.Unmarshal([]byte(r.Exit), &x) != nil {
		return nil
	}
	return &x.Exit
}

// owner is the principal that a session belongs to, for decisions and events about it. The gate looks the member up.
func owner(r store.Session) sess.Principal {
	return sess.Principal{
		Org: r.Org, User: r.UserID, Name: r.UserName, Credential: r.Credential, CredentialID: r.CredentialID,
		MFAAt: store.TimePtr(r.MFAAt), IDP: string(r.IDP),
	}
}

// actor is the owner of a session as one who acts in it now: from where their client is, or was last.
func (s *Service) actor(r store.Session) sess.Principal {
	who := owner(r)
	if who.Addr = s.lives.from(r.ID); who.Addr.IsValid() {
		return who
	}
	who.Addr, _ = netip.ParseAddr(r.ClientAddr) // we wrote it
	return who
}

func sessionResource(r store.Session) policy.Resource {
	return policy.Resource{
		Org: r.Org, Project: r.Project, Type: policy.TypeSession, ID: string(r.ID), Instance: r.Instance, Owner: r.UserID,
		SessionKind: r.Kind, OSUser: r.OSUser,
	}
}

func recordingResource(r store.Session) policy.Resource {
	on := sessionResource(r)
	on.Type = policy.TypeRecording
	return on
}

// instanceResource is an instance as policy sees it, its labels loaded.
func instanceResource(ctx context.Context, tx *store.Tx, i store.Instance) (policy.Resource, error) {
	on := policy.Resource{
		Org: i.Org, Project: i.Project, Type: policy.TypeInstance, ID: string(i.ID), Name: i.Name, Instance: i.ID, Region: i.Region,
	}
	rows, err := tx.ListLabels(ctx, i.Org, i.ID)
	if err != nil {
		return on, fmt.Errorf("load labels: %w", err)
	}
	if len(rows) > 0 {
		on.Labels = make(map[string]string, len(rows))
	}
	for _, l := range rows {
		on.Labels[l.Name] = l.Value
	}
	return on, nil
}

// command gives the arguments of a session as lists show them.
func command(r store.Session) []string {
	var argv []string
	if json.Unmarshal([]byte(r.Command), &argv) != nil {
		return nil
	}
	return argv
}

// public is a session as the API shows it.
func public(r store.Session) api.Session {
	return api.Session{
		ID: r.ID, Kind: r.Kind, State: r.State, Instance: r.Instance, InstanceName: r.InstanceName, Hostname: r.Hostname,
		InstanceAddr: r.InstanceAddr, User: r.UserID, UserName: r.UserName, Credential: r.Credential, OSUser: r.OSUser,
		ClientAddr: r.ClientAddr, Reason: r.Reason, Command: command(r), CreatedAt: store.Time(r.CreatedAt),
		StartedAt: timePtr(r.StartedAt), DetachedAt: timePtr(r.DetachedAt), EndedAt: timePtr(r.EndedAt),
		EndReason: r.EndReason, EndedBy: r.EndedBy, EndMessage: r.EndMessage, Exit: exitOf(r), GraceMS: r.GraceMS, LeaseMS: lease(r).Milliseconds(),
		RecordingState: r.Recording, Controls: shownControls(r),
		Project: r.Project, CredentialID: r.CredentialID, IDP: r.IDPName, MFAAt: timePtr(r.MFAAt),
		RanAs: r.RanAs, Host: hostOf(r), Tags: tagsOf(r), Bytes: sess.Traffic{In: r.BytesIn, Out: r.BytesOut, Err: r.BytesErr},
		CPUMicros: r.CPUMicros, MemPeak: r.MemPeak, RecordingBytes: r.RecStored,
	}
}

func timePtr(us *int64) *time.Time {
	if us == nil {
		return nil
	}
	t := store.Time(*us)
	return &t
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func encodeKey(point []byte) string { return base64.StdEncoding.EncodeToString(point) }
