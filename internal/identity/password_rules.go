package identity

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	zxcvbn "github.com/ccojocar/zxcvbn-go"

	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store"
)

const (
	// minScore of 4 is what the estimate must reach: it bears about a hundred million guesses.
	minScore = 2
	// maxEstimated bounds the part of a password that its strength is estimated from, in characters: the estimate takes time
	// that grows with the square, and what is longer is no weaker.
	maxEstimated = 64
	// keptPasswords is how many passwords must not come again, the present one among them.
	keptPasswords = 5
)

// checkNewPassword says what is wrong with a password that somebody with this e-mail address wants to set.
func checkNewPassword(password, email string) error {
	const hint = "take at least 8 characters that nobody guesses: a few random words are good"
	bad := func(why string) error { return sess.New(sess.CodeInvalid, why, hint) }
	lower := strings.ToLower(strings.TrimSpace(password))
	switch {
	case len(password) > maxPassword:
		return bad(fmt.Sprintf("the password is longer than %d bytes", maxPassword))
	case !utf8.ValidString(password):
		return bad("the password is not valid UTF-8 text")
	case strings.ContainsAny(password, "\x00\r\n"):
		return bad("the password contains a line break or a NUL")
	case utf8.RuneCountInString(password) < minPassword:
		return bad(fmt.Sprintf("the password is shorter than %d characters", minPassword))
	case email != "" && (lower == email || strings.Contains(lower, email)):
		return bad("the password is the e-mail address, or holds it")
	case score(password, email) < minScore:
		return bad("the password is one that is guessed early")
	}
	return nil
}

// score estimates how well a password withstands guessing, from 0 to 4. What is known of the person counts as guessed.
func score(password, email string) int {
	known := append([]string{"sess", "sessctl", "sess-server", email}, strings.FieldsFunc(email, func(r rune) bool { return strings.ContainsRune("@._-+", r) })...)
	runes := []rune(password)
	return zxcvbn.PasswordStrength(string(runes[:min(len(runes), maxEstimated)]), known).Score
}

// formerPasswords loads the hashes of the passwords that a person must not take again, the present one first.
func formerPasswords(ctx context.Context, tx *store.Tx, p store.Person) ([]string, error) {
	var hashes []string
	if p.PasswordHash != "" {
		hashes = append(hashes, p.PasswordHash)
	}
	rows, err := tx.ListFormerPasswords(ctx, p.ID, keptPasswords-1)
	if err != nil {
		return nil, fmt.Errorf("load former passwords: %w", err)
	}
	for _, r := range rows {
		hashes = append(hashes, r.Hash)
	}
	return hashes, nil
}

// checkReuse refuses a password that is among former ones.
func (s *Service) checkReuse(ctx context.Context, password string, former []string) error {
	for _, hash := range former {
		same, err := s.hasher.check(ctx, hash, password)
		if err != nil {
			return err
		}
		if same {
			return sess.New(sess.CodeInvalid, fmt.Sprintf("the password is one of your last %d", keptPasswords), "take one that is new")
		}
	}
	return nil
}

// replacePassword sets the hash of a person's password, if it is still what it was, and keeps the former one. The caller
// holds the person's lock.
func (s *Service) replacePassword(ctx context.Context, tx *store.Tx, p store.Person, hash string) error {
	now := store.Micros(s.now())
	n, err := tx.ReplacePassword(ctx, hash, now, p.ID, p.PasswordHash)
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	if n == 0 {
		return sess.New(sess.CodeConflict, "the password was changed by somebody else at this moment", "try again")
	}
	if p.PasswordHash == "" {
		return nil
	}
	if err := tx.KeepFormerPassword(ctx, p.ID, now, p.PasswordHash); err != nil {
		return fmt.Errorf("keep former password: %w", err)
	}
	rows, err := tx.ListFormerPasswords(ctx, p.ID, keptPasswords+1)
	if err != nil {
		return fmt.Errorf("load former passwords: %w", err)
	}
	if len(rows) >= keptPasswords {
		if _, err := tx.ForgetFormerPasswords(ctx, p.ID, rows[keptPasswords-1].CreatedAt); err != nil {
			return fmt.Errorf("forget former passwords: %w", err)
		}
	}
	return nil
}
