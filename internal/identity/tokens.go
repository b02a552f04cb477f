package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	tokenLife    = time.Hour
	maxTokenLife = 365 * 24 * time.Hour
	maxTokenUses = 100_000
)

// CreateToken makes an enrolment token. Its secret, and the lines to paste that hold it, are in the answer and nowhere
// else.
func (s *Service) CreateToken(ctx context.Context, who sess.Principal, in api.TokenIn) (api.Token, error) {
	var out api.Token
	var project store.Project
	find := gate.Find{Type: policy.TypeProject, Name: projectOrDefault(in.Body.Project), By: func(tx *gate.Tx) (on policy.Resource, err error) {
		project, err = findProject(ctx, tx.Tx, who.Org, projectOrDefault(in.Body.Project))
		return policy.Resource{Org: project.Org, Project: project.ID, Type: policy.TypeToken}, err
	}}
	err := s.gate.DoFind(ctx, who, policy.TokenCreate, find, func(tx *gate.Tx) error {
		t, err := s.tokenParams(who, project.ID, in)
		if err != nil {
			return err
		}
		secret, err := sess.NewToken(sess.TokenEnrol, s.pin)
		if err != nil {
			return err
		}
		t.Hash = sess.HashToken(secret)
		if err := tx.LockShared(ctx, projectLock(project.ID)); err != nil {
			return err
		}
		if _, err := tx.GetProject(ctx, project.Org, project.ID); err != nil {
			return fmt.Errorf("load project: %w", err)
		}
		if err := tx.CreateEnrolToken(ctx, t); err != nil {
			return fmt.Errorf("create enrolment token: %w", err)
		}
		tx.On(policy.Resource{Org: who.Org, Project: project.ID, Type: policy.TypeToken, ID: string(t.ID)})
		tx.Detail("uses", strconv.FormatInt(t.Uses, 10))
		tx.Detail("expires", store.Time(t.ExpiresAt).Format(time.RFC3339))
		tx.Detail("labels", t.Labels)
		tx.Detail("region", t.Region)
		out = api.Token{
			ID: t.ID, Secret: secret, Uses: int(t.Uses), ExpiresAt: store.Time(t.ExpiresAt), CreatedAt: store.Time(t.CreatedAt),
			CreatedBy: t.CreatedBy, Region: t.Region, Project: project.Name, Labels: in.Body.Labels, EnrolLine: enrolLine(s.publicURL, secret),
		}
		if s.hasAgents() {
			out.InstallLine = installLine(s.publicURL, s.pin, secret)
		}
		return nil
	})
	if err != nil {
		return api.Token{}, err
	}
	return out, nil
}

func projectOrDefault(name string) string {
	if name == "" {
		return firstName
	}
	return name
}

// findProject finds a project by name or id.
func findProject(ctx context.Context, tx *store.Tx, org sess.OrgID, ref string) (store.Project, error) {
	if sess.ValidID("prj", ref) {
		return tx.GetProject(ctx, org, sess.ProjectID(ref))
	}
	return tx.GetProjectByName(ctx, org, ref)
}

// tokenParams checks what is asked for and fills in what is left out; the hash is missing.
func (s *Service) tokenParams(who sess.Principal, project sess.ProjectID, in api.TokenIn) (store.CreateEnrolTokenParams, error) {
	bad := func(why, hint string) (store.CreateEnrolTokenParams, error) {
		return store.CreateEnrolTokenParams{}, sess.New(sess.CodeInvalid, why, hint)
	}
	uses, life := int64(in.Body.Uses), time.Duration(in.Body.TTL)*time.Second
	if uses == 0 {
		uses = 1
	}
	if in.Body.TTL == 0 {
		life = tokenLife
	}
	switch {
	case uses < 1 || uses > maxTokenUses:
		return bad(fmt.Sprintf("an enrolment token has 1 to %d uses", maxTokenUses), "")
	case in.Body.TTL < 0 || in.Body.TTL > int64(maxTokenLife/time.Second):
		return bad("an enrolment token is valid for a year at most", "")
	case !regionName.MatchString(in.Body.Region):
		return bad("this can't be a region", "use up to 64 letters, digits, '.', '_' and '-'")
	}
	if err := checkLabels(in.Body.Labels); err != nil {
		return store.CreateEnrolTokenParams{}, err
	}
	labels := in.Body.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return store.CreateEnrolTokenParams{}, fmt.Errorf("encode labels: %w", err)
	}
	now := s.now()
	return store.CreateEnrolTokenParams{
		Org: who.Org, ID: sess.NewTokenID(), Project: project, Region: in.Body.Region, Labels: string(text), Uses: uses,
		CreatedBy: who.Name, CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(life)),
	}, nil
}

