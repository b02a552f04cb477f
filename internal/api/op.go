// Package api is the typed HTTP contract of sess-server: each operation is declared once, in ops.go, with the types it
// takes and gives. The server binds handlers to the declarations, Call calls them, and the OpenAPI document is made from
// them.
//
// An input is a struct whose fields are tagged path:"…", query:"…" or header:"…", and at most one field named Body that
// travels as JSON. An output is the JSON body itself. Errors are RFC 9457 problem documents (Problem) that turn back into
// *sess.Error on the client, so errors.Is works across the network.
package api

import (
	"net/http"

	"github.com/sessctl/sess/internal/sess"
)

// Limits of the API.
const (
	MaxBody     = 8 << 20 // bytes of a request's body: session parameters in base64 are the largest
	MaxPage     = 1000    // items on a page of a list
	DefaultPage = 100
)

// Op declares one operation: In goes in, Out comes back.
type Op[In, Out any] struct {
	ID      string // lower-case words with dashes; names the operation in OpenAPI and in the audit log
	Method  string
	Path    string // with {name} for path fields of In
	Summary string
	Public  bool // needs no login: it is guarded by what is in its body
}

// None is the In or Out of an operation that takes or gives nothing.
type None struct{}

// Page is embedded by the inputs of lists.
type Page struct {
	Limit int    `query:"limit" minimum:"0" maximum:"1000" doc:"Items on the page; 0 means 100"`
	After string `query:"after" maxLength:"200" doc:"The cursor of the page before"`
}

// Problem is an RFC 9457 problem document with sess's code, and a hint.
type Problem struct {
	Type    string    `json:"type"`   // about:blank
	Title   string    `json:"title"`  // the status in words
	Status  int       `json:"status"` // the HTTP status
	Detail  string    `json:"detail"` // what happened
	Code    sess.Code `json:"code"`
	Hint    string    `json:"hint,omitempty"` // what to do next
	Request string    `json:"request_id,omitempty"`
}

var statuses = map[sess.Code]int{
	sess.CodeInvalid:         http.StatusUnprocessableEntity,
	sess.CodeUnauthenticated: http.StatusUnauthorized,
	sess.CodeDenied:          http.StatusForbidden,
	sess.CodeLocked:          http.StatusForbidden,
	sess.CodeMFA:             http.StatusForbidden,
	sess.CodeNotFound:        http.StatusNotFound,
	sess.CodeOffline:         http.StatusFailedDependency,
	sess.CodeConflict:        http.StatusConflict,
	sess.CodeEnded:           http.StatusGone,
	sess.CodeSuperseded:      http.StatusGone,
	sess.CodePending:         http.StatusConflict,
	sess.CodeMoved:           http.StatusMisdirectedRequest,
	sess.CodeExpired:         http.StatusGone,
	sess.CodeLimited:         http.StatusTooManyRequests,
	sess.CodeTooLarge:        http.StatusRequestEntityTooLarge,
	sess.CodeUnavailable:     http.StatusServiceUnavailable,
	sess.CodeRejected:        http.StatusBadGateway,
	sess.CodeInternal:        http.StatusInternalServerError,
}

// Status gives the HTTP status of a code.
func Status(c sess.Code) int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// NewProblem gives the problem document that people may see of err.
func NewProblem(err error, requestID string) *Problem {
	e := sess.Public(err)
	status := Status(e.Code)
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: e.Message, Code: e.Code, Hint: e.Hint, Request: requestID,
	}
}
