package identity_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

func TestFlowByProvider(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		admin := w.admin()
		h := newHub(t)
		p := w.setUp(admin, "hub", h, func(in *api.IDPIn) { in.Body.ValidSeconds = 3600 })
		b := w.browser()
		flow := w.authorize(b)
		v := must[identity.FlowView](w, "view")(w.ViewFlow(t.Context(), b, flow))
		if !v.OrgKnown || len(v.Providers) != 1 || v.Providers[0].Name != "hub" || v.Device || !v.Confirmed || v.Client != "a test" {
			t.Errorf("%+v", v)
		}
		back := w.send(b, flow, "hub")
		end := must[identity.FlowEnd](w, "come back")(w.FromProvider(t.Context(), b, p.ID, back))
		if end.Name != "ann@example.com" {
			t.Errorf("%+v", end)
		}
		_, err := w.FromProvider(t.Context(), b, p.ID, back)
		w.wantCode("come back twice", err, sess.CodeExpired)
		in := w.redeem(end)
		for what, change := range map[string]func(*api.RedeemIn){
			"another verifier":      func(in *api.RedeemIn) { in.Body.Verifier += "x" },
			"no verifier":           func(in *api.RedeemIn) { in.Body.Verifier = "" },
			"another port":          func(in *api.RedeemIn) { in.Body.RedirectURI = "http://127.0.0.1:4712/" },
			"as a device code":      func(in *api.RedeemIn) { in.Body.DeviceCode, in.Body.Code = in.Body.Code, "" },
			"nothing":               func(in *api.RedeemIn) { in.Body.Code = "" },
			"a code nobody made":    func(in *api.RedeemIn) { in.Body.Code = identity.NewBrowserCookie() },
			"a code with an ending": func(in *api.RedeemIn) { in.Body.Code += "=" },
		} {
			bad := in
			change(&bad)
			out, err := w.RedeemLogin(t.Context(), home, bad)
			if w.saw(err) == nil || out.Login != nil {
				t.Errorf("%s: %+v", what, out)
			}
		}
		out := must[api.RedeemOut](w, "redeem")(w.RedeemLogin(t.Context(), home, in))
		ann := w.who(w.secret(out.Login.Token))
		if ann.UserKind != sess.UserIDP || ann.Name != "ann@example.com" || ann.Org != admin.Org || ann.IDP != string(p.ID) || out.Login.OrgName != "default" {
			t.Errorf("%+v, %+v", ann, out.Login)
		}
		if got := out.Login.ExpiresAt.Sub(w.clock()); got > time.Hour || got < 59*time.Minute {
			t.Errorf("the login is valid for %s, the provider's for an hour", got)
		}
		_, err = w.RedeemLogin(t.Context(), home, in)
		w.wantCode("redeem twice", err, sess.CodeExpired)
		if me := must[api.WhoamiOut](w, "whoami")(w.Whoami(t.Context(), ann)); len(me.Grants) != 0 {
			t.Errorf("somebody new holds %+v", me.Grants)
		}
		w.wantEvent(admin.Org, `"idp:login"`, `ann@example.com`, `"new":"yes"`, `"subject":"4711"`)
		w.wantEvent(admin.Org, `"login"`, `"idp":"hub"`, `"by":"browser"`)

		// The second time it is the same user, whatever the address is by now.
		h.email = "ann.new@example.com"
		again := must[api.LoginOut](w, "log in again")(w.byProvider(p))
		if again.User != out.Login.User || again.Email != "ann.new@example.com" {
			t.Errorf("%+v", again)
		}
	})
}

