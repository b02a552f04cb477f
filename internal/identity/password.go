package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

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
	trimDelay    = 10 * time.Second // after the last one, its memory goes back to the system: more than all else an idle server has
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
	turn   chan struct{} // of those who hash for others, one at a time
	queued atomic.Int64  // running and waiting
	trim   *time.Timer
	count  atomic.Int64 // hashes made, for tests: each answer to a login costs exactly one
}

func newHasher(p HashParams) *hasher {
	if p.MemoryKiB == 0 {
		p.MemoryKiB = 64 << 10
	}
	if p.Passes == 0 {
		p.Passes = 3
	}
	trim := time.AfterFunc(trimDelay, debug.FreeOSMemory)
	return &hasher{params: p, slots: make(chan struct{}, maxHashing), turn: make(chan struct{}, 1), trim: trim}
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
	if h.queued.Add(-1) == 0 {
		h.trim.Reset(trimDelay)
	}
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

// hashForOthers is hash for what an admin may ask for as often as they like: one at a time, so that most places to hash at,
// and all but one in the queue, stay with those who log in.
func (h *hasher) hashForOthers(ctx context.Context, password string) (string, error) {
	patience := time.NewTimer(hashPatience)
	defer patience.Stop()
	select {
	case h.turn <- struct{}{}:
	case <-patience.C:
		return "", errBusy()
	case <-ctx.Done():
		return "", fmt.Errorf("wait to hash password: %w", ctx.Err())
	}
	defer func() { <-h.turn }()
	return h.hash(ctx, password)
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
