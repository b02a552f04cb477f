package process_test

import (
	"errors"
	"testing"

	"github.com/sessctl/sess/internal/agent/process"
	"github.com/sessctl/sess/internal/sess"
)

// TestNumbersAreNoUserNames: "0" must not become root behind the back of policy and of the owner's allow_users.
func TestNumbersAreNoUserNames(t *testing.T) {
	for _, name := range []string{"0", "00", "+0", "65534", "1000", "-1", "root ", " root", "root:", "../root", "root\x00", "root\n"} {
		if acc, err := (process.Accounts{}).Lookup(t.Context(), name); !errors.Is(err, sess.ErrNotFound) {
			t.Errorf("Lookup(%q) = %+v, %v", name, acc, err)
		}
	}
}