// A flow is one browser's: whoever else knows its address, a state or a code of it can do nothing with it.
func TestFlowIsBoundToItsBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	p := w.setUp(w.admin(), "hub", newHub(t), nil)
	b := w.browser()
	flow := w.authorize(b)
	back := w.send(b, flow, "hub")
	for what, other := range map[string]identity.Browser{"another browser": w.browser(), "no cookie": {Addr: home}} {
		ctx := t.Context()
		_, err := w.ViewFlow(ctx, other, flow)
		w.wantCode(what+" looks", err, sess.CodeNotFound)
		_, err = w.SendFlow(ctx, other, flow, "hub")
		w.wantCode(what+" goes on", err, sess.CodeNotFound)
		_, err = w.FlowPassword(ctx, other, flow, adminEmail, adminPassword)
		w.wantCode(what+" logs in", err, sess.CodeNotFound)
		_, err = w.DenyFlow(ctx, other, flow)
		w.wantCode(what+" ends it", err, sess.CodeNotFound)
		w.wantCode(what+" chooses", w.ChooseFlowOrg(ctx, other, flow, "default"), sess.CodeNotFound)
		w.wantCode(what+" confirms", w.ConfirmFlow(ctx, other, flow), sess.CodeNotFound)
		_, err = w.FinishSAML(ctx, other, flow, "x")
		w.wantCode(what+" finishes", err, sess.CodeNotFound)
	}
	// A response that is brought by the wrong browser is used up: it was somebody's.
	_, err := w.FromProvider(t.Context(), w.browser(), p.ID, back)
	w.wantCode("another browser comes back", err, sess.CodeNotFound)
	_, err = w.FromProvider(t.Context(), b, p.ID, back)
	w.wantCode("and then the right one", err, sess.CodeExpired)
	// The right browser begins again.
	if _, err := w.FromProvider(t.Context(), b, p.ID, w.send(b, flow, "hub")); err != nil {
		t.Error(err)
	}
}

func TestFlowEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	h := newHub(t)
	p := w.setUp(w.admin(), "hub", h, nil)
	ctx := t.Context()

	b := w.browser()
	flow := w.authorize(b)
	back := w.send(b, flow, "hub")
	w.pass(11 * time.Minute)
	_, err := w.FromProvider(ctx, b, p.ID, back)
	w.wantCode("come back late", err, sess.CodeExpired)
	_, err = w.ViewFlow(ctx, b, flow)
	w.wantCode("look late", err, sess.CodeExpired)

	flow = w.authorize(b)
	end := must[identity.FlowEnd](w, "log in")(w.FlowPassword(ctx, b, flow, adminEmail, adminPassword))
	w.pass(61 * time.Second)
	_, err = w.RedeemLogin(ctx, home, w.redeem(end))
	w.wantCode("redeem late", err, sess.CodeExpired)

	flow = w.authorize(b)
	to, err := w.DenyFlow(ctx, b, flow)
	if err != nil || !strings.HasPrefix(to, portURI+"?") || !strings.Contains(to, "error=access_denied") || !strings.Contains(to, "state="+clientSays) {
		t.Errorf("%s, %v", to, err)
	}
	_, err = w.FlowPassword(ctx, b, flow, adminEmail, adminPassword)
	w.wantCode("log in after all", err, sess.CodeExpired)

	// What a provider refuses, and one that is away.
	flow = w.authorize(b)
	back = w.send(b, flow, "hub")
	back.Set("error", "access_denied")
	_, err = w.FromProvider(ctx, b, p.ID, back)
	w.wantCode("refused there", err, sess.CodeDenied)
	back = w.send(b, flow, "hub")
	back.Set("code", "bad")
	_, err = w.FromProvider(ctx, b, p.ID, back)
	w.wantCode("a bad code", err, sess.CodeUnauthenticated)
	_, err = w.FromProvider(ctx, b, "idp_aaaaaaaaaaaaaaaa", w.send(b, flow, "hub"))
	w.wantCode("from another provider", err, sess.CodeExpired)
	h.Close()
	_, err = w.FromProvider(ctx, b, p.ID, w.send(b, flow, "hub"))
	w.wantCode("away", err, sess.CodeUnavailable)
}

