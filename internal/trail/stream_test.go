package trail_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/outbound"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/store/storetest"
)

// receiver remembers the numbers of the events it took, in order.
type receiver struct {
	t      *testing.T
	mu     sync.Mutex
	got    []string
	ids    map[string]string // bodies by the message's id
	refuse int               // so many posts are answered with 503, after they were read
}

func (r *receiver) took(n string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, n)
}

// numbers gives what came, each once, in the order in which it came first.
func (r *receiver) numbers() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	var list []string
	for _, n := range r.got {
		if n != "" && !seen[n] {
			list = append(list, n)
		}
		seen[n] = true
	}
	return list
}

// ServeHTTP is the webhook.
func (r *receiver) serve(secret *string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if err := outbound.VerifyWebhook(*secret, req.Header, body, time.Now(), time.Minute); err != nil {
			r.t.Error(err)
		}
		var p struct {
			Log    string
			Test   bool
			Events []struct {
				Index int64
				Event json.RawMessage
			}
		}
		if err := json.Unmarshal(body, &p); err != nil || p.Log != string(org) {
			r.t.Errorf("%v: %s", err, body)
		}
		r.mu.Lock()
		id := req.Header.Get("Webhook-Id")
		if old, ok := r.ids[id]; ok && old != string(body) {
			r.t.Errorf("message %s says two things", id)
		}
		r.ids[id] = string(body)
		refuse := r.refuse > 0
		if refuse {
			r.refuse--
		}
		r.mu.Unlock()
		if refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for _, e := range p.Events {
			r.took(number(e.Event))
		}
	}
}

func (r *receiver) waitFor(want int) {
	r.t.Helper()
	until(r.t, "the events come", func() error {
		if n := len(r.numbers()); n < want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	})
	for i, n := range r.numbers() {
		if n != strconv.Itoa(i) {
			r.t.Fatalf("event %s comes as number %d", n, i)
		}
	}
}

func newSink(t *testing.T, w *world, url string) api.SinkAdded {
	t.Helper()
	in := api.SinkIn{}
	in.Body.Name, in.Body.URL, in.Body.FromStart = "siem", url, true
	out, err := w.CreateSink(t.Context(), who(admin), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// All events come, in order and signed, though the receiver fails, the server ends at any moment, and some events were placed late.
func TestWebhookSinkLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	r := &receiver{t: t, ids: map[string]string{}, refuse: 1}
	var secret string
	srv := httptest.NewServer(r.serve(&secret))
	defer srv.Close()
	added := newSink(t, w, srv.URL)
	secret = added.Secret
	if out, err := w.TestSink(t.Context(), who(admin), api.SinkRef{Sink: "siem"}); err != nil || out.OK || !strings.Contains(out.Problem, "503") {
		t.Errorf("test: %+v, %v", out, err)
	}
	if out, err := w.TestSink(t.Context(), who(admin), api.SinkRef{Sink: "siem"}); err != nil || !out.OK {
		t.Errorf("test: %+v, %v", out, err)
	}
	const rounds, each = 4, 60
	for round := range rounds {
		r.mu.Lock()
		r.refuse = round % 2
		r.mu.Unlock()
		ctx, kill := context.WithCancel(t.Context())
		ended := make(chan struct{})
		node := w.service("nod_1")
		go func() { defer close(ended); node.Run(ctx) }()
		for i := range each {
			n := round*each + i
			at := time.Now()
			if i%10 == 7 {
				at = at.Add(-time.Hour) // it is placed behind newer ones
			}
			w.add(n, n+1, at)
			if i%7 == 0 || i%10 >= 6 {
				w.flush()
			}
		}
		w.flush()
		if round < rounds-1 && round%2 == 0 {
			kill()
		} else {
			r.waitFor((round + 1) * each)
		}
		for deadline := time.Now().Add(10 * time.Second); round == rounds-1; <-time.After(5 * time.Millisecond) { // until it has noted the answer
			if s, err := w.GetSink(t.Context(), who(admin), api.SinkRef{Sink: added.Sink.ID}); err == nil && s.Next >= rounds*each || time.Now().After(deadline) {
				break
			}
		}
		kill()
		<-ended
	}
	s, err := w.GetSink(t.Context(), who(admin), api.SinkRef{Sink: added.Sink.ID})
	if err != nil || s.Failures != 0 || s.Problem != "" || s.DeliveredAt == nil || s.Next < rounds*each {
		t.Errorf("%+v, %v", s, err)
	}
}

// Of two nodes one streams; when it ends the other goes on.
func TestOneNodeStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	r := &receiver{t: t, ids: map[string]string{}}
	var secret string
	srv := httptest.NewServer(r.serve(&secret))
	defer srv.Close()
	secret = newSink(t, w, srv.URL).Secret
	var nodes sync.WaitGroup
	defer nodes.Wait()
	one, endOne := context.WithCancel(t.Context())
	defer endOne()
	two, endTwo := context.WithCancel(t.Context())
	defer endTwo()
	first := make(chan struct{})
	nodes.Go(func() { defer close(first); w.service("nod_1").Run(one) })
	nodes.Go(func() { w.service("nod_2").Run(two) })
	w.add(0, 300, time.Now())
	w.flush()
	r.waitFor(300)
	r.mu.Lock()
	if n := len(slices.DeleteFunc(slices.Clone(r.got), func(s string) bool { return s == "" })); n != 300 {
		t.Errorf("%d events came, of 300", n)
	}
	r.mu.Unlock()
	endOne()
	<-first
	w.add(300, 310, time.Now())
	w.flush()
	r.waitFor(310)
}

