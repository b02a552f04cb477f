package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

// config is config.json: the servers this user has logged in to. Nothing in it is secret.
type config struct {
	Current string                `json:"current,omitempty"` // key of Servers
	Servers map[string]serverConf `json:"servers,omitempty"` // by URL without pin
}

// serverConf is one server.
type serverConf struct {
	Pin    string               `json:"pin,omitempty"`    // "sha256:HEX"
	Email  string               `json:"email,omitempty"`  // who logged in last
	Org    string               `json:"org,omitempty"`    // name of the organisation used last
	OrgID  string               `json:"org_id,omitempty"` // key of Logins: the one that commands use
	Logins map[string]loginConf `json:"logins,omitempty"` // by the organisation's id

	// Files of former versions had one login for each server; see former.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Keyring   bool      `json:"keyring,omitempty"`
}

// loginConf is one login, without its token.
type loginConf struct {
	Org       string    `json:"org,omitempty"` // name
	Email     string    `json:"email,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Keyring   bool      `json:"keyring,omitempty"` // it is in the system's keyring, not in credentials.json
}

// former reads what a file of a former version says: the only login of a server, under an empty id.
func (s serverConf) former() serverConf {
	if s.ExpiresAt.IsZero() {
		return s
	}
	if s.Logins == nil {
		s.Logins = map[string]loginConf{"": {Org: s.Org, Email: s.Email, ExpiresAt: s.ExpiresAt, Keyring: s.Keyring}}
	}
	s.ExpiresAt, s.Keyring = time.Time{}, false
	return s
}

// maxConfig bounds the files read, in bytes.
const maxConfig = 1 << 20

// dir is the directory of config.json and credentials.json.
func (a *app) dir() (string, error) {
	if d := a.getenv("SESSCTL_CONFIG_DIR"); d != "" {
		return d, nil
	}
	d, err := os.UserConfigDir()
	if err != nil {
		return "", sess.Wrap(err, sess.CodeInvalid, "there is no directory for sessctl's files", "set SESSCTL_CONFIG_DIR")
	}
	return filepath.Join(d, "sessctl"), nil
}

// config reads config.json once; none is an empty one.
func (a *app) config() (*config, error) {
	if a.conf != nil {
		return a.conf, nil
	}
	c := &config{Servers: map[string]serverConf{}}
	d, err := a.dir()
	if err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(d, "config.json"), c); err != nil {
		return nil, err
	}
	if c.Servers == nil {
		c.Servers = map[string]serverConf{}
	}
	for name, s := range c.Servers {
		c.Servers[name] = s.former()
	}
	a.conf = c
	return c, nil
}

func (a *app) saveConfig() error {
	d, err := a.dir()
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(d, "config.json"), a.conf)
}

// pickServer finds the server: --server, SESSCTL_SERVER, or the one logged in to last. One named without its pin gets
// the pin it was logged in with.
func (a *app) pickServer() (link.Server, error) {
	name := a.server
	if name == "" {
		name = a.getenv("SESSCTL_SERVER")
	}
	if name != "" {
		s, err := link.ParseServer(name)
		if err != nil || s.Pin != nil {
			return s, err
		}
		return a.withPin(s)
	}
	c, err := a.config()
	if err != nil {
		return link.Server{}, err
	}
	if c.Current == "" {
		return link.Server{}, sess.New(sess.CodeUnauthenticated, "no server is known", "sessctl login --server https://sess.example.com")
	}
	s, err := link.ParseServer(c.Current)
	if err != nil {
		return s, err
	}
	return a.withPin(s)
}

func (a *app) withPin(s link.Server) (link.Server, error) {
	c, err := a.config()
	if err != nil {
		if a.getenv("SESSCTL_API_KEY") != "" {
			return s, nil // complete without any file
		}
		return s, err
	}
	if pin := c.Servers[s.String()].Pin; pin != "" {
		return link.ParseServer(s.String() + "#pin=" + pin)
	}
	return s, nil
}

// key is how files and keyring name a server: its URL without the pin.
func key(s link.Server) string { return link.Server{URL: s.URL}.String() }

// readJSON reads a file of ours into v; one that is not there leaves v as it is.
func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return sess.Wrap(err, sess.CodeInvalid, path+" is damaged", "move it away and log in again")
	}
	return nil
}

// writeJSON replaces a file of ours: whole or not at all, and for this user's eyes only.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save settings: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("save settings: %w", err)
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(append(b, '\n')); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("save settings: %w", err)
	}
	return nil
}

// private refuses a file of secrets that others may read.
func private(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || runtime.GOOS == "windows" { // there, the profile directory's ACL guards it
		return nil
	}
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%s may be read by others (mode %04o)", path, info.Mode().Perm()),
			"chmod 600 "+path+", and log in again if somebody may have")
	}
	return nil
}
