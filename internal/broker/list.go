package broker

import (
	"context"
	"fmt"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// List gives a page of sessions, newest first: those that the principal may see.
func (s *Service) List(ctx context.Context, who sess.Principal, in api.SessionsIn) (api.SessionList, error) {
	out := api.SessionList{Items: []api.Session{}}
	err := s.gate.Read(ctx, who, policy.SessionList, policy.Org(who.Org), func(tx *gate.Tx) error {
		state := in.State
		if state == "" {
			state = "live"
		}
		pattern, ok := idPattern(in.Prefix)
		if !ok {
			return nil
		}
		p := store.ListSessionsParams{
			Org: who.Org, State: state, Instance: in.Instance, Person: in.User, Pattern: pattern,
		}
		if in.Tag != "" {
			var err error
			if p.TagName, p.TagValue, err = sess.ParseTag(in.Tag); err != nil {
				return err
			}
		}
		if in.Mine {
			p.OnlyOf = string(who.User)
		}
		rows, next, err := page(ctx, tx, in.Page, p, tx.Scope(policy.SessionShow, policy.TypeSession))
		if err != nil {
			return err
		}
		for _, r := range rows {
			if tx.Allowed(policy.SessionShow, sessionResource(r)) { // the scope may be wider than policies are
				out.Items = append(out.Items, s.live(public(r)))
			}
		}
		out.Next = next
		return nil
	})
	if err != nil {
		return api.SessionList{}, err
	}
	return out, nil
}

// Show gives one session.
func (s *Service) Show(ctx context.Context, who sess.Principal, in api.SessionRef) (api.Session, error) {
	var found store.Session
	var joins []api.SessionJoin
	var people []api.SessionParticipant
	err := s.gate.ReadFind(ctx, who, policy.SessionShow, byRef(ctx, in.Session, &found), func(tx *gate.Tx) (err error) {
		if joins, err = joinsOf(ctx, tx.Tx, found); err == nil {
			people, err = participantsOf(ctx, tx.Tx, found, joins)
		}
		return err
	})
	if err != nil {
		return api.Session{}, err
	}
	out := s.live(public(found))
	out.Joins, out.Participants = joins, people
	return out, nil
}

// page runs the list query for what scope lets the reader see, and gives the cursor of the page after; empty: none.
func page(ctx context.Context, tx *gate.Tx, in api.Page, p store.ListSessionsParams, scope policy.Scope) ([]store.Session, string, error) {
	limit := in.Limit
	if limit <= 0 {
		limit = api.DefaultPage
	}
	limit = min(limit, api.MaxPage)
	from, err := store.ParseCursor(in.After)
	if err != nil {
		return nil, "", err
	}
	p.BeforeAt, p.BeforeID = from.At, from.ID
	p.SeeAll, p.Page = flag(scope.Org), int32(limit+1)
	p.SeeProjects = projectList(scope)
	if scope.Own {
		p.SeeOf = string(tx.Who().User)
	}
	rows, err := tx.ListSessions(ctx, p)
	if err != nil {
		return nil, "", fmt.Errorf("list sessions: %w", err)
	}
	if len(rows) <= limit {
		return rows, "", nil
	}
	rows = rows[:limit]
	last := rows[limit-1]
	return rows, store.Cursor{At: last.CreatedAt, ID: string(last.ID)}.String(), nil
}

// Recordings gives a page of recordings, newest first: those that the principal may see.
func (s *Service) Recordings(ctx context.Context, who sess.Principal, in api.RecordingsIn) (api.RecordingList, error) {
	out := api.RecordingList{Items: []api.Recording{}}
	err := s.gate.Read(ctx, who, policy.RecordingList, policy.Org(who.Org), func(tx *gate.Tx) error {
		p := store.ListSessionsParams{
			Org: who.Org, State: "all", Instance: in.Instance, Person: in.User, Pattern: "ses_%", StartedOnly: 1,
		}
		rows, next, err := page(ctx, tx, in.Page, p, tx.Scope(policy.RecordingShow, policy.TypeRecording))
		if err != nil {
			return err
		}
		for _, r := range rows {
			if tx.Allowed(policy.RecordingShow, recordingResource(r)) {
				out.Items = append(out.Items, s.recording(r))
			}
		}
		out.Next = next
		return nil
	})
	if err != nil {
		return api.RecordingList{}, err
	}
	return out, nil
}

// Recording gives what is known of one recording.
func (s *Service) Recording(ctx context.Context, who sess.Principal, in api.SessionRef) (api.Recording, error) {
	var out api.Recording
	err := s.gate.ReadFind(ctx, who, policy.RecordingShow, s.recordingByRef(ctx, in.Session, &out, &store.Session{}), func(*gate.Tx) error { return nil })
	if err != nil {
		return api.Recording{}, err
	}
	return out, nil
}

// Replay is Recording for somebody who is about to get the bytes of it: decided and recorded as a replay. Nothing may be
// sent before it returned nil.
func (s *Service) Replay(ctx context.Context, who sess.Principal, in api.SessionRef) (api.Recording, error) {
	var out api.Recording
	var row store.Session
	err := s.gate.ReadFind(ctx, who, policy.RecordingReplay, s.recordingByRef(ctx, in.Session, &out, &row), func(*gate.Tx) error { return kept(row) })
	if err != nil {
		return api.Recording{}, err
	}
	return out, nil
}

func (s *Service) recordingByRef(ctx context.Context, ref string, out *api.Recording, row *store.Session) gate.Find {
	return gate.Find{Type: policy.TypeRecording, Name: ref, By: func(tx *gate.Tx) (policy.Resource, error) {
		r, err := findSession(ctx, tx, ref, policy.RecordingShow, recordingResource)
		if err != nil {
			return policy.Resource{}, err
		}
		if r.StartedAt == nil { // nothing ever passed
			return policy.Resource{}, store.ErrNotFound
		}
		*out, *row = s.recording(r), r
		return recordingResource(r), nil
	}}
}

// recording is the recording of a session that started, as the API shows it.
func (s *Service) recording(r store.Session) api.Recording {
	started := store.TimePtr(r.StartedAt)
	until := s.now()
	if r.EndedAt != nil {
		until = store.Time(*r.EndedAt)
	}
	return api.Recording{
		Session: r.ID, State: r.Recording, Kind: r.Kind, UserName: r.UserName, InstanceName: r.InstanceName, StartedAt: started,
		DurationMS: max(0, until.Sub(started).Milliseconds()), Bytes: r.RecBytes, Stored: r.RecStored, Digest: r.RecDigest,
		Problem: strings.TrimSpace(r.RecProblem),
	}
}
