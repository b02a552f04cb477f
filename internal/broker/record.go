package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/wire"
)

// The record of a session beside its life: who and what it was, from where, and what it took. It is evidence: what other
// rows say of a user, provider or instance later changes nothing in it.

// maxJoins bounds how many tickets of each side are kept with a session. A connection that is cut all day uses many; the
// audit log has them all.
const maxJoins = 100

// describe completes the row of a session that tx has just inserted.
func describe(ctx context.Context, tx *store.Tx, r *store.Session, tags map[string]string) error {
	if r.IDP != "" {
		p, err := tx.GetIDP(ctx, r.Org, r.IDP)
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("load identity provider: %w", err)
		}
		r.IDPName = p.Name
	}
	if err := tx.DescribeSession(ctx, store.DescribeSessionParams{
		Org: r.Org, ID: r.ID, Host: r.Host, AgentVersion: r.AgentVersion, IDPName: r.IDPName, Tags: r.Tags,
	}); err != nil {
		return fmt.Errorf("describe session: %w", err)
	}
	for name, value := range tags {
		if err := tx.InsertSessionTag(ctx, store.InsertSessionTagParams{Org: r.Org, Session: r.ID, Name: name, Value: value, CreatedAt: r.CreatedAt}); err != nil {
			return fmt.Errorf("insert tag: %w", err)
		}
	}
	return nil
}

// tagText is how a session's row has its tags.
func tagText(tags map[string]string) string {
	if len(tags) == 0 {
		return "{}"
	}
	b, err := json.Marshal(tags)
	if err != nil { // strings always encode
		return "{}"
	}
	return string(b)
}

func tagsOf(r store.Session) map[string]string {
	var tags map[string]string
	if json.Unmarshal([]byte(r.Tags), &tags) != nil {
		return nil
	}
	return tags
}

func hostOf(r store.Session) api.Host {
	var h wire.Host
	_ = json.Unmarshal([]byte(r.Host), &h) // we wrote it; what does not read is not shown
	return api.Host{
		Hostname: h.Hostname, OS: h.OS, Arch: h.Arch, Kernel: h.Kernel, Addrs: h.Addrs, RunsAs: h.RunsAs, Version: r.AgentVersion,
		Holds: h.Holds, Unenforced: h.Unenforced, Programs: h.Programs,
	}
}

// noteJoin puts the use of a ticket on record, and what an agent said of the session that it joins.
func (s *Service) noteJoin(ctx context.Context, tx *store.Tx, r *store.Session, t store.Ticket, addr netip.Addr) error {
	if t.Side == sess.SideAgent {
		if err := s.noteRanAs(ctx, tx, r); err != nil {
			return err
		}
	}
	if t.Gen > maxJoins {
		return nil
	}
	err := tx.InsertSessionJoin(ctx, store.InsertSessionJoinParams{
		Org: r.Org, Session: r.ID, Side: t.Side, Gen: t.Gen, MintedAt: t.CreatedAt, RedeemedAt: store.Micros(s.now()), Address: addr.String(),
	})
	if err != nil {
		return fmt.Errorf("insert join: %w", err)
	}
	return nil
}

// taken is how an agent took a session: the user that it runs as, and its lease there.
type taken struct {
	as      string
	leaseMS int64
}

// runs notes how the agent runs a session: its word, so there is a limit to how much of it is kept.
func (l *agentLink) runs(id sess.SessionID, how taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if how.as != "" && l.held[id] && len(l.ran) < maxHeld {
		l.ran[id] = how
	}
}

// ranAs gives what runs noted.
func (l *agentLink) ranAs(id sess.SessionID) taken {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ran[id]
}

// accepted keeps what an agent says of a session that it accepted. The row gets it with the agent's join, which comes a moment
// later and costs a transaction anyway; here only when the join was faster.
func (s *Service) accepted(ctx context.Context, l *agentLink, c wire.Control) error {
	l.runs(c.Session, taken{clean(c.OSUser, maxHostText), c.LeaseMS})
	if c.OSUser == "" || !s.lives.agentHere(c.Session) {
		return nil
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := lock(ctx, tx, l.org, c.Session)
		if err != nil || r.Instance != l.instance {
			return err
		}
		return s.noteRanAs(ctx, tx, r)
	})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("note user of session: %w", err)
	}
	return nil
}

