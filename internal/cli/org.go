package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/client"
	"github.com/sessctl/sess/internal/link"
	"github.com/sessctl/sess/internal/recording"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) orgCmd() *cobra.Command {
	return parent("org", "Organisations: those you are in, and what is set for yours", a.orgListCmd(), a.orgUseCmd(), a.orgShowCmd(), a.orgSetCmd(), a.orgRenameCmd())
}

func (a *app) orgListCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the organisations that you are in on this server",
		Long: "Lists them by name; the one that commands are about is marked. An API key, or a login by an identity provider, is of one\n" +
			"organisation and shows only that.",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, "asking the server", api.ListOrgs, api.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out.Items)
			}
			rows := make([][]string, 0, len(out.Items))
			for _, o := range out.Items {
				rows = append(rows, []string{o.Name, mark(o.Current), string(o.ID)})
			}
			return a.printTable([]string{"NAME", "CURRENT", "ID"}, rows)
		},
	})
}

// mark is a cell that says which of several is meant.
func mark(yes bool) string {
	if yes {
		return "*"
	}
	return ""
}

func (a *app) orgUseCmd() *cobra.Command {
	var codeFile string
	c := &cobra.Command{
		Use: "use NAME", Short: "Go on in another organisation that you are in",
		Long: "Switches to your login in that organisation, or makes one from the login you have, without asking for the password again. By\n" +
			"the rules of that organisation a second factor may be asked for. The new login ends when the old one would have, at the latest.",
		Example: "  sessctl org use acme\n  sessctl --org acme instance list     # for one command, once you are logged in there",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.useOrg(cmd.Context(), args[0], codeFile) },
	}
	codeFlag(c, &codeFile)
	return c
}

func (a *app) useOrg(ctx context.Context, name, codeFile string) error {
	server, err := a.pickServer()
	if err != nil {
		return err
	}
	if a.getenv("SESSCTL_API_KEY") != "" {
		return sess.New(sess.CodeInvalid, "SESSCTL_API_KEY is set: an API key is of one organisation", "unset it to use your login")
	}
	if done, err := a.useSaved(ctx, server, name); err != nil || done {
		return err
	}
	c, err := a.open()
	if err != nil {
		return err
	}
	return a.useFrom(ctx, server, c, name, codeFile)
}

// useFrom makes a login in another organisation from the one that c has.
func (a *app) useFrom(ctx context.Context, server link.Server, c *client.Client, name, codeFile string) error {
	in := api.OrgUseIn{Org: name}
	in.Body.Client = clientName()
	done := a.busy("asking the server")
	out, err := api.Call(ctx, c.API, api.UseOrg, in)
	done()
	if err != nil {
		return err
	}
	return a.enterOrg(ctx, server, out, codeFile)
}

// enterOrg goes on from a login in another organisation: who has a second factor there shows it.
func (a *app) enterOrg(ctx context.Context, server link.Server, out api.LoginOut, codeFile string) error {
	if out.Stage != sess.StageMFA {
		return a.complete(ctx, server, out, rest{codeFile: codeFile})
	}
	c := a.openAs(server, out.Token).API
	has, err := api.Call(ctx, c, api.ListFactors, api.None{})
	if err != nil {
		return err
	}
	if len(has.Items) == 0 {
		return a.complete(ctx, server, out, rest{codeFile: codeFile})
	}
	if err := a.verify(ctx, c, codeFile); err != nil {
		return err
	}
	return a.loggedIn(server, out)
}

// useSaved makes a login that is kept for the organisation the current one, if it still works.
func (a *app) useSaved(ctx context.Context, server link.Server, name string) (bool, error) {
	was := a.org
	defer func() { a.org = was }()
	a.org = name
	id, l, err := a.pickLogin(server)
	if err != nil {
		return false, nil // none is kept
	}
	token, err := a.bearer(server)
	if err != nil {
		return false, nil // it is over, or can't be read
	}
	done := a.busy("asking the server")
	who, err := api.Call(ctx, a.openAs(server, token).API, api.Whoami, api.None{})
	done()
	if errors.Is(err, sess.ErrUnauthenticated) || errors.Is(err, sess.ErrDenied) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.Org = who.OrgName // it may have been renamed
	return true, a.useContext(key(server), id, l)
}

func (a *app) orgShowCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show", Short: "Show your organisation and what is set for it",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := call(cmd.Context(), a, "asking the server", api.GetOrg, api.None{})
			if err != nil {
				return err
			}
			return a.printOrg(o)
		},
	})
}

