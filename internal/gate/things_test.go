package gate_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// A policy about sessions sees the labels and the region of their instance, though the session's row has none.
func TestSessionsHaveTheLabelsOfTheirInstance(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		put := func(name, body string) {
			t.Helper()
			storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
				if err := tx.PutPolicy(ctx, store.PutPolicyParams{Org: org, Name: name, Body: body, UpdatedAt: 1}); err != nil {
					return err
				}
				_, err := tx.ChangeRules(ctx, org)
				return err
			})
		}
		storetest.Write(t, db, func(ctx context.Context, tx *store.Tx) error {
			for id, env := range map[sess.InstanceID]string{"ins_prod": "prod", "ins_dev": "dev"} {
				if err := tx.CreateInstance(ctx, store.CreateInstanceParams{Org: org, ID: id, Project: "prj_1", Name: env, Region: "eu", CreatedAt: 1}); err != nil {
					return err
				}
				if err := tx.PutLabel(ctx, org, id, "env", env); err != nil {
					return err
				}
			}
			return nil
		})
		put("hide", `forbid (principal, action == Action::"session:show", resource is Session)
			when { resource.region == "eu" && resource.hasTag("env") && resource.getTag("env") == "prod" };`)
		session := func(on sess.InstanceID) policy.Resource {
			return policy.Resource{Org: org, Type: policy.TypeSession, ID: "ses_1", Instance: on, Owner: operator}
		}
		for on, want := range map[sess.InstanceID]bool{"ins_prod": false, "ins_dev": true, "ins_gone": true} {
			var listed bool
			err := h.Read(t.Context(), who(admin), policy.SessionShow, session(on), func(*gate.Tx) error { return nil })
			if (err == nil) != want {
				t.Errorf("show on %s: %v", on, err)
			}
			err = h.Read(t.Context(), who(admin), policy.SessionList, policy.Org(org), func(tx *gate.Tx) error {
				listed = tx.Allowed(policy.SessionShow, session(on))
				return nil
			})
			if err != nil || listed != want {
				t.Errorf("listed on %s: %v, %v", on, listed, err)
			}
		}
	})
}

// A refusal tells the person that a rule forbids it, and the log which.
func TestRefusalNamesRulesInTheLogOnly(t *testing.T) {
	h := newHouse(t, storetest.SQLite(t))
	storetest.Write(t, h.db, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.PutPolicy(ctx, store.PutPolicyParams{Org: org, Name: "secret-name", Body: `forbid (principal, action == Action::"session:start", resource);`, UpdatedAt: 1}); err != nil {
			return err
		}
		_, err := tx.ChangeRules(ctx, org)
		return err
	})
	err := h.Do(t.Context(), who(admin), policy.SessionStart, instance(), func(*gate.Tx) error { return nil })
	e := sess.Public(err)
	if e == nil || e.Code != sess.CodeDenied || strings.Contains(e.Message+e.Hint, "secret-name") || !strings.Contains(e.Hint, "sessctl policy explain evt_") {
		t.Errorf("told: %+v", e)
	}
	events := h.events(t, string(org))
	if last := events[len(events)-1]; last.Details["rules"] != "policy/secret-name" {
		t.Errorf("recorded: %+v", last)
	}
}
