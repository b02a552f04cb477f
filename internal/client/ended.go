package client

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

// EndedError says that the session is over otherwise than by its process ending by itself. It unwraps to a *sess.Error
// with the cause and the next step. End.Exit is set where there is a status all the same.
type EndedError struct {
	End wire.EndFrame
	err *sess.Error
}

// Error implements error.
func (e *EndedError) Error() string { return e.err.Error() }

// Unwrap gives the *sess.Error for people.
func (e *EndedError) Unwrap() error { return e.err }

// lockedHint is the next step of whom a lock cut off.
const lockedHint = "an admin of the organisation can tell why, and lift it"

// ended puts an end frame in words.
func (s *Session) ended(f wire.EndFrame) error {
	again := "start another: sessctl start " + s.Instance
	if s.Kind == sess.KindExec {
		again = "run it again when it is safe to"
	}
	limited := again
	if s.Kind == sess.KindExec { // it would end the same way
		limited = "who sets the limit: sessctl session show " + string(s.ID)
	}
	look := "sessctl instance show " + s.Instance
	code := sess.CodeEnded
	var message, hint string
	switch f.Reason {
	case sess.EndExit:
		message, hint = "the session ended, and not all of its output arrived", "sessctl recording play "+string(s.ID)+" has the whole of it"
		if f.Exit != nil {
			message = fmt.Sprintf("the command ended with status %d, but not all of its output arrived", f.Exit.Status)
		}
	case sess.EndKicked:
		message, hint = "you were put out of the session"+by(f.By), "ask its owner"
		code = sess.CodeDenied
	case sess.EndEnded:
		message, hint = "the session was ended"+by(f.By), again
	case sess.EndAgentLost:
		message, hint = "the agent on "+s.Instance+" stopped or was restarted, and the session ended with it", again
	case sess.EndAgentGone:
		message, hint = s.Instance+" was not heard of for longer than the session waits", look
		code = sess.CodeOffline
	case sess.EndDetached:
		message, hint = "the session ended because nobody was connected to it for "+s.Grace.String(), again
	case sess.EndRejected:
		message, hint = s.Instance+" refused the session", "its agent's own file has the last word on what it allows"
		code = sess.CodeRejected
	case sess.EndNoAgent:
		message, hint = s.Instance+" did not take the session in time", look
		code = sess.CodeOffline
	case sess.EndNoClient:
		message, hint = "this client did not join the session in time", again
	case sess.EndRevoked:
		message, hint = "the right to this session was taken away"+by(f.By), "sessctl whoami says what you may do"
		code = sess.CodeDenied
	case sess.EndLocked:
		message, hint = "the session was ended by a lock", lockedHint
		code = sess.CodeLocked
	case sess.EndRemoved:
		message, hint = s.Instance+" was removed"+by(f.By), "sessctl instance list"
	case sess.EndTampered:
		message, hint = "bytes sent again differed from those on record, so the server ended the session", "tell the server's owner: this should never happen"
	case sess.EndProtocol:
		message, hint = "client, server and agent did not understand each other", "are they at most one version apart? sessctl version --with-server"
	case sess.EndRecording:
		message, hint = "the session could not be recorded, and it has to be", "tell the server's owner: its disk may be full"
	case sess.EndTimeout:
		message, hint = "the command took longer than its --timeout", ""
	case sess.EndLimit:
		message, hint = "the command failed, and had run into a limit of the instance's owner", "the agent's file there sets it"
		if f.Exit != nil {
			message += " (" + printable(f.Exit.Limits) + ")"
		}
	case sess.EndUnmoderated:
		message, hint = "the session ended because no moderator was there", "ask somebody to: sessctl session share SESSION --role moderator --with USER"
	case sess.EndServerLost:
		message, hint = s.Instance+" heard of no server for longer than the session's lease, and ended it", again
	case sess.EndIdle:
		message, hint = "the session was idle for too long", limited
	case sess.EndMaxDuration:
		message, hint = "the session ran for as long as it may", limited
	case sess.EndLoginExpired:
		message, hint = "the login or key that started the session ran out", "run sessctl login, then "+again
	default:
		message, hint = "the session ended: "+printable(string(f.Reason)), again
	}
	if f.Message != "" {
		message += ": " + printable(f.Message)
	}
	return &EndedError{End: f, err: sess.New(code, message, hint)}
}

func (s *Session) superseded() error {
	return sess.New(sess.CodeSuperseded, "the session was taken over from another place",
		"take it back: sessctl attach "+string(s.ID))
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + printable(who)
}

// printable takes what a terminal would act on out of text from the network.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// why says what ended a process that did not end by itself, as far as that is known: its own timeout, or somebody's order,
// which the agent carries out by a signal. It is nil for any other end.
func (s *Session) why(ctx context.Context, x sess.Exit) error {
	switch {
	case x.Reason == sess.EndTimeout, x.Reason == sess.EndLimit: // its own
		return s.ended(wire.EndFrame{Reason: x.Reason, Exit: &x})
	case x.Reason == "" && x.Signal == "" && x.Status <= 128:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	row, err := api.Call(ctx, s.client.API, api.GetSession, api.SessionRef{Session: string(s.ID)})
	switch {
	case err == nil && row.EndReason != "" && row.EndReason != sess.EndExit:
		return s.ended(wire.EndFrame{Reason: row.EndReason, By: row.EndedBy, Message: row.EndMessage, Exit: &x})
	case x.Reason != "":
		return s.ended(wire.EndFrame{Reason: x.Reason, Exit: &x})
	}
	return nil // the status is the answer; more would have been nice
}
