package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/audit"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// verifying is what recording verify was asked for.
type verifying struct {
	auditFile, key, keyFile string
	identities              []string
}

func (a *app) recordingVerifyCmd() *cobra.Command {
	var v verifying
	c := &cobra.Command{
		Use: "verify SESSION|FILE…", Short: "Verify that recordings are whole and what they were",
		Long: "Checks every digest of each recording, and its own digest, which stands for all of it, against the one that the audit\n" +
			"log has. With --audit that is an exported log, which is verified first, and a FILE (what export --format raw wrote)\n" +
			"needs no server and no login at all; without it, it is the server's word.\n" +
			"An encrypted recording is verified as it is stored, which takes no identity: nothing was altered, removed or added. With\n" +
			"--identity its contents are checked, too. The exit code is 1 when anything is wrong.",
		Example: "  sessctl recording verify ses_4x2k\n" +
			"  sessctl recording verify *.sess --audit audit.jsonl --key-file server.vkey",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if (v.key != "" || v.keyFile != "") && v.auditFile == "" {
				return usagef(cmd, "--key is for an --audit")
			}
			if v.keyFile != "" {
				k, err := a.secretFile(v.keyFile)
				if err != nil {
					return err
				}
				v.key = k
			}
			if v.auditFile != "" && v.key == "" {
				return usagef(cmd, "name the server's verifier key with --key: the one in the file proves nothing")
			}
			return a.verifyRecordings(cmd.Context(), argv, v)
		},
	}
	c.Flags().StringVar(&v.auditFile, "audit", "", "compare with the audit log that was exported to `FILE`")
	c.Flags().StringVar(&v.key, "key", "", "the server's verifier `KEY` for it, kept since long ago")
	c.Flags().StringVar(&v.keyFile, "key-file", "", "read the key from `FILE`")
	c.MarkFlagsMutuallyExclusive("key", "key-file")
	identityFlag(c, &v.identities)
	return a.jsonFlag(c)
}

// recordingVerdict is what recording verify --json prints of each.
type recordingVerdict struct {
	Name     string              `json:"name"` // as it was asked for
	Session  sess.SessionID      `json:"session,omitempty"`
	OK       bool                `json:"ok"`
	State    sess.RecordingState `json:"state,omitempty"`
	Digest   string              `json:"digest,omitempty"`
	Expected string              `json:"expected,omitempty"` // the digest on record
	By       string              `json:"by,omitempty"`       // whose word that is: audit or server
	Segments int                 `json:"segments"`
	Damaged  int                 `json:"damaged"`
	Records  uint64              `json:"records"`
	Problems []string            `json:"problems,omitempty"`
	// Recipients are the keys that it is encrypted to, and Unread so many segments of which only the digests were checked.
	Recipients []string `json:"recipients,omitempty"`
	Unread     int      `json:"unread"`
}

func (a *app) verifyRecordings(ctx context.Context, names []string, v verifying) error {
	ids, err := a.identities(v.identities)
	if err != nil {
		return err
	}
	digests, err := a.auditedDigests(v)
	if err != nil {
		return err
	}
	all := []recordingVerdict{}
	bad := false
	for _, name := range names {
		one := a.verifyRecording(ctx, name, digests, ids)
		bad = bad || !one.OK
		all = append(all, one)
		if !a.json {
			if err := a.printRecordingVerdict(one, len(all) > 1); err != nil {
				return err
			}
		}
	}
	if a.json {
		if err := a.printJSON(all); err != nil {
			return err
		}
	}
	if bad {
		return statusError(exitFailure)
	}
	return nil
}

// verifyRecording reads one recording to its end. What is wrong with it is in the verdict, so that others are verified too.
func (a *app) verifyRecording(ctx context.Context, name string, digests map[sess.SessionID]string, ids []recording.Identity) recordingVerdict {
	v := recordingVerdict{Name: name}
	fail := func(err error) recordingVerdict {
		message, _ := describe(broken(err))
		v.Problems = append(v.Problems, message)
		return v
	}
	body, err := a.recordingBytes(ctx, name)
	if err != nil {
		return fail(err)
	}
	defer body.Close()
	r, err := recording.NewStreamReader(body, ids...)
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	if err := asked(name, r); err != nil {
		return fail(err)
	}
	meta := r.Meta()
	v.Session, v.Recipients = meta.Session, meta.Names()
	for err == nil {
		_, err = r.Next()
	}
	report := r.Report()
	v.State, v.Digest, v.Segments, v.Damaged, v.Records = report.State, report.Digest, report.Segments, report.Damaged, report.Records
	v.Problems, v.Unread = report.Problems, report.Sealed
	if !errors.Is(err, io.EOF) {
		return fail(err)
	}
	if report.State == sess.RecordingActive {
		v.Digest = ""
		return fail(sess.New(sess.CodeInvalid, "it has not ended, so it has no digest yet; what there is of it is good", ""))
	}
	if err := a.expect(ctx, &v, digests); err != nil {
		return fail(err)
	}
	if v.By != "" && v.Digest != v.Expected {
		return fail(sess.New(sess.CodeInvalid, "ITS DIGEST IS NOT THE ONE ON RECORD: it was altered", ""))
	}
	v.OK = len(v.Problems) == 0
	return v
}