// What a client asks for must be safe for the person whose browser it is.
func TestAuthorizeRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	for what, change := range map[string]func(*identity.AuthorizeIn){
		"plain PKCE":     func(in *identity.AuthorizeIn) { in.ChallengeMethod = "plain" },
		"no PKCE":        func(in *identity.AuthorizeIn) { in.Challenge, in.ChallengeMethod = "", "" },
		"half a hash":    func(in *identity.AuthorizeIn) { in.Challenge = in.Challenge[:20] },
		"a token":        func(in *identity.AuthorizeIn) { in.ResponseType = "token" },
		"another client": func(in *identity.AuthorizeIn) { in.ClientID = "other" },
		"no state":       func(in *identity.AuthorizeIn) { in.State = "" },
		"a long state":   func(in *identity.AuthorizeIn) { in.State = strings.Repeat("s", 201) },
	} {
		in := authorizeIn()
		change(&in)
		_, err := w.Authorize(t.Context(), w.browser(), in)
		w.wantCode(what, err, sess.CodeInvalid)
	}
	for _, uri := range []string{
		"", "https://evil.example/", "http://evil.example:80/", "http://localhost:4711/", "http://127.0.0.1/", "http://127.0.0.1:4711", "http://127.0.0.1:4711/x",
		"http://127.0.0.1:4711/?x=y", "http://127.0.0.1:4711/#x", "http://127.0.0.1:0/", "http://127.0.0.1:04711/", "http://127.0.0.2:4711/", "http://127.0.0.1:4711@evil.example/",
		"http://user@127.0.0.1:4711/", "https://127.0.0.1:4711/", "http://[::1]/", "http://0.0.0.0:4711/", "http://127.0.0.1:99999/", "sess://127.0.0.1:4711/", "http://[::1%25lo]:4711/",
	} {
		in := authorizeIn()
		in.RedirectURI = uri
		_, err := w.Authorize(t.Context(), w.browser(), in)
		w.wantCode(uri, err, sess.CodeInvalid)
	}
	in := authorizeIn()
	in.RedirectURI = "http://[::1]:4711/"
	if _, err := w.Authorize(t.Context(), w.browser(), in); err != nil {
		t.Error(err)
	}
}

func TestFlowByPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	admin := w.admin()
	b := w.browser()
	flow := w.authorize(b)
	_, err := w.FlowPassword(t.Context(), b, flow, adminEmail, w.secret("a wrong password"))
	w.wantCode("a wrong password", err, sess.CodeUnauthenticated)
	end := must[identity.FlowEnd](w, "log in")(w.FlowPassword(t.Context(), b, flow, adminEmail, adminPassword))
	_, err = w.FlowPassword(t.Context(), b, flow, adminEmail, adminPassword)
	w.wantCode("once more", err, sess.CodeExpired)
	out := must[api.RedeemOut](w, "redeem")(w.RedeemLogin(t.Context(), home, w.redeem(end)))
	if who := w.who(w.secret(out.Login.Token)); who.User != admin.User || who.IDP != "" {
		t.Errorf("%+v", who)
	}
	// Wrong passwords count here as anywhere.
	flow = w.authorize(b)
	var last error
	for range 6 {
		_, last = w.FlowPassword(t.Context(), identity.Browser{Cookie: b.Cookie, Addr: else1}, flow, adminEmail, "wrong again and again")
	}
	w.wantCode("the sixth", last, sess.CodeLimited)
}

