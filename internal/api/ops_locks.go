package api

import "net/http"

// The operations on locks.
var (
	AddLock    = Op[LockIn, Lock]{ID: "lock-add", Method: http.MethodPost, Path: "/v1/locks", Summary: "Lock something: what it has running ends, and it is barred"}
	ListLocks  = Op[LocksIn, LockList]{ID: "lock-list", Method: http.MethodGet, Path: "/v1/locks", Summary: "List locks"}
	GetLock    = Op[LockRef, Lock]{ID: "lock-show", Method: http.MethodGet, Path: "/v1/locks/{lock}", Summary: "Show a lock"}
	RemoveLock = Op[LockRef, None]{ID: "lock-remove", Method: http.MethodDelete, Path: "/v1/locks/{lock}", Summary: "Lift a lock"}
)