// ListTokens lists enrolment tokens that are not deleted, newest first, those used up or too old among them.
func (s *Service) ListTokens(ctx context.Context, who sess.Principal, in api.Page) (api.TokenList, error) {
	out := api.TokenList{Items: []api.Token{}}
	err := s.gate.Read(ctx, who, policy.TokenList, policy.Org(who.Org), func(tx *gate.Tx) error {
		limit, after, err := page(in)
		if err != nil {
			return err
		}
		every, projects := scope(tx.Scope(policy.TokenList, policy.TypeToken))
		rows, err := tx.ListEnrolTokens(ctx, store.ListEnrolTokensParams{
			Org: who.Org, BeforeAt: after.At, BeforeID: after.ID, EveryProject: every, Projects: projects, Page: int32(limit + 1), //nolint:gosec // at most a page
		})
		if err != nil {
			return fmt.Errorf("list enrolment tokens: %w", err)
		}
		for i, t := range rows {
			if i == limit {
				last := rows[limit-1]
				out.Next = store.Cursor{At: last.CreatedAt, ID: string(last.ID)}.String()
				break
			}
			if !tx.Allowed(policy.TokenList, policy.Resource{Org: who.Org, Project: t.Project, Type: policy.TypeToken, ID: string(t.ID)}) {
				continue // the scope may be wider than policies are
			}
			item := api.Token{
				ID: t.ID, Uses: int(t.Uses), Used: int(t.Used), ExpiresAt: store.Time(t.ExpiresAt), CreatedAt: store.Time(t.CreatedAt),
				CreatedBy: t.CreatedBy, Region: t.Region, Project: t.ProjectName,
			}
			if item.Labels, err = decodeLabels(t.Labels); err != nil {
				return err
			}
			out.Items = append(out.Items, item)
		}
		return nil
	})
	if err != nil {
		return api.TokenList{}, err
	}
	return out, nil
}

func decodeLabels(text string) (map[string]string, error) {
	var labels map[string]string
	if err := json.Unmarshal([]byte(text), &labels); err != nil {
		return nil, fmt.Errorf("decode labels: %w", err)
	}
	return labels, nil
}

// DeleteToken voids an enrolment token. Instances that came by it stay.
func (s *Service) DeleteToken(ctx context.Context, who sess.Principal, in api.IDRef) error {
	find := gate.Find{Type: policy.TypeToken, Name: in.ID, By: func(tx *gate.Tx) (policy.Resource, error) {
		t, err := tx.GetEnrolToken(ctx, who.Org, sess.TokenID(in.ID))
		return policy.Resource{Org: t.Org, Project: t.Project, Type: policy.TypeToken, ID: string(t.ID)}, err
	}}
	return s.gate.DoFind(ctx, who, policy.TokenDelete, find, func(tx *gate.Tx) error {
		now := store.Micros(s.now())
		if _, err := tx.RevokeEnrolToken(ctx, who.Org, sess.TokenID(in.ID), &now); err != nil {
			return fmt.Errorf("delete enrolment token: %w", err)
		}
		return nil
	})
}
