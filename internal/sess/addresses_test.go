package sess_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
)

func TestAddresses(t *testing.T) {
	for _, tc := range []struct{ list, text, in, out string }{
		{"10.0.0.0/8 192.0.2.7", "10.0.0.0/8 192.0.2.7", "10.1.2.3 192.0.2.7 ::ffff:10.1.2.3", "11.0.0.0 192.0.2.8 ::1 2001:db8::1"},
		{"::ffff:10.0.0.0/104 10.0.0.0/8", "10.0.0.0/8", "10.9.9.9", "11.0.0.0"},
		{"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7 ::ffff:192.0.2.7", "192.0.2.6"},
		{"2001:db8::/32", "2001:db8::/32", "2001:db8::1 2001:db8:ffff::1%eth0", "2001:db9::1 10.0.0.1"},
		{"0.0.0.0/0", "0.0.0.0/0", "8.8.8.8 ::ffff:8.8.8.8", "::1"},
	} {
		a, err := sess.ParseAddresses(strings.Fields(tc.list))
		if err != nil || a.Text() != tc.text {
			t.Errorf("%s is kept as %q, %v; want %q", tc.list, a.Text(), err, tc.text)
		}
		for _, in := range strings.Fields(tc.in) {
			if !sess.AddressAccepted(tc.text, netip.MustParseAddr(in)) {
				t.Errorf("%s does not accept %s", tc.list, in)
			}
		}
		for _, out := range strings.Fields(tc.out) {
			if sess.AddressAccepted(tc.text, netip.MustParseAddr(out)) {
				t.Errorf("%s accepts %s", tc.list, out)
			}
		}
	}
	for _, bad := range []string{"", "10", "10.0.0.1/8", "10.0.0.0/33", "fe80::1%eth0", "::ffff:0.0.0.0/80", "10.0.0.0/8,::1", "example.com", "010.0.0.1"} {
		if a, err := sess.ParseAddresses([]string{bad}); err == nil {
			t.Errorf("%q is read as %v", bad, a)
		}
	}
	if _, err := sess.ParseAddresses(make([]string, sess.MaxAddresses+1)); err == nil {
		t.Error("any number of networks is taken")
	}
	if !sess.AddressAccepted("", netip.Addr{}) {
		t.Error("no list does not mean anywhere")
	}
	if sess.AddressAccepted("10.0.0.0/8", netip.Addr{}) || sess.AddressAccepted("rubbish", netip.MustParseAddr("10.0.0.1")) {
		t.Error("an unknown address, or a list that can't be read, is accepted")
	}
}
