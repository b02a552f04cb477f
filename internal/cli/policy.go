package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// maxPolicyFile bounds what is read of a policy's file; the server takes less.
const maxPolicyFile = api.MaxPolicyBody

func (a *app) policyCmd() *cobra.Command {
	return parent("policy", "Rules of your organisation, in Cedar: what they say, test and explain", a.policyPutCmd(), a.policyListCmd(), a.policyShowCmd(),
		a.policyDeleteCmd(), a.policyTestCmd(), a.policyExplainCmd())
}

func (a *app) policyPutCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "put NAME FILE|-", Short: "Write a policy",
		Long: "Checks a policy and stores it under a name, in place of the one of that name if there is one. It holds from the next\n" +
			"decision on; live sessions that it no longer allows end within a second.",
		Example: "  sessctl policy put office-hours office-hours.cedar\n  echo 'forbid (principal, action == Action::\"session:start\", resource is Instance) when { resource.name == \"db-1\" };' |\n    sessctl policy put keep-off-db -",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			text, err := a.readFile(argv[1])
			if err != nil {
				return err
			}
			in := api.PolicyPutIn{PolicyRef: api.PolicyRef{Policy: argv[0]}}
			in.Body.Body = text
			p, err := call(cmd.Context(), a, "writing the policy", api.PutPolicy, in)
			switch {
			case err != nil:
				return err
			case a.json:
				return a.printJSON(p)
			}
			a.note("wrote policy %s", p.Name)
			return nil
		},
	}
	return a.jsonFlag(c)
}

// readFile reads a file, or standard input for "-".
func (a *app) readFile(name string) (string, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", sess.Wrap(err, sess.CodeInvalid, err.Error(), "")
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxPolicyFile+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > maxPolicyFile {
		return "", sess.New(sess.CodeTooLarge, name+" is too large for a policy", "")
	}
	return string(b), nil
}

func (a *app) policyListCmd() *cobra.Command {
	l := &lister[api.Policy]{
		head: []string{"POLICY", "CHANGED", "BY", "BYTES"},
		none: "no policies of your own: roles alone decide",
		fetch: func(ctx context.Context, c *api.Client, _ api.Page) ([]api.Policy, string, error) {
			out, err := api.Call(ctx, c, api.ListPolicies, api.None{})
			return out.Items, "", err
		},
		row: func(p api.Policy) []string {
			name := p.Name
			if p.Broken {
				name += " (does not fit this version: it denies)"
			}
			return []string{name, a.when(p.UpdatedAt), p.UpdatedBy, strconv.Itoa(p.Bytes)}
		},
	}
	return l.command(a, &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List policies, the last changed first"}, false)
}

func (a *app) policyShowCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "show NAME", Short: "Print a policy",
		Long: "Prints the text of a policy on standard output, as it was put.", Example: "  sessctl policy show office-hours >office-hours.cedar",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			p, err := call(cmd.Context(), a, "asking the server", api.GetPolicy, api.PolicyRef{Policy: argv[0]})
			switch {
			case err != nil:
				return err
			case a.json:
				return a.printJSON(p)
			}
			text := p.Body
			if terminal(a.out) {
				text = plain(text)
			}
			_, err = io.WriteString(a.out, strings.TrimSuffix(text, "\n")+"\n")
			return err
		},
	}
	return a.jsonFlag(c)
}

func (a *app) policyDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME…", Aliases: []string{"rm"}, Short: "Delete policies",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			var errs []error
			for _, name := range argv {
				if _, err := call(cmd.Context(), a, "deleting "+name, api.DeletePolicy, api.PolicyRef{Policy: name}); err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", name, err))
					continue
				}
				a.note("deleted %s", cell(name))
			}
			return a.several(errs)
		},
	}
}

func (a *app) policyTestCmd() *cobra.Command {
	var with []string
	c := &cobra.Command{
		Use: "test FILE|-", Short: "Hold the rules against a table of expectations",
		Long: `Has the server decide each line of a table and compares. It exits with 1 when one differs, so that a pipeline can
keep watch over your rules. A line is what is expected, who, what and where, and the circumstances:

  # who may what              circumstances
  allow ann@example.com start web-1
  deny  bob@example.com start db-1  at=2026-01-04T03:00:00Z from=203.0.113.7
  allow ci              start web-1 kind=exec os-user=deploy key=true
  deny  ann@example.com start db-1  mfa-age=4000 by=policy/fresh-factor
  allow ann@example.com audit:list

Circumstances are at=TIME, from=ADDRESS, kind=KIND, os-user=USER, mfa-age=SECONDS, idp=NAME, reason="WORDS", key=true, and by=RULE: a
rule that must be among those that decide. A file may also be JSON: an array of objects as the API takes them.

With --with, policies that are not stored yet are tried together with those that are; a policy's name is its file's,
without the ending.`,
		Example: "  sessctl policy test expectations.txt\n  sessctl policy test expectations.txt --with office-hours.cedar",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			text, err := a.readFile(argv[0])
			if err != nil {
				return err
			}
			var in api.PolicyTestIn
			if in.Body.Cases, err = parseCases(argv[0], text); err != nil {
				return err
			}
			for _, name := range with {
				body, err := a.readFile(name)
				if err != nil {
					return err
				}
				base := filepath.Base(name)
				in.Body.With = append(in.Body.With, api.PolicyText{Name: strings.TrimSuffix(base, filepath.Ext(base)), Body: body})
			}
			out, err := call(cmd.Context(), a, "testing", api.TestPolicy, in)
			if err != nil {
				return err
			}
			return a.reportCases(argv[0], in.Body.Cases, out)
		},
	}
	c.Flags().StringArrayVar(&with, "with", nil, "a `FILE` with a policy that is not stored; may be repeated")
	return a.jsonFlag(c)
}

// reportCases prints what differs, like a diff.
func (a *app) reportCases(file string, cases []api.PolicyCase, out api.PolicyTestOut) error {
	if a.json {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else {
		for i, r := range out.Results {
			if r.OK || i >= len(cases) {
				continue
			}
			got := "deny"
			if r.Allowed {
				got = "allow"
			}
			if len(r.Rules) > 0 {
				got += " by " + strings.Join(r.Rules, ", ")
			}
			if r.Problem != "" {
				got += " (" + r.Problem + ")"
			}
			want := cases[i].Expect
			if cases[i].Rule != "" {
				want += " by " + cases[i].Rule
			}
			q := cases[i].Question
			_, _ = fmt.Fprintf(a.out, "%s:%d: %s %s %s\n- %s\n+ %s\n", cell(file), r.Line, cell(q.User), cell(q.Action), cell(q.Instance), cell(want), cell(got))
		}
	}
	if out.Failed > 0 {
		return sess.New(sess.CodeConflict, fmt.Sprintf("%d of %d expectations are not met", out.Failed, out.Failed+out.Passed), "sessctl policy explain tells why")
	}
	a.note("%d expectations are met", out.Passed)
	return nil
}
