package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// TestRecordGuide runs the commands of docs/guides/record-and-replay.md, in their order, on a session in which there is something
// to find; those about keys of age have tests of their own.
func TestRecordGuide(t *testing.T) {
	t.Parallel()
	w := testWorld(t, "web-1")
	if err := w.do("user", "create", "--machine", "ann", "--role", "operator"); err != nil {
		t.Fatal(err)
	}
	if err := w.do("exec", "web-1", "--", "sh", "-c", "echo DROP TABLE users; echo rm -rf /home"); err != nil {
		t.Fatal(err)
	}
	var id string
	if err := poll("the recording is closed", func() error {
		list, err := get[[]api.Recording](w, "recording", "list")
		if err != nil || len(list) != 1 || list[0].State != sess.RecordingComplete {
			return errors.Join(errors.New("not yet"), err)
		}
		id = string(list[0].Session)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "record-and-replay.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := "sessctl audit checkpoint --json | sed -n 's/.*\"key\": *\"\\([^\"]*\\)\".*/\\1/p' > server.vkey\nsessctl audit export -o audit.jsonl\n"
	blocks := 0
	for _, b := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1) {
		if blocks++; !strings.Contains(string(b[1]), "age-keygen") {
			script += string(b[1])
		}
	}
	if blocks < 6 {
		t.Fatalf("only %d blocks in the guide", blocks)
	}
	// A link and its share are known when it was made; grep looks into the recordings of the guide's machine and user.
	script = strings.NewReplacer(
		"sessctl recording share ses_…", "link=$(sessctl recording share "+id, "    # or group:dba, or org", ")",
		"https://sess.example.com/r/rsh_…", `"$link"`, "unshare ses_… rsh_…", "unshare "+id+` "${link##*/}"`,
		"ses_…", id, "ann@example.com --json", adminEmail+" --json", "ann@example.com", "ann", "db-1", "web-1", "| less", "| cat",
	).Replace(script)
	a := w.runGuide(t, t.TempDir(), script)
	for _, want := range []string{"DROP TABLE users", "rm -rf /home", "whole"} {
		if !strings.Contains(string(a.out)+string(a.err), want) {
			t.Errorf("nothing says %q:\n%s\n%s", want, a.out, a.err)
		}
	}
}
