package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

func trust(t testing.TB, networks ...string) sess.Addresses {
	t.Helper()
	a, err := sess.ParseAddresses(networks)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestClientAddress(t *testing.T) {
	trusted := trust(t, "10.0.0.0/8", "2001:db8:1::/48")
	for _, tc := range []struct {
		remote, header, want string
	}{
		// Nobody else is believed.
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.9", "192.0.2.1"},
		{"[2001:db8:2::1]:5", "198.51.100.9", "2001:db8:2::1"},
		// The last one that is no proxy of ours; what stands before it is the client's own word.
		{"10.0.0.1:5", "", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.9", "198.51.100.9"},
		{"[::ffff:10.0.0.1]:5", "198.51.100.9", "198.51.100.9"},
		{"[2001:db8:1::5]:5", "198.51.100.9", "198.51.100.9"},
		{"10.0.0.1:5", "203.0.113.1, 198.51.100.9", "198.51.100.9"},
		{"10.0.0.1:5", "203.0.113.1,198.51.100.9, 10.0.0.2", "198.51.100.9"},
		{"10.0.0.1:5", "127.0.0.1 , 10.9.9.9 , 198.51.100.9\t,10.0.0.2", "198.51.100.9"},
		{"10.0.0.1:5", "rubbish, 198.51.100.9", "198.51.100.9"},
		{"10.0.0.1:5", "203.0.113.1|198.51.100.9", "198.51.100.9"}, // two headers
		{"10.0.0.1:5", "203.0.113.1|198.51.100.9|10.0.0.2", "198.51.100.9"},
		{"10.0.0.1:5", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		// The forms of an address.
		{"10.0.0.1:5", "::ffff:198.51.100.9", "198.51.100.9"},
		{"10.0.0.1:5", "198.51.100.9:4711", "198.51.100.9"},
		{"10.0.0.1:5", "2001:db8::7", "2001:db8::7"},
		{"10.0.0.1:5", "[2001:db8::7]", "2001:db8::7"},
		{"10.0.0.1:5", "[2001:db8::7]:4711", "2001:db8::7"},
		{"10.0.0.1:5", "[::ffff:198.51.100.9]:1", "198.51.100.9"},
		// No address: all that is known is who wrote it.
		{"10.0.0.1:5", "rubbish", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.9,", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.9, unknown, 10.0.0.2", "10.0.0.2"},
		{"10.0.0.1:5", "198.51.100.9:", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.9:0", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.9:65536", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.9:+1", "10.0.0.1"},
		{"10.0.0.1:5", "[198.51.100.9]", "10.0.0.1"},
		{"10.0.0.1:5", "[2001:db8::7", "10.0.0.1"},
		{"10.0.0.1:5", "[2001:db8::7]4711", "10.0.0.1"},
		{"10.0.0.1:5", "[2001:db8::7]:", "10.0.0.1"},
		{"10.0.0.1:5", "fe80::1%eth0", "10.0.0.1"},
		{"10.0.0.1:5", "0.0.0.0", "10.0.0.1"},
		{"10.0.0.1:5", "::", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.09", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.9/32", "10.0.0.1"},
		{"10.0.0.1:5", "198.51.100.9 203.0.113.1", "10.0.0.1"},
		// Any number of proxies in a row is no reason to walk for ever.
		{"10.0.0.1:5", "198.51.100.9" + strings.Repeat(",10.0.0.2", maxHops), "10.0.0.2"},
	} {
		s := &Server{cfg: Config{TrustedProxies: trusted}}
		checkClient(t, s, "X-Forwarded-For", tc.remote, tc.header, tc.want)
		s.cfg.ProxyHeader = ProxyForwarded
		if got := s.client(forwarded("X-Forwarded-For", tc.remote, tc.header)); got != addrOf(tc.remote) {
			t.Errorf("a header that is not the configured one is believed: %s", got)
		}
	}
}

func TestForwardedHeader(t *testing.T) {
	s := &Server{cfg: Config{TrustedProxies: trust(t, "10.0.0.0/8"), ProxyHeader: ProxyForwarded}}
	for _, tc := range []struct{ header, want string }{
		{"for=198.51.100.9", "198.51.100.9"},
		{"For=198.51.100.9;proto=https;by=10.0.0.1", "198.51.100.9"},
		{`proto=https;host="sess.example.com";for="198.51.100.9:4711"`, "198.51.100.9"},
		{`for="[2001:db8::7]"`, "2001:db8::7"},
		{`for="[2001:db8::7]:4711"`, "2001:db8::7"},
		{"for=203.0.113.1, for=198.51.100.9", "198.51.100.9"},
		{"for=203.0.113.1, for=198.51.100.9|for=10.0.0.2", "198.51.100.9"},
		{`for="_hidden", for=198.51.100.9, for=10.0.0.7`, "198.51.100.9"},
		{`for=", for=198.51.100.9`, "198.51.100.9"}, // what a client left open closes nothing
		// A host name with a comma in it does not end the element that it is in.
		{`for=198.51.100.9;host="x, for=203.0.113.1"`, "10.0.0.1"},
		{`for=198.51.100.9;host="x, for=203.0.113.1;y=\""`, "10.0.0.1"},
		{"for=unknown", "10.0.0.1"},
		{"for=_gazonk", "10.0.0.1"},
		{"for=2001:db8::7", "10.0.0.1"},
		{`for="2001:db8::7"`, "10.0.0.1"},
		{"for=198.51.100.9;for=203.0.113.1", "10.0.0.1"},
		{"proto=https", "10.0.0.1"},
		{"198.51.100.9", "10.0.0.1"},
		{`for="198.51.100.9`, "10.0.0.1"},
		{"for=198.51.100.9;", "10.0.0.1"},
		{"for = 198.51.100.9", "10.0.0.1"},
		{"for=", "10.0.0.1"},
		{`for=""`, "10.0.0.1"},
		{"", "10.0.0.1"},
	} {
		checkClient(t, s, "Forwarded", "10.0.0.1:5", tc.header, tc.want)
	}
	if got := s.client(forwarded("Forwarded", "192.0.2.1:5", "for=198.51.100.9")).String(); got != "192.0.2.1" {
		t.Errorf("somebody is believed: %s", got)
	}
}

func forwarded(name, remote, values string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = remote
	if values != "" {
		r.Header[name] = strings.Split(values, "|")
	}
	return r
}

func checkClient(t *testing.T, s *Server, name, remote, header, want string) {
	t.Helper()
	if got := s.client(forwarded(name, remote, header)).String(); got != want {
		t.Errorf("%s with %s: %q is %s, want %s", remote, name, header, got, want)
	}
}

// FuzzForwarded: whatever a client writes in front of what a trusted proxy appended changes nothing, whatever stands there
// gives an address or nobody, and nothing is believed of anybody else.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "for=1.2.3.4", `for="[::1]:5"`, "1.2.3.4, 5.6.7.8:9", `a="\",`, "[::ffff:1.2.3.4]", ";=,", "10.0.0.1,10.0.0.2", "fe80::1%25eth0"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	trusted := trust(f, "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, text string, rfc bool) {
		s := &Server{cfg: Config{TrustedProxies: trusted}}
		name, appended := "X-Forwarded-For", "198.51.100.9"
		if rfc {
			s.cfg.ProxyHeader, name, appended = ProxyForwarded, "Forwarded", "for=198.51.100.9"
		}
		ask := func(remote string, values ...string) netip.Addr {
			return s.client(&http.Request{RemoteAddr: remote, Header: http.Header{name: values}})
		}
		for _, values := range [][]string{{text + "," + appended}, {text, appended}, {text + ", " + appended + ",\t" + strings.Replace(appended, "198.51.100.9", "10.3.2.1", 1)}} {
			if got := ask("10.0.0.1:1", values...); got.String() != "198.51.100.9" {
				t.Errorf("%q is %s", values, got)
			}
		}
		if got := ask("192.0.2.1:1", text); got.String() != "192.0.2.1" {
			t.Errorf("%q of a stranger is %s", text, got)
		}
		if got := ask("10.0.0.1:1", text); !got.IsValid() || got.Is4In6() || got.Zone() != "" || got.IsUnspecified() {
			t.Errorf("%q is %s", text, got)
		}
	})
}

// Connections through a trusted proxy count for the clients behind it, until a client has shown who it is; then the
// connection may serve the next one.
func TestStrangersBehindAProxy(t *testing.T) {
	slots := newStrangers(100, 2)
	s := &Server{cfg: Config{TrustedProxies: trust(t, "127.0.0.0/8")}, strangers: slots}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(inner, nil, slots, s.exempt, patience)
	t.Cleanup(func() { l.Close() })
	var remotes []string
	var conns []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns, remotes = append(conns, server), append(remotes, server.RemoteAddr().String())
	}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	try := func(i int, client netip.Addr, want bool) {
		t.Helper()
		if got := slots.behind(remotes[i], client, s.exempt); got != want {
			t.Errorf("connection %d for %s: %v", i, client, got)
		}
	}
	try(0, a, true)
	try(1, a, true)
	try(2, a, false) // two at once
	try(2, b, true)  // somebody else
	try(0, b, true)  // the first serves another one now
	try(2, b, true)  // the same again
	try(3, b, false)
	slots.known(remotes[0])
	try(3, b, true)
	try(0, b, false) // what was known is unknown for the next request
	conns[3].Close()
	try(0, b, true)
	for _, c := range conns {
		c.Close()
	}
	slots.mu.Lock()
	defer slots.mu.Unlock()
	if slots.total != 0 || len(slots.byAddr) != 0 || len(slots.conns) != 0 {
		t.Errorf("left: %d in all, %v, %d connections", slots.total, slots.byAddr, len(slots.conns))
	}
}

// The client that is too much is told so, and nobody else is; the refusal has the client's address.
func TestCrowdedBehindAProxy(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler), now: time.Now, cfg: Config{TrustedProxies: trust(t, "10.0.0.0/8")}, strangers: newStrangers(10, 1)}
	h := s.outer(http.HandlerFunc(s.notFound))
	var who netip.Addr
	s.refused = func(_ context.Context, addr netip.Addr, _ sess.Code) { who = addr }
	for _, remote := range []string{"10.0.0.1:1", "10.0.0.1:2"} {
		s.strangers.conns[remote] = &strangerConn{s: s.strangers, remote: remote}
	}
	ask := func(remote, client string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, forwarded("X-Forwarded-For", remote, client))
		return w.Code
	}
	if got := ask("10.0.0.1:1", "192.0.2.1"); got != http.StatusNotFound {
		t.Errorf("the first: %d", got)
	}
	if got := ask("10.0.0.1:2", "192.0.2.1"); got != http.StatusTooManyRequests || who.String() != "192.0.2.1" {
		t.Errorf("the second at once: %d, refused %s", got, who)
	}
	if got := ask("10.0.0.1:2", "192.0.2.2"); got != http.StatusNotFound {
		t.Errorf("somebody else: %d", got)
	}
}
