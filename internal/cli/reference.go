package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func environmentTopic() *cobra.Command {
	return &cobra.Command{
		Use: "environment", Short: "The environment variables sessctl reads",
		Long: `Flags win over the environment, and the environment over files.

SESSCTL_SERVER      the server's URL; with #pin=sha256:… when its certificate is its own
SESSCTL_ORG         the organisation's name, where you are logged in to several on one server
SESSCTL_API_KEY     an API key, instead of a login; with SESSCTL_SERVER no file is needed
SESSCTL_CONFIG_DIR  the directory of config.json and credentials.json; with it the keyring is not used
SESSCTL_ESCAPE      the escape character of start, ^X, or none
HTTPS_PROXY         the proxy to go through, with user and password if it wants them
NO_PROXY            hosts to reach without it`,
	}
}

func exitTopic() *cobra.Command {
	return &cobra.Command{
		Use: "exit-codes", Short: "What sessctl's exit codes mean",
		Long: `start, exec and attach exit with the remote command's own code: 128+n when signal n ended it, and 255 when
sessctl failed. Every other command exits with

  0  it worked
  1  it did not
  2  the command line is wrong
  4  there is no login, or it is over
  5  you are not allowed to
  6  there is no such thing, or it is offline`,
	}
}

// genCmd writes the reference for packages and the documentation.
func (a *app) genCmd() *cobra.Command {
	c := parent("gen", "Write manual pages or the reference of all commands")
	c.Hidden = true
	each := func(use, short, ext string, render func(*cobra.Command) string) *cobra.Command {
		return &cobra.Command{
			Use: use + " DIR", Short: short, Args: args(cobra.ExactArgs(1)),
			RunE: func(cmd *cobra.Command, argv []string) error {
				if err := os.MkdirAll(argv[0], 0o755); err != nil { //nolint:gosec // for everyone to read
					return err
				}
				return walk(cmd.Root(), func(c *cobra.Command) error {
					name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ext
					return os.WriteFile(filepath.Join(argv[0], name), []byte(render(c)), 0o644) //nolint:gosec // for everyone to read
				})
			},
		}
	}
	c.AddCommand(each("man", "Write manual pages", ".1", manPage), each("docs", "Write Markdown", ".md", markdown))
	return c
}

func walk(c *cobra.Command, f func(*cobra.Command) error) error {
	if c.Hidden {
		return nil
	}
	if err := f(c); err != nil {
		return err
	}
	for _, sub := range c.Commands() {
		if err := walk(sub, f); err != nil {
			return err
		}
	}
	return nil
}

// long is a command's description.
func long(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

// flagLine is how a flag is written.
func flagLine(f *pflag.Flag) (name, usage string) {
	arg, usage := pflag.UnquoteUsage(f)
	name = "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if arg != "" {
		name += " " + arg
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.DefValue != "0s" {
		usage += " (default " + f.DefValue + ")"
	}
	return name, usage
}

// roff makes s harmless in a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func manPage(c *cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"sessctl\" \"sess\"\n", strings.ToUpper(roff(name)))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(c.Short))
	if c.Runnable() {
		fmt.Fprintf(&b, ".SH SYNOPSIS\n%s\n", roff(c.UseLine()))
	}
	fmt.Fprintf(&b, ".SH DESCRIPTION\n.nf\n%s\n.fi\n", roff(long(c)))
	var flags strings.Builder
	c.Flags().VisitAll(func(f *pflag.Flag) { manFlag(&flags, f) })
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) { manFlag(&flags, f) })
	if flags.Len() > 0 {
		b.WriteString(".SH OPTIONS\n" + flags.String())
	}
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(c.Example))
	}
	var also []string
	if c.HasParent() {
		also = append(also, strings.ReplaceAll(c.Parent().CommandPath(), " ", "-"))
	}
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			also = append(also, strings.ReplaceAll(sub.CommandPath(), " ", "-"))
		}
	}
	if len(also) > 0 {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", strings.Join(mapStrings(also, roff), " (1),\n.BR "))
	}
	return b.String()
}

func manFlag(b *strings.Builder, f *pflag.Flag) {
	if f.Hidden {
		return
	}
	name, usage := flagLine(f)
	fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name), roff(usage))
}

func mapStrings(in []string, f func(string) string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = f(s)
	}
	return out
}

func markdown(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", c.CommandPath(), long(c))
	if c.Runnable() && !c.HasSubCommands() {
		fmt.Fprintf(&b, "\n```\n%s\n```\n", c.UseLine())
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\n## Examples\n\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
	flags := false
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if !flags {
			b.WriteString("\n## Flags\n\n| flag | meaning |\n|---|---|\n")
			flags = true
		}
		name, usage := flagLine(f)
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
	})
	subs := false
	for _, sub := range c.Commands() {
		if sub.Hidden {
			continue
		}
		if !subs {
			b.WriteString("\n## Commands\n\n")
			subs = true
		}
		fmt.Fprintf(&b, "- [%s](%s.md): %s\n", sub.CommandPath(), strings.ReplaceAll(sub.CommandPath(), " ", "-"), sub.Short)
	}
	return b.String()
}
