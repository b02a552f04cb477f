package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
		since, err := timeOr(in.Since, time.Time{})
		if err != nil {
			return err
		}
		shares, err := s.sharesWith(ctx, tx.Tx, who.Org, who.User)
		if err != nil {
			return err
		}
		rows, next, err := s.list(ctx, tx, sessionQuery{
			page: in.Page, state: cmp.Or(in.State, "live"), user: in.User, mine: in.Mine, instance: in.Instance, project: in.Project, kind: in.Kind,
			labels: in.Label, tag: in.Tag, prefix: in.Prefix, since: since, show: policy.SessionShow, as: sharedAs(tx, shares),
			shares: shares, shared: in.Shared,
		})
		if err != nil {
			return err
		}
		out.Next = next
		out.Items, err = s.listed(ctx, tx, rows, shares)
		return err
	})
	if err != nil {
		return api.SessionList{}, err
	}
	return out, nil
}

// listed are sessions of one page, with who is in them: one statement for all.
func (s *Service) listed(ctx context.Context, tx *gate.Tx, rows []store.Session, shares []store.SessionShare) ([]api.Session, error) {
	there, err := connected(ctx, tx)
	if err != nil {
		return nil, err
	}
	with, err := guestsIn(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	items := make([]api.Session, 0, len(rows))
	for _, r := range rows {
		v := s.live(public(r))
		v.Connected, v.Participants, v.Shared = there[r.ID], with[r.ID], sharedRole(shares, r.ID, policy.SessionJoin)
		items = append(items, v)
	}
	return items, nil
}

// guestsIn gives who is in the live ones of some sessions beside their owners.
func guestsIn(ctx context.Context, tx *gate.Tx, rows []store.Session) (map[sess.SessionID][]api.SessionParticipant, error) {
	ids := ","
	for _, r := range rows {
		if r.State != sess.StateEnded {
			ids += string(r.ID) + ","
		}
	}
	if ids == "," {
		return nil, nil //nolint:nilnil // nobody
	}
	guests, err := tx.ListGuestsOfSessions(ctx, tx.Who().Org, ids)
	if err != nil {
		return nil, fmt.Errorf("list participants: %w", err)
	}
	in := map[sess.SessionID][]api.SessionParticipant{}
	for _, p := range guests {
		in[p.Session] = append(in[p.Session], publicGuest(p))
	}
	return in, nil
}

// connected counts who is connected to the sessions of the organisation.
func connected(ctx context.Context, tx *gate.Tx) (map[sess.SessionID]int64, error) {
	rows, err := tx.CountConnected(ctx, tx.Who().Org)
	if err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	n := make(map[sess.SessionID]int64, len(rows))
	for _, r := range rows {
		n[r.Session] = r.Connected
	}
	return n, nil
}

// Show gives one session.
func (s *Service) Show(ctx context.Context, who sess.Principal, in api.SessionRef) (api.Session, error) {
	var found store.Session
	var joins []api.SessionJoin
	var people []api.SessionParticipant
	var shares []store.SessionShare
	var project store.Project
	err := s.gate.ReadFind(ctx, who, policy.SessionShow, s.byRefShared(ctx, in.Session, &found, ""), func(tx *gate.Tx) (err error) {
		if joins, err = joinsOf(ctx, tx.Tx, found); err != nil {
			return err
		}
		if people, err = participantsOf(ctx, tx.Tx, found, joins); err != nil {
			return err
		}
		if project, err = tx.GetProject(ctx, found.Org, found.Project); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("get the project: %w", err)
		}
		shares, err = s.sharesWith(ctx, tx.Tx, who.Org, who.User)
		return err
	})
	if err != nil {
		return api.Session{}, err
	}
	out := s.live(public(found))
	out.Joins, out.Participants, out.Shared = joins, people, sharedRole(shares, found.ID, policy.SessionJoin)
	out.ProjectName = project.Name
	return out, nil
}

// Recordings gives a page of recordings, newest first: those that the principal may see.
func (s *Service) Recordings(ctx context.Context, who sess.Principal, in api.RecordingsIn) (api.RecordingList, error) {
	out := api.RecordingList{Items: []api.Recording{}}
	err := s.gate.Read(ctx, who, policy.RecordingList, policy.Org(who.Org), func(tx *gate.Tx) error {
		rows, next, err := s.list(ctx, tx, sessionQuery{
			page: in.Page, user: in.User, instance: in.Instance, started: true, show: policy.RecordingShow, as: recordingResource,
		})
		if err != nil {
			return err
		}
		for _, r := range rows {
			out.Items = append(out.Items, s.recording(r))
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
		Recipients: sealedTo(r), Hold: holdOf(r), Session: r.ID, State: r.Recording, Kind: r.Kind, UserName: r.UserName, InstanceName: r.InstanceName, StartedAt: started,
		DurationMS: max(0, until.Sub(started).Milliseconds()), Bytes: r.RecBytes, Stored: r.RecStored, Digest: r.RecDigest,
		Problem: strings.TrimSpace(r.RecProblem),
	}
}
