package gate_test

import (
	"errors"
	"testing"

	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// Nobody learns from an answer whether there is something that they may not see.
func TestHiddenAndMissingAnswerTheSame(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		find := func(on policy.Resource, err error) gate.Find {
			return gate.Find{Type: policy.TypeSession, Name: "ses_x", By: func(*gate.Tx) (policy.Resource, error) { return on, err }}
		}
		bobs := policy.Resource{Org: org, Project: "prj_1", Type: policy.TypeSession, ID: "ses_x", Owner: nobody}
		foreign := bobs
		foreign.Org, foreign.Owner = other, operator
		var answers []sess.Error
		for _, f := range []gate.Find{
			find(policy.Resource{}, store.ErrNotFound),
			find(policy.Resource{}, sess.New(sess.CodeNotFound, "no such row", "")),
			find(bobs, nil),
			find(foreign, nil),
		} {
			for _, do := range []func() error{
				func() error {
					return h.DoFind(t.Context(), who(operator), policy.SessionEnd, f, func(*gate.Tx) error { t.Error("done"); return nil })
				},
				func() error {
					return h.ReadFind(t.Context(), who(operator), policy.SessionShow, f, func(*gate.Tx) error { t.Error("shown"); return nil })
				},
			} {
				var e *sess.Error
				if err := do(); !errors.As(err, &e) {
					t.Fatal(err)
				}
				answers = append(answers, *sess.Public(e))
			}
		}
		for _, a := range answers[1:] {
			if a != answers[0] || a.Code != sess.CodeNotFound {
				t.Errorf("%+v\n and %+v", a, answers[0])
			}
		}
		// The log does know.
		all := h.events(t, string(org))
		if len(all) != 8 {
			t.Fatalf("%d events", len(all))
		}
		var refused, failed int
		for _, e := range all {
			switch {
			case e.Outcome == audit.Refused && e.On.ID == "ses_x" && e.Details["hidden"] == "yes":
				refused++
			case e.Outcome == audit.Failed && e.Code == sess.CodeNotFound && e.On.Name == "ses_x":
				failed++
			}
		}
		if refused != 2 || failed != 6 {
			t.Errorf("%d refused, %d failed: %+v", refused, failed, all)
		}
	})
}

func TestSeenButNotAllowedIsDenied(t *testing.T) {
	h := newHouse(t, storetest.SQLite(t))
	f := gate.Find{Type: policy.TypeInstance, Name: "web", By: func(tx *gate.Tx) (policy.Resource, error) {
		if !tx.Allowed(policy.InstanceShow, instance()) || tx.Allowed(policy.InstanceRemove, instance()) {
			t.Error("wrong decisions about rows")
		}
		if sc := tx.Scope(policy.InstanceShow, policy.TypeInstance); sc.Org || len(sc.Projects) != 1 {
			t.Errorf("scope %+v", sc)
		}
		return instance(), nil
	}}
	err := h.DoFind(t.Context(), who(operator), policy.InstanceRemove, f, func(*gate.Tx) error { t.Error("done"); return nil })
	if !errors.Is(err, sess.ErrDenied) {
		t.Error(err)
	}
	if err := h.DoFind(t.Context(), who(admin), policy.InstanceRemove, gate.Find{Type: policy.TypeInstance, By: func(*gate.Tx) (policy.Resource, error) { return instance(), nil }},
		func(*gate.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
}
