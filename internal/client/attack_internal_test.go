package client

import (
	"errors"
	"net/url"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

// TestTicketIsNotSentInTheClear: a stream of an https server is wss, whatever its answer says.
func TestTicketIsNotSentInTheClear(t *testing.T) {
	c := Open(Profile{Server: link.Server{URL: &url.URL{Scheme: "https", Host: "127.0.0.1:1"}}})
	for _, u := range []string{"ws://127.0.0.1:1/v1/stream", "http://127.0.0.1:1/v1/stream", "//x", ""} {
		if _, err := c.join(t.Context(), nil, api.Ticket{StreamURL: u}); !errors.Is(err, sess.ErrRejected) {
			t.Errorf("join %q: %v", u, err)
		}
	}
}