// noteRanAs writes the user that a session runs as, once the agent has said it, and its lease, which the instance's owner may
// have made shorter.
func (s *Service) noteRanAs(ctx context.Context, tx *store.Tx, r *store.Session) error {
	l := s.links.get(r.Instance)
	if r.RanAs != "" || l == nil || l.org != r.Org {
		return nil
	}
	how := l.ranAs(r.ID)
	if r.RanAs = how.as; r.RanAs == "" {
		return nil
	}
	if ms := how.leaseMS; ms > 0 && ms < lease(*r).Milliseconds() {
		r.LeaseMS = ms
	}
	if err := tx.SetSessionRanAs(ctx, r.Org, r.ID, r.RanAs, r.LeaseMS); err != nil {
		return fmt.Errorf("note user of session: %w", err)
	}
	return nil
}

// noteSpent writes what a session's processes took.
func (s *Service) noteSpent(ctx context.Context, tx *store.Tx, r *store.Session, x sess.Exit) error {
	if err := s.noteRanAs(ctx, tx, r); err != nil {
		return err
	}
	r.CPUMicros, r.MemPeak = believedCPU(x.CPUMicros, lasted(*r, s.now())), max(0, min(x.MemPeak, mostMemory))
	if r.CPUMicros == 0 && r.MemPeak == 0 {
		return nil
	}
	if err := tx.SetSessionSpent(ctx, r.Org, r.ID, r.CPUMicros, r.MemPeak); err != nil {
		return fmt.Errorf("note resources of session: %w", err)
	}
	return nil
}

// live adds what a session that runs here has moved so far.
func (s *Service) live(v api.Session) api.Session {
	if at, ok := s.lives.activity(v.ID); ok {
		v.ActiveAt = &at
	}
	if s.relay == nil || v.State == sess.StateEnded && v.RecordingState != sess.RecordingActive {
		return v
	}
	if moved, ok := s.relay.Traffic(v.ID); ok {
		v.Bytes = moved
	}
	return v
}

func joinsOf(ctx context.Context, tx *store.Tx, r store.Session) ([]api.SessionJoin, error) {
	rows, err := tx.ListSessionJoins(ctx, r.Org, r.ID)
	if err != nil {
		return nil, fmt.Errorf("list joins: %w", err)
	}
	out := make([]api.SessionJoin, 0, len(rows))
	for _, j := range rows {
		out = append(out, api.SessionJoin{Side: j.Side, MintedAt: store.Time(j.MintedAt), RedeemedAt: store.Time(j.RedeemedAt), Address: j.Address})
	}
	return out, nil
}

// participantsOf gives who is or was in a session, its owner first.
func participantsOf(ctx context.Context, tx *store.Tx, r store.Session, joins []api.SessionJoin) ([]api.SessionParticipant, error) {
	rows, err := tx.ListParticipants(ctx, r.Org, r.ID)
	if err != nil {
		return nil, fmt.Errorf("list participants: %w", err)
	}
	var out []api.SessionParticipant
	if len(rows) == 0 || rows[0].Num != 0 {
		out = append(out, ownerOf(r, joins))
	}
	for _, p := range rows {
		out = append(out, publicGuest(p))
	}
	return out, nil
}

// ownerOf is who started a session, as a participant of it.
func ownerOf(r store.Session, joins []api.SessionJoin) api.SessionParticipant {
	p := api.SessionParticipant{Role: string(sess.JoinOwner), User: r.UserID, UserName: r.UserName, ClientAddr: r.ClientAddr}
	for _, j := range joins {
		if j.Side == sess.SideClient {
			p.JoinedAt = &j.RedeemedAt
			break
		}
	}
	switch {
	case p.JoinedAt == nil:
	case r.DetachedAt != nil:
		p.LeftAt, p.LeftReason = timePtr(r.DetachedAt), "detached"
	case r.EndedAt != nil:
		p.LeftAt, p.LeftReason = timePtr(r.EndedAt), "ended"
	}
	return p
}
