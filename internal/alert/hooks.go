package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	maxHooks = 10 // of one organisation
	maxShown = 20 // alerts shown with a webhook
)

// sealContext says whose secret it is.
func sealContext(org sess.OrgID, id string) string { return "alert hook " + string(org) + " " + id }

// hostOf is as much of an address as may stand in the log: what follows may be a secret.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Add has a webhook told of what is unusual from now on. What is in the log already teaches the rules.
func (s *Service) Add(ctx context.Context, who sess.Principal, in api.AlertHookIn) (api.AlertHookAdded, error) {
	var out api.AlertHookAdded
	err := s.Gate.Do(ctx, who, policy.AlertAdd, policy.Org(who.Org), func(tx *gate.Tx) error {
		row, secret, err := s.newHook(who, in)
		if err != nil {
			return err
		}
		if err := tx.Lock(ctx, "alert hooks "+string(who.Org)); err != nil {
			return err //nolint:wrapcheck // it says everything
		}
		others, err := tx.ListAlertHooks(ctx, who.Org, maxHooks)
		if err != nil {
			return fmt.Errorf("count webhooks: %w", err)
		}
		if len(others) >= maxHooks {
			return sess.New(sess.CodeLimited, fmt.Sprintf("%d webhooks are told already", maxHooks), "remove one first: sessctl alert remove ID")
		}
		if row.NextNum, err = nextAlert(ctx, tx, who.Org, len(others) == 0); err != nil {
			return err
		}
		err = tx.CreateAlertHook(ctx, store.CreateAlertHookParams{
			Org: row.Org, ID: row.ID, URL: row.URL, Kinds: row.Kinds, Secret: row.Secret, CA: row.CA, CreatedAt: row.CreatedAt, CreatedBy: row.CreatedBy, NextNum: row.NextNum,
		})
		if err != nil {
			return fmt.Errorf("create webhook: %w", err)
		}
		tx.Detail("hook", row.ID)
		tx.Detail("to", hostOf(row.URL))
		tx.Detail("kinds", strings.Join(strings.Fields(row.Kinds), ","))
		out.AlertHook = view(row, 0)
		if in.Body.Secret == "" {
			out.Secret = secret
		}
		return nil
	})
	if err != nil {
		return api.AlertHookAdded{}, err
	}
	return out, nil
}

// nextAlert gives the number of the next alert of an organisation, and begins to look at its log if nobody wanted to be told.
func nextAlert(ctx context.Context, tx *gate.Tx, org sess.OrgID, first bool) (int64, error) {
	if !first {
		w, err := tx.LockAlertWatch(ctx, org)
		return w.NextNum, wrap("take watch", err)
	}
	size, err := tx.GetAuditSize(ctx, audit.LogOf(org))
	if err != nil {
		return 0, fmt.Errorf("size of audit log: %w", err)
	}
	w, err := tx.PutAlertWatch(ctx, org, size)
	return w.NextNum, wrap("begin to watch", err)
}

// newHook checks what is asked for. The secret is sealed in the row.
func (s *Service) newHook(who sess.Principal, in api.AlertHookIn) (store.AlertHook, string, error) {
	row := store.AlertHook{Org: who.Org, ID: sess.NewAlertHookID(), URL: in.Body.URL, CA: in.Body.CA, CreatedAt: store.Micros(s.Now()), CreatedBy: who.Name}
	var err error
	if row.Kinds, err = readKinds(in.Body.On); err != nil {
		return row, "", err
	}
	secret := in.Body.Secret
	if secret == "" {
		secret = outbound.NewSecret()
	}
	out, err := outbound.NewWebhook(outbound.WebhookConfig{URL: row.URL, Secret: secret, CA: row.CA, Guard: s.Guard, Now: s.Now})
	if err != nil {
		return row, "", err //nolint:wrapcheck // it says everything
	}
	out.Close()
	row.Secret = s.Sealer.Seal([]byte(secret), sealContext(row.Org, row.ID))
	return row, secret, nil
}

func timeOf(us *int64) *time.Time {
	if us == nil {
		return nil
	}
	t := store.Time(*us)
	return &t
}

// view gives a webhook as admins see it.
func view(h store.AlertHook, waiting int64) api.AlertHook {
	return api.AlertHook{
		ID: h.ID, URL: h.URL, On: strings.Fields(h.Kinds), HasCA: h.CA != "", CreatedAt: store.Time(h.CreatedAt), CreatedBy: h.CreatedBy, Waiting: waiting,
		DeliveredAt: timeOf(h.DeliveredAt), Failures: h.Failures, Problem: h.Problem, FailedAt: timeOf(h.FailedAt),
	}
}

