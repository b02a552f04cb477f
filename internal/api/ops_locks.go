package api

import "net/http"

// The operations on locks.
var (
	AddLock    = Op[LockIn, Lock]{ID: "lock-add", Method: http.MethodPost, Path: "/v1/locks", Summary: "Lock something: what it has running ends, and it is barred"}
	ListLocks  = Op[LocksIn, LockList]{ID: "lock-list", Method: http.MethodGet, Path: "/v1/locks", Summary: "List locks"}
	GetLock    = Op[LockRef, Lock]{ID: "lock-show", Method: http.MethodGet, Path: "/v1/locks/{lock}", Summary: "Show a lock"}
	RemoveLock = Op[LockRef, None]{ID: "lock-remove", Method: http.MethodDelete, Path: "/v1/locks/{lock}", Summary: "Lift a lock"}

	EndSessions = Op[EndManyIn, SessionList]{ID: "session-end-many", Method: http.MethodPost, Path: "/v1/session-end", Summary: "End the sessions of a user, on an instance, or all, as far as the caller may end them"}
)
