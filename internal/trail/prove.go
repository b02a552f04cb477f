package trail

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Checkpoint gives the newest signed checkpoint of the log of who's organisation: before it is asked for in vain, what was
// just recorded gets its place.
func (s *Service) Checkpoint(ctx context.Context, who sess.Principal) (api.Checkpoint, error) {
	if err := s.Gate.Read(ctx, who, policy.AuditProve, logResource(who), func(*gate.Tx) error { return nil }); err != nil {
		return api.Checkpoint{}, err
	}
	s.settle(ctx)
	out := api.Checkpoint{Log: logOf(who), Key: s.Key}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		c, signed, err := s.newest(ctx, tx, out.Log)
		out.Size, out.Checkpoint = c.Size, signed
		return err
	})
	if err != nil {
		return api.Checkpoint{}, err
	}
	return out, nil
}

// newest gives the newest checkpoint, which our key must have signed.
func (s *Service) newest(ctx context.Context, tx *store.Tx, log string) (audit.Checkpoint, string, error) {
	row, err := tx.GetAuditCheckpoint(ctx, log)
	return s.opened(row, err)
}

func (s *Service) opened(row store.AuditCheckpoint, err error) (audit.Checkpoint, string, error) {
	if isNotFound(err) {
		return audit.Checkpoint{}, "", sess.New(sess.CodeNotFound, "there is no signed checkpoint of that size", "sessctl audit verify --json shows the newest one")
	}
	if err != nil {
		return audit.Checkpoint{}, "", fmt.Errorf("read checkpoint: %w", err)
	}
	c, err := audit.OpenCheckpoint(row.Note, s.Key)
	if err != nil {
		return c, "", sess.Wrap(err, sess.CodeConflict, "the checkpoint in the database is not one that this server signed", "sessctl audit verify says more")
	}
	return c, row.Note, nil
}

// hashes reads the tree of a log.
func hashes(ctx context.Context, tx *store.Tx, log string) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return gate.LogHashes(ctx, tx, log, indexes) })
}

// Prove proves that an event is in the log of who's organisation.
func (s *Service) Prove(ctx context.Context, who sess.Principal, in api.ProveIn) (api.AuditProof, error) {
	var row store.AuditEvent
	err := s.Gate.Read(ctx, who, policy.AuditProve, logResource(who), func(tx *gate.Tx) (err error) {
		row, err = event(ctx, tx, logOf(who), in.Event)
		return err
	})
	if err != nil {
		return api.AuditProof{}, err
	}
	s.settle(ctx)
	var p audit.Proof
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		c, signed, err := s.newest(ctx, tx, row.Log)
		if err != nil {
			return err
		}
		if row, err = tx.GetAuditEvent(ctx, row.Log, row.ID); err != nil {
			return fmt.Errorf("look for audit event: %w", err)
		}
		if row.Idx == nil || *row.Idx >= c.Size {
			return sess.New(sess.CodeUnavailable, "the event has no place in the log yet", "try again in some seconds; if that does not help: sessctl audit verify")
		}
		p, err = audit.ProveEvent(*row.Idx, []byte(row.Body), c, signed, s.Key, hashes(ctx, tx, row.Log))
		return err //nolint:wrapcheck // it says everything
	})
	return api.AuditProof(p), err
}

// Consistency proves that the log of who's organisation only grew from one size to another.
func (s *Service) Consistency(ctx context.Context, who sess.Principal, in api.ConsistencyIn) (api.AuditProof, error) {
	var p audit.Proof
	err := s.Gate.Read(ctx, who, policy.AuditProve, logResource(who), func(tx *gate.Tx) error {
		log := logOf(who)
		tx.Detail("from", fmt.Sprint(in.From))
		row, err := tx.GetAuditCheckpoint(ctx, log)
		if in.To > 0 {
			row, err = tx.GetAuditCheckpointOf(ctx, log, in.To)
		}
		c, signed, err := s.opened(row, err)
		if err != nil {
			return err
		}
		if in.From > c.Size {
			return sess.New(sess.CodeNotFound, fmt.Sprintf("the log has %d events, and never had %d, for all it knows", c.Size, in.From),
				"if you hold a signed checkpoint over more events, the log was cut: keep it, and tell your auditor")
		}
		p, err = audit.ProveConsistency(in.From, c, signed, s.Key, hashes(ctx, tx.Tx, log))
		return err //nolint:wrapcheck // it says everything
	})
	if err != nil {
		return api.AuditProof{}, err
	}
	return api.AuditProof(p), nil
}

// Verify has the server check the log of who's organisation where it is stored. One check of a server's runs at a time.
func (s *Service) Verify(ctx context.Context, who sess.Principal) (api.AuditVerifyOut, error) {
	if err := s.Gate.Read(ctx, who, policy.AuditVerify, logResource(who), func(*gate.Tx) error { return nil }); err != nil {
		return api.AuditVerifyOut{}, err
	}
	if !s.checking.TryLock() {
		return api.AuditVerifyOut{}, sess.New(sess.CodeLimited, "an audit log is being checked already", "try again when that is done")
	}
	defer s.checking.Unlock()
	return s.VerifyLog(ctx, logOf(who))
}

// VerifyLog checks a log by its name, for the owner of the box.
func (s *Service) VerifyLog(ctx context.Context, log string) (api.AuditVerifyOut, error) {
	s.settle(ctx)
	r, err := VerifyLog(ctx, s.DB, log, s.Key, s.Now())
	if err != nil {
		return api.AuditVerifyOut{}, fmt.Errorf("verify audit log: %w", err)
	}
	out := api.AuditVerifyOut{OK: r.OK(), Size: r.Size, Unplaced: r.Unplaced, Root: r.Root, Checkpoint: r.Checkpoint, Key: s.Key}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, p.String())
	}
	if r.More > 0 {
		out.Problems = append(out.Problems, fmt.Sprintf("and %d more", r.More))
	}
	return out, nil
}
