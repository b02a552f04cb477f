package sess

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/url"
	"strings"
)

// TokenKind is the prefix of a secret token: it says what the token is for, to people, to secret scanners and to the
// parser, so that one kind never passes for another.
type TokenKind string

// The kinds of token.
const (
	TokenAPIKey TokenKind = "sess" // an API key
	TokenLogin  TokenKind = "sesl" // a person's login
	TokenEnrol  TokenKind = "sesn" // makes a machine an instance; may carry the server's pin
	TokenInvite TokenKind = "sesi" // accepts an invitation, once; may carry the server's pin
	TokenReset  TokenKind = "sesr" // sets a new password, once; may carry the server's pin

	TokenChallenge TokenKind = "sesc" // ends a login with a second factor, once
	TokenShare     TokenKind = "sesj" // lets somebody who is logged in into a session, once; may carry the server's pin
)

const (
	secretSize = 32 // random bytes of a token
	// PinSize is the size of a certificate pin in bytes: a SHA-256.
	PinSize   = sha256.Size
	checkSize = 4 // CRC-32 (IEEE) of kind, secret and pin

	// MaxToken bounds a token as text, in bytes.
	MaxToken = 128
	// MaxLink bounds a link that carries a token, in bytes.
	MaxLink = 2048
)

// Token is a parsed secret token. Its text is KIND_BODY: BODY is lower-case base32 of 32 random bytes, then the 32 bytes
// of a pin where there is one, then four bytes of checksum. The text is what servers hash and compare, so there is
// exactly one text for each token.
type Token struct {
	Kind TokenKind
	// Pin is the SHA-256 of the public key (SPKI) that the server's certificate chain must contain; nil: none.
	Pin    []byte
	secret [secretSize]byte
}

// NewToken returns a fresh token of 256 random bits as text. pin is PinSize bytes or empty.
func NewToken(kind TokenKind, pin []byte) (string, error) {
	t := Token{Kind: kind, Pin: pin}
	if !tokenKind(kind) {
		return "", fmt.Errorf("make token: unknown kind %q", kind)
	}
	if len(pin) != 0 && len(pin) != PinSize {
		return "", fmt.Errorf("make token: pin of %d bytes, want %d", len(pin), PinSize)
	}
	_, _ = rand.Read(t.secret[:]) // never fails: it crashes the program instead
	return EncodeToken(t), nil
}

// EncodeToken gives t as text. ParseToken reads it.
func EncodeToken(t Token) string {
	body := append(t.secret[:len(t.secret):len(t.secret)], t.Pin...)
	body = binary.BigEndian.AppendUint32(body, tokenCheck(t.Kind, body))
	return string(t.Kind) + "_" + idEncoding.EncodeToString(body)
}

// ParseToken reads the text of a token of one of the kinds wanted (any, when none is named). It finds typing mistakes
// and cut-off pastes, so that a server tells them apart from tokens it does not know. Its errors never contain any part
// of s and are *Error of code invalid.
func ParseToken(s string, want ...TokenKind) (Token, error) {
	var t Token
	prefix, text, ok := strings.Cut(s, "_")
	t.Kind = TokenKind(prefix)
	if !ok || len(s) > MaxToken || !tokenKind(t.Kind) {
		return Token{}, New(CodeInvalid, "this is no token of sess", "tokens begin with "+wantedPrefixes(want)+"; copy the whole of it")
	}
	if len(want) > 0 && !containsKind(want, t.Kind) {
		return Token{}, New(CodeInvalid, "this is "+t.Kind.name()+", where "+want[0].name()+" is needed", "")
	}
	body, err := decodeToken(text)
	carriesPin := t.Kind == TokenEnrol || t.Kind == TokenInvite || t.Kind == TokenReset || t.Kind == TokenShare
	switch {
	case err != nil:
		return Token{}, errTypo(t.Kind)
	case len(body) == secretSize+checkSize:
	case len(body) == secretSize+PinSize+checkSize && carriesPin:
		t.Pin = bytes.Clone(body[secretSize : secretSize+PinSize])
	default:
		return Token{}, errTypo(t.Kind)
	}
	sum := len(body) - checkSize
	if binary.BigEndian.Uint32(body[sum:]) != tokenCheck(t.Kind, body[:sum]) {
		return Token{}, errTypo(t.Kind)
	}
	copy(t.secret[:], body)
	return t, nil
}

