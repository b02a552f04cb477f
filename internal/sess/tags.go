package sess

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of tags, which whoever starts a session gives it to find and count it by: a pipeline's run, a ticket.
const (
	MaxTags     = 16
	maxTagValue = 128 // bytes
)

var tagName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9./_-]{0,61}[a-zA-Z0-9])?$`)

// ParseTag reads NAME=VALUE.
func ParseTag(s string) (name, value string, err error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return "", "", New(CodeInvalid, "a tag is not NAME=VALUE", "for example --tag ticket=OPS-4711")
	}
	return name, value, CheckTag(name, value)
}

// ParseTags reads several, of which none may have two values.
func ParseTags(list []string) (map[string]string, error) {
	tags := make(map[string]string, len(list))
	for _, s := range list {
		name, value, err := ParseTag(s)
		if err != nil {
			return nil, err
		}
		if old, twice := tags[name]; twice && old != value {
			return nil, New(CodeInvalid, fmt.Sprintf("tag %s is given twice, with different values", name), "")
		}
		tags[name] = value
	}
	return tags, CheckTags(tags)
}

// CheckTag says whether a tag may be given.
func CheckTag(name, value string) error {
	if !tagName.MatchString(name) {
		return New(CodeInvalid, "a tag's name is not valid", "use up to 63 letters, digits and . / _ -, beginning and ending with a letter or digit")
	}
	if value == "" || len(value) > maxTagValue || !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return New(CodeInvalid, fmt.Sprintf("the value of tag %s is not valid", name), fmt.Sprintf("use 1 to %d bytes of printable text", maxTagValue))
	}
	return nil
}

// CheckTags says whether a session may have these tags.
func CheckTags(tags map[string]string) error {
	if len(tags) > MaxTags {
		return New(CodeInvalid, fmt.Sprintf("%d tags are more than the %d that a session may have", len(tags), MaxTags), "")
	}
	for name, value := range tags {
		if err := CheckTag(name, value); err != nil {
			return err
		}
	}
	return nil
}
