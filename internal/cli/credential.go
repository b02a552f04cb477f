package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

// keyringService names our entries in the system's keyring; the account is the server's URL and the organisation's id.
const keyringService = "sessctl"

// keyringPatience bounds one call to the keyring: a locked one without anybody to ask would hang.
const keyringPatience = time.Second

var errKeyringSlow = errors.New("the keyring does not answer")

// credentialName names a login in the keyring and in credentials.json. That of a former version has no id.
func credentialName(server, org string) string {
	if org == "" {
		return server
	}
	return server + " " + org
}

// wantedOrg is the organisation that was named: --org, or SESSCTL_ORG. Empty: the one used last.
func (a *app) wantedOrg() string {
	if a.org != "" {
		return a.org
	}
	return a.getenv("SESSCTL_ORG")
}

// pickLogin finds the login kept for a server: in the organisation that was named, or the one used last.
func (a *app) pickLogin(server link.Server) (id string, l loginConf, err error) {
	c, err := a.config()
	if err != nil {
		return "", l, err
	}
	s := c.Servers[key(server)]
	name := a.wantedOrg()
	if name == "" {
		if l, ok := s.Logins[s.OrgID]; ok {
			return s.OrgID, l, nil
		}
		hint := "sessctl login --server " + server.String()
		if len(s.Logins) > 0 {
			hint += `; you are logged in to other organisations there: "sessctl context list"`
		}
		return "", l, sess.New(sess.CodeUnauthenticated, "not logged in to "+server.URL.Host, hint)
	}
	for id, l := range s.Logins {
		if id == name || l.Org == name {
			return id, l, nil
		}
	}
	hint := "sessctl login --server " + server.String() + " --org " + name
	if len(s.Logins) > 0 {
		hint += `, or "sessctl org use ` + name + `" from where you are`
	}
	return "", l, sess.New(sess.CodeUnauthenticated, fmt.Sprintf("not logged in to the organisation %q at %s", name, server.URL.Host), hint)
}

// bearer finds what to show to server: SESSCTL_API_KEY, or the login kept for it.
func (a *app) bearer(server link.Server) (string, error) {
	if k := a.getenv("SESSCTL_API_KEY"); k != "" {
		if a.org != "" {
			return "", sess.New(sess.CodeInvalid, "SESSCTL_API_KEY is set: an API key is of one organisation, and --org can't choose another", "leave --org out")
		}
		return k, nil
	}
	id, entry, err := a.pickLogin(server)
	if err != nil {
		return "", err
	}
	again := "sessctl login --server " + server.String()
	if entry.Org != "" {
		again += " --org " + entry.Org
	}
	token, err := a.token(credentialName(key(server), id), entry)
	if errors.Is(err, errKeyring) {
		return "", sess.New(sess.CodeUnauthenticated, "the login is in the system's keyring, which can't be read now", "unlock the keyring, or log in again: "+again)
	}
	switch {
	case err != nil:
		return "", err
	case token == "":
		return "", sess.New(sess.CodeUnauthenticated, "not logged in to "+server.URL.Host, again)
	case !entry.ExpiresAt.IsZero() && a.now().After(entry.ExpiresAt):
		return "", sess.New(sess.CodeUnauthenticated, "the login at "+server.URL.Host+" has expired", again)
	}
	return token, nil
}

var errKeyring = errors.New("the keyring can't be read")

// token reads a login's token from where it is kept; empty: it is not there.
func (a *app) token(name string, entry loginConf) (token string, err error) {
	if !entry.Keyring {
		tokens, err := a.credentials()
		return tokens[name], err
	}
	err = within(keyringPatience, func() (err error) { token, err = keyring.Get(keyringService, name); return err })
	if err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return "", errKeyring
	}
	return token, nil
}

// credentials reads credentials.json: login tokens by credentialName.
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

// remember keeps a new login, in the keyring when there is one, and makes its server and organisation the current ones.
func (a *app) remember(server link.Server, l api.LoginOut) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	host := key(server)
	id, name := string(l.Org), credentialName(host, string(l.Org))
	entry := loginConf{Org: l.OrgName, Email: l.Email, ExpiresAt: l.ExpiresAt}
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
	s := c.Servers[host]
	if former, ok := s.Logins[""]; ok && id != "" && former.Org == l.OrgName {
		if err := a.drop(host, "", former); err != nil {
			return err
		}
		delete(s.Logins, "")
	}
	if s.Logins == nil {
		s.Logins = map[string]loginConf{}
	}
	s.Pin = ""
	if server.Pin != nil {
		s.Pin = pinString(server)
	}
	s.Email, s.Org, s.OrgID, s.Logins[id] = l.Email, l.OrgName, id, entry
	c.Current, c.Servers[host] = host, s
	return a.saveConfig()
}

// forget drops the login at server that commands use; pin and names stay.
func (a *app) forget(server link.Server) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	id, l, err := a.pickLogin(server)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	if err := a.drop(key(server), id, l); err != nil {
		return err
	}
	delete(c.Servers[key(server)].Logins, id)
	return a.saveConfig()
}

// drop removes a login's token from where it is kept.
func (a *app) drop(host, id string, l loginConf) error {
	name := credentialName(host, id)
	if l.Keyring {
		err := within(keyringPatience, func() error { return keyring.Delete(keyringService, name) })
		if err != nil && !errors.Is(err, keyring.ErrNotFound) {
			return sess.New(sess.CodeUnavailable, "the login's entry in the keyring can't be removed now", "unlock the keyring and try again")
		}
	}
	return a.setCredential(name, "")
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