// List lists the webhooks that are told, newest first.
func (s *Service) List(ctx context.Context, who sess.Principal) (api.AlertHookList, error) {
	out := api.AlertHookList{Items: []api.AlertHook{}}
	err := s.Gate.Read(ctx, who, policy.AlertList, policy.Org(who.Org), func(tx *gate.Tx) error {
		rows, err := tx.ListAlertHooks(ctx, who.Org, maxHooks)
		if err != nil {
			return fmt.Errorf("list webhooks: %w", err)
		}
		for _, h := range rows {
			n, err := tx.CountAlertsFrom(ctx, h.Org, h.NextNum)
			if err != nil {
				return fmt.Errorf("count alerts: %w", err)
			}
			out.Items = append(out.Items, view(h, n))
		}
		return nil
	})
	if err != nil {
		return api.AlertHookList{}, err
	}
	return out, nil
}

// find finds a webhook by its id.
func find(ctx context.Context, tx *gate.Tx, id string) (store.AlertHook, error) {
	h, err := tx.GetAlertHook(ctx, tx.Who().Org, id)
	if isNotFound(err) {
		return h, sess.New(sess.CodeNotFound, "there is no webhook with that id", "sessctl alert list shows those there are")
	}
	if err != nil {
		return h, fmt.Errorf("look for webhook: %w", err)
	}
	tx.Detail("hook", h.ID)
	tx.Detail("to", hostOf(h.URL))
	return h, nil
}

// Show shows a webhook, and the latest alerts of the organisation that it is told of.
func (s *Service) Show(ctx context.Context, who sess.Principal, in api.IDRef) (api.AlertHookShown, error) {
	out := api.AlertHookShown{Alerts: []api.Alert{}}
	err := s.Gate.Read(ctx, who, policy.AlertShow, policy.Org(who.Org), func(tx *gate.Tx) error {
		h, err := find(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		n, err := tx.CountAlertsFrom(ctx, h.Org, h.NextNum)
		if err != nil {
			return fmt.Errorf("count alerts: %w", err)
		}
		out.AlertHook = view(h, n)
		rows, err := tx.ListLatestAlerts(ctx, h.Org, maxShown)
		if err != nil {
			return fmt.Errorf("list alerts: %w", err)
		}
		for _, a := range rows {
			var b body
			if json.Unmarshal([]byte(a.Body), &b) == nil && wants(h.Kinds, Kind(a.Kind)) {
				out.Alerts = append(out.Alerts, api.Alert{ID: a.ID, Kind: a.Kind, Time: b.Time, Summary: b.Summary, Told: a.Num < h.NextNum})
			}
		}
		return nil
	})
	if err != nil {
		return api.AlertHookShown{}, err
	}
	return out, nil
}

// Test sends a webhook a message that is no alert, beside those that wait.
func (s *Service) Test(ctx context.Context, who sess.Principal, in api.IDRef) (api.AlertTestOut, error) {
	var h store.AlertHook
	err := s.Gate.Read(ctx, who, policy.AlertTest, policy.Org(who.Org), func(tx *gate.Tx) (err error) {
		h, err = find(ctx, tx, in.ID)
		return err
	})
	if err != nil {
		return api.AlertTestOut{}, err
	}
	out, err := s.webhook(h)
	if err != nil {
		return api.AlertTestOut{Problem: problemOf(err)}, nil
	}
	defer out.Close()
	id := sess.NewAlertID()
	b, err := json.Marshal(body{ID: id, Type: bodyType, Kind: "test", Time: s.Now().UTC(), Org: who.Org, Summary: "a test, asked for by " + who.Name, Test: true})
	if err != nil {
		return api.AlertTestOut{}, fmt.Errorf("write test: %w", err)
	}
	if err := out.Post(ctx, outbound.Message{ID: id, Body: b}); err != nil {
		s.Log.InfoContext(ctx, "test of alert webhook failed", "org", string(h.Org), "hook", h.ID, "err", err)
		return api.AlertTestOut{Problem: problemOf(err)}, nil
	}
	return api.AlertTestOut{OK: true}, nil
}

// Remove ends the telling of a webhook, also of what it waits for.
func (s *Service) Remove(ctx context.Context, who sess.Principal, in api.IDRef) error {
	return s.Gate.Do(ctx, who, policy.AlertRemove, policy.Org(who.Org), func(tx *gate.Tx) error {
		h, err := find(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if _, err := tx.DeleteAlertHook(ctx, h.Org, h.ID); err != nil {
			return fmt.Errorf("remove webhook: %w", err)
		}
		return nil
	})
}
