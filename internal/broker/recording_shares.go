package broker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Limits on shares of recordings.
const (
	recordingShareTTL  = 7 * 24 * time.Hour // of one whose maker does not say
	maxRecordingShares = 100                // of one recording
)

// What a recording can be shared with.
const (
	withUser  = "user"
	withGroup = "group"
	withOrg   = "org"
)

// ShareRecording makes a link to a recording for a user, a group or everybody in the organisation. It gives nothing by itself:
// whoever opens it is logged in, is one it was made for, and is on record. It holds as long as its maker is active, and may still share it.
func (s *Service) ShareRecording(ctx context.Context, who sess.Principal, in api.RecordingShareIn) (api.RecordingShare, error) {
	var row store.Session
	var share store.RecordingShare
	err := s.gate.DoFind(ctx, who, policy.RecordingShare, s.recordingByRef(ctx, in.Session, &api.Recording{}, &row), func(tx *gate.Tx) error {
		tx.Session(row.ID)
		if err := shareable(row); err != nil {
			return err
		}
		ttl := time.Duration(in.Body.TTL) * time.Second
		if ttl <= 0 {
			ttl = recordingShareTTL
		}
		now := s.now()
		share = store.RecordingShare{
			Org: row.Org, ID: sess.NewRecordingShareID(), Session: row.ID, MadeBy: string(who.User), MadeName: who.Name,
			CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(ttl)),
		}
		if err := shareWith(ctx, tx, in, &share); err != nil {
			return err
		}
		tx.Detail("share", share.ID)
		tx.Detail("with", strings.TrimSpace(share.WithKind+" "+share.WithName))
		tx.Detail("until", now.Add(ttl).UTC().Format(time.RFC3339))
		n, err := tx.CountRecordingShares(ctx, row.Org, row.ID)
		if err != nil {
			return fmt.Errorf("count shares: %w", err)
		}
		if n >= maxRecordingShares {
			return sess.New(sess.CodeLimited, fmt.Sprintf("the recording is shared %d times already", n), "take some back: sessctl recording shares --session "+string(row.ID))
		}
		if err := tx.InsertRecordingShare(ctx, store.InsertRecordingShareParams(share)); err != nil {
			return fmt.Errorf("insert share: %w", err)
		}
		return nil
	})
	if err != nil {
		return api.RecordingShare{}, err
	}
	return s.viewRecordingShare(share), nil
}

// shareable refuses to share what is not kept, goes on, or may not be shared.
func shareable(r store.Session) error {
	c := controls(r)
	switch {
	case c.NoLinks:
		return sess.New(sess.CodeDenied, "recordings of such sessions are not shared by a link, because of "+c.Source(sess.ControlNoLinks), "those who may replay it see it with sessctl recording play "+string(r.ID))
	case r.State != sess.StateEnded:
		return sess.New(sess.CodeInvalid, "the session goes on: what is to come can't be shared in advance", "end it first, or let others watch it")
	}
	return kept(r)
}

// shareWith finds whom a share is for.
func shareWith(ctx context.Context, tx *gate.Tx, in api.RecordingShareIn, share *store.RecordingShare) error {
	b := in.Body
	named := 0
	for _, is := range []bool{b.User != "", b.Group != "", b.Everyone} {
		if is {
			named++
		}
	}
	if named != 1 {
		return sess.New(sess.CodeInvalid, "a recording is shared with one of a user, a group and everybody", "sessctl recording share SESSION --with USER|GROUP|org")
	}
	switch {
	case b.Everyone:
		share.WithKind = withOrg
		return nil
	case b.User != "":
		m, err := tx.GetMemberByName(ctx, share.Org, strings.ToLower(strings.TrimSpace(b.User)))
		if sess.ValidID("usr", b.User) {
			m, err = tx.GetMember(ctx, share.Org, sess.UserID(b.User))
		}
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("look for user: %w", err)
		}
		if err != nil || m.DeletedAt != nil {
			return sess.New(sess.CodeNotFound, fmt.Sprintf("no user %q in this organisation", clean(b.User, maxReason)), "a group is named with --with group:NAME")
		}
		share.WithKind, share.WithID, share.WithName = withUser, string(m.UserID), m.Name
	default:
		t, err := tx.GetTeamByName(ctx, share.Org, b.Group)
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("look for group: %w", err)
		}
		if err != nil {
			return sess.New(sess.CodeNotFound, fmt.Sprintf("no group %q in this organisation", clean(b.Group, maxReason)), "a user is named by e-mail address or name")
		}
		share.WithKind, share.WithID, share.WithName = withGroup, string(t.ID), t.Name
	}
	return nil
}

