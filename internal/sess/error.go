package sess

import "errors"

// Code says what kind of failure an Error is. Codes travel over the API and decide HTTP statuses and exit codes; a
// released code is never renamed.
type Code string

// The codes of failures.
const (
	CodeInvalid         Code = "invalid"         // the request itself is wrong; repeating it is pointless
	CodeUnauthenticated Code = "unauthenticated" // no login, or it expired or was revoked
	CodeDenied          Code = "denied"          // who you are is known, and policy says no
	CodeLocked          Code = "locked"          // you, or what you ask for, is locked; the message says by what and why
	CodeMFA             Code = "mfa"             // a second factor has to be shown, or enrolled, first
	CodeNotFound        Code = "not_found"       // no such thing, or not visible to you
	CodeOffline         Code = "offline"         // the instance exists but can't be reached now
	CodeConflict        Code = "conflict"        // it exists already, or has changed meanwhile
	CodePending         Code = "pending"         // the session has not begun yet: ask again in a moment
	CodeEnded           Code = "ended"           // the session is over
	CodeSuperseded      Code = "superseded"      // another client took the session over
	CodeMoved           Code = "moved"           // the session lives on another node now: ask again
	CodeExpired         Code = "expired"         // a token, link or ticket ran out or was used
	CodeLimited         Code = "limited"         // too many requests, or a limit is reached
	CodeTooLarge        Code = "too_large"       // over a stated size limit
	CodeUnavailable     Code = "unavailable"     // try again later: the server is starting, draining or overloaded
	CodeRejected        Code = "rejected"        // the instance's agent refused
	CodeInternal        Code = "internal"        // a defect or an outage on our side; details are in the server's log
)

// Error is an error with two faces: Message and Hint are for the person and are safe to show; Err is for the log and
// never leaves the process. An error that is no *Error is internal, and people see nothing of it.
type Error struct {
	Code    Code
	Message string // what happened, lower case, no full stop
	Hint    string // what to do next: a sentence or a command; may be empty
	Err     error  // the cause; may be nil
}

// Sentinels for errors.Is. They match any Error of their code, on both sides of the network.
var (
	ErrInvalid         = &Error{Code: CodeInvalid}
	ErrUnauthenticated = &Error{Code: CodeUnauthenticated}
	ErrDenied          = &Error{Code: CodeDenied}
	ErrLocked          = &Error{Code: CodeLocked}
	ErrMFA             = &Error{Code: CodeMFA}
	ErrNotFound        = &Error{Code: CodeNotFound}
	ErrOffline         = &Error{Code: CodeOffline}
	ErrConflict        = &Error{Code: CodeConflict}
	ErrEnded           = &Error{Code: CodeEnded}
	ErrSuperseded      = &Error{Code: CodeSuperseded}
	ErrMoved           = &Error{Code: CodeMoved}
	ErrExpired         = &Error{Code: CodeExpired}
	ErrLimited         = &Error{Code: CodeLimited}
	ErrUnavailable     = &Error{Code: CodeUnavailable}
	ErrRejected        = &Error{Code: CodeRejected}
)

// Error gives the message, or the code where there is none, followed by the cause.
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = string(e.Code)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errorf-like helpers would hide which part people see; New keeps the two faces apart.

// New returns an Error with a message and a hint for people.
func New(code Code, message, hint string) *Error {
	return &Error{Code: code, Message: message, Hint: hint}
}

// Wrap returns an Error that shows message and hint to people and keeps err for the log.
func Wrap(err error, code Code, message, hint string) *Error {
	return &Error{Code: code, Message: message, Hint: hint, Err: err}
}

// Public returns the face of err that may be shown to people: an Error without its cause. An error that is no *Error
// becomes CodeInternal with a message that tells nothing.
func Public(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Code: e.Code, Message: e.Message, Hint: e.Hint}
	}
	return &Error{
		Code:    CodeInternal,
		Message: "something went wrong on the server",
		Hint:    "the server's log has the details under this request's id",
	}
}
