package identity

import (
	"bytes"
	"testing"
)

func TestSealedSecretOpensOnlyWhereItBelongs(t *testing.T) {
	s, err := newSealer(bytes.Repeat([]byte{7}, SealKeySize))
	if err != nil {
		t.Fatal(err)
	}
	other, err := newSealer(bytes.Repeat([]byte{8}, SealKeySize))
	if err != nil {
		t.Fatal(err)
	}
	text := s.seal([]byte("otpauth secret"), "org_a usr_a totp")
	if plain, err := s.open(text, "org_a usr_a totp"); err != nil || string(plain) != "otpauth secret" {
		t.Fatalf("%q, %v", plain, err)
	}
	if text == s.seal([]byte("otpauth secret"), "org_a usr_a totp") {
		t.Error("the same secret is sealed the same way twice")
	}
	for name, open := range map[string]func() ([]byte, error){
		"another row": func() ([]byte, error) { return s.open(text, "org_a usr_b totp") },
		"another key": func() ([]byte, error) { return other.open(text, "org_a usr_a totp") },
		"damaged":     func() ([]byte, error) { return s.open("A"+text[1:len(text)-1], "org_a usr_a totp") },
		"empty":       func() ([]byte, error) { return s.open("", "org_a usr_a totp") },
	} {
		if _, err := open(); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	if _, err := newSealer([]byte("short")); err == nil {
		t.Error("a short key is taken")
	}
}
