package server

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
)

func TestLogNamesTheRequest(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log, err := newLogger(&b, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	ctx := sess.WithRequest(t.Context(), "req_1")
	log.With("a", 1).WithGroup("g").InfoContext(t.Context(), "none")
	log.With("a", 1).InfoContext(ctx, "one")
	log.InfoContext(ctx, "said", "request_id", "req_1")
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for i, want := range []int{0, 1, 1} {
		if n := strings.Count(lines[i], "request_id=req_1"); n != want {
			t.Errorf("%d in %q", n, lines[i])
		}
	}
}
