package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sessctl/sess/internal/sess"
)

// dataDir is a server's data directory. The store locks it (and openStore does where the database is elsewhere), so one
// process at a time writes to it.
type dataDir struct{ path string }

// openDataDir makes the directory where needed and checks that it can be written to.
func openDataDir(path string) (dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return dataDir{}, unusable(path, err)
	}
	f, err := os.CreateTemp(path, ".writable-*")
	if err != nil {
		return dataDir{}, unusable(path, err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return dataDir{}, unusable(path, err)
	}
	return dataDir{path: path}, nil
}

func unusable(path string, err error) error {
	hint := "check that the directory exists and has room"
	if errors.Is(err, fs.ErrPermission) {
		hint = "sess-server must be able to write there: chown it to the user that runs the server, or choose another --data-dir"
	}
	return sess.Wrap(err, sess.CodeInvalid, "the data directory "+path+" can't be used", hint)
}

func (d dataDir) join(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// maxKeyFile bounds a key or certificate file, bytes.
const maxKeyFile = 64 << 10

// loadOrCreate reads a file of the data directory, and makes it with what create gives when there is none. The file is
// complete or absent, whatever happens meanwhile, and readable by its owner only.
func loadOrCreate(path string, create func() ([]byte, error)) ([]byte, error) {
	b, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b, err = create(); err != nil {
		return nil, err
	}
	return b, writeSecret(path, b)
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if info.Size() > maxKeyFile {
		return nil, broken(path, errors.New("the file is too large"))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("others may read %s (mode %04o)", path, info.Mode().Perm()), "chmod 600 "+path+", and think about who may have read it")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, unusable(filepath.Dir(path), err)
	}
	return b, nil
}

func writeSecret(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unusable(dir, err)
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return unusable(dir, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return unusable(dir, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return unusable(dir, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return unusable(dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func broken(path string, err error) error {
	return sess.Wrap(err, sess.CodeInvalid, path+" is broken", "restore it from a backup; agents and clients trust what it held, so a new one would lock them out")
}
