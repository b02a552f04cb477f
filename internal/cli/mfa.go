package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) mfaCmd() *cobra.Command {
	return parent("mfa", "Your second factor: an authenticator app, and recovery codes",
		a.mfaEnrolCmd(), a.mfaListCmd(), a.mfaVerifyCmd(), a.mfaRecoveryCmd(), a.mfaRemoveCmd())
}

// codeFlag lets scripts show a code; a code serves once, and so may stand in a file or come by a pipe.
func codeFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "code-file", "", "read the code from `FILE`, or from standard input with -")
}

// code gets the code of a second factor: from file, else at the terminal.
func (a *app) code(file, prompt string) (string, error) {
	if file != "" {
		return a.secretFile(file)
	}
	if !terminal(a.in) {
		return "", sess.New(sess.CodeMFA, "there is no terminal to ask for a code at", "give it with --code-file FILE, or - for standard input")
	}
	return a.ask(prompt)
}

const codePrompt = "Code of your authenticator app: "

func (a *app) mfaEnrolCmd() *cobra.Command {
	var codeFile string
	c := &cobra.Command{
		Use: "enrol", Aliases: []string{"enroll"}, Short: "Enrol an authenticator app",
		Long: "Shows a secret, as a QR code on a terminal, for an authenticator app (TOTP, RFC 6238), and asks for a first code to see that it\n" +
			"works. Then it prints recovery codes: each stands in for the app once. They are shown this once; keep them apart from the phone.",
		Example: "  sessctl mfa enrol",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.open()
			if err != nil {
				return err
			}
			return a.enrol(cmd.Context(), c.API, codeFile)
		},
	}
	codeFlag(c, &codeFile)
	return a.jsonFlag(c)
}

// enrol enrols an authenticator app.
func (a *app) enrol(ctx context.Context, c *api.Client, codeFile string) error {
	begun, err := api.Call(ctx, c, api.EnrolMFA, api.None{})
	if err != nil {
		return err
	}
	if terminal(a.err) {
		a.note("scan this with your authenticator app:")
		qrterminal.GenerateWithConfig(begun.URI, qrterminal.Config{
			Level: qrterminal.L, Writer: a.err, HalfBlocks: true,
			BlackChar: qrterminal.BLACK_BLACK, WhiteBlackChar: qrterminal.WHITE_BLACK, WhiteChar: qrterminal.WHITE_WHITE,
			BlackWhiteChar: qrterminal.BLACK_WHITE, QuietZone: 2,
		})
		a.note("or type in the secret: %s", cell(grouped(begun.Secret)))
	} else {
		a.note("the secret for your authenticator app: %s\n%s", cell(begun.Secret), cell(begun.URI))
	}
	for {
		var in api.CodeIn
		if in.Body.Code, err = a.code(codeFile, "The code it shows now: "); err != nil {
			return err
		}
		done, err := api.Call(ctx, c, api.ConfirmMFA, in)
		if err == nil {
			return a.recoveryCodes("your second factor is enrolled; keep these recovery codes, each stands in for the app once:", done)
		}
		if codeFile != "" || !errors.Is(err, sess.ErrMFA) {
			return err
		}
		a.tell(err) // a wrong code: ask again
	}
}

// grouped sets a secret in groups of four, for typing.
func grouped(s string) string {
	var groups []string
	for len(s) > 4 {
		groups, s = append(groups, s[:4]), s[4:]
	}
	return strings.Join(append(groups, s), " ")
}

func (a *app) recoveryCodes(text string, out api.RecoveryCodesOut) error {
	if a.json {
		return a.printJSON(out)
	}
	a.note("%s", text)
	for _, code := range out.RecoveryCodes {
		fmt.Fprintln(a.out, cell(code))
	}
	return nil
}

func (a *app) mfaListCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "Show your second factor, and when it was last shown",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, "listing", api.ListFactors, api.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out)
			}
			required := "no"
			if out.Required {
				required = "yes"
			}
			fields := []field{{"Required", required}}
			for _, f := range out.Items {
				fields = append(fields, field{"Authenticator app", "enrolled " + a.when(f.CreatedAt)})
			}
			if len(out.Items) > 0 {
				fields = append(fields, field{"Recovery codes", fmt.Sprintf("%d left", out.RecoveryCodes)})
			} else {
				a.note("you have no second factor; enrol one: sessctl mfa enrol")
			}
			return a.printFields(append(fields, field{"Last shown", a.whenp(out.MFAAt)}))
		},
	}
	return a.jsonFlag(c)
}

func (a *app) mfaVerifyCmd() *cobra.Command {
	var codeFile string
	c := &cobra.Command{
		Use: "verify", Short: "Show your second factor now, for what asks for a fresh one",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.open()
			if err != nil {
				return err
			}
			return a.verify(cmd.Context(), c.API, codeFile)
		},
	}
	codeFlag(c, &codeFile)
	return c
}

