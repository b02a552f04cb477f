package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSharingGuide runs the commands of docs/guides/share-a-session.md, in their order: those of the owner, and those of the people
// who come, each at a terminal of their own.
func TestSharingGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "share-a-session.md"))
	if err != nil {
		t.Fatal(err)
	}
	w := testWorld(t, "web-1")
	s := w.shell(t)
	id := w.live(t, s)
	people := map[string]*other{"ann": w.somebody(t, "operator"), "bob": w.somebody(t, "operator"), "support": w.somebody(t, "support")}
	seats := map[string]*seat{}
	var link string
	blocks := regexp.MustCompile("(?s)```sh ?(\\w*)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 7 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	for _, b := range blocks {
		script := strings.NewReplacer("ses_4x2k", id, "ann@example.com", people["ann"].name, "-o session.cast", "-o "+w.path("session.cast")).Replace(b[2])
		if b[1] == "" {
			cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", script)
			cmd.Env = append(w.env(), "PATH="+binaries+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, script, out)
			}
			if m := regexp.MustCompile(`https://\S+/join#sesj_\S+`).Find(out); m != nil {
				link = string(m)
			}
			if strings.Contains(script, "--columns") && !strings.Contains(string(out), people["bob"].name+" (peer since ") {
				t.Errorf("the list does not say who is there:\n%s", out)
			}
			continue
		}
		lines := strings.Split(strings.TrimSpace(regexp.MustCompile(`'https://[^']*'`).ReplaceAllString(script, "'"+link+"'")), "\n")
		for i, line := range lines {
			seat := sitAt(t, append(people[b[1]].env(), "PATH="+binaries+":"+os.Getenv("PATH")), 100, 30, "bash", "-c", "exec "+line)
			if i < len(lines)-1 {
				seat.exits(0)
				seat.see(id)
				continue
			}
			seats[b[1]] = seat
		}
		switch b[1] {
		case "ann":
			seats["ann"].see("p>")
			s.see(people["ann"].name + " is watching")
		case "bob":
			seats["bob"].see("p>")
			seats["bob"].typ("clear; echo typ''ed by bob\r")
			s.see("typed by bob")
			seats["ann"].see("typed by bob")
		case "support":
			for name, why := range map[string]string{"ann": "that was all, thank you", "bob": "the right to this session was taken away"} {
				if seats[name].leave() == 0 {
					t.Errorf("%s left with 0", name)
				}
				seats[name].see(why)
			}
			s.see("asks to watch: ~y lets them in, ~n does not")
			s.typ("\r~y")
			seats["support"].see("typed by bob")
		}
	}
	cast, err := os.ReadFile(w.path("session.cast"))
	if err != nil || !regexp.MustCompile(`"m","participant 2 types"\]\n\[[\d.]+,"i","clear; echo typ''ed by bob`).Match(cast) {
		t.Errorf("what bob typed is not attributed (%v):\n%s", err, cast)
	}
	s.typ("\x15exit\r")
	s.exits(0)
	seats["support"].exits(0)
}
