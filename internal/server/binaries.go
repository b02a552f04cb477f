package server

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// installScript is served as it is: nothing of a request or of this server's configuration is ever written into it.
//
//go:embed install.sh
var installScript []byte

// sumsFile holds the checksums of the binaries, in the format of sha256sum.
const (
	sumsFile    = "SHA256SUMS"
	maxSumsFile = 64 << 10  // bytes
	maxBinary   = 256 << 20 // bytes of a binary
)

// binaryTimeout bounds the download of a binary: 15 MB at 25 kB/s.
const binaryTimeout = 10 * time.Minute

// agentNames are the only names that are ever served.
func agentNames() []string {
	return []string{"sess-agent-linux-amd64", "sess-agent-linux-arm64", "sess-agent-darwin-amd64", "sess-agent-darwin-arm64"}
}

// binaries are the agent programs a server gives out. Their checksums were looked at when it started; a file that was
// changed since is no longer served.
type binaries struct {
	dir   string
	files map[string]binary
}

type binary struct {
	sum  string // hex SHA-256
	size int64
	mod  time.Time
}

// loadBinaries checks the programs in dir against its SHA256SUMS. A program without a checksum, or with another one, is
// an error: installing it on machines would be worse than not starting. dir may be empty: no binaries.
func loadBinaries(dir string) (*binaries, error) {
	b := &binaries{dir: dir, files: map[string]binary{}}
	if dir == "" {
		return b, nil
	}
	sums, err := readSums(filepath.Join(dir, sumsFile))
	if err != nil {
		return nil, err
	}
	for _, name := range agentNames() {
		path := filepath.Join(dir, name)
		bin, err := sumFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, sess.Wrap(err, sess.CodeInvalid, "the agent binary "+path+" can't be read", "")
		}
		if bin.sum != sums[name] {
			return nil, sess.New(sess.CodeInvalid, fmt.Sprintf("the agent binary %s is not the one %s says", path, sumsFile),
				"if you put it there, run: cd "+dir+" && sha256sum sess-agent-* > "+sumsFile)
		}
		b.files[name] = bin
	}
	if len(b.files) == 0 {
		return nil, sess.New(sess.CodeInvalid, "there is no agent binary in "+dir, "they are named "+strings.Join(agentNames(), ", "))
	}
	return b, nil
}

func readSums(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, sess.Wrap(err, sess.CodeInvalid, "the checksums of the agent binaries can't be read: "+path,
			"make them with: cd "+filepath.Dir(path)+" && sha256sum sess-agent-* > "+sumsFile)
	}
	defer f.Close()
	sums := map[string]string{}
	sc := bufio.NewScanner(io.LimitReader(f, maxSumsFile))
	for sc.Scan() {
		sum, name, ok := strings.Cut(sc.Text(), " ")
		if ok && len(sum) == hex.EncodedLen(sha256.Size) {
			sums[strings.TrimLeft(name, " *")] = strings.ToLower(sum)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return sums, nil
}

func sumFile(path string) (binary, error) {
	f, err := os.Open(path)
	if err != nil {
		return binary{}, fmt.Errorf("open: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return binary{}, fmt.Errorf("stat: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxBinary {
		return binary{}, fmt.Errorf("it is no regular file of at most %d bytes", maxBinary)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return binary{}, fmt.Errorf("read: %w", err)
	}
	return binary{sum: hex.EncodeToString(h.Sum(nil)), size: info.Size(), mod: info.ModTime()}, nil
}

// any reports whether there is something to install from.
func (b *binaries) any() bool { return len(b.files) > 0 }

// sums gives the checksums of what is served, in the format of sha256sum.
func (b *binaries) sums() []byte {
	var out bytes.Buffer
	for _, name := range agentNames() {
		if f, ok := b.files[name]; ok {
			fmt.Fprintf(&out, "%s  %s\n", f.sum, name)
		}
	}
	return out.Bytes()
}

// serveAgent gives out one of the binaries, or their checksums.
func (s *Server) serveAgent(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if name == sumsFile && s.binaries.any() {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(s.binaries.sums()) // the client may be gone
		return
	}
	bin, ok := s.binaries.files[name]
	if !ok || !slices.Contains(agentNames(), name) {
		s.writeError(w, requestOf(r.Context()), sess.New(sess.CodeNotFound, "this server has no such agent binary",
			"its admin names a directory of binaries with --agent-binaries"))
		return
	}
	f, err := os.Open(filepath.Join(s.binaries.dir, name))
	if err != nil {
		s.writeError(w, requestOf(r.Context()), fmt.Errorf("open agent binary: %w", err))
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != bin.size || !info.ModTime().Equal(bin.mod) {
		s.writeError(w, requestOf(r.Context()), fmt.Errorf("agent binary %s has changed since the start (stat: %w)", name, err))
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(binaryTimeout))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(bin.size, 10))
	w.Header().Set("X-Checksum-Sha256", bin.sum)
	_, _ = io.Copy(w, f) // the client may be gone
}

// serveInstall gives out the install script.
func (s *Server) serveInstall(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/x-shellscript; charset=utf-8")
	_, _ = w.Write(installScript) // the client may be gone
}
