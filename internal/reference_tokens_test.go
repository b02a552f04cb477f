package internal_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/sess"
)

const tokensPage = `# Tokens, for secret scanners

Every secret that sess hands out looks like this, so that a scanner finds it in a commit, a log or a chat, and can tell it from
chance without asking anybody:

%[1]s
KIND_BODY     %[2]s
%[1]s

BODY is base32 with the alphabet %[3]s (lower case; no 0, 1, l, o): 32 random bytes, in tokens and links for new instances
and people perhaps the 32 bytes of the server's pin, then four bytes of checksum: CRC-32 (IEEE, big endian) over KIND and all bytes before.

| kind | it is | found in the wild |
|---|---|---|
| sess | an API key | delete it: %[4]ssessctl key delete%[4]s ends what it runs, too; the first characters tell which: %[4]ssessctl key list --all%[4]s |
| sesl | the token of a login | %[4]ssessctl logout%[4]s, or revoke the user's logins |
| sesn | an enrolment token | %[4]ssessctl token delete%[4]s |
| sesi | an invitation, valid once | make a new one, which voids it |
| sesr | a link that sets a new password, valid once | have a new one made, which voids it |
%[5]s
Find them by this pattern (RE2 and PCRE):

%[1]s
%[6]s
%[1]s

And check them, so that a scanner never cries wolf:

%[1]spython
%[7]s%[1]s

Servers keep only the SHA-256 of the whole text.
`

// checker is what the page offers to scanners; the test runs it.
const checker = `import base64, re, sys, zlib

def is_token(text):
    kind, _, body = text.partition("_")
    std = body.translate(str.maketrans("abcdefghijkmnpqrstuvwxyz23456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
    raw = base64.b32decode(std + "=" * (-len(std) %% 8))
    return zlib.crc32(kind.encode() + raw[:-4]) == int.from_bytes(raw[-4:], "big")

for found in re.finditer(sys.argv[1], sys.stdin.read()):
    print(found[0][:11], is_token(found[0]))
`

func TestReferenceTokens(t *testing.T) {
	var prefixes, others []string
	known := map[sess.TokenKind]bool{"sess": true, "sesl": true, "sesn": true, "sesi": true, "sesr": true}
	for _, k := range sess.TokenKinds() {
		prefixes = append(prefixes, string(k))
		if !known[k] {
			others = append(others, fmt.Sprintf("| %s | a single-use token | it is void once used, or soon |", k))
		}
	}
	if len(others) > 0 {
		others = append(others, "")
	}
	current(t, "tokens.md", fmt.Sprintf(tokensPage, "```", "KIND is one of "+strings.Join(prefixes, ", "), "abcdefghijkmnpqrstuvwxyz23456789", "`",
		strings.Join(others, "\n"), sess.TokenPattern(), strings.ReplaceAll(checker, "%%", "%")))
}

// The pattern of the page finds every token wherever it stands, and the checker tells them from what only looks like one.
func TestTokenPattern(t *testing.T) {
	re := regexp.MustCompile(sess.TokenPattern())
	var text strings.Builder
	var want []string
	for i, k := range append(sess.TokenKinds(), sess.TokenEnrol, sess.TokenInvite) {
		var pin []byte
		if i >= len(sess.TokenKinds()) {
			pin = make([]byte, sess.PinSize)
		}
		for range 20 {
			tok, err := sess.NewToken(k, pin)
			if err != nil {
				t.Fatal(err)
			}
			for _, around := range []string{"%s", "KEY=%s\n", `"token":"%s",`, "https://h/accept#%s'", "(%s)", "<%s>", "%s.", "Bearer %s\r\n"} {
				place := fmt.Sprintf(around, tok)
				if got := re.FindString(place); got != tok {
					t.Errorf("in %q the pattern finds %q", place, got)
				}
			}
			typo := []byte(tok)
			typo[20] ^= 'a' ^ 'b' // another letter, perhaps one that is none
			for _, s := range []string{tok[:len(tok)-1], "x" + tok, tok + "a", string(k) + tok[4:] + "2", strings.ToUpper(tok)} {
				if got := re.FindString(s); got == s {
					t.Errorf("%q is found", s)
				}
			}
			fmt.Fprintf(&text, "k=%s\n", tok)
			want = append(want, tok[:11]+" True")
		}
	}
	bad := "sess_" + strings.Repeat("a", 58)
	fmt.Fprintln(&text, bad)
	want = append(want, bad[:11]+" False")
	cmd := exec.CommandContext(t.Context(), "python3", "-c", strings.ReplaceAll(checker, "%%", "%"), sess.TokenPattern())
	cmd.Stdin = strings.NewReader(text.String())
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != strings.Join(want, "\n") {
		t.Errorf("the checker of the page says %v:\n%s", err, out)
	}
	for _, k := range sess.TokenKinds() { // what is found is what is parsed
		tok, err := sess.NewToken(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sess.ParseToken(re.FindString("x="+tok+";"), k); err != nil {
			t.Error(err)
		}
	}
}
