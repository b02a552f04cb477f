package recording_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/ssh"

	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

// newIdentity gives a key of age as age-keygen writes it.
func newIdentity(t testing.TB) recording.Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := recording.ParseIdentities([]byte("# created: 2026-11-21T09:00:00Z\n# public key: "+key.Recipient().String()+"\n"+key.String()+"\n"), nil)
	if err != nil || len(ids) != 1 || ids[0].Recipient != key.Recipient().String() {
		t.Fatalf("ParseIdentities = %+v, %v", ids, err)
	}
	return ids[0]
}

// openSealed begins a recording that is encrypted to ids.
func openSealed(t testing.TB, d *recording.Dir, org sess.OrgID, id sess.SessionID, ids ...recording.Identity) *recording.Journal {
	t.Helper()
	m := recording.Meta{Kind: sess.KindShell, TTY: true, Cols: 80, Rows: 24, Command: []string{"the", "command"}}
	for _, i := range ids {
		m.Recipients = append(m.Recipients, i.Recipient)
	}
	j, err := d.Open(org, id, m)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// sentBytes gives a recording as it is sent.
func sentBytes(t testing.TB, r *recording.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readAll reads a recording that was sent with some identities.
func readAll(t testing.TB, b []byte, ids ...recording.Identity) (map[string][]byte, recording.Report) {
	t.Helper()
	s, err := recording.NewStreamReader(bytes.NewReader(b), ids...)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return collect(t, s), s.Report()
}

// secretOutput gives n bytes of which none but those who are meant should find a line.
func secretOutput(n int) []byte {
	var b bytes.Buffer
	r := rand.New(rand.NewPCG(1, 2))
	for b.Len() < n {
		b.WriteString("a secret line, and another number: ")
		b.WriteString(strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(60)))
		b.WriteString("\r\n")
	}
	return b.Bytes()[:n]
}

func appendAll(t testing.TB, j *recording.Journal, at uint64, p []byte) uint64 {
	t.Helper()
	for len(p) > 0 {
		n := min(len(p), 30000)
		appendData(t, j, sess.SideAgent, 1, at, p[:n])
		at, p = at+uint64(n), p[n:]
	}
	return at
}

// An encrypted recording is read by those it is encrypted to, verified by everybody, and nowhere else in plain.
func TestSealed(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	ann, bob, eve := newIdentity(t), newIdentity(t), newIdentity(t)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openSealed(t, d, org, id, ann, bob)
	out := secretOutput(3*recording.MinSegmentBytes + 1000)
	at := appendAll(t, j, 0, out)
	appendData(t, j, sess.SideClient, 1, 0, []byte("a password\r"))

	// While it is written: what leaves is encrypted, what is in the ring too.
	live := sentBytes(t, openReader(t, path, org, id))
	if bytes.Contains(live, []byte("a secret line")) {
		t.Error("the ring is sent in plain")
	}
	got, _ := readAll(t, live, ann)
	wantBytes(t, "live", got["agent/1"], out)
	if got, rep := readAll(t, live); len(got) > 0 || rep.State != sess.RecordingActive || rep.Sealed == 0 || len(rep.Problems) > 0 {
		t.Errorf("live without identity: %d streams, %+v", len(got), rep)
	}

	sum, err := j.Close(true)
	if err != nil || sum.State != sess.RecordingComplete || sum.Agent != at {
		t.Fatalf("Close = %+v, %v", sum, err)
	}
	wantNowhere(t, path, "a secret line", "a password", "command")
	wantFiles(t, filepath.Join(path, string(org), string(id)), "000000.age", "chain.jsonl", "meta.json")

	whole := sentBytes(t, openReader(t, path, org, id))
	for name, who := range map[string]recording.Identity{"ann": ann, "bob": bob} {
		got, rep := readAll(t, whole, eve, who)
		wantBytes(t, name, got["agent/1"], out)
		if rep.State != sess.RecordingComplete || rep.Sealed > 0 || rep.Digest != sum.Digest || len(rep.Problems) > 0 {
			t.Errorf("%s: %+v", name, rep)
		}
	}
	for name, ids := range map[string][]recording.Identity{"nobody": nil, "eve": {eve}} {
		got, rep := readAll(t, whole, ids...)
		if len(got) > 0 || rep.State != sess.RecordingComplete || rep.Sealed != rep.Segments || rep.Digest != sum.Digest || rep.Moved != sum.Moved || rep.Agent != at {
			t.Errorf("%s: %d streams, %+v", name, len(got), rep)
		}
	}
	if rep, err := d.Verify(org, id); err != nil || rep.State != sess.RecordingComplete || rep.Digest != sum.Digest || rep.Moved != sum.Moved || len(rep.Problems) > 0 {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	for _, e := range entries(t, dir) {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("on disk is %q, want %q", got, want)
	}
}

// What is damaged or missing is found without an identity, and keeps nobody from the rest.
func TestSealedDamaged(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	ann := newIdentity(t)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openSealed(t, d, org, id, ann)
	out := secretOutput(4 * recording.MinSegmentBytes)
	appendAll(t, j, 0, out)
	if _, err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, string(org), string(id), "000000.age")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := sentBytes(t, openReader(t, path, org, id))
	got, rep := readAll(t, damaged, ann)
	if n := len(got["agent/1"]); n == 0 || n >= len(out) || rep.Damaged != 1 || rep.State != sess.RecordingIncomplete {
		t.Errorf("with identity: %d bytes, %+v", n, rep)
	}
	if _, rep := readAll(t, damaged); rep.Damaged != 1 || rep.Sealed != rep.Segments-1 || rep.State != sess.RecordingIncomplete {
		t.Errorf("without: %+v", rep)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if rep, err := d.Verify(org, id); err != nil || rep.Damaged != rep.Segments || rep.State != sess.RecordingIncomplete {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
}

// A server that is killed goes on the same way, by what the description says, and what it left is sealed and cleaned.
func TestSealedKilled(t *testing.T) {
	t.Parallel()
	ann := newIdentity(t)
	path := t.TempDir()
	org, id := sess.NewOrgID(), sess.NewSessionID()
	out := secretOutput(8 * recording.MinSegmentBytes)
	var at uint64
	for at < uint64(len(out)) {
		d, err := recording.OpenDir(path, recording.Options{SegmentBytes: recording.MinSegmentBytes})
		if err != nil {
			t.Fatal(err)
		}
		j, err := d.Open(org, id, recording.Meta{Kind: sess.KindShell, Recipients: []string{ann.Recipient}})
		if err != nil {
			t.Fatal(err)
		}
		if at > 0 {
			wantEnd(t, j, sess.SideAgent, 1, at)
		}
		n := min(uint64(len(out))-at, uint64(100000+rand.IntN(400000)))
		at = appendAll(t, j, at, out[at:at+n])
		// What lies there now is what a kill leaves.
		killed := t.TempDir()
		if err := os.CopyFS(killed, os.DirFS(path)); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		path = killed
	}
	d := openDir(t, path)
	j, err := d.Open(org, id, recording.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	wantEnd(t, j, sess.SideAgent, 1, at)
	sum, err := j.Close(true)
	if err != nil || sum.State != sess.RecordingComplete {
		t.Fatalf("Close = %+v, %v", sum, err)
	}
	wantNowhere(t, path, "a secret line")
	got, rep := readAll(t, sentBytes(t, openReader(t, path, org, id)), ann)
	wantBytes(t, "read back", got["agent/1"], out)
	if rep.State != sess.RecordingComplete || len(rep.Problems) > 0 {
		t.Errorf("%+v", rep)
	}
}

// A server that died between the end of a chain and the removal of the ring leaves nothing in plain either: whoever opens it
// next takes it away.
func TestSealedRingLeftBehind(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openSealed(t, d, org, id, newIdentity(t))
	appendAll(t, j, 0, secretOutput(1000))
	dir := filepath.Join(path, string(org), string(id))
	ring, err := os.ReadFile(filepath.Join(dir, "ring-0"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ring-0", "ring-3", "screen", "screen.new"} {
		if err := os.WriteFile(filepath.Join(dir, name), ring, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Open(org, id, recording.Meta{}); !errors.Is(err, recording.ErrFinal) {
		t.Errorf("Open = %v, want ErrFinal", err)
	}
	wantFiles(t, dir, "000000.age", "chain.jsonl", "meta.json")
}

// What a sender repeats is compared with the ring, also where that was encrypted since.
func TestSealedRepeatedOtherwise(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	j := openSealed(t, d, sess.NewOrgID(), sess.NewSessionID(), newIdentity(t))
	out := secretOutput(2*recording.MinSegmentBytes + 5000)
	at := appendAll(t, j, 0, out)
	from := at - recording.MinSegmentBytes
	appendAll(t, j, from, out[from:])
	wrong := bytes.Clone(out[from : from+20000])
	wrong[10000] ^= 1
	if err := j.Append(sess.SideAgent, data(1, from), wrong); !errors.Is(err, recording.ErrDiffers) {
		t.Errorf("Append of other bytes = %v, want ErrDiffers", err)
	}
}

// What is to be encrypted is never written otherwise, whatever its keys are.
func TestSealedToNobody(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	for _, keys := range [][]string{{""}, {"age1"}, {"age1" + strings.Repeat("q", 58)}, {"ssh-rsa AAAA"}, make([]string, sess.MaxRecipients+1)} {
		if j, err := d.Open(sess.NewOrgID(), sess.NewSessionID(), recording.Meta{Kind: sess.KindShell, Recipients: keys}); err == nil {
			t.Errorf("opened for %q: %v", keys, j)
		}
	}
}

// What a server sends that is made to blow up takes no more than a segment's memory, in plain and encrypted.
//
//nolint:paralleltest // it looks at all of the program's memory
func TestStreamBomb(t *testing.T) {
	ann := newIdentity(t)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := enc.EncodeAll(make([]byte, recording.MaxSegmentBytes), nil)
	bomb := bytes.Repeat(frame, 200) // 3 GiB
	for name, ids := range map[string][]recording.Identity{"plain": nil, "encrypted": {ann}} {
		for _, stated := range []int{1000, recording.MaxSegmentBytes} {
			b := craft(t, bomb, stated, ids...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, rep := readAll(t, b, ids...)
			runtime.ReadMemStats(&after)
			if rep.Damaged != 1 {
				t.Errorf("%s: %+v", name, rep)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 8*recording.MaxSegmentBytes {
				t.Errorf("%s, %d bytes stated: it took %d bytes", name, stated, used)
			}
		}
	}
}

// craft gives a recording of one segment, as a server may send it that means ill.
func craft(t *testing.T, stored []byte, size int, ids ...recording.Identity) []byte {
	t.Helper()
	m := recording.Meta{Format: recording.FormatVersion, Org: sess.NewOrgID(), Session: sess.NewSessionID()}
	file := "000000.zst"
	for _, id := range ids {
		to, err := age.ParseX25519Recipient(id.Recipient)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, err := age.Encrypt(&b, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(stored); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		m.Recipients, stored, file = append(m.Recipients, id.Recipient), b.Bytes(), "000000.age"
	}
	meta, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf(`{"n":0,"prev":"%x","file":"%s","size":%d,"sha256":"%x","bytes":%d,"seq":0,"records":1,"time":0}`,
		sha256.Sum256(meta), file, len(stored), sha256.Sum256(stored), size)
	out := []byte("sessrec1")
	for _, b := range []struct {
		kind byte
		b    []byte
	}{{'M', meta}, {'L', []byte(line)}, {'Z', stored}, {'E', []byte("{}")}} {
		out = append(out, b.kind)
		out = binary.BigEndian.AppendUint32(out, uint32(len(b.b)))
		out = append(out, b.b...)
	}
	return out
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file := key.String() + "\n"
	locked := locked(t, file, "open sesame")
	var armored bytes.Buffer
	w := armor.NewWriter(&armored)
	if _, err := w.Write(locked); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	word := func(s string) func() (string, error) { return func() (string, error) { return s, nil } }
	for name, tc := range map[string]struct {
		file []byte
		word func() (string, error)
		bad  string
	}{
		"plain":             {[]byte(file), nil, ""},
		"locked":            {locked, word("open sesame"), ""},
		"armored":           {armored.Bytes(), word("open sesame"), ""},
		"wrong passphrase":  {locked, word("open barley"), "passphrase is wrong"},
		"no passphrase":     {locked, word(""), "is empty"},
		"no terminal":       {locked, func() (string, error) { return "", errors.New("no terminal") }, "no terminal"},
		"a public key":      {[]byte(key.Recipient().String()), nil, "no file of identities"},
		"half a key":        {[]byte(key.String()[:40]), nil, "no file of identities"},
		"nothing":           {[]byte("# created\n"), nil, "no identity"},
		"a plugin's":        {[]byte("AGE-PLUGIN-YUBIKEY-1QQ"), nil, "no file of identities"},
		"too many":          {[]byte(strings.Repeat(file, 65)), nil, "no file of identities"},
		"a passphrase slow": {slow(locked), word("open sesame"), "can't be decrypted"},
	} {
		ids, err := recording.ParseIdentities(tc.file, tc.word)
		if tc.bad == "" {
			if err != nil || len(ids) != 1 || ids[0].Recipient != key.Recipient().String() {
				t.Errorf("%s: %+v, %v", name, ids, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.bad) {
			t.Errorf("%s: %v, want %q", name, err, tc.bad)
		}
		if err != nil && strings.Contains(err.Error(), key.String()[16:30]) {
			t.Errorf("%s: the error has the secret: %v", name, err)
		}
	}
}

// locked encrypts a file of identities with a passphrase.
func locked(t *testing.T, file, word string) []byte {
	t.Helper()
	to, err := age.NewScryptRecipient(word)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(10)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, file); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// slow makes trying a passphrase a matter of hours.
func slow(locked []byte) []byte { return bytes.Replace(locked, []byte(" 10\n"), []byte(" 30\n"), 1) }

// Keys of OpenSSH do as well.
func TestSealedToSSH(t *testing.T) {
	t.Parallel()
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sshKey, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(secret, "ann@example.com", []byte("sesame"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := recording.ParseIdentities(pem.EncodeToMemory(block), func() (string, error) { return "sesame", nil })
	if want := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshKey))); err != nil || len(ids) != 1 || ids[0].Recipient != want {
		t.Fatalf("ParseIdentities = %+v, %v, want %s", ids, err, want)
	}
	path := t.TempDir()
	d := openDir(t, path)
	org, id := sess.NewOrgID(), sess.NewSessionID()
	j := openSealed(t, d, org, id, newIdentity(t), ids[0])
	appendAll(t, j, 0, []byte("a secret line"))
	if _, err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, sentBytes(t, openReader(t, path, org, id)), ids...)
	wantBytes(t, "read by ssh", got["agent/1"], []byte("a secret line"))
}
