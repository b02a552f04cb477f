package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// TestMatrixOfLocked: an account that was locked by failed logins takes no password and no code, not even the right one, and
// whoever is logged in already may do what they may: a stranger who locks somebody's account ends none of their work.
func TestMatrixOfLocked(t *testing.T) {
	t.Parallel()
	w := newMatrix(t)
	m := w.ours.member(sess.RoleAdmin)
	w.sql("UPDATE person SET password_hash = $1 WHERE id = $2", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$"+"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", m.id)
	wrong := operation{id: "login", method: http.MethodPost, path: "/v1/login", public: true, entry: entry{body: lockedLogin(w, m)}}
	for range sess.DefaultLockFailures {
		if got := w.ask(wrong, "", nil, ""); got.code != sess.CodeUnauthenticated {
			t.Fatalf("a wrong password: %s", got)
		}
	}
	_, key := w.key(m, nil)
	for _, o := range operations(t, w.s) {
		if o.locked != nil {
			o.body = o.locked(w, m)
			bearer := ""
			if !o.public {
				bearer = w.login(m, nil)
			}
			if got := w.ask(o, bearer, w.ours.fresh(o, m, false), ""); got.code != sess.CodeLimited {
				t.Errorf("%s of a locked account: %s, want %s", o.id, got, sess.CodeLimited)
			}
			continue
		}
		if o.public {
			continue // it is about no account
		}
		for what, bearer := range map[string]string{"login": w.login(m, nil), "key": key} {
			if what == "key" && o.id == "logout" {
				continue
			}
			got := w.ask(o, bearer, w.ours.fresh(o, m, false), "")
			want := o.fails // beside being done
			if !o.may(sess.RoleAdmin, false) {
				want = o.refusal(sess.RoleAdmin, false)
			}
			if got.code == sess.CodeLimited || what == "login" && got.status/100 != 2 && !slices.Contains(want, got.code) {
				t.Errorf("%s by the %s of a locked account: %s, want it done", o.id, what, got)
			}
		}
	}
}

func lockedLogin(_ *matrix, m member) string {
	return fmt.Sprintf(`{"email":%q,"password":"whatever it is"}`, m.name)
}

func lockedPassword(*matrix, member) string {
	return `{"old":"whatever it is","new":"a long enough 7 password"}`
}

// lockedFactor gives m a second factor.
func lockedFactor(w *matrix, m member) string {
	w.sql("DELETE FROM factor WHERE user_id = $1", m.id)
	w.sql("INSERT INTO factor (org, user_id, kind, secret, last_counter, created_at, confirmed_at) VALUES ($1, $2, 'totp', 'x', 0, 1, 1)", m.org, m.id)
	return `{"code":"123456"}`
}

// lockedEnrolment begins to give m a second factor.
func lockedEnrolment(w *matrix, m member) string {
	code := lockedFactor(w, m)
	w.sql("UPDATE factor SET confirmed_at = NULL WHERE user_id = $1", m.id)
	return code
}

// lockedChallenge is a login of m that waits for its second factor.
func lockedChallenge(w *matrix, m member) string {
	token, err := sess.NewToken(sess.TokenChallenge, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	lockedFactor(w, m)
	now := time.Now()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateLoginChallenge(ctx, store.CreateLoginChallengeParams{
			Org: m.org, Hash: sess.HashToken(token), UserID: m.id, CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(time.Minute)),
		})
	})
	return fmt.Sprintf(`{"challenge":%q,"code":"123456"}`, token)
}

// lockedAccept is an invitation of m to another organisation, which they accept with the password that they have.
func lockedAccept(w *matrix, m member) string {
	token, err := sess.NewToken(sess.TokenInvite, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	there, now := w.join(w.other.org, m.id, m.name, sess.UserLocal, ""), time.Now()
	w.sql("UPDATE member SET pending = 1 WHERE org = $1 AND user_id = $2", there.org, there.id)
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateInvite(ctx, store.CreateInviteParams{
			Org: there.org, ID: "inv_locked", Hash: sess.HashToken(token), UserID: m.id, CreatedAt: store.Micros(now), ExpiresAt: store.Micros(now.Add(time.Hour)), Kind: "join",
		})
	})
	return fmt.Sprintf(`{"token":%q,"password":"whatever it is"}`, token)
}
