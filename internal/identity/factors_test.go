package identity_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
	"github.com/sessctl/sess/internal/store/storetest"
)

// appCode is what the authenticator app shows some steps from now.
func (w *world) appCode(secret string, steps int) api.CodeIn {
	w.t.Helper()
	code, err := hotp.GenerateCode(secret, uint64(w.clock().Unix()/30+int64(steps)))
	if err != nil {
		w.t.Fatal(err)
	}
	return codeIn(code)
}

func codeIn(code string) api.CodeIn {
	var in api.CodeIn
	in.Body.Code = code
	return in
}

// enrolled has who enrol an app, and gives its secret and the recovery codes.
func (w *world) enrolled(who sess.Principal) (secret string, codes []string) {
	w.t.Helper()
	begun := must[api.EnrolMFAOut](w, "enrol")(w.EnrolMFA(w.t.Context(), who))
	secret = w.secret(begun.Secret)
	done := must[api.RecoveryCodesOut](w, "confirm")(w.ConfirmMFA(w.t.Context(), who, w.appCode(secret, 0)))
	for _, c := range done.RecoveryCodes {
		w.secret(c)
	}
	w.pass(time.Minute)
	return secret, done.RecoveryCodes
}

// challenged logs in with the password, and gives the challenge.
func (w *world) challenged() api.LoginOut {
	w.t.Helper()
	out := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home))
	if out.Token != "" || out.Challenge == "" {
		w.t.Fatalf("a password alone gives %+v", out)
	}
	w.secret(out.Challenge)
	return out
}

func (w *world) answer(challenge, code string) (api.LoginOut, error) {
	var in api.LoginMFAIn
	in.Body.Challenge, in.Body.Code = challenge, code
	out, err := w.LoginMFA(w.t.Context(), home, in)
	if err == nil {
		w.secret(out.Token)
	}
	return out, w.saw(err)
}

// The second factor from its enrolment to its end.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		begun := must[api.EnrolMFAOut](w, "enrol")(w.EnrolMFA(t.Context(), ada))
		if out := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home)); out.Token == "" {
			t.Error("an enrolment that was only begun counts")
		}
		_, err := w.ConfirmMFA(t.Context(), ada, codeIn("000000"))
		w.wantCode("a wrong first code", err, sess.CodeMFA)
		secret, recovery := w.enrolled(ada) // begun anew
		if secret == begun.Secret || len(recovery) != 8 {
			t.Fatalf("%d recovery codes", len(recovery))
		}
		_, err = w.EnrolMFA(t.Context(), ada)
		w.wantCode("a second app", err, sess.CodeConflict)

		c := w.challenged()
		_, err = w.answer(c.Challenge, "000000")
		w.wantCode("a wrong code", err, sess.CodeUnauthenticated)
		in := must[api.LoginOut](w, "a right code")(w.answer(c.Challenge, w.appCode(secret, 0).Body.Code))
		if who := w.who(in.Token); who.MFAAt.IsZero() {
			t.Error("the login has shown no factor")
		}
		_, err = w.answer(c.Challenge, w.appCode(secret, 1).Body.Code)
		w.wantCode("the challenge again", err, sess.CodeExpired)

		c = w.challenged()
		_, err = w.answer(c.Challenge, w.appCode(secret, 0).Body.Code)
		w.wantCode("the code again", err, sess.CodeUnauthenticated)
		_, err = w.answer(c.Challenge, w.appCode(secret, -1).Body.Code)
		w.wantCode("the code before", err, sess.CodeUnauthenticated)
		_, err = w.answer(c.Challenge, w.appCode(secret, 2).Body.Code)
		w.wantCode("a code of a minute ahead", err, sess.CodeUnauthenticated)
		must[api.LoginOut](w, "a clock that is half a minute fast")(w.answer(c.Challenge, w.appCode(secret, 1).Body.Code))

		c = w.challenged()
		must[api.LoginOut](w, "a recovery code")(w.answer(c.Challenge, recovery[0]))
		c = w.challenged()
		_, err = w.answer(c.Challenge, recovery[0])
		w.wantCode("the recovery code again", err, sess.CodeUnauthenticated)
		w.pass(6 * time.Minute)
		_, err = w.answer(c.Challenge, recovery[1])
		w.wantCode("a challenge of six minutes ago", err, sess.CodeExpired)

		ref := api.UserRef{User: adminEmail}
		if err := w.saw(w.ResetMFA(t.Context(), ada, ref)); err != nil {
			t.Fatal(err)
		}
		if out := must[api.LoginOut](w, "login")(w.login(adminEmail, adminPassword, home)); out.Token == "" {
			t.Error("a factor that an admin removed is asked for")
		}
	})
}

// TestCodeServesOnce: of many who show one code at the same moment, one gets in.
func TestCodeServesOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ada := w.admin()
		secret, recovery := w.enrolled(ada)
		for i, what := range []string{"app", "recovery code"} { // in this order: the app's code is of now
			code := []api.CodeIn{w.appCode(secret, 0), codeIn(recovery[3])}[i]
			var mu sync.Mutex
			var wg sync.WaitGroup
			in := 0
			for range 4 { // a fifth wrong one would lock
				wg.Go(func() {
					if _, err := w.VerifyMFA(context.WithoutCancel(t.Context()), ada, code); err == nil {
						mu.Lock()
						in++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if in != 1 {
				t.Errorf("%s: one code let %d in", what, in)
			}
			w.pass(16 * time.Minute)
		}
	})
}

// TestGuessesAtACodeAreBounded: who has the password can't try the million codes.
func TestGuessesAtACodeAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	secret, _ := w.enrolled(ada)
	c := w.challenged()
	for range 5 {
		_, err := w.answer(c.Challenge, "000000")
		w.wantCode("a guess", err, sess.CodeUnauthenticated)
	}
	_, err := w.answer(c.Challenge, w.appCode(secret, 0).Body.Code)
	w.wantCode("the right code behind five wrong ones", err, sess.CodeExpired)
	_, err = w.login(adminEmail, adminPassword, home)
	w.wantCode("a new challenge for more guesses", err, sess.CodeLimited)
	_, err = w.VerifyMFA(t.Context(), ada, w.appCode(secret, 0))
	w.wantCode("the same by a login that is there", err, sess.CodeLimited)
}

// TestPasswordChangedBehindAChallenge: the change ends what the old password began.
func TestPasswordChangedBehindAChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	ada := w.admin()
	secret, _ := w.enrolled(ada)
	c := w.challenged()
	var in api.PasswordIn
	in.Body.Old, in.Body.New = adminPassword, w.secret("seven other herons 9")
	if err := w.saw(w.ChangePassword(t.Context(), ada, in)); err != nil {
		t.Fatal(err)
	}
	_, err := w.answer(c.Challenge, w.appCode(secret, 0).Body.Code)
	w.wantCode("the challenge of the old password", err, sess.CodeUnauthenticated)
}
