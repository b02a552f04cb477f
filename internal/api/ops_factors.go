package api

import "net/http"

// Second factors.
var (
	LoginMFA = Op[LoginMFAIn, LoginOut]{ID: "login-mfa", Method: http.MethodPost, Path: "/v1/login/mfa", Summary: "End a login that asked for a second factor", Public: true}

	ListFactors       = Op[None, FactorList]{ID: "mfa-list", Method: http.MethodGet, Path: "/v1/mfa", Summary: "List one's second factors"}
	VerifyMFA         = Op[CodeIn, MFAOut]{ID: "mfa-verify", Method: http.MethodPost, Path: "/v1/mfa", Summary: "Show a second factor: the login has a fresh one from now"}
	EnrolMFA          = Op[None, EnrolMFAOut]{ID: "mfa-enrol", Method: http.MethodPost, Path: "/v1/mfa/totp", Summary: "Begin to enrol an authenticator app"}
	ConfirmMFA        = Op[CodeIn, RecoveryCodesOut]{ID: "mfa-confirm", Method: http.MethodPost, Path: "/v1/mfa/totp/confirm", Summary: "End the enrolment with a first code; gives the recovery codes"}
	RemoveMFA         = Op[CodeIn, None]{ID: "mfa-remove", Method: http.MethodPost, Path: "/v1/mfa/totp/remove", Summary: "Remove one's second factor, by a code of it"}
	MakeRecoveryCodes = Op[CodeIn, RecoveryCodesOut]{ID: "mfa-recovery-codes", Method: http.MethodPost, Path: "/v1/mfa/recovery-codes", Summary: "Make new recovery codes, by a code; the old ones are void"}

	ResetMFA   = Op[UserRef, None]{ID: "user-reset-mfa", Method: http.MethodPost, Path: "/v1/users/{user}/reset-mfa", Summary: "Remove a user's second factors"}
	UnlockUser = Op[UserRef, None]{ID: "user-unlock", Method: http.MethodPost, Path: "/v1/users/{user}/unlock", Summary: "Forget a user's failed logins"}
)
