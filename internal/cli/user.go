package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) userCmd() *cobra.Command {
	return parent("user", "People and machine users: invite, make, see and take away", a.userInviteCmd(), a.userCreateCmd(), a.userListCmd(), a.userShowCmd(),
		a.userSetCmd(), a.userResetCmd(), a.userRevokeCmd(), a.userResetMFACmd(), a.userUnlockCmd(),
		a.userStateCmd("deactivate", "Deactivate users; what they have running ends, and nothing of theirs works until they are reactivated", "deactivated %s", api.DeactivateUser),
		a.userStateCmd("reactivate", "Reactivate users: they have back what they had", "reactivated %s", api.ReactivateUser), a.userDeleteCmd())
}

func (a *app) userListCmd() *cobra.Command {
	in := api.UsersIn{}
	l := &lister[api.User]{
		head: []string{"USER", "KIND", "STATE", "ROLES", "GROUPS", "FACTORS", "LAST ACCESS"},
		none: "no users",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.User, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListUsers, in)
			return out.Items, out.Next, err
		},
		row: func(u api.User) []string {
			return []string{
				u.Name, string(u.Kind), string(u.State), rolesInWords(u.Roles), strings.Join(u.Groups, ","), strings.Join(u.Factors, ","), a.whenp(u.LastSeenAt),
			}
		},
	}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List users, newest first",
		Long:    "A role that is not followed by @PROJECT holds on the whole organisation.",
		Example: "  sessctl user list\n  sessctl user list --kind machine --json",
	}
	choice(c, &in.Kind, "kind", "", "only those of this `KIND`", "local", "idp", "machine")
	c.Flags().BoolVar(&in.Deleted, "deleted", false, "those deleted, too")
	return l.command(a, c, false)
}

// rolesInWords says roles in one cell of a table: each once, however it is given.
func rolesInWords(roles []api.GrantOut) string {
	var parts []string
	seen := map[string]bool{}
	for _, r := range roles {
		p := string(r.Role)
		if r.Project != "" {
			p += "@" + r.Project
		}
		if !seen[p] {
			seen[p] = true
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ",")
}

func (a *app) userShowCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show USER", Short: "Show a user",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := call(cmd.Context(), a, "asking the server", api.GetUser, api.UserRef{User: args[0]})
			if err != nil {
				return err
			}
			return a.printUser(u)
		},
	})
}

func (a *app) printUser(u api.User) error {
	if a.json {
		return a.printJSON(u)
	}
	fields := []field{
		{"User", u.Name},
		{"Name", u.FullName},
		{"ID", string(u.ID)},
		{"Kind", string(u.Kind)},
		{"State", string(u.State)},
		{"Since", a.when(u.CreatedAt)},
		{"Last access", a.whenp(u.LastSeenAt)},
		{"Deleted", a.whenp(u.DeletedAt)},
		{"Second factor", strings.Join(u.Factors, ", ")},
		{"Groups", strings.Join(u.Groups, ", ")},
	}
	for _, r := range u.Roles {
		role := roleOn(r.Role, r.Project)
		if r.Group != "" {
			role += ", by group " + r.Group
		}
		fields = append(fields, field{"Role", role})
	}
	fields = append(fields, a.providerFields(u.Provider)...)
	if u.ValidSeconds > 0 {
		fields = append(fields, field{"Credentials", "valid for " + roughly(time.Duration(u.ValidSeconds)*time.Second)})
	}
	if u.ActiveLogin {
		fields = append(fields, field{"Keys", "work only during a live login"})
	}
	if i := u.Invitation; i != nil && u.State == api.UserInvited {
		said := "handed out"
		if i.Mail != "" {
			said = "mail " + i.Mail
		}
		fields = append(fields, field{"Invited", a.when(i.CreatedAt) + ", until " + i.ExpiresAt.Local().Format("2006-01-02 15:04 MST") + ", " + said})
	}
	return a.printFields(fields)
}

