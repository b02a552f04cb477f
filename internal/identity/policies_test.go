package identity_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func putIn(name, body string) api.PolicyPutIn {
	in := api.PolicyPutIn{PolicyRef: api.PolicyRef{Policy: name}}
	in.Body.Body = body
	return in
}

const noStart = `forbid (principal, action == Action::"session:start", resource is Instance) when { resource.name == "db-1" };`

// Only org admins write rules, and what they write stays within bounds.
func TestWhoWritesRules(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		for _, role := range []sess.Role{sess.RoleOperator, sess.RoleReadOnly, sess.RoleAuditor} {
			who := w.machine(admin, "m-"+string(role), role)
			_, err := w.PutPolicy(t.Context(), who, putIn("p", noStart))
			w.wantCode("put as "+string(role), err, sess.CodeDenied)
			w.wantCode("delete as "+string(role), w.DeletePolicy(t.Context(), who, api.PolicyRef{Policy: "p"}), sess.CodeDenied)
			var in api.RoleIn
			in.Body.Name, in.Body.Actions = "mine", []string{"session:start"}
			_, err = w.CreateRole(t.Context(), who, in)
			w.wantCode("make a role as "+string(role), err, sess.CodeDenied)
		}
		if _, err := w.PutPolicy(t.Context(), admin, putIn("p", noStart)); err != nil {
			t.Fatal(err)
		}
		w.wantEvent(admin.Org, `"action":"policy:put"`, `"name":"p"`, `"sha256":`)
		_, err := w.PutPolicy(t.Context(), admin, putIn("big", noStart+strings.Repeat(" ", policy.MaxPolicyText)))
		w.wantCode("too large", err, sess.CodeTooLarge)
		_, err = w.GetPolicy(t.Context(), admin, api.PolicyRef{Policy: "big"})
		w.wantCode("show what was not stored", err, sess.CodeNotFound)
	})
}

// All policies of an organisation together are bounded, too.
func TestRoomForPolicies(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	storetest.Write(t, w.db, func(ctx context.Context, tx *store.Tx) error {
		for i := range policy.MaxPolicies {
			if err := tx.PutPolicy(ctx, store.PutPolicyParams{Org: admin.Org, Name: fmt.Sprintf("p%d", i), Body: noStart, UpdatedAt: 1}); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := w.PutPolicy(t.Context(), admin, putIn("one-more", noStart))
	w.wantCode("one more", err, sess.CodeLimited)
	if _, err := w.PutPolicy(t.Context(), admin, putIn("p7", noStart)); err != nil {
		t.Errorf("in place of another: %v", err)
	}
}

// Who may not see the rules has one's own decisions explained without them, and nothing of anybody else.
func TestExplainTellsNoRules(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	token := w.token(admin, 1, map[string]string{"env": "prod"})
	w.enrol(token.Secret, "db-1")
	if _, err := w.PutPolicy(t.Context(), admin, putIn("hidden", noStart)); err != nil {
		t.Fatal(err)
	}
	ci, other := w.machine(admin, "ci", sess.RoleOperator), w.machine(admin, "other", sess.RoleOperator)
	var in api.ExplainIn
	in.Body.Question = &api.Question{Action: "start", Instance: "db-1"}
	x, err := w.ExplainPolicy(t.Context(), ci, in)
	if err != nil || x.Allowed || !x.Partial || len(x.Why) != 1 || strings.Contains(fmt.Sprint(x), "hidden") {
		t.Errorf("one's own: %+v, %v", x, err)
	}
	in.Body.Question.User = "ci"
	_, err = w.ExplainPolicy(t.Context(), other, in)
	w.wantCode("somebody else's", err, sess.CodeDenied)
	x, err = w.ExplainPolicy(t.Context(), admin, in)
	if err != nil || x.Partial || len(x.Why) != 1 || x.Why[0].Policy != "hidden" || x.Why[0].Line != 1 || x.User != "ci" {
		t.Errorf("the admin: %+v, %v", x, err)
	}
	denial := w.wantCode("put as ci", func() error { _, err := w.PutPolicy(t.Context(), ci, putIn("p", noStart)); return err }(), sess.CodeDenied)
	_, id, _ := strings.Cut(denial.Hint, "evt_")
	id, _, _ = strings.Cut("evt_"+id, ")")
	ref := api.ExplainIn{}
	ref.Body.Ref = strings.TrimSpace(id)
	if x, err = w.ExplainPolicy(t.Context(), ci, ref); err != nil || x.Allowed || x.Action != "policy:put" || !strings.Contains(x.Missing, "org-admin") {
		t.Errorf("a denial of one's own: %+v, %v", x, err)
	}
	_, err = w.ExplainPolicy(t.Context(), other, ref)
	w.wantCode("a denial of somebody else", err, sess.CodeNotFound)
}

// What one may do on 1,000 instances in an organisation with 1,000 policies is told in a moment; BenchmarkAccess of package policy
// has the time of the decisions alone.
func BenchmarkListAccess(b *testing.B) {
	w := newWorld(b, storetest.SQLite(b))
	admin := w.admin()
	storetest.Write(b, w.db, func(ctx context.Context, tx *store.Tx) error {
		p, err := tx.GetProjectByName(ctx, admin.Org, "default")
		if err != nil {
			return err
		}
		for i := range 1000 {
			body := fmt.Sprintf(`forbid (principal, action == Action::"session:start", resource is Instance) when { resource.hasTag("app") && resource.getTag("app") == "app-%d" && context.hour < 6 };`, i)
			if err := tx.PutPolicy(ctx, store.PutPolicyParams{Org: admin.Org, Name: fmt.Sprintf("p%d", i), Body: body, UpdatedAt: 1}); err != nil {
				return err
			}
			id := sess.NewInstanceID()
			if err := tx.CreateInstance(ctx, store.CreateInstanceParams{Org: admin.Org, ID: id, Project: p.ID, Name: fmt.Sprintf("web-%d", i), CreatedAt: 1}); err != nil {
				return err
			}
			for k, v := range map[string]string{"app": fmt.Sprintf("app-%d", i), "env": "prod", "team": "x"} {
				if err := tx.PutLabel(ctx, admin.Org, id, k, v); err != nil {
					return err
				}
			}
		}
		_, err = tx.ChangeRules(ctx, admin.Org)
		return err
	})
	for b.Loop() {
		out, err := w.ListAccess(b.Context(), admin)
		if err != nil || len(out.Items) != 1000 {
			b.Fatalf("%d instances, %v", len(out.Items), err)
		}
	}
}