// What fails again and again is put on record, once, and so is its end.
func TestStalledSinkIsOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	in := api.SinkIn{}
	in.Body.Name, in.Body.URL = "nowhere", "http://127.0.0.1:1/"
	if _, err := w.CreateSink(t.Context(), who(admin), in); err != nil {
		t.Fatal(err)
	}
	w.add(0, 1, time.Now())
	w.flush()
	ctx, end := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { w.Run(ctx) })
	until(t, "the failure shows", func() error {
		s, err := w.GetSink(t.Context(), who(admin), api.SinkRef{Sink: "nowhere"})
		if err != nil || s.Failures == 0 || s.Waiting == 0 || s.WaitingFrom == nil || s.Problem == "" {
			return fmt.Errorf("%+v, %w", s, err)
		}
		return nil
	})
	end()
	done.Wait()
}

// A sink of an organisation's does not reach this machine, its sockets, or anything without encryption; the secret is never shown again.
func TestSinksAreGuarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	w.Guard = outbound.Guard{}
	for _, url := range []string{"http://example.com/", "tcp://example.com:514", "unix:///dev/log", "file:///etc/passwd", "https://user:pass@example.com/", "tls://", "x"} {
		in := api.SinkIn{}
		in.Body.Name, in.Body.URL = "siem", url
		if _, err := w.CreateSink(t.Context(), who(admin), in); !errors.Is(err, sess.ErrInvalid) {
			t.Errorf("%s: %v", url, err)
		}
	}
	in := api.SinkIn{}
	in.Body.Name, in.Body.URL = "siem", "https://127.0.0.1:1/hook?token=hush"
	added, err := w.CreateSink(t.Context(), who(admin), in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.CreateSink(t.Context(), who(admin), in); !errors.Is(err, &sess.Error{Code: sess.CodeConflict}) {
		t.Error(err)
	}
	if out, err := w.TestSink(t.Context(), who(admin), api.SinkRef{Sink: "siem"}); err != nil || out.OK || !strings.Contains(out.Problem, "private network") {
		t.Errorf("%+v, %v", out, err)
	}
	list, err := w.List(t.Context(), who(admin), filters(api.AuditFilter{Action: "sink:*"}))
	if err != nil || len(list.Items) < 4 {
		t.Fatal(len(list.Items), err)
	}
	for _, e := range list.Items {
		if s := string(e.Raw); strings.Contains(s, "hush") || strings.Contains(s, added.Secret) {
			t.Errorf("the log holds a secret: %s", s)
		}
	}
	for _, err := range []error{
		func() error { _, err := w.CreateSink(t.Context(), who(operator), in); return err }(),
		func() error { _, err := w.ListSinks(t.Context(), who(operator)); return err }(),
		func() error { _, err := w.GetSink(t.Context(), who(operator), api.SinkRef{Sink: "siem"}); return err }(),
		func() error { _, err := w.TestSink(t.Context(), who(operator), api.SinkRef{Sink: "siem"}); return err }(),
		w.RemoveSink(t.Context(), who(operator), api.SinkRef{Sink: "siem"}),
	} {
		if !errors.Is(err, sess.ErrDenied) {
			t.Error(err)
		}
	}
	if err := w.RemoveSink(t.Context(), who(admin), api.SinkRef{Sink: "siem"}); err != nil {
		t.Error(err)
	}
}

// syslogHead is what RFC 5424 puts before the text.
var syslogHead = regexp.MustCompile(`^<(\d+)>1 (\S+) (\S+) sess-server - (\S+) (\[sess@32473(?: \w+="(?:[^"\\\]]|\\.)*")+\]) \x{FEFF}(.*)$`)

// syslogd reads octet-counted messages, until it has had its fill of them and dies without a word.
func (r *receiver) syslogd(l net.Listener, most int) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		r.connection(c, most)
	}
}

func (r *receiver) connection(c net.Conn, most int) {
	defer c.Close()
	in := bufio.NewReader(c)
	for n := 0; most == 0 || n < most; n++ {
		size, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(size))
		if err != nil {
			r.t.Errorf("no count: %q", size)
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		m := syslogHead.FindSubmatch(b)
		if m == nil {
			r.t.Errorf("no syslog: %s", b)
			return
		}
		r.took(number(m[6]))
	}
}

// By syslog all events come in order, though the receiver goes away in the middle of messages, again and again.
func TestSyslogSinkLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	r := &receiver{t: t}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	newSink(t, w, "tcp://"+address)
	ctx, end := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { w.Run(ctx) })
	defer done.Wait()
	defer end()
	const n = 500
	w.add(0, n, time.Now())
	w.flush()
	killed := make(chan struct{})
	go func() { // takes 30 messages, and is gone with what it had in its buffers
		defer close(killed)
		c, err := l.Accept()
		if err != nil {
			return
		}
		r.connection(c, 30)
		_ = c.(*net.TCPConn).SetLinger(0)
	}()
	<-killed
	_ = l.Close()
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go r.syslogd(l, 0)
	r.waitFor(n)
	if err := ctx.Err(); err != nil {
		t.Error(err)
	}
}
