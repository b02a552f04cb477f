package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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

// TestYesIsForOneWhoIsMeant: several ask to be let in, and the notice of the last is what the owner has just read. A yes must
// not let in the one who asked first, of whom they may have seen nothing: the owner says whom.
func TestYesIsForOneWhoIsMeant(t *testing.T) {
	var mu sync.Mutex
	var answered []string
	row := api.Session{ID: "ses_a", Participants: []api.SessionParticipant{
		{Num: 1, Role: "peer", UserName: "mallory@example.com", Waiting: true}, {Num: 2, Role: "observer", UserName: "bob@example.com", Waiting: true},
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			_ = json.NewEncoder(w).Encode(row)
			return
		}
		mu.Lock()
		answered = append(answered, r.URL.Path)
		mu.Unlock()
		_ = json.NewEncoder(w).Encode(api.SessionParticipant{})
	}))
	defer srv.Close()
	said := func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), answered...) }
	u, _ := url.Parse(srv.URL)
	c := Open(Profile{Server: link.Server{URL: u}})
	defer c.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "lines"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var pick func(string)
	p := newPeople(&Session{ID: "ses_a", client: c}, &terminal{o: TerminalIO{Out: f, Lines: f}}, func(f func(string)) { pick = f })
	if err := p.do(t.Context(), actionYes); err != nil {
		t.Fatal(err)
	}
	if got := said(); len(got) > 0 || pick == nil {
		t.Fatalf("a yes that could be for either was one for %q", got)
	}
	pick("")
	pick("7")
	pick("2")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for len(said()) == 0 {
		select {
		case <-ctx.Done():
			t.Fatal("the choice was not sent")
		case <-time.After(time.Millisecond):
		}
	}
	if got := said(); len(got) != 1 || !strings.Contains(got[0], "/participants/2/") {
		t.Errorf("answered %q, want for 2", got)
	}
	row.Participants = row.Participants[1:]
	if err := p.do(t.Context(), actionNo); err != nil || len(said()) != 2 {
		t.Errorf("one who asks alone: %v, %q", err, said())
	}
}
