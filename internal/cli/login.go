package cli

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) loginCmd() *cobra.Command {
	var email, passwordFile string
	var r rest
	var forgot bool
	var by browserLogin
	c := &cobra.Command{
		Use:   "login [--forgot [EMAIL]]",
		Short: "Log in to a server",
		Long: "Logs in with e-mail address and password and keeps the login in the system's keyring, or, where there is none,\n" +
			"in a file only you can read. A server with a certificate of its own is named with its pin; on a terminal sessctl\n" +
			"shows the pin and asks, as ssh does, and from then on refuses any other certificate.\n\n" +
			"Where the server has identity providers, or with --browser, the login takes place in the browser, at the server's\n" +
			"own pages, which send you on; without a display, or with --device, in any browser by a code.\n\n" +
			"After a login with a temporary password a new one is asked for. With --forgot the server mails you a link that sets one.",
		Example: `  sessctl login --server https://sess.example.com
  sessctl login --server https://10.0.0.5:8443#pin=sha256:…
  sessctl login --email me@example.com --password-file - < secret
  sessctl login --org example --idp okta
  sessctl login --device`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0 && (!forgot || email != ""):
				return usagef(cmd, "%q is too much: name an e-mail address with --email", args[0])
			case len(args) > 0:
				email = args[0]
			case passwordFile == "-" && (r.newFile == "-" || r.codeFile == "-"):
				return usagef(cmd, "standard input can hold one of them only")
			}
			by.org = a.wantedOrg()
			if forgot {
				return a.forgot(cmd.Context(), email)
			}
			return a.login(cmd.Context(), by, email, passwordFile, r)
		},
	}
	c.Flags().StringVar(&email, "email", "", "the e-mail `address` to log in with")
	c.Flags().StringVar(&email, "user", "", "the same as --email")
	c.Flags().StringVar(&passwordFile, "password-file", "", "read the password from `FILE`, or from standard input with -")
	c.Flags().StringVar(&r.newFile, "new-password-file", "", "after a temporary password: read the new one from `FILE`, or from standard input with -")
	c.Flags().BoolVar(&forgot, "forgot", false, "have a link mailed that sets a new password")
	codeFlag(c, &r.codeFile)
	by.register(c)
	return a.jsonFlag(c)
}

func (a *app) login(ctx context.Context, by browserLogin, email, passwordFile string, r rest) error {
	server, err := a.loginServer()
	if err != nil {
		return err
	}
	if server, err = a.trust(ctx, server); err != nil {
		return err
	}
	if browser, err := by.wanted(ctx, a, server, email != "" || passwordFile != ""); err != nil || browser {
		if err != nil {
			return err
		}
		return by.login(ctx, a, server, r)
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
	password, err := a.password(passwordFile, "Password: ", false)
	if err != nil {
		return err
	}
	out, err := a.firstFactor(ctx, server, email, password, by.org)
	if err != nil {
		return noLoginHint(err)
	}
	r.password = password
	return a.complete(ctx, server, out, r)
}

// firstFactor shows the server e-mail address and password. Who is in several organisations and named none chooses one.
func (a *app) firstFactor(ctx context.Context, server link.Server, email, password, org string) (api.LoginOut, error) {
	for {
		var in api.LoginIn
		in.Body.Email, in.Body.Password, in.Body.Org, in.Body.Client = email, password, org, clientName()
		done := a.busy("logging in")
		out, err := api.Call(ctx, a.openAs(server, "").API, api.Login, in)
		done()
		if err != nil || len(out.Orgs) == 0 {
			return out, err
		}
		if last, err := a.lastOrg(server, email); err != nil || org == "" && slices.Contains(out.Orgs, last) {
			if err != nil {
				return out, err
			}
			org = last
			continue
		}
		names := make([]string, len(out.Orgs))
		for i, name := range out.Orgs {
			names[i] = cell(name)
		}
		if !terminal(a.in) {
			return out, sess.New(sess.CodeInvalid, "you are in several organisations", "name one with --org: "+strings.Join(names, ", "))
		}
		a.note("you are in several organisations: %s", strings.Join(names, ", "))
		if org, err = a.ask("Organisation: "); err != nil {
			return out, err
		}
	}
}

// lastOrg is the organisation that somebody used last on a server, as far as the files know.
func (a *app) lastOrg(server link.Server, email string) (string, error) {
	c, err := a.config()
	if err != nil {
		return "", err
	}
	s := c.Servers[key(server)]
	if !strings.EqualFold(s.Email, email) {
		return "", nil
	}
	return s.Org, nil
}

// loginServer is the server to log in to, asked for when nothing names one.
func (a *app) loginServer() (link.Server, error) {
	s, err := a.pickServer()
	if !errors.Is(err, sess.ErrUnauthenticated) || !terminal(a.in) {
		return s, err
	}
	name, err := a.ask("Server: ")
	if err != nil {
		return s, err
	}
	return link.ParseServer(name)
}

func (a *app) askEmail(last string) (string, error) {
	if !terminal(a.in) {
		if last != "" {
			return last, nil
		}
		return "", sess.New(sess.CodeInvalid, "no e-mail address given", "name it with --email")
	}
	prompt := "E-mail address: "
	if last != "" {
		prompt = "E-mail address [" + last + "]: "
	}
	email, err := a.ask(prompt)
	if email == "" {
		email = last
	}
	if err == nil && email == "" {
		err = sess.New(sess.CodeInvalid, "no e-mail address given", "")
	}
	return email, err
}

// loggedIn keeps a login and says so.
func (a *app) loggedIn(server link.Server, out api.LoginOut) error {
	if err := a.remember(server, out); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{
			"server": server.String(), "user": out.User, "email": out.Email, "org": out.Org, "org_name": out.OrgName, "expires_at": out.ExpiresAt,
		})
	}
	a.note("logged in to %s as %s (%s), for %s", server.URL.Host, cell(out.Email), cell(out.OrgName), roughly(out.ExpiresAt.Sub(a.now())+time.Second))
	return nil
}

