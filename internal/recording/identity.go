package recording

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"

	"github.com/sessctl/sess/internal/sess"
)

// Identity is a secret key that reads encrypted recordings. The zero value reads nothing.
type Identity struct {
	age age.Identity
	// Recipient is its public key, as recordings name those that they are encrypted to.
	Recipient string
}

// Limits on files of identities.
const (
	// MaxIdentityFile bounds a file of identities, bytes.
	MaxIdentityFile = 1 << 20
	maxIdentities   = 64
	maxWorkFactor   = 20 // of a passphrase: 1 GiB and some seconds
)

// ParseIdentities reads a file of identities: age's own (a line each), the same encrypted with a passphrase, or a private
// ssh-ed25519 key of OpenSSH. passphrase is asked for where one is needed, once.
func ParseIdentities(file []byte, passphrase func() (string, error)) ([]Identity, error) {
	const hint = "a file that age-keygen wrote, or a private ssh-ed25519 key"
	text := bytes.TrimSpace(file)
	switch {
	case bytes.HasPrefix(text, []byte("-----BEGIN OPENSSH PRIVATE KEY-----")):
		return sshIdentity(text, passphrase)
	case bytes.HasPrefix(text, []byte("age-encryption.org/v1\n")), bytes.HasPrefix(text, []byte(armor.Header)):
		plain, err := withPassphrase(text, passphrase)
		if err != nil {
			return nil, err
		}
		text = bytes.TrimSpace(plain)
	}
	var ids []Identity
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil || len(ids) == maxIdentities { // the line is secret: no word of it is repeated
			return nil, sess.New(sess.CodeInvalid, "this is no file of identities that read recordings", hint)
		}
		ids = append(ids, Identity{age: id, Recipient: id.Recipient().String()})
	}
	if lines.Err() != nil || len(ids) == 0 {
		return nil, sess.New(sess.CodeInvalid, "there is no identity in it", hint)
	}
	return ids, nil
}

// withPassphrase decrypts a file of identities that age encrypted with a passphrase.
func withPassphrase(b []byte, passphrase func() (string, error)) ([]byte, error) {
	var r io.Reader = bytes.NewReader(b)
	if bytes.HasPrefix(b, []byte(armor.Header)) {
		r = armor.NewReader(r)
	}
	word, err := passphrase()
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(word)
	if err != nil {
		return nil, sess.New(sess.CodeInvalid, "the passphrase is empty", "")
	}
	id.SetMaxWorkFactor(maxWorkFactor)
	plain, err := age.Decrypt(r, id)
	if err != nil {
		var other *age.NoIdentityMatchError
		if errors.As(err, &other) {
			return nil, sess.New(sess.CodeInvalid, "the passphrase is wrong, or the file is encrypted otherwise than with one", "try again")
		}
		return nil, sess.Wrap(err, sess.CodeInvalid, "the file of identities can't be decrypted", "")
	}
	out, err := io.ReadAll(io.LimitReader(plain, MaxIdentityFile))
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, "the file of identities can't be decrypted", "")
	}
	return out, nil
}

// sshIdentity reads a private key of OpenSSH.
func sshIdentity(pem []byte, passphrase func() (string, error)) ([]Identity, error) {
	key, err := ssh.ParseRawPrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		word, perr := passphrase()
		if perr != nil {
			return nil, perr
		}
		key, err = ssh.ParseRawPrivateKeyWithPassphrase(pem, []byte(word))
	}
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, "the key of OpenSSH can't be read", "")
	}
	pair, ok := key.(*ed25519.PrivateKey)
	if !ok {
		return nil, sess.New(sess.CodeInvalid, "of OpenSSH's keys only ssh-ed25519 will do", "")
	}
	id, err := agessh.NewEd25519Identity(*pair)
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, "the key of OpenSSH can't be used", "")
	}
	public, err := ssh.NewPublicKey(pair.Public())
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, "the key of OpenSSH can't be used", "")
	}
	return []Identity{{age: id, Recipient: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))}}, nil
}

// Names gives the recipients of a recording for people: those that are none are left out, since the words are a server's.
func (m *Meta) Names() []string {
	var names []string
	for _, k := range m.Recipients {
		if _, err := parseRecipient(k); err == nil {
			names = append(names, k)
		}
	}
	return names
}

// Readable gives the identities among ids that a recording is encrypted to.
func Readable(recipients []string, ids []Identity) []Identity {
	var out []Identity
	for _, id := range ids {
		if slices.Contains(recipients, id.Recipient) {
			out = append(out, id)
		}
	}
	return out
}
