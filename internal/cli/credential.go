package cli

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

// keyringService names our entries in the system's keyring; the account is the server's URL.
const keyringService = "sessctl"

// keyringPatience bounds one call to the keyring: a locked one without anybody to ask would hang.
const keyringPatience = time.Second

var errKeyringSlow = errors.New("the keyring does not answer")

// bearer finds what to show to server: SESSCTL_API_KEY, or the login kept for it.
func (a *app) bearer(server link.Server) (string, error) {
	if k := a.getenv("SESSCTL_API_KEY"); k != "" {
		return k, nil
	}
	c, err := a.config()
	if err != nil {
		return "", err
	}
	name := key(server)
	entry := c.Servers[name]
	token := ""
	if entry.Keyring {
		err = within(keyringPatience, func() (err error) { token, err = keyring.Get(keyringService, name); return err })
		if err != nil && !errors.Is(err, keyring.ErrNotFound) {
			return "", sess.New(sess.CodeUnauthenticated, "the login is in the system's keyring, which can't be read now",
				"unlock the keyring, or log in again: sessctl login --server "+server.String())
		}
	} else {
		tokens, err := a.credentials()
		if err != nil {
			return "", err
		}
		token = tokens[name]
	}
	if token == "" {
		return "", sess.New(sess.CodeUnauthenticated, "not logged in to "+server.URL.Host, "sessctl login --server "+server.String())
	}
	if !entry.ExpiresAt.IsZero() && a.now().After(entry.ExpiresAt) {
		return "", sess.New(sess.CodeUnauthenticated, "the login at "+server.URL.Host+" has expired", "sessctl login")
	}
	return token, nil
}

// credentials reads credentials.json: login tokens by server.
func (a *app) credentials() (map[string]string, error) {
	d, err := a.dir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(d, "credentials.json")
	if err := private(path); err != nil {
		return nil, err
	}
	tokens := map[string]string{}
	return tokens, readJSON(path, &tokens)
}

// remember keeps a new login, in the keyring when there is one, and makes its server the current one.
func (a *app) remember(server link.Server, l api.LoginOut) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	name := key(server)
	entry := serverConf{Email: l.Email, Org: l.OrgName, ExpiresAt: l.ExpiresAt}
	if server.Pin != nil {
		entry.Pin = pinString(server)
	}
	entry.Keyring = a.hasKeyring() && within(keyringPatience, func() error { return keyring.Set(keyringService, name, l.Token) }) == nil
	token := l.Token
	if entry.Keyring {
		token = "" // one from an earlier login must not stay in the file
	}
	if err := a.setCredential(name, token); err != nil {
		return err
	}
	if !entry.Keyring && a.getenv("SESSCTL_CONFIG_DIR") == "" {
		d, _ := a.dir()
		a.note("sessctl: there is no keyring here, so the login is kept in %s (mode 0600)", filepath.Join(d, "credentials.json"))
	}
	c.Current, c.Servers[name] = name, entry
	return a.saveConfig()
}

// forget drops the login at server; its pin stays.
func (a *app) forget(server link.Server) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	name := key(server)
	entry, ok := c.Servers[name]
	if !ok {
		return nil
	}
	if entry.Keyring {
		err := within(keyringPatience, func() error { return keyring.Delete(keyringService, name) })
		if err != nil && !errors.Is(err, keyring.ErrNotFound) {
			return sess.New(sess.CodeUnavailable, "the login is void, but its entry in the keyring can't be removed now", "unlock the keyring and log out again")
		}
	}
	if err := a.setCredential(name, ""); err != nil {
		return err
	}
	c.Servers[name] = serverConf{Pin: entry.Pin, Email: entry.Email, Org: entry.Org}
	return a.saveConfig()
}

// setCredential writes or, for an empty token, removes an entry of credentials.json.
func (a *app) setCredential(name, token string) error {
	d, err := a.dir()
	if err != nil {
		return err
	}
	path := filepath.Join(d, "credentials.json")
	tokens := map[string]string{}
	if err := readJSON(path, &tokens); err != nil {
		return err
	}
	if tokens[name] == token {
		if token == "" {
			return nil
		}
	}
	if token == "" {
		delete(tokens, name)
	} else {
		tokens[name] = token
	}
	return writeJSON(path, tokens)
}

// hasKeyring says whether to try the keyring. Not where a directory was named for everything, and not where asking would
// start a bus and hang.
func (a *app) hasKeyring() bool {
	if a.getenv("SESSCTL_CONFIG_DIR") != "" {
		return false
	}
	switch runtime.GOOS {
	case "darwin":
		_, err := os.Stat("/usr/bin/security")
		return err == nil
	case "windows":
		return true
	default:
		return a.getenv("DBUS_SESSION_BUS_ADDRESS") != ""
	}
}

// within runs f for at most d. One that hangs is left behind: the process ends soon.
func within(d time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		return errKeyringSlow
	}
}
