package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
