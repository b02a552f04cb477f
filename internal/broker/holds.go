package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// HoldRecording keeps a recording until it is released, whatever its age and the size of all.
func (s *Service) HoldRecording(ctx context.Context, who sess.Principal, in api.HoldIn) (api.Recording, error) {
	return s.setHold(ctx, who, policy.RecordingHold, in.Session, in.Body.Reason)
}

// ReleaseRecording takes a hold away. What is too old by then is deleted soon.
func (s *Service) ReleaseRecording(ctx context.Context, who sess.Principal, in api.SessionRef) (api.Recording, error) {
	return s.setHold(ctx, who, policy.RecordingRelease, in.Session, "")
}

func (s *Service) setHold(ctx context.Context, who sess.Principal, act policy.Action, ref, why string) (api.Recording, error) {
	var out api.Recording
	var row store.Session
	err := s.gate.DoFind(ctx, who, act, s.recordingByRef(ctx, ref, &out, &row), func(tx *gate.Tx) error {
		tx.Session(row.ID)
		p := store.HoldRecordingParams{Org: row.Org, ID: row.ID}
		if act == policy.RecordingHold {
			if err := kept(row); err != nil {
				return err
			}
			at := store.Micros(s.now())
			p.RecHeldAt, p.RecHeldBy, p.RecHeldWhy = &at, who.Name, clean(why, maxReason)
		}
		tx.Reason(p.RecHeldWhy)
		if _, err := tx.HoldRecording(ctx, p); err != nil {
			return fmt.Errorf("hold recording: %w", err)
		}
		row.RecHeldAt, row.RecHeldBy, row.RecHeldWhy = p.RecHeldAt, p.RecHeldBy, p.RecHeldWhy
		out.Hold = holdOf(row)
		return nil
	})
	if err != nil {
		return api.Recording{}, err
	}
	return out, nil
}

// holdOf is the hold of a recording, for people; nil: none.
func holdOf(r store.Session) *api.Hold {
	if r.RecHeldAt == nil {
		return nil
	}
	return &api.Hold{Since: store.Time(*r.RecHeldAt), By: r.RecHeldBy, Reason: r.RecHeldWhy}
}

// How recordings are deleted in the background: in small steps, so that nothing waits for it.
const (
	oldEvery = 20 * time.Second
	oldStep  = 50 // recordings in one transaction
	oldSteps = 20 // of one organisation at a time
)

// Files deletes the files of a recording. It may be repeated.
type Files func(sess.OrgID, sess.SessionID) error

// DeleteOld deletes recordings of this node that are older or larger than their organisations keep, until ctx ends: first on
// record, then on disk, so that none is ever missing without a word.
func (s *Service) DeleteOld(ctx context.Context, remove Files) {
	t := time.NewTicker(oldEvery)
	defer t.Stop()
	for {
		if err := s.clearOld(ctx, remove); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "recordings not deleted", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (s *Service) clearOld(ctx context.Context, remove Files) error {
	var orgs []store.ListOrgSettingsRow
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if orgs, err = tx.ListOrgSettings(ctx); err != nil {
			return err
		}
		_, err = tx.PurgeRecordingShares(ctx, store.Micros(s.now()))
		return err
	})
	if err != nil {
		return fmt.Errorf("look for recordings to delete: %w", err)
	}
	var errs []error
	for _, o := range orgs {
		set, err := sess.ParseSettings(o.Settings)
		for steps := 0; err == nil && steps < oldSteps; steps++ {
			var n int
			if n, err = s.expireSome(ctx, o.ID, set); n == 0 {
				break
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.removeExpired(ctx, remove))...)
}

// expireSome takes some recordings of an organisation out of what is kept, each with its event, and says how many.
func (s *Service) expireSome(ctx context.Context, org sess.OrgID, set sess.Settings) (n int, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		n = 0
		if set.RecordingSeconds > 0 {
			age := time.Duration(set.RecordingSeconds) * time.Second
			before := store.Micros(s.now().Add(-age))
			rows, err := tx.ListOldRecordings(ctx, org, &before, s.node, oldStep)
			if err != nil {
				return fmt.Errorf("list old recordings: %w", err)
			}
			for _, r := range rows {
				if err := s.expireOne(ctx, tx, r, "recordings are kept for "+sess.FormatDuration(age)); err != nil {
					return err
				}
				n++
			}
		}
		if set.RecordingBytes > 0 && n == 0 {
			var err error
			n, err = s.shrink(ctx, tx, org, set.RecordingBytes)
			return err
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("expire recordings of %s: %w", org, err)
	}
	return n, nil
}

// shrink takes out the oldest until the rest is no more than limit bytes.
func (s *Service) shrink(ctx context.Context, tx *store.Tx, org sess.OrgID, limit int64) (n int, err error) {
	sum, err := tx.SumRecordings(ctx, org)
	if err != nil || sum <= limit {
		return 0, err
	}
	now := store.Micros(s.now())
	rows, err := tx.ListOldRecordings(ctx, org, &now, s.node, oldStep)
	if err != nil {
		return 0, fmt.Errorf("list old recordings: %w", err)
	}
	for _, r := range rows {
		if sum <= limit {
			break
		}
		if err := s.expireOne(ctx, tx, r, "recordings take "+sess.FormatBytes(limit)+" at most"); err != nil {
			return n, err
		}
		sum -= r.RecStored
		n++
	}
	return n, nil
}

func (s *Service) expireOne(ctx context.Context, tx *store.Tx, r store.Session, why string) error {
	n, err := tx.ExpireRecording(ctx, r.Org, r.ID, why)
	if err != nil || n == 0 { // held meanwhile
		return err
	}
	return s.gate.Event(ctx, tx, gate.Entry{
		Who: sess.System(r.Org), Action: policy.RecordingExpired, On: recordingResource(r), Session: r.ID, Reason: why,
		Details: map[string]string{"state": string(r.Recording), "stored": fmt.Sprint(r.RecStored), "digest": r.RecDigest},
	})
}

// removeExpired deletes the files of what has expired, also those that a server before did not get to.
func (s *Service) removeExpired(ctx context.Context, remove Files) error {
	var rows []store.ListExpiredRecordingsRow
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.ListExpiredRecordings(ctx, s.node)
		return err
	})
	if err != nil {
		return fmt.Errorf("list expired recordings: %w", err)
	}
	var errs []error
	for _, r := range rows {
		if err := remove(r.Org, r.ID); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, s.db.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.ForgetRecording(ctx, r.Org, r.ID)
			return err
		}))
	}
	return errors.Join(errs...)
}
