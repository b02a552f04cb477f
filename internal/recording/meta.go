package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Meta describes the session of a recording. It is written once, when the recording begins. Nothing in it is secret.
type Meta struct {
	Format       int             `json:"format"`  // FormatVersion; set by Open
	Org          sess.OrgID      `json:"org"`     // set by Open
	Session      sess.SessionID  `json:"session"` // set by Open
	Kind         sess.Kind       `json:"kind"`
	Instance     sess.InstanceID `json:"instance,omitempty"`
	InstanceName string          `json:"instance_name,omitempty"`
	User         string          `json:"user,omitempty"`    // name of the principal that started it
	OSUser       string          `json:"os_user,omitempty"` // the account it runs under, where known
	Command      []string        `json:"command,omitempty"`
	TTY          bool            `json:"tty,omitempty"`
	Term         string          `json:"term,omitempty"` // TERM
	Cols         uint16          `json:"cols,omitempty"` // the terminal's size at the start; 0: as the parameters say, or 80
	Rows         uint16          `json:"rows,omitempty"`
	// What is kept, as the session's controls say: empty is all of it, as well as can be.
	Recording sess.RecordingMode `json:"recording,omitempty"`
	Input     sess.InputMode     `json:"input,omitempty"`
	// Recipients are the public keys that the recording is encrypted to, from its beginning to its end; none: it is not.
	Recipients []string `json:"recipients,omitempty"`

	Started time.Time `json:"started"` // times of records count from here; zero: Open's present time
}

// Sealed reports whether the recording is encrypted.
func (m *Meta) Sealed() bool { return len(m.Recipients) > 0 }

// FormatVersion is the version of what this package writes.
//
//	1  2026-11-21  first
const FormatVersion = 1

const (
	metaFile = "meta.json"
	maxMeta  = 64 << 10 // bytes of meta.json
)

// readMeta reads DIR/…/meta.json and checks that it belongs to the session. The bytes are those of the file.
func readMeta(dir string, org sess.OrgID, id sess.SessionID) (Meta, []byte, error) {
	b, err := readBounded(filepath.Join(dir, metaFile), maxMeta)
	if err != nil {
		return Meta{}, nil, fmt.Errorf("read recording of %s: %w", id, err)
	}
	m, err := decodeMeta(b)
	if err != nil {
		return Meta{}, nil, fmt.Errorf("read recording of %s: %w", id, err)
	}
	if m.Org != org || m.Session != id {
		return Meta{}, nil, fmt.Errorf("read recording of %s: its %s is of session %s", id, metaFile, m.Session)
	}
	return m, b, nil
}

func decodeMeta(b []byte) (Meta, error) {
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode %s: %w", metaFile, err)
	}
	if m.Format != FormatVersion {
		return m, sess.New(sess.CodeInvalid, fmt.Sprintf("the recording has format %d, this program knows %d", m.Format, FormatVersion),
			"use a newer version of sess")
	}
	return m, nil
}

// writeMeta writes meta.json so that it is there whole or not at all, and gives its bytes.
func writeMeta(dir string, m Meta) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", metaFile, err)
	}
	if len(b) > maxMeta {
		m.Command = append([]string(nil), "(too long to repeat: see the parameters)")
		if b, err = json.Marshal(m); err != nil || len(b) > maxMeta {
			return nil, fmt.Errorf("describe recording: %d bytes, more than %d", len(b), maxMeta)
		}
	}
	temp := filepath.Join(dir, metaFile+".tmp")
	if err := os.WriteFile(temp, b, filePerm); err != nil {
		return nil, fmt.Errorf("describe recording: %w", err)
	}
	if err := os.Rename(temp, filepath.Join(dir, metaFile)); err != nil {
		return nil, fmt.Errorf("describe recording: %w", err)
	}
	return b, nil
}

// readBounded reads a whole file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", filepath.Base(path), limit)
	}
	return b, err
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
