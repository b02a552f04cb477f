package server

import (
	"context"
	"fmt"

	"github.com/sessctl/sess/internal/store"
)

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
		r, err := s.trail.VerifyLog(ctx, log)
		if err != nil {
			return nil, err
		}
		out = append(out, auditResult{Log: log, AuditVerifyOut: r})
	}
	return out, nil
}

// newAdminLink makes a new link for an admin, for the owner of the machine.
func (s *Server) newAdminLink(ctx context.Context, org, email string, dropFactors bool) (adminLink, error) {
	token, who, err := s.identity.AdminLink(ctx, org, email, dropFactors)
	if err != nil {
		return adminLink{}, err //nolint:wrapcheck // it says everything
	}
	return adminLink{Link: s.identity.InviteLink(token), Email: who}, nil
}