func (a *app) userSetCmd() *cobra.Command {
	var active, valid, name string
	c := &cobra.Command{
		Use: "set USER", Short: "Change a user's name, how long their credentials are valid, and whether keys need a live login",
		Long: "What is over by the change ends at once: logins and keys that are older than --valid-for, and with\n" +
			"--require-active-login on what was started by keys of somebody who is not logged in.",
		Example: "  sessctl user set ann@example.com --valid-for 8h --require-active-login on\n  sessctl user set ann@example.com --valid-for default --name 'Ann Example'",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := api.UserPatchIn{UserRef: api.UserRef{User: args[0]}}
			if err := a.userChanges(cmd, &in, active, valid); err != nil {
				return err
			}
			if cmd.Flags().Changed("name") {
				in.Body.FullName = &name
			}
			if in.Body.FullName == nil && in.Body.ActiveLogin == nil && in.Body.ValidSeconds == nil {
				return usagef(cmd, "say what to set")
			}
			u, err := call(cmd.Context(), a, "changing "+args[0], api.PatchUser, in)
			if err != nil {
				return err
			}
			return a.printUser(u)
		},
	}
	f := c.Flags()
	f.StringVar(&active, "require-active-login", "", "on: their API keys work only while a login of theirs lives; off: at any time")
	f.StringVar(&valid, "valid-for", "", "how long their logins and keys are valid, such as 8h, or `DURATION` default: as the organisation says")
	f.StringVar(&name, "name", "", "the person's `NAME`, for people")
	_ = c.RegisterFlagCompletionFunc("require-active-login", cobra.FixedCompletions([]string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp))
	return a.jsonFlag(c)
}

func (a *app) userChanges(cmd *cobra.Command, in *api.UserPatchIn, active, valid string) error {
	switch active {
	case "":
	case "on", "off":
		on := active == "on"
		in.Body.ActiveLogin = &on
	default:
		return usagef(cmd, "--require-active-login is on or off")
	}
	switch valid {
	case "":
	case "default":
		in.Body.ValidSeconds = new(int64)
	default:
		d, err := time.ParseDuration(valid)
		if err != nil || d < time.Minute {
			return usagef(cmd, "--valid-for %q is no duration of a minute or more, such as 8h, nor default", valid)
		}
		seconds := int64(d.Seconds())
		in.Body.ValidSeconds = &seconds
	}
	return nil
}

// userStateCmd makes the commands that deactivate and reactivate.
func (a *app) userStateCmd(use, short, done string, op api.Op[api.UserRef, api.None]) *cobra.Command {
	return &cobra.Command{
		Use: use + " USER…", Short: short,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, user := range args {
				if _, err := call(cmd.Context(), a, "changing "+user, op, api.UserRef{User: user}); err != nil {
					errs = append(errs, err)
					continue
				}
				a.note(done, cell(user))
			}
			return a.several(errs)
		},
	}
}

func (a *app) userRevokeCmd() *cobra.Command {
	return a.userStateCmd("revoke", "End all logins, keys and live sessions of users; they may log in again", "revoked all that %s had", api.RevokeUser)
}

func (a *app) userResetMFACmd() *cobra.Command {
	return a.userStateCmd("reset-mfa", "Remove the second factors of users who lost them", "removed the second factor of %s", api.ResetMFA)
}

func (a *app) userUnlockCmd() *cobra.Command {
	return a.userStateCmd("unlock", "Let users try again at once who failed to log in too often", "unlocked %s", api.UnlockUser)
}

func (a *app) userDeleteCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete USER…", Aliases: []string{"rm"}, SuggestFor: []string{"remove"}, Short: "Delete users, for good",
		Long: "Takes users out of the organisation for good: logins, keys, roles, groups, second factors; what they have running ends.\n" +
			"Their name stays where the audit log speaks of them, and can be invited again. Other organisations are not touched.",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if !terminal(a.in) || !terminal(a.err) {
					return usagef(cmd, "deleting can't be undone: say --yes, since there is no terminal to ask at")
				}
				ok, err := a.confirm("Delete " + strings.Join(args, ", ") + " for good?")
				if err != nil || !ok {
					return err
				}
			}
			var errs []error
			for _, user := range args {
				if _, err := call(cmd.Context(), a, "deleting "+user, api.DeleteUser, api.UserRef{User: user}); err != nil {
					errs = append(errs, err)
					continue
				}
				a.note("deleted %s", cell(user))
			}
			return a.several(errs)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	return c
}

