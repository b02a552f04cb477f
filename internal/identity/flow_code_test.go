package identity_test

import (
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// Who has a second factor shows it in the browser, after a password as after a provider; the client's login has shown it then.
func TestFlowAsksForTheSecondFactor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		p := w.setUp(ada, "hub", newHub(t), nil)
		ann := w.who(must[api.LoginOut](w, "log in")(w.byProvider(p)).Token)
		mine, _ := w.enrolled(ada)
		anns, recovery := w.enrolled(ann)
		for what, c := range map[string]struct {
			name, code string
			first      func(b identity.Browser, flow string) (identity.FlowEnd, error)
		}{
			"password": {adminEmail, w.appCode(mine, 0).Body.Code, func(b identity.Browser, flow string) (identity.FlowEnd, error) {
				return w.FlowPassword(t.Context(), b, flow, adminEmail, adminPassword)
			}},
			"provider": {"ann@example.com", w.appCode(anns, 0).Body.Code, func(b identity.Browser, flow string) (identity.FlowEnd, error) {
				return w.FromProvider(t.Context(), b, p.ID, w.send(b, flow, "hub"))
			}},
			"recovery code": {"ann@example.com", recovery[0], func(b identity.Browser, flow string) (identity.FlowEnd, error) {
				return w.FromProvider(t.Context(), b, p.ID, w.send(b, flow, "hub"))
			}},
		} {
			b := w.browser()
			flow := w.authorize(b)
			_, err := w.FlowCode(t.Context(), b, flow, c.code)
			w.wantCode(what+": a code before the first factor", err, sess.CodeExpired)
			end := must[identity.FlowEnd](w, what)(c.first(b, flow))
			if end.Code != flow || end.URL != "" {
				t.Fatalf("%s: %+v", what, end)
			}
			v := must[identity.FlowView](w, "view")(w.ViewFlow(t.Context(), b, flow))
			if !v.Code || v.Name != c.name || len(v.Providers) > 0 {
				t.Errorf("%s: %+v", what, v)
			}
			_, err = w.FlowCode(t.Context(), w.browser(), flow, c.code)
			w.wantCode(what+": the code in another browser", err, sess.CodeNotFound)
			_, err = w.FlowCode(t.Context(), b, flow, "000000")
			w.wantCode(what+": a wrong code", err, sess.CodeUnauthenticated)
			end = must[identity.FlowEnd](w, what+": the code")(w.FlowCode(t.Context(), b, flow, c.code))
			out := must[api.RedeemOut](w, "redeem")(w.RedeemLogin(t.Context(), home, w.redeem(end)))
			if who := w.who(w.secret(out.Login.Token)); who.MFAAt.IsZero() || who.Stage != sess.StageNone || who.Name != c.name {
				t.Errorf("%s: %+v", what, who)
			}
			_, err = w.FlowCode(t.Context(), b, flow, c.code)
			w.wantCode(what+": the code once more", err, sess.CodeExpired)
		}
		w.wantEvent(ada.Org, `"login:challenge"`, adminEmail, `"factor":"totp"`)
	})
}

// The second factor alone opens nothing: who begins anew, or types a device's code into another browser, shows the first again.
func TestFlowForgetsTheFirstFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	secret, _ := w.enrolled(ada)
	code := w.appCode(secret, 0).Body.Code
	b := w.browser()
	flow := w.authorize(b)
	must[identity.FlowEnd](w, "password")(w.FlowPassword(t.Context(), b, flow, adminEmail, adminPassword))
	if err := w.RestartFlow(t.Context(), b, flow); err != nil {
		t.Fatal(err)
	}
	_, err := w.FlowCode(t.Context(), b, flow, code)
	w.wantCode("after beginning anew", err, sess.CodeExpired)

	d := w.device()
	flow = must[string](w, "claim")(w.ClaimDevice(t.Context(), b, d.UserCode))
	if err := w.ConfirmFlow(t.Context(), b, flow); err != nil {
		t.Fatal(err)
	}
	must[identity.FlowEnd](w, "password")(w.FlowPassword(t.Context(), b, flow, adminEmail, adminPassword))
	if out := must[api.RedeemOut](w, "poll")(w.poll(d)); out.Login != nil {
		t.Fatal("a device is logged in by a password alone")
	}
	other := w.browser()
	must[string](w, "claim by another")(w.ClaimDevice(t.Context(), other, d.UserCode))
	for _, who := range []identity.Browser{b, other} {
		if _, err := w.FlowCode(t.Context(), who, flow, code); w.saw(err) == nil {
			t.Error("another browser goes on with what this one showed")
		}
	}

	// Revoking voids it, too.
	flow = w.authorize(b)
	must[identity.FlowEnd](w, "password")(w.FlowPassword(t.Context(), b, flow, adminEmail, adminPassword))
	if err := w.RevokeUser(t.Context(), ada, user(adminEmail)); err != nil {
		t.Fatal(err)
	}
	_, err = w.FlowCode(t.Context(), b, flow, code)
	w.wantCode("after revoking", err, sess.CodeExpired)
}
