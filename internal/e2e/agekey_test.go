package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/rogpeppe/go-internal/testscript"
)

// ageKey gives a key as age-keygen makes it, as a file and as the public key; with a passphrase, as age -p -a encrypts it.
func ageKey(passphrase string) (file []byte, public string, err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", err
	}
	public = key.Recipient().String()
	text := fmt.Sprintf("# created: %s\n# public key: %s\n%s\n", time.Now().Format(time.RFC3339), public, key)
	if passphrase == "" {
		return []byte(text), public, nil
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, "", err
	}
	to.SetWorkFactor(12)
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, to)
	if err != nil {
		return nil, "", err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return nil, "", err
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	err = a.Close()
	return b.Bytes(), public, err
}

// cmdAgekey makes the file NAME.key and sets $NAME, in capitals, to the public key.
func cmdAgekey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: agekey NAME [PASSPHRASE]")
	}
	file, public, err := ageKey(strings.Join(args[1:], ""))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), file, 0o600))
	ts.Setenv(strings.ToUpper(args[0]), public)
}
