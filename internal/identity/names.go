package identity

import (
	"fmt"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sessctl/sess/internal/sess"
)

// Limits of names and labels.
const (
	maxEmail      = 254
	maxName       = 63 // of an instance, in characters: a DNS label
	maxLabels     = 64
	maxLabelName  = 63
	maxLabelValue = 128 // bytes
	maxText       = 255 // bytes of a claim of a machine or a client about itself
)

var (
	instanceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	labelName    = regexp.MustCompile(`^[a-z0-9./_-]{1,63}$`)
	machineName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)
	// As identity providers call groups: acme/ops at GitHub, /ops at Keycloak, a UUID, a distinguished name.
	groupName  = regexp.MustCompile(`^[a-zA-Z0-9/_]([a-zA-Z0-9 ._@+/:=,-]{0,126}[a-zA-Z0-9._@+/-])?$`)
	regionName = regexp.MustCompile(`^[a-zA-Z0-9._-]{0,64}$`)
)

// normalEmail gives the form in which an e-mail address names a person: lower case, without display name.
func normalEmail(s string) (string, error) {
	ok := len(s) <= 2*maxEmail && printable(strings.TrimSpace(s))
	s = strings.ToLower(strings.TrimSpace(s))
	a, err := mail.ParseAddress(s)
	if !ok || err != nil || a.Address != s || a.Name != "" || len(s) > maxEmail || strings.ContainsAny(s, " \t\"<>\\") {
		return "", sess.New(sess.CodeInvalid, "this is no e-mail address", "it looks like name@example.com")
	}
	return s, nil
}

func checkGroupName(s string) error {
	if !groupName.MatchString(s) || sess.ValidID("grp", s) {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%q can't be the name of a group", clip(s, maxName)),
			"use up to 128 letters, digits, spaces and . _ @ + / : = , -, beginning with a letter, a digit, / or _")
	}
	return nil
}

func checkInstanceName(s string) error {
	if !instanceName.MatchString(s) {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%q can't be the name of an instance", clip(s, maxName)),
			"use up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit")
	}
	return nil
}

// nameFromHost makes an instance's name of what a machine calls itself: the first part of its host name, cleaned.
func nameFromHost(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(host)), ".")
	var b strings.Builder
	dash := true // nothing yet: no dash at the beginning, none after another
	for _, r := range host {
		ok := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		switch {
		case b.Len() >= maxName:
		case ok:
			b.WriteRune(r)
			dash = false
		case !dash:
			b.WriteByte('-')
			dash = true
		}
	}
	name := strings.Trim(b.String(), "-")
	if name == "" {
		return "instance"
	}
	return name
}

// freeName gives base, or base with the smallest number from 2 on that taken does not have.
func freeName(base string, taken []string) string {
	has := make(map[string]bool, len(taken))
	for _, t := range taken {
		has[t] = true
	}
	name := base
	for n := 2; has[name]; n++ {
		suffix := "-" + strconv.Itoa(n)
		cut := min(len(base), maxName-len(suffix))
		name = strings.TrimRight(base[:cut], "-") + suffix
	}
	return name
}

// checkLabel says what is wrong with one label.
func checkLabel(name, value string) error {
	if !labelName.MatchString(name) {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("%q can't be the name of a label", clip(name, maxLabelName)), "use up to 63 of a-z, 0-9, '.', '/', '_' and '-'")
	}
	if len(value) > maxLabelValue || !printable(value) {
		return sess.New(sess.CodeInvalid, fmt.Sprintf("the value of label %s is too long or not plain text", name), fmt.Sprintf("use up to %d bytes", maxLabelValue))
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return errLabels()
	}
	for name, value := range labels {
		if err := checkLabel(name, value); err != nil {
			return err
		}
	}
	return nil
}

func errLabels() *sess.Error {
	return sess.New(sess.CodeInvalid, fmt.Sprintf("more than %d labels", maxLabels), "remove some")
}

// printable reports whether s is one line of valid UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, control)
}

// control finds what could move a terminal's cursor or turn text around in a table.
func control(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff || r == utf8.RuneError
}

// clip makes a claim from outside fit to be kept and shown: at most n bytes, without control characters.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if control(r) {
			return -1
		}
		return r
	}, s[:min(len(s), 4*n)])
	for len(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
