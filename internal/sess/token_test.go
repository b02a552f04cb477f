package sess_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
)

var pin = bytes.Repeat([]byte{0xA7}, sess.PinSize)

func newToken(t testing.TB, kind sess.TokenKind, pin []byte) string {
	t.Helper()
	s, err := sess.NewToken(kind, pin)
	if err != nil {
		t.Fatalf("NewToken(%s) = %v", kind, err)
	}
	return s
}

func TestTokenRoundTrip(t *testing.T) {
	for _, c := range []struct {
		kind sess.TokenKind
		pin  []byte
	}{{sess.TokenAPIKey, nil}, {sess.TokenLogin, nil}, {sess.TokenEnrol, nil}, {sess.TokenEnrol, pin}, {sess.TokenInvite, pin}} {
		s := newToken(t, c.kind, c.pin)
		if len(s) > sess.MaxToken {
			t.Errorf("a token of %d bytes, more than MaxToken", len(s))
		}
		got, err := sess.ParseToken(s, c.kind)
		if err != nil || got.Kind != c.kind || !bytes.Equal(got.Pin, c.pin) {
			t.Errorf("ParseToken = %v %x %v, want %s %x", got, got.Pin, err, c.kind, c.pin)
		}
		if again := sess.EncodeToken(got); again != s {
			t.Errorf("EncodeToken(ParseToken(s)) is not s")
		}
		if out := fmt.Sprintf("%v %+v %#v %s %x", got, got, got, got, got); strings.Contains(out, s[5:20]) || len(out) > 60 {
			t.Errorf("a formatted token shows too much: %s", out)
		}
	}
	if _, err := sess.NewToken(sess.TokenEnrol, []byte("short")); err == nil {
		t.Error("NewToken took a pin of five bytes")
	}
	if _, err := sess.NewToken("xxxx", nil); err == nil {
		t.Error("NewToken took an unknown kind")
	}
}

func TestTokensDiffer(t *testing.T) {
	first, second := newToken(t, sess.TokenLogin, nil), newToken(t, sess.TokenLogin, nil)
	if first == second {
		t.Error("two tokens are the same")
	}
}

// Every changed, missing, doubled or swapped character is a typing mistake, said as one, and the error quotes nothing.
func TestParseTokenFindsMistakes(t *testing.T) {
	s := newToken(t, sess.TokenEnrol, pin)
	bad := []string{
		"", "_", "sess", "sess_", s[:len(s)-1], s + "a", s + "\n", " " + s, strings.ToUpper(s), s + "========",
		"sesl_" + s[5:], "sesx_" + s[5:], s[:20] + "\n" + s[20:], s[:20] + "\r\n" + s[20:], strings.Repeat("a", 1<<20),
		"sess_" + strings.Repeat("a", 109), "sess_" + strings.Repeat("\x00", 58),
	}
	for i := range s {
		c := byte('a')
		if s[i] == c {
			c = 'b'
		}
		bad = append(bad, s[:i]+string(c)+s[i+1:])
		if i > 0 && s[i] != s[i-1] {
			bad = append(bad, s[:i-1]+string(s[i])+string(s[i-1])+s[i+1:])
		}
	}
	for _, b := range bad {
		_, err := sess.ParseToken(b)
		if !errors.Is(err, sess.ErrInvalid) {
			t.Errorf("ParseToken(%.140q) = %v, want invalid", b, err)
			continue
		}
		if len(b) > 30 && strings.Contains(err.Error()+sess.Public(err).Hint, b[5:25]) {
			t.Errorf("the error quotes the token: %v", err)
		}
	}
	if _, err := sess.ParseToken(s, sess.TokenLogin); !errors.Is(err, sess.ErrInvalid) || !strings.Contains(err.Error(), "an enrolment token, where a login token is needed") {
		t.Errorf("ParseToken of the wrong kind = %v", err)
	}
}

// A pin belongs to enrolment tokens and invitations only: in others it would be a way to make tokens longer.
func TestParseTokenPinOnlyWhereItBelongs(t *testing.T) {
	for _, kind := range []sess.TokenKind{sess.TokenAPIKey, sess.TokenLogin} {
		if _, err := sess.ParseToken(sess.EncodeToken(sess.Token{Kind: kind, Pin: pin})); err == nil {
			t.Errorf("ParseToken took %s with a pin", kind)
		}
	}
}

func TestInviteLink(t *testing.T) {
	token := newToken(t, sess.TokenInvite, pin)
	base, _ := url.Parse("https://box.example:8443/console?x=y#pin=z")
	link := sess.InviteLink(base, token)
	if want := "https://box.example:8443/accept#" + token; link != want {
		t.Errorf("InviteLink = %s, want %s", link, want)
	}
	u, got, err := sess.ParseInviteLink(" " + link + "\n")
	if err != nil || u.String() != "https://box.example:8443" || got != token {
		t.Errorf("ParseInviteLink = %v %s %v", u, got, err)
	}
	for _, bad := range []string{
		"", token, "https://box/accept", "https://box/#" + token, "ftp://box/accept#" + token, "https:///accept#" + token,
		"https://u:p@box/accept#" + token, "https://box/accept#" + token[:40], "https://box/accept#" + newToken(t, sess.TokenLogin, nil),
		"https://%zz/accept#" + token, link + strings.Repeat("a", sess.MaxLink),
	} {
		_, _, err := sess.ParseInviteLink(bad)
		if !errors.Is(err, sess.ErrInvalid) {
			t.Errorf("ParseInviteLink(%.100q) = %v, want invalid", bad, err)
		} else if strings.Contains(err.Error(), token[5:25]) {
			t.Errorf("the error quotes the token: %v", err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(newToken(f, sess.TokenAPIKey, nil))
	f.Add(newToken(f, sess.TokenLogin, nil))
	f.Add(newToken(f, sess.TokenEnrol, pin))
	f.Add(newToken(f, sess.TokenInvite, pin))
	f.Add("sesn_")
	f.Add("sesn_aaaaaaaaaaaaaaaa\n")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := sess.ParseToken(s)
		if err != nil {
			if !errors.Is(err, sess.ErrInvalid) {
				t.Fatalf("ParseToken(%q) = %v, want invalid", s, err)
			}
			return
		}
		if again := sess.EncodeToken(got); again != s {
			t.Fatalf("two texts of one token: %q and %q", s, again)
		}
		if n := len(got.Pin); n != 0 && n != sess.PinSize {
			t.Fatalf("pin of %d bytes", n)
		}
	})
}