// HashToken gives the hex SHA-256 of a token's text: the form in which servers keep it.
func HashToken(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// InviteLink gives the link that an invited person opens, or hands to sessctl accept. The token is in the fragment,
// which browsers keep to themselves. base is the server's public URL.
func InviteLink(base *url.URL, token string) string {
	u := url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/accept", Fragment: token}
	return u.String()
}

// ResetLink gives the link with which a person sets a new password: as InviteLink.
func ResetLink(base *url.URL, token string) string {
	u := url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/reset", Fragment: token}
	return u.String()
}

// ShareLink gives the link that lets somebody who is logged in into a session: as InviteLink.
func ShareLink(base *url.URL, token string) string {
	u := url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/join", Fragment: token}
	return u.String()
}

// ParseShareLink is ParseInviteLink for a link of ShareLink.
func ParseShareLink(link string) (*url.URL, string, error) {
	return parseLink(link, "/join", TokenShare, "a link to a session")
}

// ParseInviteLink takes a link of InviteLink apart: the server's URL without path, and the token's text, whose Pin says
// which certificate that server has.
func ParseInviteLink(link string) (*url.URL, string, error) {
	return parseLink(link, "/accept", TokenInvite, "an invitation link")
}

// ParseResetLink is ParseInviteLink for a link of ResetLink.
func ParseResetLink(link string) (*url.URL, string, error) {
	return parseLink(link, "/reset", TokenReset, "a link for a new password")
}

func parseLink(link, path string, kind TokenKind, what string) (*url.URL, string, error) {
	hint := "it looks like https://HOST" + path + "#" + string(kind) + "_…; copy the whole of it, in quotes"
	if len(link) > MaxLink {
		return nil, "", New(CodeInvalid, "this is not "+what, hint)
	}
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.Path != path || u.User != nil {
		// The cause is left out: it would quote the link.
		return nil, "", New(CodeInvalid, "this is not "+what, hint)
	}
	if _, err := ParseToken(u.Fragment, kind); err != nil {
		return nil, "", err
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, u.Fragment, nil
}

// String hides the secret: a Token may stand in a log by mistake.
func (t Token) String() string { return string(t.Kind) + "_…" }

// Format hides the secret from every verb of fmt.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

func (k TokenKind) name() string {
	switch k {
	case TokenAPIKey:
		return "an API key"
	case TokenLogin:
		return "a login token"
	case TokenEnrol:
		return "an enrolment token"
	case TokenInvite:
		return "an invitation"
	case TokenReset:
		return "a link for a new password"
	case TokenChallenge:
		return "the second half of a login"
	case TokenShare:
		return "a link to a session"
	}
	return "an unknown token"
}

// TokenKinds lists all kinds of token.
func TokenKinds() []TokenKind {
	return []TokenKind{TokenAPIKey, TokenLogin, TokenEnrol, TokenInvite, TokenReset, TokenChallenge, TokenShare}
}

// TokenPattern is a regular expression (RE2, and PCRE as well) that finds every token in a text, for secret scanners. What it
// finds and has a right checksum is a token; ParseToken checks it.
func TokenPattern() string {
	kinds := make([]string, 0, len(TokenKinds()))
	for _, k := range TokenKinds() {
		kinds = append(kinds, string(k))
	}
	const letters = "[a-kmnp-z2-9]"
	short, long := idEncoding.EncodedLen(secretSize+checkSize), idEncoding.EncodedLen(secretSize+PinSize+checkSize)
	return fmt.Sprintf(`\b(%s)_(%s{%d}|%s{%d})\b`, strings.Join(kinds, "|"), letters, long, letters, short)
}

func tokenKind(k TokenKind) bool { return containsKind(TokenKinds(), k) }

func containsKind(kinds []TokenKind, k TokenKind) bool {
	for _, w := range kinds {
		if w == k {
			return true
		}
	}
	return false
}

func wantedPrefixes(want []TokenKind) string {
	if len(want) == 0 {
		want = TokenKinds()
	}
	s := make([]string, len(want))
	for i, k := range want {
		s[i] = string(k) + "_"
	}
	return strings.Join(s, " or ")
}

func errTypo(k TokenKind) *Error {
	return New(CodeInvalid, k.name()+" with a typing mistake in it, or cut off", "copy the whole of it again")
}

func tokenCheck(kind TokenKind, body []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(kind)), crc32.IEEETable, body)
}

// decodeToken refuses every text but the one that encoding the bytes gives: line breaks and stray bits, too.
func decodeToken(text string) ([]byte, error) {
	body, err := idEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if idEncoding.EncodeToString(body) != text {
		return nil, base32.CorruptInputError(len(text))
	}
	return body, nil
}
