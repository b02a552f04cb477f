package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// parseCases reads a table of expectations: lines of text, or JSON.
func parseCases(file, text string) ([]api.PolicyCase, error) {
	var cases []api.PolicyCase
	if t := strings.TrimSpace(text); strings.HasPrefix(t, "[") {
		d := json.NewDecoder(bytes.NewReader([]byte(t)))
		d.DisallowUnknownFields()
		if err := d.Decode(&cases); err != nil {
			return nil, sess.New(sess.CodeInvalid, file+": "+err.Error(), "sessctl policy test --help describes the file")
		}
		for i := range cases {
			cases[i].Line = i + 1
		}
	} else {
		for i, line := range strings.Split(text, "\n") {
			words, err := splitWords(line)
			if err == nil && len(words) == 0 {
				continue
			}
			var c api.PolicyCase
			if err == nil {
				c, err = parseCase(words)
			}
			if err != nil {
				return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("%s:%d: %v", file, i+1, err), "sessctl policy test --help describes the file")
			}
			c.Line = i + 1
			cases = append(cases, c)
		}
	}
	switch {
	case len(cases) == 0:
		return nil, sess.New(sess.CodeInvalid, file+" expects nothing", "sessctl policy test --help describes the file")
	case len(cases) > api.MaxPolicyCases:
		return nil, sess.New(sess.CodeTooLarge, fmt.Sprintf("%s has %d expectations, of %d at most", file, len(cases), api.MaxPolicyCases), "split it")
	}
	return cases, nil
}

// splitWords takes a line apart at its spaces, up to a #. Double quotes hold words together.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quoted := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, in = !quoted, true
		case quoted:
			word.WriteRune(r)
		case r == '#' && !in:
			return words, nil
		case r == ' ' || r == '\t' || r == '\r':
			if in {
				words, in = append(words, word.String()), false
				word.Reset()
			}
		default:
			in = true
			word.WriteRune(r)
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

func parseCase(words []string) (api.PolicyCase, error) {
	var c api.PolicyCase
	if len(words) < 3 || words[0] != "allow" && words[0] != "deny" {
		return c, fmt.Errorf("a line is: allow|deny WHO ACTION [INSTANCE] [NAME=VALUE…]")
	}
	c.Expect, c.User, c.Action = words[0], words[1], words[2]
	rest := words[3:]
	if len(rest) > 0 && !strings.Contains(rest[0], "=") {
		c.Instance, rest = rest[0], rest[1:]
	}
	for _, w := range rest {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return c, fmt.Errorf("%q is not NAME=VALUE", w)
		}
		if err := setCircumstance(&c, name, value); err != nil {
			return c, err
		}
	}
	return c, nil
}

func setCircumstance(c *api.PolicyCase, name, value string) error {
	switch name {
	case "at":
		t, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return fmt.Errorf("at=%s is no time like 2026-01-31T15:04:05Z or 2026-01-31T15:04:05+01:00", value)
		}
		c.At = &t
	case "from":
		c.From = value
	case "kind":
		c.Kind = value
	case "os-user":
		c.OSUser = value
	case "idp":
		c.IDP = value
	case "reason":
		c.Reason = value
	case "by":
		c.Rule = value
	case "key":
		c.Key = value == "true"
	case "mfa-age":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("mfa-age=%s is no number of seconds", value)
		}
		c.MFAAge = &n
	default:
		return fmt.Errorf("there is no circumstance %q", name)
	}
	return nil
}
