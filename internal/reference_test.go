package internal_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/cli"
	"github.com/sessctl/sess/internal/policy"
	"github.com/sessctl/sess/internal/server"
	"github.com/sessctl/sess/internal/sess"
)

var update = flag.Bool("update", false, "write docs/reference anew: go test ./internal -run Reference -update")

// generatedNote stands at the top of every page.
const generatedNote = "<!-- Generated: go test ./internal -run Reference -update -->\n\n"

// current compares a page of docs/reference with what the code says, or writes it with -update.
func current(t *testing.T, name, want string) {
	t.Helper()
	path := filepath.Join("..", "docs", "reference", filepath.FromSlash(name))
	want = generatedNote + strings.TrimRight(want, "\n") + "\n"
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/reference/%s is not current: go test ./internal -run Reference -update", name)
	}
}

func TestReferenceCLI(t *testing.T) {
	dir := t.TempDir()
	if code := cli.Main(t.Context(), []string{"gen", "docs", dir}); code != 0 {
		t.Fatalf("sessctl gen docs: exit %d", code)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{
		"sess-server.md": helpPage("sess-server", tree(server.Command(server.Process{Env: os.LookupEnv})), func(args []string) string { return serverHelp(t, args) }),
		"sess-agent.md":  agentPage(t),
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pages[e.Name()] = string(text)
	}
	for name, text := range pages {
		current(t, "cli/"+name, text)
	}
	kept, err := os.ReadDir(filepath.Join("..", "docs", "reference", "cli"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range kept {
		if _, ok := pages[e.Name()]; ok {
			continue
		}
		if *update {
			if err := os.Remove(filepath.Join("..", "docs", "reference", "cli", e.Name())); err != nil {
				t.Error(err)
			}
			continue
		}
		t.Errorf("docs/reference/cli/%s is of a command that is no more", e.Name())
	}
}

// helpPage shows the help texts of a program.
func helpPage(program string, commands [][]string, help func(args []string) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", program)
	for _, c := range commands {
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", strings.Join(append([]string{program}, c...), " "), strings.TrimSpace(help(c)))
	}
	return b.String()
}

// tree lists the commands of a program, the program itself first.
func tree(root *cobra.Command) [][]string {
	list := [][]string{nil}
	var walk func(*cobra.Command, []string)
	walk = func(c *cobra.Command, path []string) {
		for _, sub := range c.Commands() {
			if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			p := append(slices.Clone(path), sub.Name())
			list = append(list, p)
			walk(sub, p)
		}
	}
	walk(root, nil)
	return list
}

func serverHelp(t *testing.T, args []string) string {
	t.Helper()
	var out bytes.Buffer
	root := server.Command(server.Process{Env: os.LookupEnv, Stdout: &out, Stderr: &out})
	root.SetArgs(append(slices.Clone(args), "--help"))
	root.SetOut(&out)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func agentPage(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sess-agent")
	build(t, bin, "./cmd/sess-agent")
	commands := [][]string{nil, {"enroll"}, {"run"}, {"status"}, {"install"}, {"uninstall"}, {"version"}}
	return helpPage("sess-agent", commands, func(args []string) string {
		out, err := exec.CommandContext(t.Context(), bin, append(slices.Clone(args), "--help")...).Output()
		if err != nil {
			t.Fatalf("sess-agent %v --help: %v", args, err)
		}
		return string(out)
	})
}

// cell makes s fit into a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ")
}

func TestReferenceConfig(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Configuration\n\nFlags win over environment variables, variables over files.\n\n## sess-server serve\n\n" +
		"A file named by `--config` holds lines `NAME = VALUE`, with the flag's name without dashes before it.\n\n" +
		"| flag | variable | default | meaning |\n|---|---|---|---|\n")
	serve, _, err := server.Command(server.Process{Env: os.LookupEnv}).Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	serve.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Hidden {
			return
		}
		value := f.DefValue
		if value == "[]" {
			value = ""
		}
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | `SESS_SERVER_%s` | %s | %s |\n", f.Name, strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")), value, cell(f.Usage))
	})
	fmt.Fprintf(&b, "\n## sess-agent\n\nThe file is `%s`, or what `--config` names; its lines are `NAME = VALUE`. It must belong to root or the agent's\n"+
		"user and be writable by nobody else: it is the owner's last word, and no server can override it.\n\n"+
		"| in the file | variable | flag of `sess-agent run` | meaning |\n|---|---|---|---|\n", agent.DefaultConfigFile)
	for _, s := range agent.Settings() {
		fmt.Fprintf(&b, "| `%s` | `%s` | `--%s` | %s |\n", s.Name, s.Env(), s.Flag(), cell(s.Help))
	}
	b.WriteString("| | `SESS_AGENT_STATE_DIR` | `--state-dir` | where identity and key are kept |\n" +
		"| | `SESS_AGENT_LOG_LEVEL` | `--log-level` | debug, info, warn or error |\n" +
		"\n## sessctl\n\nSee [sessctl environment](cli/sessctl-environment.md).\n")
	current(t, "config.md", b.String())
}

