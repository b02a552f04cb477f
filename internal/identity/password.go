package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/sessctl/sess/internal/sess"
)

// Limits of passwords.
const (
	minPassword = 8    // characters
	maxPassword = 1024 // bytes
)

// HashParams are the costs of argon2id. The zero value is the default: 64 MiB and three passes, 0.2 to 0.4 s on one core
// of a small server.
type HashParams struct {
	MemoryKiB uint32
	Passes    uint32
}

const (
	saltSize = 16
	hashSize = 32

	// A hash holds its memory and a core for its time, so few run at once and few wait.
	maxHashing   = 2
	maxWaiting   = 16
	hashPatience = 10 * time.Second // in the queue

	// Bounds on what a stored hash may ask for.
	maxHashMemoryKiB = 1 << 20
	maxHashPasses    = 64
)

// hasher makes and checks password hashes, maxHashing at a time.
type hasher struct {
	params HashParams
	slots  chan struct{}
	queued atomic.Int64 // running and waiting
	count  atomic.Int64 // hashes made, for tests: each answer to a login costs exactly one
}

func newHasher(p HashParams) *hasher {
	if p.MemoryKiB == 0 {
		p.MemoryKiB = 64 << 10
	}
	if p.Passes == 0 {
		p.Passes = 3
	}
	return &hasher{params: p, slots: make(chan struct{}, maxHashing)}
}

// enter waits for a slot. The caller calls leave when enter returned nil.
func (h *hasher) enter(ctx context.Context) error {
	if h.queued.Add(1) > maxHashing+maxWaiting {
		h.queued.Add(-1)
		return errBusy()
	}
	patience := time.NewTimer(hashPatience)
	defer patience.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-patience.C:
		h.queued.Add(-1)
		return errBusy()
	case <-ctx.Done():
		h.queued.Add(-1)
		return fmt.Errorf("wait to check password: %w", ctx.Err())
	}
}

func (h *hasher) leave() {
	<-h.slots
	h.queued.Add(-1)
}

func errBusy() *sess.Error {
	return sess.New(sess.CodeUnavailable, "too many people are logging in at this moment", "try again in a few seconds")
}

// hash gives the PHC form of password: $argon2id$v=19$m=…,t=…,p=1$SALT$HASH.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails: it crashes the program instead
	sum := h.key(password, salt, h.params)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, h.params.MemoryKiB, h.params.Passes,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// check reports whether password is the one stored was made from. An empty stored hash, as of an account that does not
// exist, costs as much as any other and is never right.
func (h *hasher) check(ctx context.Context, stored, password string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	if stored == "" {
		h.key(password, make([]byte, saltSize), h.params)
		return false, nil
	}
	p, salt, want, err := parseHash(stored)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(h.key(password, salt, p), want) == 1, nil
}

func (h *hasher) key(password string, salt []byte, p HashParams) []byte {
	h.count.Add(1)
	return argon2.IDKey([]byte(password), salt, p.Passes, p.MemoryKiB, 1, hashSize)
}

var errHashForm = errors.New("stored password hash is not argon2id in PHC form")

func parseHash(s string) (p HashParams, salt, sum []byte, err error) {
	var version int
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, nil, nil, errHashForm
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, nil, nil, errHashForm
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &p.MemoryKiB, &p.Passes); err != nil {
		return p, nil, nil, errHashForm
	}
	salt, errSalt := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	sum, errSum := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errSalt != nil || errSum != nil || len(salt) < 8 || len(salt) > 64 || len(sum) != hashSize ||
		p.Passes < 1 || p.Passes > maxHashPasses || p.MemoryKiB < 8 || p.MemoryKiB > maxHashMemoryKiB {
		return p, nil, nil, errHashForm
	}
	return p, salt, sum, nil
}

// checkNewPassword says what is wrong with a password that somebody with this e-mail address wants to set.
func checkNewPassword(password, email string) error {
	const hint = "take at least 8 characters that nobody guesses: a few random words are good"
	bad := func(why string) error { return sess.New(sess.CodeInvalid, why, hint) }
	switch lower := strings.ToLower(strings.TrimSpace(password)); {
	case len(password) > maxPassword:
		return bad(fmt.Sprintf("the password is longer than %d bytes", maxPassword))
	case !utf8.ValidString(password):
		return bad("the password is not valid UTF-8 text")
	case strings.ContainsAny(password, "\x00\r\n"):
		return bad("the password contains a line break or a NUL")
	case utf8.RuneCountInString(password) < minPassword:
		return bad(fmt.Sprintf("the password is shorter than %d characters", minPassword))
	case lower == email:
		return bad("the password is the e-mail address")
	case commonPassword(lower):
		return bad("the password is one of those everybody tries first")
	}
	return nil
}

// commonPassword reports whether a lower-case password is well known, repeats one or two characters, or counts.
func commonPassword(lower string) bool {
	const runs = "01234567890123456789 98765432109876543210 abcdefghijklmnopqrstuvwxyz qwertyuiopasdfghjklzxcvbnm"
	if strings.Contains(runs, lower) {
		return true
	}
	distinct := map[rune]bool{}
	for _, r := range lower {
		distinct[r] = true
	}
	if len(distinct) <= 2 {
		return true
	}
	for _, w := range strings.Fields(commonPasswords) {
		if w == lower {
			return true
		}
	}
	return false
}

// commonPasswords are those of at least eight characters that lead the lists of leaked passwords.
const commonPasswords = `
password password1 password12 password123 password1234 password! password1! passw0rd passw0rd1 p@ssw0rd p@ssword p@ssw0rd1
p@ssword1 p@ssw0rd123 p@ssword123 pa$$word pa$$w0rd 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y q1w2e3r4 q1w2e3r4t5 1qaz2wsx 1qaz2wsx3edc
1qazxsw2 zaq12wsx qazwsxedc qwerty12 qwerty123 qwerty1234 qwerty12345 qwerty123456 qwer1234 qweasdzxc qweqweqwe asdf1234
asdfasdf asdfghjkl1 zxcvbnm1 zxcvbnm123 abcd1234 abcdefg1 abcd12345 abc12345 abc123456 a1b2c3d4 aa123456 a1234567 a12345678
123456789a 12345678a 1234567a 12345678910 1234567891 123123123 123456123 123456654321 12344321 123454321 123qweasd 123qwe123
1234qwer 12qwaszx 147258369 147852369 159753456 11223344 1122334455 987654321a 741852963 789456123 admin123 admin1234
admin12345 admin123456 admin@123 administrator root1234 rootroot toor1234 test1234 test12345 testtest changeme changeme1
changeme123 changeit letmein1 letmein123 welcome1 welcome12 welcome123 welcome1! welcome@123 iloveyou iloveyou1 iloveyou2
princess princess1 sunshine sunshine1 football football1 baseball baseball1 basketball superman superman1 batman123
starwars trustno1 whatever michelle jennifer jordan23 computer computer1 internet corvette mercedes midnight maverick
samantha victoria danielle charlie1 chelsea1 liverpool liverpool1 arsenal1 pokemon1 pokemon123 dragon123 monkey123
master123 shadow123 michael1 ashley123 qazwsx123 secret123 secret12 hello123 hello1234 helloworld google123 default1
temp1234 guest123 guest1234 user1234 server123 linux123 ubuntu123 vagrant1 raspberry postgres summer2024 summer2025
summer2026 winter2024 winter2025 winter2026 spring2025 spring2026 autumn2025 autumn2026 sess-server correcthorsebatterystaple
`
