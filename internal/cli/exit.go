package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/sess"
)

// Exit codes. Those of start, exec and attach are the remote command's own, and exitSession for failures of sessctl's.
const (
	exitFailure  = 1
	exitUsage    = 2
	exitLogin    = 4 // there is no login, or it is over
	exitDenied   = 5
	exitNotFound = 6 // or offline
	exitSession  = 255
)

// usageError says that a command line is wrong.
type usageError struct {
	cmd *cobra.Command
	err error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(cmd *cobra.Command, format string, v ...any) error {
	return &usageError{cmd: cmd, err: fmt.Errorf(format, v...)}
}

// statusError carries the exit code of a command whose story is told already.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// sessionExit marks the commands whose failures exit with exitSession.
const sessionExit = "session-exit"

// report tells the person what went wrong and gives the exit code.
func (a *app) report(cmd *cobra.Command, err error) int {
	var status statusError
	if err == nil {
		return 0
	}
	if errors.As(err, &status) {
		return int(status)
	}
	if e := groupError(cmd, err); e != nil {
		err = e
	}
	a.tell(err)
	code := ExitCode(err)
	if cmd != nil && cmd.Annotations[sessionExit] != "" {
		code = exitSession
	}
	return code
}

// ExitCode gives the exit code for err of every command but start, exec and attach.
func ExitCode(err error) int {
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, sess.ErrUnauthenticated):
		return exitLogin
	case errors.Is(err, sess.ErrDenied), errors.Is(err, sess.ErrLocked), errors.Is(err, sess.ErrMFA):
		return exitDenied
	case errors.Is(err, sess.ErrNotFound), errors.Is(err, sess.ErrOffline):
		return exitNotFound
	}
	return exitFailure
}

// tell says what went wrong, and the next step.
func (a *app) tell(err error) {
	message, hint := describe(err)
	a.note("sessctl: %s", message)
	if hint != "" {
		a.note("hint: %s", hint)
	}
}

// describe puts err in words. What stopped us on this machine or on the way is said too: it is the caller's own.
func describe(err error) (message, hint string) {
	var usage *usageError
	var e *sess.Error
	if errors.As(err, &usage) {
		if errors.As(usage.err, &e) && e.Hint != "" {
			return e.Message, e.Hint
		}
		return usage.Error(), "run " + usage.cmd.CommandPath() + " --help"
	}
	if !errors.As(err, &e) {
		return err.Error(), ""
	}
	message = e.Message
	if message == "" {
		message = strings.ReplaceAll(string(e.Code), "_", " ")
	}
	if e.Err != nil {
		cause := e.Err
		for errors.Unwrap(cause) != nil {
			cause = errors.Unwrap(cause)
		}
		if c := cause.Error(); !strings.Contains(message, c) {
			message += ": " + c
		}
	}
	hint = e.Hint
	if hint == "" && e.Code == sess.CodeUnauthenticated {
		hint = "sessctl login"
	}
	return message, hint
}
