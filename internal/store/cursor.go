package store

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"github.com/sessctl/sess/internal/sess"
)

// MaxPage bounds the rows of one page of any list.
const MaxPage = 1000

// maxCursor bounds what a cursor is decoded from, in bytes.
const maxCursor = 128

// Cursor is a place in a list that is ordered by (created_at, id), newest first: the last row of the page before.
// Queries take its two parts as before_at and before_id.
type Cursor struct {
	At int64 // microseconds
	ID string
}

// FirstPage is the cursor above every row.
func FirstPage() Cursor { return Cursor{At: math.MaxInt64} }

// String gives the cursor as clients hold it: opaque, and short.
func (c Cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.At, 10) + " " + c.ID))
}

// ParseCursor reads what String made; the empty string is the first page. Anything else is CodeInvalid.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return FirstPage(), nil
	}
	bad := sess.New(sess.CodeInvalid, "the cursor is not valid", "use the next_cursor of the page before, unchanged")
	if len(s) > maxCursor {
		return Cursor{}, bad
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Cursor{}, bad
	}
	at, id, ok := strings.Cut(string(b), " ")
	n, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || n < 0 || id == "" || strings.ContainsFunc(id, notID) {
		return Cursor{}, bad
	}
	return Cursor{At: n, ID: id}, nil
}

func notID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
}