func (a *app) printOrg(o api.Org) error {
	if a.json {
		return a.printJSON(o)
	}
	fields := []field{{"Name", o.Name}, {"ID", string(o.ID)}, {"Created", a.when(o.CreatedAt)}}
	for _, s := range o.Settings {
		value := s.Value
		if _, meaning, ok := strings.Cut(s.Summary, "none: "); ok && value == noLimit {
			value += ": " + meaning
		}
		if s.Default {
			value += " (default)"
		}
		fields = append(fields, field{s.Key, value})
	}
	return a.printFields(fields)
}

func (a *app) orgSetCmd() *cobra.Command {
	var now bool
	c := &cobra.Command{
		Use: "set KEY VALUE [KEY VALUE]…", Short: "Set something for the whole organisation",
		Long: "Sets one or several of the following, all or none; \"default\" takes back what was set. It holds at once, for logins there are\n" +
			"and for what runs, too. Durations are written like 90m, 12h or 30d.\n\n" + settingsHelp(),
		Example: "  sessctl org set require-mfa on\n  sessctl org set login-validity 12h idle-logout 30m\n  sessctl org set session-manager off --now\n" +
			"  sessctl org set key-max-validity default\n  sessctl org set session-idle-timeout 15m max-sessions 20",
		Args: args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in api.OrgSetIn
			in.Body.Settings, in.Body.Now = map[string]string{}, now
			if len(args)%2 != 0 {
				return usagef(cmd, "%q has no value", args[len(args)-1])
			}
			for i := 0; i < len(args); i += 2 {
				if _, twice := in.Body.Settings[args[i]]; twice {
					return usagef(cmd, "%q is set twice", args[i])
				}
				if args[i] == sess.SettingRecordingRecipients {
					if err := checkRecipients(args[i+1]); err != nil {
						return err
					}
				}
				in.Body.Settings[args[i]] = args[i+1]
			}
			o, err := call(cmd.Context(), a, "changing the organisation", api.SetOrg, in)
			if err != nil {
				return err
			}
			return a.printOrg(o)
		},
		ValidArgsFunction: completeSettings,
	}
	c.Flags().BoolVar(&now, "now", false, "with session-manager off: end what runs, too")
	return a.jsonFlag(c)
}

// checkRecipients refuses what is no public key before it leaves the machine: it may be the secret one.
func checkRecipients(value string) error {
	k, err := sess.FindSetting(sess.SettingRecordingRecipients)
	if err != nil {
		return err
	}
	var s sess.Settings
	if err := k.Set(&s, value); err != nil {
		return err
	}
	return recording.CheckRecipients(s.Recipients())
}

// settingsHelp describes the settings, a line each.
func settingsHelp() string {
	var b strings.Builder
	for _, k := range sess.AllSettings() {
		fmt.Fprintf(&b, "  %-23s %s\n", k.Key, k.Summary)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func completeSettings(_ *cobra.Command, argv []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if len(argv)%2 == 0 {
		var keys []string
		for _, k := range sess.AllSettings() {
			keys = append(keys, k.Key+"\t"+k.Summary)
		}
		return keys, directive
	}
	k, err := sess.FindSetting(argv[len(argv)-1])
	if err != nil {
		return nil, directive
	}
	if k.Key == sess.SettingSessionManager || k.Key == sess.SettingRequireMFA {
		return []string{"on", "off"}, directive
	}
	return []string{k.Example, "default"}, directive
}

func (a *app) orgRenameCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "rename NAME", Short: "Give your organisation another name",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in api.OrgRenameIn
			in.Body.Name = args[0]
			o, err := call(cmd.Context(), a, "renaming the organisation", api.RenameOrg, in)
			if err != nil {
				return err
			}
			if err := a.renamedOrg(o); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(o)
			}
			a.note("the organisation is now %s", cell(o.Name))
			return nil
		},
	})
}

// renamedOrg has the files know a login's organisation by its new name.
func (a *app) renamedOrg(o api.Org) error {
	if a.getenv("SESSCTL_API_KEY") != "" {
		return nil
	}
	server, err := a.pickServer()
	if err != nil {
		return err
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	s := c.Servers[key(server)]
	l, ok := s.Logins[string(o.ID)]
	if !ok {
		return nil
	}
	l.Org = o.Name
	s.Logins[string(o.ID)] = l
	if s.OrgID == string(o.ID) {
		s.Org = o.Name
	}
	c.Servers[key(server)] = s
	return a.saveConfig()
}
