package idp

import "testing"

// The owner of the box may let admins name providers of a private network, but never what a cloud tells its machines.
func TestLinkLocalIsNeverReachable(t *testing.T) {
	t.Parallel()
	for address, private := range map[string]bool{"10.1.2.3:443": true, "127.0.0.1:443": true, "[fd00::1]:443": true, "169.254.169.254:80": false, "[fe80::1]:443": false, "[::ffff:169.254.169.254]:80": false} {
		if err := reachable(address, true); (err == nil) != private {
			t.Errorf("%s, private ones allowed: %v", address, err)
		}
		if err := reachable(address, false); err == nil {
			t.Errorf("%s is reachable", address)
		}
	}
	if err := reachable("93.184.215.14:443", false); err != nil {
		t.Error(err)
	}
}

// An issuer with a query would have any path of its host asked, instead of the one where providers describe themselves.
func TestIssuerHasNoQuery(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"https://host/secret?x=", "https://host/secret?"} {
		if _, err := New(Config{Kind: OIDC, Settings: Settings{Issuer: issuer, ClientID: "sess"}}); err == nil {
			t.Errorf("%s is an issuer", issuer)
		}
	}
}