// constants lists the constants of a type in a file, with the comments at the end of their lines.
func constants(t *testing.T, file, typ string) (values, comments []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(file), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == typ && len(v.Values) == 1 {
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, s)
			comments = append(comments, strings.TrimSpace(v.Comment.Text()))
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("no constants of type %s in %s", typ, file)
	}
	return values, comments
}

func TestReferenceErrors(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Errors\n\nEvery failure has a code, a message and, where there is a next step, a hint. The API gives them as an RFC 9457 problem\n" +
		"document (`code`, `detail`, `hint`); `sessctl` prints `sessctl: MESSAGE` and `hint: HINT` on standard error.\n" +
		"`start`, `exec` and `attach` exit with 255 instead of the code in the last column.\n\n" +
		"| code | means | HTTP status | exit code of sessctl |\n|---|---|---|---|\n")
	codes, comments := constants(t, "sess/error.go", "Code")
	for i, c := range codes {
		status := api.Status(sess.Code(c))
		if comments[i] == "" {
			t.Errorf("code %s has no comment", c)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d %s | %d |\n", c, cell(comments[i]), status, http.StatusText(status), cli.ExitCode(&sess.Error{Code: sess.Code(c)}))
	}
	current(t, "errors.md", b.String())
}

func TestReferenceExitCodes(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "sessctl")
	build(t, bin, "./cmd/sessctl")
	text, err := exec.CommandContext(t.Context(), bin, "exit-codes", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	said, _, _ := strings.Cut(string(text), "\nUsage:")
	current(t, "exit-codes.md", "# Exit codes\n\n## sessctl\n\n```\n"+strings.TrimSpace(said)+"\n```\n\n## sess-server, sess-agent\n\n"+
		"| code | means |\n|---|---|\n| 0 | it worked |\n| 1 | it did not; standard error says why |\n| 2 | the command line is wrong |\n")
}

func TestReferencePermissions(t *testing.T) {
	engine, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	roles := []sess.Role{sess.RoleAdmin, sess.RoleOperator, sess.RoleReadOnly, sess.RoleAuditor, ""}
	var b strings.Builder
	b.WriteString("# Permissions\n\nWhat the built-in roles may do: *own* is what is one's own, *yes* is everything in the organisation or project on which one\n" +
		"has the role. What no role allows is denied. The rules themselves are Cedar policies: [internal/policy/roles](../../internal/policy/roles).\n" +
		"This table is what those rules answer.\n\n| action | what it is |")
	for _, r := range roles {
		if r == "" {
			r = "no role"
		}
		fmt.Fprintf(&b, " %s |", r)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(roles)) + "\n")
	for _, a := range policy.Actions() {
		fmt.Fprintf(&b, "| `%s` | %s |", a.Action, cell(a.Summary))
		for _, r := range roles {
			fmt.Fprintf(&b, " %s |", reach(engine, r, a.Action))
		}
		b.WriteString("\n")
	}
	current(t, "permissions.md", b.String())
}