// verify shows a second factor, asking again after a wrong code at a terminal.
func (a *app) verify(ctx context.Context, c *api.Client, codeFile string) error {
	for {
		var in api.CodeIn
		var err error
		if in.Body.Code, err = a.code(codeFile, codePrompt); err != nil {
			return err
		}
		if _, err = api.Call(ctx, c, api.VerifyMFA, in); err == nil || codeFile != "" || !errors.Is(err, sess.ErrMFA) {
			return err
		}
		a.tell(err)
	}
}

func (a *app) mfaRecoveryCmd() *cobra.Command {
	var codeFile string
	c := &cobra.Command{
		Use: "recovery-codes", Short: "Make new recovery codes; the old ones are void",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in api.CodeIn
			var err error
			if in.Body.Code, err = a.code(codeFile, codePrompt); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, "making recovery codes", api.MakeRecoveryCodes, in)
			if err != nil {
				return err
			}
			return a.recoveryCodes("the old recovery codes are void; keep these:", out)
		},
	}
	codeFlag(c, &codeFile)
	return a.jsonFlag(c)
}

func (a *app) mfaRemoveCmd() *cobra.Command {
	var codeFile string
	c := &cobra.Command{
		Use: "remove", Aliases: []string{"rm"}, Short: "Remove your second factor, by a code of it",
		Long: "Removes authenticator app and recovery codes, by a code of one of them. Where the organisation demands a second factor, the next\n" +
			"thing to do is to enrol another. Who lost phone and codes asks an admin: sessctl user reset-mfa.",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in api.CodeIn
			var err error
			if in.Body.Code, err = a.code(codeFile, codePrompt); err != nil {
				return err
			}
			if _, err := call(cmd.Context(), a, "removing", api.RemoveMFA, in); err != nil {
				return err
			}
			a.note("your second factor is removed")
			return nil
		},
	}
	codeFlag(c, &codeFile)
	return c
}

// rest is what a person may be asked for after the first factor.
type rest struct {
	password string // the one that was right; empty: ask for the temporary one, if it is needed
	newFile  string // a new password
	codeFile string // the code of a second factor
}

// complete goes from a first factor to a login that may do things: it answers for the second factor, changes a temporary
// password and enrols a factor that the organisation demands.
func (a *app) complete(ctx context.Context, server link.Server, out api.LoginOut, r rest) error {
	var err error
	if out.Challenge != "" {
		if out, err = a.answer(ctx, server, out, r.codeFile); err != nil {
			return err
		}
	}
	c := a.openAs(server, out.Token).API
	if out.Stage == sess.StagePassword {
		if r.password == "" {
			if r.password, err = a.password("", "Temporary password: ", false); err != nil {
				return err
			}
		}
		if err := a.leaveTemporary(ctx, server, out, r.password, r.newFile); err != nil {
			return err
		}
		me, err := api.Call(ctx, c, api.Whoami, api.None{})
		if err != nil {
			return err
		}
		out.Stage = me.Stage
	}
	if out.Stage != sess.StageMFA {
		return a.loggedIn(server, out)
	}
	if err := a.remember(server, out); err != nil { // enrolling may go on later
		return err
	}
	if !terminal(a.in) && r.codeFile == "" {
		return sess.New(sess.CodeMFA, "logged in, but your organisation demands a second factor before anything else", "sessctl mfa enrol, at a terminal")
	}
	a.note("your organisation demands a second factor")
	if err := a.enrol(ctx, c, r.codeFile); err != nil {
		return err
	}
	return a.loggedIn(server, out)
}

// answer ends a login that asks for a second factor.
func (a *app) answer(ctx context.Context, server link.Server, out api.LoginOut, codeFile string) (api.LoginOut, error) {
	c := a.openAs(server, "").API
	for {
		var in api.LoginMFAIn
		var err error
		in.Body.Challenge = out.Challenge
		if in.Body.Code, err = a.code(codeFile, codePrompt); err != nil {
			return out, err
		}
		done, err := api.Call(ctx, c, api.LoginMFA, in)
		if err == nil || codeFile != "" || !errors.Is(err, sess.ErrUnauthenticated) {
			return done, err
		}
		a.tell(err) // a wrong code: ask again, as long as the server lets us
	}
}

// withFactor calls f, and again after the person at the terminal has shown a second factor, if that is what it wants.
func (a *app) withFactor(ctx context.Context, f func() error) error {
	err := f()
	if !errors.Is(err, sess.ErrMFA) || !terminal(a.in) {
		return err
	}
	c, cerr := a.open()
	if cerr != nil {
		return err
	}
	a.tell(err)
	if verr := a.verify(ctx, c.API, ""); verr != nil {
		return verr
	}
	return f()
}