// noLoginHint takes "sessctl login" away as the next step of a login that failed.
func noLoginHint(err error) error {
	var e *sess.Error
	if errors.As(err, &e) && e.Code == sess.CodeUnauthenticated && (e.Hint == "" || strings.HasPrefix(e.Hint, "sessctl login")) {
		return sess.New(sess.CodeUnauthenticated, e.Message, "check the address and the password")
	}
	return err
}

// clientName tells a person's logins apart.
func clientName() string {
	host, _ := os.Hostname()
	return "sessctl on " + host + " (" + runtime.GOOS + ")"
}

func (a *app) acceptCmd() *cobra.Command {
	var email, passwordFile string
	c := &cobra.Command{
		Use:   "accept LINK",
		Short: "Accept an invitation, or open a link to a session",
		Long: "Takes the one-time link of an invitation, sets your password and logs you in; who has an account on the server already\n" +
			"gives the password of that, and keeps it. The link names the server and, where its certificate is its own, the pin.\n" +
			"A link to a session (sessctl session share --link) is opened, once, by who is logged in, and the session is joined.",
		Example: `  sessctl accept https://sess.example.com/accept#sesi_…
  sessctl accept https://10.0.0.5:8443/accept#sesi_… --email me@example.com --password-file -`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.accept(cmd.Context(), args[0], email, passwordFile)
		},
	}
	c.Flags().StringVar(&email, "email", "", "your e-mail `address`, when the invitation does not name it (the first admin's does not)")
	c.Flags().StringVar(&passwordFile, "password-file", "", "read the password from `FILE`, or from standard input with -")
	return a.jsonFlag(c)
}