// OpenRecordingShare is Replay for somebody whom a recording was shared with. Whoever it was not shared with does not find it.
func (s *Service) OpenRecordingShare(ctx context.Context, who sess.Principal, id string) (api.Recording, error) {
	var out api.Recording
	var row store.Session
	find := gate.Find{Type: policy.TypeRecording, Name: clean(id, maxReason), By: func(tx *gate.Tx) (policy.Resource, error) {
		share, r, err := s.sharedRecording(ctx, tx, id)
		if err != nil {
			return policy.Resource{}, err
		}
		row = r
		tx.While(func(ctx context.Context, tx *gate.Tx) error {
			_, _, err := s.sharedRecording(ctx, tx, id)
			if isNotFound(err) {
				return sess.New(sess.CodeNotFound, "the recording is not shared with you any more", "")
			}
			return err
		})
		tx.Session(row.ID)
		tx.Detail("share", share.ID)
		tx.Detail("shared_by", share.MadeName)
		out = s.recording(row)
		return recordingResource(row), nil
	}}
	err := s.gate.ReadFind(ctx, who, policy.RecordingOpen, find, func(*gate.Tx) error { return kept(row) })
	if err != nil {
		return api.Recording{}, err
	}
	return out, nil
}

// sharedRecording finds a recording by a share that holds for who asks. A link gives no more than its maker could, now.
func (s *Service) sharedRecording(ctx context.Context, tx *gate.Tx, id string) (share store.RecordingShare, r store.Session, err error) {
	who := tx.Who()
	if share, err = tx.FindRecordingShare(ctx, who.Org, id, store.Micros(s.now()), string(who.User)); err != nil {
		return share, r, err
	}
	if r, err = tx.GetSession(ctx, who.Org, share.Session); err != nil {
		return share, r, err
	}
	still, err := tx.AllowedFor(ctx, sess.UserID(share.MadeBy), policy.RecordingShare, recordingResource(r))
	if err == nil && !still {
		err = store.ErrNotFound
	}
	return share, r, err
}

// ListRecordingShares gives a page of the shares that the principal made, and of those of recordings that they may see.
func (s *Service) ListRecordingShares(ctx context.Context, who sess.Principal, in api.RecordingSharesIn) (api.RecordingShareList, error) {
	out := api.RecordingShareList{Items: []api.RecordingShare{}}
	err := s.gate.Read(ctx, who, policy.RecordingListShares, policy.Org(who.Org), func(tx *gate.Tx) error {
		limit := in.Limit
		if limit <= 0 {
			limit = api.DefaultPage
		}
		limit = min(limit, api.MaxPage)
		from, err := store.ParseCursor(in.After)
		if err != nil {
			return err
		}
		rows, err := tx.ListRecordingShares(ctx, store.ListRecordingSharesParams{
			Org: who.Org, Now: store.Micros(s.now()), Session: in.Session, BeforeAt: from.At, BeforeID: from.ID, Page: int32(limit + 1),
		})
		if err != nil {
			return fmt.Errorf("list shares: %w", err)
		}
		if len(rows) > limit {
			last := rows[limit-1]
			rows, out.Next = rows[:limit], store.Cursor{At: last.CreatedAt, ID: last.ID}.String()
		}
		for _, r := range rows {
			if r.MadeBy != string(who.User) {
				of, err := tx.GetSession(ctx, who.Org, r.Session)
				if err != nil {
					return fmt.Errorf("load session: %w", err)
				}
				if !tx.Allowed(policy.RecordingShow, recordingResource(of)) {
					continue
				}
			}
			out.Items = append(out.Items, s.viewRecordingShare(r))
		}
		return nil
	})
	if err != nil {
		return api.RecordingShareList{}, err
	}
	return out, nil
}

// UnshareRecording takes a share back. Who has the link does not find it from then on.
func (s *Service) UnshareRecording(ctx context.Context, who sess.Principal, in api.RecordingShareRef) error {
	var row store.Session
	return s.gate.DoFind(ctx, who, policy.RecordingUnshare, s.recordingByRef(ctx, in.Session, &api.Recording{}, &row), func(tx *gate.Tx) error {
		tx.Session(row.ID)
		tx.Detail("share", clean(in.Share, maxReason))
		share, err := tx.GetRecordingShare(ctx, row.Org, in.Share)
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("load share: %w", err)
		}
		if err != nil || share.Session != row.ID {
			return sess.New(sess.CodeNotFound, "the recording is not shared by that link", "sessctl recording shares shows the links")
		}
		if _, err := tx.DeleteRecordingShare(ctx, row.Org, share.ID); err != nil {
			return fmt.Errorf("delete share: %w", err)
		}
		return nil
	})
}

func (s *Service) viewRecordingShare(r store.RecordingShare) api.RecordingShare {
	return api.RecordingShare{
		ID: r.ID, Link: strings.TrimSuffix(s.public.String(), "/") + strings.Replace(api.PathRecordingLink, "{share}", r.ID, 1), Session: r.Session,
		With: r.WithKind, WithName: r.WithName, By: r.MadeName, CreatedAt: store.Time(r.CreatedAt), ExpiresAt: store.Time(r.ExpiresAt),
	}
}