// TestReferencePolicyWords writes down every word that policies can use, from the schema that they are checked against.
func TestReferencePolicyWords(t *testing.T) {
	engine, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# The words of policies\n\nWhat policies are checked against, and what each action is about. How to write them: [policies.md](../guides/policies.md).\n\n" +
		"## Principals, things and the context\n\nAn attribute with a `?` may be missing: ask with `has` first. *tags* are asked for with `hasTag` and `getTag`: the labels of an\n" +
		"instance. `principal in Group::\"dba\"` asks for a group by its name.\n\n```\n" + strings.TrimSpace(words(engine.Schema())) + "\n```\n\n" +
		"## Actions\n\nA *permit* of a policy, and a role of your own, count where the third column says so; a *forbid* where the fourth does.\n\n" +
		"| action | on | permit | forbid |\n|---|---|---|---|\n")
	types := []policy.Type{
		policy.TypeOrg, policy.TypeProject, policy.TypeInstance, policy.TypeSession, policy.TypeRecording, policy.TypeKey, policy.TypeToken,
		policy.TypeLogin, policy.TypeUser, policy.TypeGroup, policy.TypeGrant, policy.TypeIDP, policy.TypeLog,
	}
	for _, a := range policy.Actions() {
		var on []string
		for _, typ := range types {
			if engine.AppliesTo(a.Action, typ) {
				on = append(on, policy.EntityType(typ))
			}
		}
		yes := map[bool]string{true: "yes"}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", a.Action, strings.Join(on, ", "), yes[policy.Grantable(a.Action)], yes[policy.Governed(a.Action)])
	}
	current(t, "policy-words.md", b.String())
}

// words is the part of the schema with entities and the context.
func words(schema string) string {
	head, _, _ := strings.Cut(schema, "\naction ")
	return head
}

// reach asks the policies how far a role reaches for an action.
func reach(engine *policy.Engine, r sess.Role, act policy.Action) string {
	who := sess.Principal{Org: "org_1", User: "usr_1", Name: "ada", UserKind: sess.UserLocal, Credential: sess.CredentialLogin}
	var grants []sess.Grant
	if r != "" {
		grants = []sess.Grant{{ID: "gra_1", Role: r}}
	}
	answer := ""
	for _, typ := range []policy.Type{
		policy.TypeOrg, policy.TypeInstance, policy.TypeSession, policy.TypeRecording,
		policy.TypeKey, policy.TypeToken, policy.TypeLogin, policy.TypeLog,
	} {
		on := policy.Resource{Org: who.Org, Type: typ, ID: "x"}
		if engine.Allows(who, grants, act, on, policy.Context{}) {
			return "yes"
		}
		if on.Owner = who.User; engine.Allows(who, grants, act, on, policy.Context{}) {
			answer = "own"
		}
	}
	return answer
}

func TestReferenceAuditEvents(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Audit events\n\nEvery verb that somebody asks for is one event, with the outcome `allowed`, `refused` or `failed`. The form of an event is\n" +
		"in [audit-log-format.md](../security/audit-log-format.md).\n\n## What people and programs ask for\n\n| action | event |\n|---|---|\n")
	listed := map[string]bool{}
	row := func(i policy.Info) {
		listed[string(i.Action)] = true
		fmt.Fprintf(&b, "| `%s` | %s |\n", i.Action, cell(i.Summary))
	}
	for _, i := range policy.Actions() {
		row(i)
	}
	b.WriteString("\n## What agents, the server and the box's owner do, and what happens\n\n| action | event |\n|---|---|\n")
	for _, i := range policy.Events() {
		row(i)
	}
	actions, _ := constants(t, "policy/action.go", "Action")
	for _, a := range actions {
		if !listed[a] {
			t.Errorf("action %s is in neither policy.Actions nor policy.Events", a)
		}
	}
	current(t, "audit-events.md", b.String())
}
