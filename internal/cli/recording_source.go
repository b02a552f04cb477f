package cli

import (
	"context"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// recordingPath is the path of a recording's bytes.
func recordingPath(session string) string {
	return strings.Replace(api.PathRecordingData, "{session}", url.PathEscape(session), 1)
}

// isFile reports whether a recording is named by a file that export --format raw wrote; - is standard input.
func isFile(name string) bool {
	if name == "-" {
		return true
	}
	if strings.HasPrefix(name, "ses_") && !strings.ContainsAny(name, "./"+string(os.PathSeparator)) {
		return false
	}
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// recordingBytes begins to read a recording: of a session, from the server, or of a file.
func (a *app) recordingBytes(ctx context.Context, name string) (io.ReadCloser, error) {
	switch {
	case name == "-":
		return io.NopCloser(a.in), nil
	case isFile(name):
		f, err := os.Open(name)
		if err != nil {
			return nil, sess.Wrap(err, sess.CodeInvalid, "can't read "+name, "")
		}
		return f, nil
	}
	if id, is, err := a.sharePath(name); is {
		if err != nil {
			return nil, err
		}
		if id == "" {
			id = name
		}
		return a.download(ctx, strings.Replace(api.PathSharedData, "{share}", url.PathEscape(id), 1))
	}
	if strings.ContainsAny(name, "./"+string(os.PathSeparator)) {
		return nil, sess.New(sess.CodeNotFound, "there is no file "+name, "name a session's id, or a file that sessctl recording export --format raw wrote")
	}
	return a.download(ctx, recordingPath(name))
}

// openRecording begins to read the records of a recording with the identities at hand. Close both when done.
func (a *app) openRecording(ctx context.Context, name string, ids []recording.Identity) (*recording.StreamReader, io.Closer, error) {
	body, err := a.recordingBytes(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	r, err := readRecording(body, ids)
	if err == nil {
		err = asked(name, r)
	}
	if err != nil {
		_ = body.Close()
		return nil, nil, broken(err)
	}
	return r, body, nil
}

// asked refuses the recording of another session than the one that was asked for: it may be whole, and its digest the right
// one, and still not what somebody wants to see or to verify. A file, and what was shared, is what it is.
func asked(name string, r *recording.StreamReader) error {
	if name == "-" || isFile(name) || sess.ValidID("rsh", shareID(name)) {
		return nil
	}
	if id := string(r.Meta().Session); !strings.HasPrefix(id, "ses_"+strings.TrimPrefix(name, "ses_")) {
		return sess.New(sess.CodeInvalid, "THE SERVER SENT THE RECORDING OF ANOTHER SESSION: "+id+" instead of "+name, "")
	}
	return nil
}
