package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/sessctl/sess/internal/sess"
)

// A recording whose Meta names recipients is kept encrypted to them: each segment, once it is compressed, is a file of age's
// (age-encryption.org/v1). Digests and chain are over what is stored, so that whoever can't read it can verify it all the
// same. While the session lives its last records lie in the ring as they are; at the end they go.

// Limits on what is encrypted.
const (
	maxSealHead   = 8 << 10 // bytes of age's header: sess.MaxRecipients stanzas of about 110 bytes
	sealChunk     = 64 << 10
	sealChunkMore = 16 // bytes that age adds to each chunk
	// maxSegmentSealed bounds a segment that is encrypted.
	maxSegmentSealed = maxSegmentStored + maxSealHead + 16 + (maxSegmentStored/sealChunk+1)*sealChunkMore
)

// errSealed says that a segment is as the chain names it, and can't be read without an identity.
var errSealed = errors.New("encrypted")

// CheckRecipients says what is wrong with public keys that recordings are to be encrypted to; nil: nothing.
func CheckRecipients(keys []string) error {
	_, err := parseRecipients(keys)
	return err
}

func parseRecipients(keys []string) ([]age.Recipient, error) {
	if len(keys) > sess.MaxRecipients {
		return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("recordings can be encrypted to %d keys, not %d", sess.MaxRecipients, len(keys)), "")
	}
	var out []age.Recipient
	for _, k := range keys {
		r, err := parseRecipient(k)
		if err != nil {
			return nil, sess.Wrap(err, sess.CodeInvalid, fmt.Sprintf("%.80q is no public key of age or OpenSSH", k), "copy it whole: age-keygen -y FILE prints it")
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRecipient(key string) (age.Recipient, error) {
	if len(key) > 4 && key[:4] == "ssh-" {
		return agessh.ParseRecipient(key) //nolint:wrapcheck // parseRecipients does
	}
	return age.ParseX25519Recipient(key) //nolint:wrapcheck // parseRecipients does
}

// seal appends b, encrypted, to dst.
func seal(dst, b []byte, to []age.Recipient) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	w, err := age.Encrypt(buf, to...)
	if err != nil {
		return nil, fmt.Errorf("encrypt segment: %w", err)
	}
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("encrypt segment: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt segment: %w", err)
	}
	return buf.Bytes(), nil
}

// unseal decrypts what seal made. Its header is bounded, so that nobody has us try a million keys; what comes out is no
// larger than what goes in.
func unseal(b []byte, ids []age.Identity) ([]byte, error) {
	if !bytes.Contains(b[:min(len(b), maxSealHead)], []byte("\n--- ")) {
		return nil, errors.New("is not encrypted as age does it")
	}
	r, err := age.Decrypt(bytes.NewReader(b), ids...)
	if err != nil {
		return nil, fmt.Errorf("can't be decrypted: %w", err)
	}
	out := bytes.NewBuffer(make([]byte, 0, len(b)))
	if _, err := out.ReadFrom(io.LimitReader(r, maxSegmentStored+1)); err != nil {
		return nil, fmt.Errorf("can't be decrypted: %w", err)
	}
	if out.Len() > maxSegmentStored {
		return nil, errors.New("is too large")
	}
	return out.Bytes(), nil
}