func TestDevice(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		p := w.setUp(w.admin(), "hub", newHub(t), nil)
		ctx := t.Context()
		d := w.device()
		out := must[api.RedeemOut](w, "poll")(w.poll(d))
		if out.Status != "pending" || out.IntervalSeconds != 5 {
			t.Errorf("%+v", out)
		}
		w.pass(time.Second)
		if out = must[api.RedeemOut](w, "poll at once")(w.poll(d)); out.Status != "slow_down" || out.IntervalSeconds != 10 {
			t.Errorf("%+v", out)
		}
		w.pass(10 * time.Second)
		if out = must[api.RedeemOut](w, "poll in time")(w.poll(d)); out.Status != "pending" || out.IntervalSeconds != 10 {
			t.Errorf("%+v", out)
		}

		b := w.browser()
		typed := " " + strings.ToLower(strings.ReplaceAll(d.UserCode, "-", " ")) + "\n"
		flow := must[string](w, "claim")(w.ClaimDevice(ctx, b, typed))
		v := must[identity.FlowView](w, "view")(w.ViewFlow(ctx, b, flow))
		if !v.Device || v.Confirmed || v.Client != "a machine without a browser" || v.Address != else1.String() {
			t.Errorf("%+v", v)
		}
		_, err := w.SendFlow(ctx, b, flow, "hub")
		w.wantCode("go on without confirming", err, sess.CodeInvalid)
		_, err = w.FlowPassword(ctx, b, flow, adminEmail, adminPassword)
		w.wantCode("log in without confirming", err, sess.CodeInvalid)

		// Another browser in which the code is typed has it from then on.
		if err := w.ConfirmFlow(ctx, b, flow); err != nil {
			t.Fatal(err)
		}
		lost := w.send(b, flow, "hub")
		b2 := w.browser()
		if again := must[string](w, "claim again")(w.ClaimDevice(ctx, b2, d.UserCode)); again != flow {
			t.Errorf("flow %s, then %s", flow, again)
		}
		_, err = w.FromProvider(ctx, b, p.ID, lost)
		w.wantCode("the first browser comes back", err, sess.CodeExpired)
		if v = must[identity.FlowView](w, "view")(w.ViewFlow(ctx, b2, flow)); v.Confirmed {
			t.Error("what one person confirmed counts for another")
		}
		if err := w.ConfirmFlow(ctx, b2, flow); err != nil {
			t.Fatal(err)
		}
		end := must[identity.FlowEnd](w, "come back")(w.FromProvider(ctx, b2, p.ID, w.send(b2, flow, "hub")))
		if end.URL != "" {
			t.Errorf("the browser goes to %s", end.URL)
		}
		_, err = w.ClaimDevice(ctx, b, d.UserCode)
		w.wantCode("type it again", err, sess.CodeNotFound)
		got := must[api.RedeemOut](w, "poll")(w.poll(d))
		if got.Status != "done" || got.Login == nil || got.Login.Email != "ann@example.com" {
			t.Fatalf("%+v", got)
		}
		_, err = w.poll(d)
		w.wantCode("poll again", err, sess.CodeExpired)

		d = w.device()
		flow = must[string](w, "claim")(w.ClaimDevice(ctx, b, d.UserCode))
		if to, err := w.DenyFlow(ctx, b, flow); err != nil || to != "" {
			t.Errorf("%q, %v", to, err)
		}
		_, err = w.poll(d)
		w.wantCode("poll what was refused", err, sess.CodeDenied)
		d = w.device()
		w.pass(11 * time.Minute)
		_, err = w.poll(d)
		w.wantCode("poll late", err, sess.CodeExpired)
		_, err = w.ClaimDevice(ctx, b, d.UserCode)
		w.wantCode("type it late", err, sess.CodeNotFound)
	})
}

// Codes are guessed ten times and no more, from one address; a right one then does not help either.
func TestDeviceCodeIsNotGuessed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.admin()
	d := w.device()
	guesser := identity.Browser{Cookie: identity.NewBrowserCookie(), Addr: netip.MustParseAddr("2001:db8::1")}
	for i := range 10 {
		guesser.Addr = guesser.Addr.Next() // of the same network
		_, err := w.ClaimDevice(t.Context(), guesser, "BCDF-GHJ"+string("BCDFGHJKLM"[i]))
		w.wantCode("guess", err, sess.CodeNotFound)
	}
	_, err := w.ClaimDevice(t.Context(), guesser, d.UserCode)
	w.wantCode("the right one after ten", err, sess.CodeLimited)
	if _, err := w.ClaimDevice(t.Context(), w.browser(), d.UserCode); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	w.pass(16 * time.Minute)
	_, err = w.ClaimDevice(t.Context(), guesser, "BCDF-GHJK")
	w.wantCode("a guess later", err, sess.CodeNotFound)
}