func (a *app) accept(ctx context.Context, raw, email, passwordFile string) error {
	if _, _, err := sess.ParseShareLink(raw); err == nil {
		return a.openLink(ctx, raw)
	}
	if _, _, err := sess.ParseResetLink(raw); err == nil {
		return a.reset(ctx, raw, passwordFile)
	}
	base, token, err := sess.ParseInviteLink(raw)
	if err != nil {
		return err
	}
	t, err := sess.ParseToken(token, sess.TokenInvite)
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
	var look api.InviteLookIn
	look.Body.Token = token
	invite, err := api.Call(ctx, a.openAs(server, "").API, api.LookInvite, look)
	if err != nil {
		return noLoginHint(err)
	}
	prompt := "New password: "
	if invite.Known {
		prompt = "Password of " + cell(invite.Email) + " on " + server.URL.Host + ": "
	}
	password, err := a.password(passwordFile, prompt, !invite.Known)
	if err != nil {
		return err
	}
	var in api.AcceptIn
	in.Body.Token, in.Body.Password, in.Body.Email, in.Body.Client = token, password, email, clientName()
	out, err := a.acceptWith(ctx, server, in)
	if askedForEmail(err) && email == "" && terminal(a.in) {
		if in.Body.Email, err = a.askEmail(""); err != nil {
			return err
		}
		out, err = a.acceptWith(ctx, server, in)
	}
	if err != nil {
		return noLoginHint(err)
	}
	return a.complete(ctx, server, out, rest{password: password})
}

func (a *app) acceptWith(ctx context.Context, server link.Server, in api.AcceptIn) (api.LoginOut, error) {
	defer a.busy("accepting the invitation")()
	return api.Call(ctx, a.openAs(server, "").API, api.Accept, in)
}

// askedForEmail reports whether the server wants to know who it is that accepts: the first admin's invitation names
// nobody.
func askedForEmail(err error) bool {
	var e *sess.Error
	return errors.As(err, &e) && e.Code == sess.CodeInvalid && strings.Contains(e.Hint, "--email")
}

func (a *app) logoutCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "End the login, here and on the server",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := a.pickServer()
			if err != nil {
				return err
			}
			if a.getenv("SESSCTL_API_KEY") != "" {
				return sess.New(sess.CodeInvalid, "SESSCTL_API_KEY is set: there is no login to end", "sessctl key delete ends an API key")
			}
			c, err := a.open()
			if errors.Is(err, sess.ErrUnauthenticated) {
				a.note("not logged in to %s", server.URL.Host)
				return a.forget(server)
			}
			if err != nil {
				return err
			}
			_, err = api.Call(cmd.Context(), c.API, api.Logout, api.None{})
			if err != nil && !errors.Is(err, sess.ErrUnauthenticated) {
				if ferr := a.forget(server); ferr != nil {
					return ferr
				}
				a.note("sessctl: the login is forgotten here, but the server was not told:")
				return err
			}
			if err := a.forget(server); err != nil {
				return err
			}
			a.note("logged out of %s", server.URL.Host)
			return nil
		},
	}
}

func (a *app) whoamiCmd() *cobra.Command {
	var access *bool
	c := &cobra.Command{
		Use:   "whoami",
		Short: "Show who you are and what you may do",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if *access {
				return a.printAccess(cmd.Context())
			}
			out, err := call(cmd.Context(), a, "asking the server", api.Whoami, api.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out)
			}
			server, err := a.pickServer()
			if err != nil {
				return err
			}
			fields := []field{
				{"User", out.Name},
				{"Organisation", out.OrgName},
				{"Server", server.URL.String()},
				{"Credential", string(out.Credential)},
				{"Expires", a.whenp(out.ExpiresAt)},
				{"Address", out.Address},
			}
			return a.printFields(append(fields, holds(out)...))
		},
	}
	access = accessFlag(c)
	return a.jsonFlag(c)
}

// call calls an operation and says what is being waited for when it takes long.
func call[In, Out any](ctx context.Context, a *app, what string, op api.Op[In, Out], in In) (Out, error) {
	c, err := a.open()
	if err != nil {
		var none Out
		return none, err
	}
	done := a.busy(what)
	defer done()
	return api.Call(ctx, c.API, op, in)
}

// holds says what somebody may do, in lines of whoami.
func holds(out api.WhoamiOut) []field {
	var fields []field
	for _, g := range out.Groups {
		fields = append(fields, field{"Group", g})
	}
	for _, g := range out.Grants {
		role := roleOn(g.Role, g.Project)
		if g.Group != "" {
			role += ", by group " + g.Group
		}
		fields = append(fields, field{"Role", role})
	}
	switch {
	case out.Stage == sess.StagePassword:
		fields = append(fields, field{"To do first", "change the temporary password: sessctl password"})
	case out.Hint != "":
		fields = append(fields, field{"Access", "none yet: " + out.Hint})
	}
	return fields
}
