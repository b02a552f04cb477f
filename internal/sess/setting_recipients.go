package sess

import (
	"fmt"
	"slices"
	"strings"
)

// SettingRecordingRecipients is the key of the setting that names whom recordings are encrypted to.
const SettingRecordingRecipients = "recording-recipients"

// MaxRecipients bounds to how many keys a recording is encrypted.
const MaxRecipients = 16

// What the keys of recipients look like; whether one is a key at all is for those who encrypt to say.
const (
	prefixAge    = "age1"
	prefixSSH    = "ssh-ed25519"
	lenAge       = 62
	maxRecipient = 256 // bytes of one key
	maxSetKeys   = 16 << 10
)

// Recipients are the public keys that new recordings are encrypted to; none: they are not encrypted.
func (s Settings) Recipients() []string {
	if s.RecordingRecipients == "" {
		return nil
	}
	return strings.Split(s.RecordingRecipients, ",")
}

func recordingRecipients() Setting {
	return Setting{
		Key: SettingRecordingRecipients, Example: "age1…",
		Summary: "recordings are encrypted to these public keys of age or OpenSSH, and the server can't read them; several with commas; none: not encrypted",
		get: func(s Settings) string {
			if s.RecordingRecipients == "" {
				return settingNone
			}
			return s.RecordingRecipients
		},
		set: func(s *Settings, v string) error {
			if unset(v) {
				s.RecordingRecipients = ""
				return nil
			}
			keys, err := readRecipients(v)
			if err == nil {
				s.RecordingRecipients = strings.Join(keys, ",")
			}
			return err
		},
	}
}

// readRecipients reads public keys: with commas or spaces between, or a line each as in a file of age's. What may be a secret
// key is never repeated.
func readRecipients(v string) ([]string, error) {
	if len(v) > maxSetKeys {
		return nil, New(CodeInvalid, fmt.Sprintf("%s is too long", SettingRecordingRecipients), fmt.Sprintf("name up to %d public keys", MaxRecipients))
	}
	var keys []string
	for _, item := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '\n' }) {
		words := strings.Fields(item)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		found, err := readRecipient(words)
		if err != nil {
			return nil, err
		}
		for _, k := range found {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	switch {
	case len(keys) == 0:
		return nil, noRecipient("there is no public key in it")
	case len(keys) > MaxRecipients:
		return nil, New(CodeInvalid, fmt.Sprintf("%d keys are more than the %d that recordings can be encrypted to", len(keys), MaxRecipients), "give those who read together one key")
	}
	return keys, nil
}

// readRecipient reads keys of age with spaces between, or one of OpenSSH with its comment.
func readRecipient(words []string) ([]string, error) {
	if words[0] == prefixSSH {
		if len(words) < 2 || len(words[1]) > maxRecipient {
			return nil, noRecipient("a key of OpenSSH is not whole")
		}
		return []string{prefixSSH + " " + words[1]}, nil
	}
	for _, w := range words {
		switch {
		case strings.HasPrefix(strings.ToUpper(w), "AGE-SECRET-KEY-"), strings.HasPrefix(w, "AGE-PLUGIN-"), strings.HasPrefix(w, "-----"):
			return nil, New(CodeInvalid, "this is a secret key, and only a public one is for the server", "age-keygen -y FILE prints the public key of a file; keep the secret one where the server can't read it")
		case strings.HasPrefix(w, "ssh-") || strings.HasPrefix(w, "ecdsa-") || strings.HasPrefix(w, "sk-"):
			return nil, noRecipient("of OpenSSH's keys only ssh-ed25519 will do")
		case strings.HasPrefix(w, prefixAge) && len(w) != lenAge:
			return nil, noRecipient("a key is not whole, or of a plugin or another kind than X25519")
		case !strings.HasPrefix(w, prefixAge):
			return nil, noRecipient("")
		}
	}
	return words, nil
}

func noRecipient(why string) error {
	text := SettingRecordingRecipients + " are public keys of age, which begin with age1, or ssh-ed25519 keys"
	if why != "" {
		text += ": " + why
	}
	return New(CodeInvalid, text, "age-keygen -o key.txt makes a key and prints the public one; none is for recordings that are not encrypted")
}
