package cli

import (
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// identityFlag adds --identity to a command that reads recordings.
func identityFlag(c *cobra.Command, files *[]string) {
	c.Flags().StringArrayVar(files, "identity", nil, "`FILE` with the secret key that reads encrypted recordings: of age, or of OpenSSH (ssh-ed25519); may be repeated")
	_ = c.MarkFlagFilename("identity")
}

// identities reads the files of identities that were named.
func (a *app) identities(files []string) ([]recording.Identity, error) {
	var all []recording.Identity
	for _, name := range files {
		text, err := a.identityFile(name)
		if err != nil {
			return nil, err
		}
		ids, err := recording.ParseIdentities(text, func() (string, error) {
			if !terminal(a.in) {
				return "", sess.New(sess.CodeInvalid, name+" asks for a passphrase, and there is no terminal to ask at",
					"age -d "+shellWord(name)+" | sessctl … --identity - gives the key without one")
			}
			return a.secret("Passphrase of " + cell(name) + ": ")
		})
		if err != nil {
			return nil, sess.Wrap(err, sess.CodeInvalid, "can't use "+name, hintOf(err))
		}
		all = append(all, ids...)
	}
	return all, nil
}

func hintOf(err error) string {
	_, hint := describe(err)
	return hint
}

func (a *app) identityFile(name string) ([]byte, error) {
	f := a.in
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, sess.Wrap(err, sess.CodeInvalid, "can't read "+name, "")
		}
		defer f.Close()
	}
	b, err := io.ReadAll(io.LimitReader(f, recording.MaxIdentityFile+1))
	if err != nil || len(b) > recording.MaxIdentityFile {
		return nil, sess.Wrap(err, sess.CodeInvalid, "can't read "+name+": a file of identities is small", "")
	}
	return b, nil
}

// readRecording begins to read a recording for somebody who wants to see what is in it.
func readRecording(body io.Reader, ids []recording.Identity) (*recording.StreamReader, error) {
	r, err := recording.NewStreamReader(body, ids...)
	if err != nil {
		return nil, err
	}
	meta := r.Meta()
	if err := unreadable(meta.Sealed(), meta.Names(), ids); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// unreadable says that a recording which is encrypted to some keys can't be read with the identities at hand; nil: it can.
func unreadable(sealed bool, to []string, ids []recording.Identity) error {
	switch {
	case !sealed || len(recording.Readable(to, ids)) > 0:
		return nil
	case len(ids) > 0:
		return sess.New(sess.CodeInvalid, "the recording is encrypted to other keys than the one given: "+strings.Join(to, ", "), "--identity FILE with the secret key of one of these reads it")
	}
	return sess.New(sess.CodeInvalid, "the recording is encrypted to "+strings.Join(to, ", "), "--identity FILE with the secret key of one of these reads it; nobody else can, the server neither")
}

// shortKeys gives public keys for a table.
func shortKeys(keys []string) string {
	const from, end = 12, 8
	var short []string
	for _, k := range keys {
		switch {
		case strings.HasPrefix(k, "ssh-") && len(k) > end:
			k = "ssh…" + k[len(k)-end:]
		case len(k) > from:
			k = k[:from] + "…"
		}
		short = append(short, k)
	}
	return strings.Join(short, " ")
}