func (a *app) userInviteCmd() *cobra.Command {
	var in api.InviteIn
	var role string
	c := &cobra.Command{
		Use: "invite EMAIL", SuggestFor: []string{"add", "new"}, Short: "Invite a person",
		Long: "Invites a person by a link that serves once, for 72 hours, or with --temporary-password by a password that must be changed\n" +
			"at the first login. Where the server sends mail, that goes to the person and to nobody else; else it is printed, alone on\n" +
			"standard output, for you to pass on. Who has an account on the server already joins with their own password.",
		Example: "  sessctl user invite ann@example.com --role operator --project web\n  sessctl user invite bob@example.com --group sre --group oncall",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if role == "" && in.Body.Project != "" {
				return usagef(cmd, "--project says where --role holds: give both")
			}
			in.Body.Email, in.Body.Role = args[0], sess.Role(role)
			out, err := call(cmd.Context(), a, "inviting "+args[0], api.InviteUser, in)
			if err != nil {
				return err
			}
			return a.printInvite(out)
		},
	}
	f := c.Flags()
	f.StringVar(&role, "role", "", "the `ROLE` they have from the beginning")
	f.StringVar(&in.Body.Project, "project", "", "the `PROJECT` it holds on; the whole organisation if not given")
	f.StringArrayVar(&in.Body.Groups, "group", nil, "a `GROUP` they are in; may be repeated")
	f.StringVar(&in.Body.Name, "name", "", "the person's `NAME`, for people")
	f.BoolVar(&in.Body.Temporary, "temporary-password", false, "a temporary password instead of a link")
	a.completeFlags(c)
	return a.jsonFlag(c)
}

func (a *app) printInvite(out api.InviteOut) error {
	if a.json {
		return a.printJSON(out)
	}
	until := out.ExpiresAt.Local().Format("2006-01-02 15:04 MST")
	who := cell(out.User.Name)
	if len(out.User.Roles) == 0 {
		a.note("%s has no role yet: sessctl grant add --user %s --role ROLE", who, shellWord(out.User.Name))
	}
	if out.Known {
		a.note("%s has an account on this server and joins with the password of that", who)
	}
	if out.Mail != "" {
		a.note("invitation of %s, until %s: mail %s", who, until, out.Mail)
		if out.Mail != "sent" {
			a.note("hint: sessctl user show %s says what becomes of it", shellWord(out.User.Name))
		}
		return nil
	}
	server, err := a.pickServer()
	if err != nil {
		return err
	}
	if out.Password != "" {
		a.note("temporary password of %s, until %s; they log in with it and choose their own:\n  sessctl login --server '%s' --email %s", who, until, server, shellWord(out.User.Name))
		_, err := fmt.Fprintln(a.out, cell(out.Password))
		return err
	}
	a.note("link for %s, valid once, until %s; they run: sessctl accept 'LINK'", who, until)
	_, err = fmt.Fprintln(a.out, cell(out.Link))
	return err
}

func (a *app) userResetCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "reset EMAIL", Short: "Make a link with which a person sets a new password",
		Long: "Makes a link that serves once, for 72 hours. Where the server sends mail it goes to the person; else it is printed. The\n" +
			"password of somebody who is a member of another organisation, too, is not yours to replace: they run sessctl login --forgot.",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := call(cmd.Context(), a, "making a link", api.ResetUser, api.UserRef{User: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out)
			}
			until := out.ExpiresAt.Local().Format("2006-01-02 15:04 MST")
			if out.Mail != "" {
				a.note("link for a new password of %s, until %s: mail %s", cell(out.Email), until, out.Mail)
				return nil
			}
			a.note("link for %s, valid once, until %s; they run: sessctl reset 'LINK'", cell(out.Email), until)
			_, err = fmt.Fprintln(a.out, cell(out.Link))
			return err
		},
	})
}
