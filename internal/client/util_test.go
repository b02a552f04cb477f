package client_test

import (
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func wireEnd(r sess.EndReason, by, message string) wire.EndFrame {
	return wire.EndFrame{Reason: r, By: by, Message: message}
}