// expect finds the digest that a recording must have.
func (a *app) expect(ctx context.Context, v *recordingVerdict, digests map[sess.SessionID]string) error {
	if digests != nil {
		v.By, v.Expected = "audit", digests[v.Session]
		switch v.Expected {
		case "":
			v.By = ""
			return sess.New(sess.CodeInvalid, "the audit log says nothing of this recording", "")
		case twoDigests:
			v.Expected = ""
			return sess.New(sess.CodeInvalid, "THE AUDIT LOG HAS TWO DIGESTS OF IT: it is closed once, so one of them was put there later, for another recording", "")
		}
		return nil
	}
	if isFile(v.Name) {
		return nil
	}
	rec, err := call(ctx, a, "asking the server", api.GetRecording, api.SessionRef{Session: v.Name})
	if err != nil {
		return err
	}
	v.By, v.Expected = "server", rec.Digest
	return nil
}

func (a *app) printRecordingVerdict(v recordingVerdict, more bool) error {
	verdict := "whole and unaltered"
	switch {
	case v.Session == "":
		verdict = "NOT VERIFIED: it could not be read"
	case !v.OK && v.By != "" && v.Digest == v.Expected:
		verdict = "NOT WHOLE, and what it was when it was closed"
	case !v.OK:
		verdict = "NOT WHOLE OR ALTERED"
	case v.By == "":
		verdict = "whole in itself; compare its digest with the audit log: --audit"
	}
	by := map[string]string{"audit": "the audit log's", "server": "the server's"}[v.By]
	fields := []field{
		{"Recording", v.Name},
		{"Session", string(v.Session)},
		{"Result", verdict},
		{"State", string(v.State)},
		{"Segments", fmt.Sprint(v.Segments)},
		{"Records", fmt.Sprint(v.Records)},
		{"Digest", v.Digest},
		{"Compared with", by},
	}
	for _, k := range v.Recipients {
		fields = append(fields, field{"Encrypted to", k})
	}
	if v.Unread > 0 {
		fields = append(fields, field{"Contents", fmt.Sprintf("not looked at in %d segments: --identity FILE with a secret key of theirs checks them, too", v.Unread)})
	}
	if v.Damaged > 0 {
		fields = append(fields, field{"Damaged segments", fmt.Sprint(v.Damaged)})
	}
	for _, p := range v.Problems {
		fields = append(fields, field{"Problem", p})
	}
	if more {
		if _, err := io.WriteString(a.out, "\n"); err != nil {
			return err
		}
	}
	return a.printFields(fields)
}

// twoDigests stands for the digest of a recording about which an audit log contradicts itself.
const twoDigests = "two digests"

// auditedDigests verifies an exported audit log and gives the digests of recordings in it; nil without a file.
func (a *app) auditedDigests(v verifying) (map[sess.SessionID]string, error) {
	if v.auditFile == "" {
		return nil, nil
	}
	f, err := os.Open(v.auditFile)
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, "can't read "+v.auditFile, "")
	}
	defer f.Close()
	digests := map[sess.SessionID]string{}
	closed := []byte(policy.RecordingClosed)
	report, err := audit.Verify(f, strings.TrimSpace(v.key), audit.Options{OnEvent: func(_ int64, body []byte) {
		if !bytes.Contains(body, closed) {
			return
		}
		var e struct {
			Action  policy.Action  `json:"action"`
			Session sess.SessionID `json:"session"`
			Details struct {
				Digest string `json:"digest"`
			} `json:"details"`
		}
		if json.Unmarshal(body, &e) != nil || e.Action != policy.RecordingClosed || e.Details.Digest == "" {
			return
		}
		if first, known := digests[e.Session]; known && first != e.Details.Digest {
			digests[e.Session] = twoDigests
			return
		}
		digests[e.Session] = e.Details.Digest
	}})
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return nil, sess.New(sess.CodeInvalid, "the audit log is not whole or was altered: "+report.Problems[0].String(),
			"sessctl audit verify "+v.auditFile+" --key … tells all")
	}
	return digests, nil
}
