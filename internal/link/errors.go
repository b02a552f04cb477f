package link

import (
	"errors"
	"fmt"

	"github.com/sessctl/sess/internal/wire"
)

var errCtlFull = errors.New("too many control messages wait for the other side")

// protocolError is a mistake of the peer: the connection is closed, and the session goes on with the next one.
type protocolError struct{ msg string }

func (e *protocolError) Error() string { return "protocol: " + e.msg }

func errGap(what string, off, recv uint64) error {
	return &protocolError{fmt.Sprintf("%s at offset %d, expected %d", what, off, recv)}
}

func errLimit(what string, end, limit uint64) error {
	return &protocolError{fmt.Sprintf("%s up to offset %d, limit is %d", what, end, limit)}
}

func errPayload(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", wire.ErrPayload, what, err)
}
