package server

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// listAudit gives a page of the organisation's audit events, newest first.
func (s *Server) listAudit(ctx context.Context, who sess.Principal, in api.AuditIn) (api.AuditList, error) {
	var out api.AuditList
	from, err := store.ParseCursor(in.After)
	if err != nil {
		return out, err //nolint:wrapcheck // it says everything
	}
	limit := in.Limit
	if limit <= 0 {
		limit = api.DefaultPage
	}
	err = s.gate.Read(ctx, who, policy.AuditList, policy.Org(who.Org), func(tx *gate.Tx) error {
		rows, err := tx.ListAuditEvents(ctx, store.ListAuditEventsParams{
			Log: audit.LogOf(who.Org), BeforeAt: from.At, BeforeID: from.ID,
			Action: in.Action, Who: in.Who, Session: in.Session, Outcome: in.Outcome, Page: int64(min(limit, api.MaxPage)),
		})
		if err != nil {
			return fmt.Errorf("list audit events: %w", err)
		}
		out.Items = make([]api.AuditEvent, len(rows))
		for i, r := range rows {
			out.Items[i] = api.AuditEvent{Index: -1, Raw: []byte(r.Body)}
			if r.Idx != nil {
				out.Items[i].Index = *r.Idx
			}
		}
		if len(rows) == limit {
			last := rows[len(rows)-1]
			out.Next = store.Cursor{At: last.CreatedAt, ID: string(last.ID)}.String()
		}
		return nil
	})
	if err != nil {
		return api.AuditList{}, err
	}
	return out, nil
}

// verifyAudit checks the organisation's audit log where it is stored.
func (s *Server) verifyAudit(ctx context.Context, who sess.Principal) (api.AuditVerifyOut, error) {
	if err := s.gate.Read(ctx, who, policy.AuditVerify, policy.Org(who.Org), nothing); err != nil {
		return api.AuditVerifyOut{}, err
	}
	return s.verifyLog(ctx, audit.LogOf(who.Org))
}

// nothing is for reads whose answer is gathered after the gate let them pass, because it is long.
func nothing(*gate.Tx) error { return nil }

func (s *Server) verifyLog(ctx context.Context, log string) (api.AuditVerifyOut, error) {
	if err := s.sequencer.Flush(ctx); err != nil {
		s.log.Warn("audit events have no place yet", "err", err) // the report counts them
	}
	r, err := gate.VerifyLog(ctx, s.store, log, s.signer.VerifierKey(), s.now())
	if err != nil {
		return api.AuditVerifyOut{}, fmt.Errorf("verify audit log: %w", err)
	}
	out := api.AuditVerifyOut{OK: r.OK(), Size: r.Size, Unplaced: r.Unplaced, Root: r.Root, Checkpoint: r.Checkpoint, Key: s.signer.VerifierKey()}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, p.String())
	}
	if r.More > 0 {
		out.Problems = append(out.Problems, fmt.Sprintf("and %d more", r.More))
	}
	return out, nil
}

// verifyAllAudit checks every log of this server, for its owner.
func (s *Server) verifyAllAudit(ctx context.Context) ([]auditResult, error) {
	var logs []string
	err := s.store.Read(ctx, func(tx *store.Tx) (err error) {
		logs, err = tx.ListAuditLogs(ctx)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, fmt.Errorf("list audit logs: %w", err)
	}
	var out []auditResult
	for _, log := range logs {
		r, err := s.verifyLog(ctx, log)
		if err != nil {
			return nil, err
		}
		out = append(out, auditResult{Log: log, AuditVerifyOut: r})
	}
	return out, nil
}

// auditExport sends the organisation's audit log with its signed checkpoint.
func (s *Server) auditExport(ctx context.Context, who sess.Principal, _ *http.Request) (*answer, error) {
	if err := s.gate.Read(ctx, who, policy.AuditExport, policy.Org(who.Org), nothing); err != nil {
		return nil, err
	}
	if err := s.sequencer.Flush(ctx); err != nil {
		s.log.Warn("audit events have no place yet", "err", err) // the export says which
	}
	return &answer{contentType: "application/x-ndjson", send: func(w io.Writer) error {
		return gate.Export(ctx, s.store, audit.LogOf(who.Org), s.signer.VerifierKey(), s.now(), w)
	}}, nil
}

// newAdminLink makes a new link for an admin, for the owner of the machine.
func (s *Server) newAdminLink(ctx context.Context, org, email string, dropFactors bool) (adminLink, error) {
	token, who, err := s.identity.AdminLink(ctx, org, email, dropFactors)
	if err != nil {
		return adminLink{}, err //nolint:wrapcheck // it says everything
	}
	return adminLink{Link: s.identity.InviteLink(token), Email: who}, nil
}
