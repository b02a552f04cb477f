package audit_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/sessctl/sess/internal/audit"
)

// Nothing that a stranger wrote is a formula to a spreadsheet, and nothing breaks out of its field.
func TestCSVHasNoFormulas(t *testing.T) {
	t.Parallel()
	evil := []string{`=HYPERLINK("http://x","y")`, "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", " =1", "|cmd", "＝1", "a,b\n=c", `"=1`, "plain"}
	var b bytes.Buffer
	out := audit.NewCSV(&b)
	for _, s := range evil {
		e := audit.Event{ID: "evt_1", Time: time.Unix(1, 0), Action: "login", Outcome: audit.Refused, Who: audit.Who{Name: s}, On: audit.Thing{Name: s}, Reason: s, Details: map[string]string{s: s}}
		body, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Event(-1, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != len(evil)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, row := range rows[1:] {
		for _, f := range row {
			if t1 := strings.TrimLeft(f, " "); t1 != "" && strings.ContainsRune("=+-@\t\r|＝", []rune(t1)[0]) {
				t.Errorf("%q gives %q", evil[i], f)
			}
		}
		if got := row[6]; got != evil[i] && got != "'"+evil[i] && got != strings.ReplaceAll("'"+evil[i], "\r", "\n") {
			t.Errorf("%q became %q", evil[i], got)
		}
	}
}
