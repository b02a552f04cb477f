package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) passwordCmd() *cobra.Command {
	var oldFile, newFile string
	c := &cobra.Command{
		Use: "password", Short: "Change your password",
		Long: "Changes your password; your other logins end, everywhere. A password has 8 characters at least, is not guessed early, is\n" +
			"not your e-mail address and none of your last five.",
		Example: "  sessctl password\n  sessctl password --password-file old --new-password-file new",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if oldFile == "-" && newFile == "-" {
				return usagef(cmd, "standard input can hold one of the two passwords")
			}
			c, err := a.open()
			if err != nil {
				return err
			}
			var in api.PasswordIn
			if in.Body.Old, err = a.password(oldFile, "Present password: ", false); err != nil {
				return err
			}
			if in.Body.New, err = a.newPassword(newFile); err != nil {
				return err
			}
			done := a.busy("changing the password")
			_, err = api.Call(cmd.Context(), c.API, api.ChangePassword, in)
			done()
			if err != nil {
				return err
			}
			a.note("the password is changed; your other logins are over")
			return nil
		},
	}
	c.Flags().StringVar(&oldFile, "password-file", "", "read the present password from `FILE`, or from standard input with -")
	c.Flags().StringVar(&newFile, "new-password-file", "", "read the new one from `FILE`, or from standard input with -")
	return c
}

// newPassword gets a new password: from file, else at the terminal, twice.
func (a *app) newPassword(file string) (string, error) {
	if file == "" && !terminal(a.in) {
		return "", sess.New(sess.CodeInvalid, "there is no terminal to ask for a new password at", "give it with --new-password-file FILE, or - for standard input")
	}
	return a.password(file, "New password: ", true)
}

// leaveTemporary changes a temporary password right after a login with it.
func (a *app) leaveTemporary(ctx context.Context, server link.Server, out api.LoginOut, old, newFile string) error {
	if newFile == "" && terminal(a.in) {
		a.note("your password is a temporary one: choose your own")
	}
	for {
		var in api.PasswordIn
		var err error
		in.Body.Old = old
		if in.Body.New, err = a.newPassword(newFile); err != nil {
			return err
		}
		done := a.busy("changing the password")
		_, err = api.Call(ctx, a.openAs(server, out.Token).API, api.ChangePassword, in)
		done()
		if err == nil || newFile != "" || ExitCode(err) != exitFailure {
			return err
		}
		a.tell(err) // one that won't do: ask again
	}
}

func (a *app) resetCmd() *cobra.Command {
	var passwordFile string
	c := &cobra.Command{
		Use: "reset LINK", Short: "Set a new password by a link that you were given",
		Long:    "Takes the one-time link of a mail, or of an admin, and sets your password. All your logins end; log in with the new one.",
		Example: "  sessctl reset 'https://sess.example.com/reset#sesr_…'",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.reset(cmd.Context(), args[0], passwordFile)
		},
	}
	c.Flags().StringVar(&passwordFile, "password-file", "", "read the new password from `FILE`, or from standard input with -")
	return c
}

func (a *app) reset(ctx context.Context, raw, passwordFile string) error {
	base, token, err := sess.ParseResetLink(raw)
	if err != nil {
		return err
	}
	t, err := sess.ParseToken(token, sess.TokenReset)
	if err != nil {
		return err
	}
	server, _, err := a.ofLink(base, t.Pin)
	if err != nil {
		return err
	}
	if server, err = a.trust(ctx, server); err != nil {
		return err
	}
	var in api.ResetIn
	in.Body.Token = token
	if in.Body.Password, err = a.password(passwordFile, "New password: ", true); err != nil {
		return err
	}
	done := a.busy("setting the password")
	out, err := api.Call(ctx, a.openAs(server, "").API, api.ResetPassword, in)
	done()
	if err != nil {
		return err
	}
	a.note("the password of %s is set, and all logins are over; log in again:\n  sessctl login --server '%s' --email %s", cell(out.Email), server, shellWord(out.Email))
	return nil
}

// forgot has a link for a new password mailed.
func (a *app) forgot(ctx context.Context, email string) error {
	server, err := a.loginServer()
	if err != nil {
		return err
	}
	if server, err = a.trust(ctx, server); err != nil {
		return err
	}
	if email == "" {
		c, err := a.config()
		if err != nil {
			return err
		}
		if email, err = a.askEmail(c.Servers[key(server)].Email); err != nil {
			return err
		}
	}
	var in api.ForgotIn
	in.Body.Email = email
	done := a.busy("asking the server")
	_, err = api.Call(ctx, a.openAs(server, "").API, api.ForgotPassword, in)
	done()
	if err != nil {
		return err
	}
	a.note("if %s has a password on %s, a link to set a new one is on its way there", cell(email), server.URL.Host)
	return nil
}
