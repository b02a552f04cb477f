package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp/hotp"

	"github.com/sessctl/sess/internal/gate"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

// Codes of authenticator apps, as RFC 6238 and all apps have them: six digits of SHA-1, a new one every 30 s. A clock may be
// one step off.
const (
	factorTOTP = "totp"
	totpStep   = 30 * time.Second
	totpSkew   = 1
	totpSecret = 20 // bytes
	totpDigits = 6
)

// Recovery codes: each is 80 random bits in four groups of base32, so that a plain hash hides it well.
const (
	recoveryCodes = 8
	recoverySize  = 10 // bytes
	recoveryGroup = 4  // characters
)

var codeEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// factorContext binds a sealed secret to the factor it is of.
func factorContext(org sess.OrgID, user sess.UserID, kind string) string {
	return "factor " + string(org) + " " + string(user) + " " + kind
}

// newRecoveryCode gives a code as people see it: four groups of four.
func newRecoveryCode() string {
	b := make([]byte, recoverySize)
	_, _ = rand.Read(b) // never fails: it crashes the program instead
	text := strings.ToLower(codeEncoding.EncodeToString(b))
	var groups []string
	for len(text) > 0 {
		groups = append(groups, text[:recoveryGroup])
		text = text[recoveryGroup:]
	}
	return strings.Join(groups, "-")
}

// plainCode is a code without what people put between its parts.
func plainCode(code string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "\t", "").Replace(strings.TrimSpace(code)))
}

// hashRecoveryCode is the form in which a recovery code is kept.
func hashRecoveryCode(code string) string { return sess.HashToken("recovery " + plainCode(code)) }

// matchTOTP gives the time steps at most totpSkew away whose code it is, earliest first. All are computed, whatever the code.
func matchTOTP(secret []byte, code string, now time.Time) ([]int64, error) {
	var steps []int64
	at := now.Unix() / int64(totpStep/time.Second)
	for step := at - totpSkew; step <= at+totpSkew; step++ {
		want, err := hotp.GenerateCode(codeEncoding.EncodeToString(secret), uint64(max(0, step)))
		if err != nil {
			return nil, errors.New("compute code: the secret is damaged") // the cause would quote it
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			steps = append(steps, step)
		}
	}
	return steps, nil
}

// useCode uses a code of a member up and says what it was, empty when it was not right: wrong, of another moment, or used
// before. The code of an app and those before it are void then, and so is the recovery code.
func (s *Service) useCode(ctx context.Context, tx *store.Tx, org sess.OrgID, user sess.UserID, code string) (kind string, err error) {
	code = plainCode(code)
	f, err := tx.GetFactor(ctx, org, user, factorTOTP)
	switch {
	case err != nil && isNotFound(err), err == nil && f.ConfirmedAt == nil:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("load factor: %w", err)
	}
	if len(code) != totpDigits {
		now := store.Micros(s.now())
		n, err := tx.UseRecoveryCode(ctx, org, user, hashRecoveryCode(code), &now)
		if err != nil || n == 0 {
			return "", err
		}
		return "recovery code", nil
	}
	secret, err := s.sealer.open(f.Secret, factorContext(org, user, factorTOTP))
	if err != nil {
		return "", err
	}
	steps, err := matchTOTP(secret, code, s.now())
	if err != nil {
		return "", err
	}
	for _, step := range steps {
		n, err := tx.UseFactor(ctx, org, user, factorTOTP, step)
		if err != nil {
			return "", fmt.Errorf("use code: %w", err)
		}
		if n > 0 {
			return factorTOTP, nil
		}
	}
	return "", nil
}

// tryCode uses a code of the principal of tx up. A guess that is wrong counts as a failed login of the account from that
// address, and tx is rejected for it as wrong says; so it is when there were too many. The caller goes on only when ok.
func (s *Service) tryCode(ctx context.Context, tx *gate.Tx, code string, wrong *sess.Error) (ok bool, err error) {
	who := tx.Who()
	a := attemptOf(who)
	limited, err := s.failures.guard(ctx, tx.Tx, a)
	if err != nil {
		return false, err
	}
	if limited != nil {
		tx.Reject(limited)
		return false, nil
	}
	kind, err := s.useCode(ctx, tx.Tx, who.Org, who.User, code)
	if err != nil {
		return false, err
	}
	if kind == "" {
		tx.Reject(wrong)
		if err := s.failures.count(ctx, tx.Tx, a); err != nil {
			return false, err
		}
		return false, s.lockedOut(ctx, tx.Tx, a, who)
	}
	tx.Detail("factor", kind)
	return true, nil
}

func errWrongCode(code sess.Code) *sess.Error {
	return sess.New(code, "the code is wrong, or was used before", "wait for the next one in your app, and check the clock of your phone; a recovery code does as well")
}
