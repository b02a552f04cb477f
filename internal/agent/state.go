package agent

import (
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

// Files of the state directory.
const (
	identityFile = "identity.json"
	keyFile      = "key"
	lockFile     = "lock"
	statusFile   = "status.json"
	maxStateFile = 1 << 20 // bytes read of any of them
)

const keyPEM = "SESS AGENT KEY"

// Identity is who this instance is, and whom it obeys.
type Identity struct {
	Instance   sess.InstanceID `json:"instance"`
	Name       string          `json:"name"`
	Server     string          `json:"server"`      // link.ParseServer's form, with the pin
	ServerName string          `json:"server_name"` // what signatures are bound to
	BrokerKeys [][]byte        `json:"broker_keys"` // Ed25519: whose offers and orders count
	EnrolledAt time.Time       `json:"enrolled_at"`
}

// brokerKeys gives the pinned keys in the type that verifies.
func (i Identity) brokerKeys() []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	for _, k := range i.BrokerKeys {
		if len(k) == ed25519.PublicKeySize {
			keys = append(keys, k)
		}
	}
	return keys
}

// StateDir is the directory where an agent keeps its identity and key, mode 0700, files 0600.
type StateDir string

// DefaultStateDir gives /var/lib/sess-agent for root, else the user's state directory.
func DefaultStateDir() (StateDir, error) {
	if os.Getuid() == 0 {
		return "/var/lib/sess-agent", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return StateDir(filepath.Join(dir, "sess-agent")), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", sess.Wrap(err, sess.CodeInvalid, "there is no home directory to keep state in", "name one with --state-dir")
	}
	return StateDir(filepath.Join(home, ".local", "state", "sess-agent")), nil
}

func (d StateDir) path(name string) string { return filepath.Join(string(d), name) }

// make creates the directory.
func (d StateDir) make() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return sess.Wrap(err, sess.CodeInvalid, "can't make the state directory "+string(d), "name another with --state-dir, or run as its owner")
	}
	return nil
}

// Enrolled reports whether there is an identity.
func (d StateDir) Enrolled() bool {
	_, err := os.Stat(d.path(identityFile))
	return err == nil
}

// Load reads identity and key.
func (d StateDir) Load() (Identity, ed25519.PrivateKey, error) {
	var id Identity
	b, err := readLimited(d.path(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil, sess.New(sess.CodeNotFound, "this machine is not enrolled: there is no identity in "+string(d),
			"run sess-agent enroll --server URL --token TOKEN; an admin gets a token with sessctl token create")
	}
	if errors.Is(err, fs.ErrPermission) {
		return id, nil, sess.Wrap(err, sess.CodeDenied, "can't read the agent's identity in "+string(d), "run as the user that enrolled, or name another --state-dir")
	}
	if err != nil {
		return id, nil, fmt.Errorf("read identity: %w", err)
	}
	broken := func(err error) error {
		return sess.Wrap(err, sess.CodeInvalid, "the agent's identity in "+string(d)+" is damaged", "enrol again with sess-agent enroll --force and a new token")
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, nil, broken(err)
	}
	if _, err := link.ParseServer(id.Server); err != nil || !sess.ValidID("ins", string(id.Instance)) || len(id.brokerKeys()) == 0 {
		return id, nil, broken(errors.New("fields are missing"))
	}
	key, err := d.loadKey()
	if err != nil {
		return id, nil, broken(err)
	}
	return id, key, nil
}

func (d StateDir) loadKey() (ed25519.PrivateKey, error) {
	b, err := readLimited(d.path(keyFile))
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != keyPEM || len(block.Bytes) != ed25519.SeedSize {
		return nil, errors.New("read key: not a key")
	}
	return ed25519.NewKeyFromSeed(block.Bytes), nil
}

// save writes key and identity. The identity comes last: without it there is no enrolment.
func (d StateDir) save(id Identity, key ed25519.PrivateKey) error {
	text := pem.EncodeToMemory(&pem.Block{Type: keyPEM, Bytes: key.Seed()})
	if err := d.write(keyFile, text); err != nil {
		return err
	}
	return d.saveIdentity(id)
}

func (d StateDir) saveIdentity(id Identity) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	return d.write(identityFile, append(b, '\n'))
}

// write replaces a file as a whole.
func (d StateDir) write(name string, b []byte) error {
	f, err := os.CreateTemp(string(d), "."+name+"-*") // mode 0600
	if err != nil {
		return sess.Wrap(err, sess.CodeInvalid, "can't write to the state directory "+string(d), "run as its owner, or name another with --state-dir")
	}
	_, err = f.Write(b)
	if err == nil && name != statusFile { // a power cut ends what the status tells of
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), d.path(name))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	return nil
}

// remove removes everything an agent keeps.
func (d StateDir) remove() error {
	for _, name := range []string{identityFile, keyFile, statusFile, lockFile} {
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove state: %w", err)
		}
	}
	_ = os.Remove(string(d)) // not if there is something else in it
	return nil
}

func readLimited(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxStateFile))
}
