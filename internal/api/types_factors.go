package api

import "time"

// CodeIn shows a second factor: the code of the moment from an authenticator app, or a recovery code.
type CodeIn struct {
	Body struct {
		Code string `json:"code" maxLength:"64"`
	}
}

// LoginMFAIn ends a login that asked for a second factor.
type LoginMFAIn struct {
	Body struct {
		Challenge string `json:"challenge" maxLength:"200" doc:"As the login gave it"`
		Code      string `json:"code" maxLength:"64" doc:"The code of the moment from an authenticator app, or a recovery code"`
	}
}

// MFAOut says that a login has shown a second factor.
type MFAOut struct {
	MFAAt time.Time `json:"mfa_at"`
}

// EnrolMFAOut begins the enrolment of an authenticator app. It is shown this once, and counts for nothing until a first
// code is confirmed.
type EnrolMFAOut struct {
	Secret string `json:"secret"` // base32, to type in
	URI    string `json:"uri"`    // otpauth://totp/…, to show as a QR code
}

// RecoveryCodesOut are codes that each stand in for the authenticator app once. They are shown this once.
type RecoveryCodesOut struct {
	RecoveryCodes []string `json:"recovery_codes"`
}

// Factor is a second factor that one has enrolled.
type Factor struct {
	Kind      string    `json:"kind"` // totp
	CreatedAt time.Time `json:"created_at"`
}

// FactorList is the second factors one has in this organisation.
type FactorList struct {
	Items         []Factor   `json:"items"`
	RecoveryCodes int        `json:"recovery_codes"`   // left
	Required      bool       `json:"required"`         // by the organisation
	MFAAt         *time.Time `json:"mfa_at,omitempty"` // when this login last showed one
}
