package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Witnessed is a line of a file of checkpoints that were seen: by a witness, or as a server published them.
type Witnessed struct {
	Time       time.Time `json:"time"` // when it was seen, by the clock of who wrote the line
	Log        string    `json:"log"`
	Size       int64     `json:"size"`
	Checkpoint string    `json:"checkpoint"` // the signed note
	Key        string    `json:"key"`        // that it was checked with
}

// maxWitnessed bounds a line of such a file, in bytes.
const maxWitnessed = 4 * MaxCheckpoint

// ReadWitnessed reads a file of checkpoints and gives the last of each log, as it stands there. A last line that breaks off,
// of a program that was killed, is left out; any other that can't be read is an error.
func ReadWitnessed(r io.Reader) (map[string]Witnessed, error) {
	last := map[string]Witnessed{}
	in := bufio.NewReaderSize(r, ioBuffer)
	for n := 1; ; n++ {
		b, err := readLine(in, maxWitnessed)
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		var w Witnessed
		if err == nil {
			err = json.Unmarshal(b, &w)
		}
		if err != nil || w.Log == "" || w.Checkpoint == "" {
			return nil, fmt.Errorf("line %d is no checkpoint that was seen: %w", n, errors.Join(err))
		}
		last[w.Log] = w
	}
}

// readLine gives the next whole line without its end; io.EOF where there is none any more.
func readLine(in *bufio.Reader, most int) ([]byte, error) {
	var b []byte
	for {
		part, err := in.ReadSlice('\n')
		if b = append(b, part...); len(b) > most {
			return nil, fmt.Errorf("longer than %d bytes", most)
		}
		switch {
		case err == nil:
			return b[:len(b)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err //nolint:wrapcheck // io.EOF, or the reader's own
		}
	}
}

// AppendWitnessed appends lines to a file of checkpoints that were seen, and brings them to its disk. Half a line at its end, of
// a program that was killed or a disk that was full, goes first: with another one behind it, it would spoil the file for good.
func AppendWitnessed(path string, list ...Witnessed) (err error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, w := range list {
		if err := enc.Encode(w); err != nil {
			return fmt.Errorf("encode checkpoint that was seen: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open file of checkpoints: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	end, err := endLine(f)
	if err != nil {
		return fmt.Errorf("write checkpoints: %w", err)
	}
	if _, err = f.Write(b.Bytes()); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("write checkpoints: %w", errors.Join(err, f.Truncate(end)))
	}
	return nil
}

// witnessedBegins is how each line of such a file does.
const witnessedBegins = `{"time":`

// endLine takes away a last line that breaks off, and gives the size of what is left. What is none of our lines stays.
func endLine(f *os.File) (size int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err //nolint:wrapcheck // the caller's
	}
	tail := make([]byte, min(st.Size(), maxWitnessed+1))
	from := st.Size() - int64(len(tail))
	if _, err := f.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return 0, err //nolint:wrapcheck // the caller's
	}
	n := bytes.LastIndexByte(tail, '\n') + 1
	half := tail[n:]
	switch {
	case len(half) == 0:
		return st.Size(), nil
	case n == 0 && from > 0 || !bytes.HasPrefix(half, []byte(witnessedBegins)[:min(len(half), len(witnessedBegins))]):
		return 0, errors.New("it does not end with a checkpoint")
	}
	return from + int64(n), f.Truncate(from + int64(n))
}
