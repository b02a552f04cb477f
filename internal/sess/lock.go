package sess

import "time"

// LockID names a lock.
type LockID string

// NewLockID returns a fresh identifier of a lock.
func NewLockID() LockID { return LockID(newID("lck")) }

// LockKind says what a lock is on.
type LockKind string

// What can be locked.
const (
	LockUser     LockKind = "user"
	LockGroup    LockKind = "group" // everybody in it
	LockInstance LockKind = "instance"
	LockProject  LockKind = "project" // every instance in it
	LockKey      LockKind = "key"     // an API key
	LockAddress  LockKind = "address" // a network that people and scripts come from
	LockOrg      LockKind = "org"     // the organisation as a whole
)

// LockKinds lists the kinds of lock, in the order of the reference.
func LockKinds() []LockKind {
	return []LockKind{LockUser, LockGroup, LockInstance, LockProject, LockKey, LockAddress, LockOrg}
}

// MaxLockTTL bounds how long a lock that ends by itself lasts; one without an end lasts until it is removed.
const MaxLockTTL = 10 * 365 * 24 * time.Hour
