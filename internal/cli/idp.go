package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// maxMetadata bounds a file of SAML metadata, in bytes.
const maxMetadata = 256 << 10

func (a *app) idpCmd() *cobra.Command {
	return parent("idp", "Set up identity providers: OpenID Connect, SAML, GitHub",
		a.idpAddCmd(), a.idpListCmd(), a.idpShowCmd(), a.idpSetCmd(), a.idpTestCmd(), a.idpRemoveCmd())
}

// idpFlags are what add and set have in common.
type idpFlags struct {
	settings     api.IDPSettings
	secretFile   string
	metadataFile string
	valid        time.Duration
}

func (f *idpFlags) register(c *cobra.Command) {
	s, fl := &f.settings, c.Flags()
	fl.StringVar(&s.Issuer, "issuer", "", "oidc: the provider's `URL`, exactly as its tokens name it")
	fl.StringVar(&s.ClientID, "client-id", "", "oidc, github: the `ID` that the provider gave this server")
	fl.StringVar(&f.secretFile, "client-secret-file", "", "oidc, github: read the client secret from `FILE`, or from standard input with -")
	fl.StringSliceVar(&s.Scopes, "scopes", nil, "oidc: `SCOPES` to ask for beside openid, email and profile; repeatable")
	fl.StringVar(&s.GroupsClaim, "groups-claim", "", "oidc: the `CLAIM` that names the groups (default: groups)")
	fl.BoolVar(&s.TrustEmail, "trust-email", false, "oidc: take addresses as right though the provider does not say that it checked them")
	fl.StringVar(&f.metadataFile, "metadata-file", "", "saml: read the provider's metadata from `FILE`, or from standard input with -")
	fl.StringVar(&s.MetadataURL, "metadata-url", "", "saml: the `URL` where the server reads the metadata, at every login")
	fl.StringVar(&s.GroupsAttribute, "groups-attribute", "", "saml: the `ATTRIBUTE` that names the groups (default: groups)")
	fl.StringVar(&s.EmailAttribute, "email-attribute", "", "saml: the `ATTRIBUTE` with the e-mail address (default: one of the usual)")
	fl.StringVar(&s.APIURL, "api-url", "", "github: the `URL` of an Enterprise Server's API, https://HOST/api/v3")
	fl.StringSliceVar(&s.AllowOrgs, "allow-org", nil, "github: members of `ORG` may log in; repeatable, and needed at github.com")
	fl.StringSliceVar(&s.AllowDomains, "allow-domain", nil, "only people with an e-mail address of `DOMAIN` may log in; repeatable")
	duration(fl, &f.valid, "valid-for", 0, "how long logins by this provider are valid at most (default: as the organisation says)")
}

// read reads the files that the flags name.
func (f *idpFlags) read(a *app) (secret string, err error) {
	if f.secretFile == "-" && f.metadataFile == "-" {
		return "", sess.New(sess.CodeInvalid, "standard input can't be both the secret and the metadata", "put one of them into a file")
	}
	if f.secretFile != "" {
		if secret, err = a.secretFile(f.secretFile); err != nil {
			return "", err
		}
	}
	if f.metadataFile != "" {
		f.settings.Metadata, err = a.textFile(f.metadataFile, maxMetadata)
	}
	return secret, err
}

// textFile reads a file of text, or standard input.
func (a *app) textFile(path string, most int64) (string, error) {
	f := a.in
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return "", sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
		}
		defer f.Close()
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return "", sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
	}
	if int64(len(b)) > most || len(b) == 0 {
		return "", sess.New(sess.CodeInvalid, fmt.Sprintf("%s is empty, or over %s", path, sess.FormatSize(uint64(most))), "") //nolint:gosec // a constant
	}
	return string(b), nil
}

func idpKinds() []string { return []string{"oidc", "saml", "github"} }

func (a *app) idpAddCmd() *cobra.Command {
	var f idpFlags
	var kind string
	c := &cobra.Command{
		Use: "add NAME", Short: "Set up an identity provider",
		Long: "Has the organisation trust an identity provider to say who somebody is, and prints what to register there. People\n" +
			"log in with it by \"sessctl login\"; whoever it sends for the first time becomes a user without any role. The groups\n" +
			"that it names are those of this organisation with the same name, applied anew at every login.",
		Example: `  sessctl idp add okta --kind oidc --issuer https://example.okta.com --client-id 0oa1 --client-secret-file secret
  sessctl idp add adfs --kind saml --metadata-url https://adfs.example.com/FederationMetadata/2007-06/FederationMetadata.xml
  sessctl idp add github --kind github --client-id Iv1.1 --client-secret-file - --allow-org example < secret`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if kind == "" {
				return usagef(cmd, "say which kind of provider it is: --kind oidc, saml or github")
			}
			if !slices.Contains(idpKinds(), kind) {
				return usagef(cmd, "--kind is oidc, saml or github; Okta, Entra ID, Google, Keycloak and GitLab speak oidc")
			}
			var in api.IDPIn
			var err error
			if in.Body.Secret, err = f.read(a); err != nil {
				return err
			}
			in.Body.Name, in.Body.Kind, in.Body.Settings, in.Body.ValidSeconds = argv[0], kind, f.settings, int64(f.valid.Seconds())
			p, err := call(cmd.Context(), a, "setting up "+argv[0], api.CreateIDP, in)
			if err != nil {
				return err
			}
			a.note("%s is set up; register at the provider:", cell(p.Name))
			if err := a.printIDP(p); err != nil {
				return err
			}
			a.note("then try it:  sessctl idp test %s", cell(p.Name))
			return nil
		},
	}
	c.Flags().StringVar(&kind, "kind", "", "`KIND`: oidc, saml or github")
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(idpKinds(), cobra.ShellCompDirectiveNoFileComp))
	f.register(c)
	return a.jsonFlag(c)
}

func (a *app) printIDP(p api.IDP) error {
	if a.json {
		return a.printJSON(p)
	}
	s := p.Settings
	secret := ""
	if p.HasSecret {
		secret = "set"
	}
	metadata := s.MetadataURL
	if s.Metadata != "" {
		metadata = sess.FormatSize(uint64(len(s.Metadata))) + ", from a file"
	}
	valid := ""
	if p.ValidSeconds > 0 {
		valid = "at most " + roughly(time.Duration(p.ValidSeconds)*time.Second)
	}
	return a.printFields([]field{
		{"Name", p.Name},
		{"Kind", p.Kind},
		{"Redirect URL", p.RedirectURL},
		{"ACS URL", p.ACSURL},
		{"Entity ID", p.MetadataURL},
		{"Issuer", s.Issuer},
		{"Client ID", s.ClientID},
		{"Client secret", secret},
		{"Scopes", strings.Join(s.Scopes, " ")},
		{"Groups claim", s.GroupsClaim},
		{"Metadata", metadata},
		{"Groups attribute", s.GroupsAttribute},
		{"Email attribute", s.EmailAttribute},
		{"API", s.APIURL},
		{"Organisations", strings.Join(s.AllowOrgs, " ")},
		{"Domains", strings.Join(s.AllowDomains, " ")},
		{"Logins valid", valid},
		{"People", fmt.Sprint(p.Accounts)},
		{"Created", a.when(p.CreatedAt)},
		{"Changed", a.when(p.UpdatedAt)},
	})
}

func (a *app) idpListCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List identity providers, newest first", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, "asking the server", api.ListIDPs, api.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out.Items)
			}
			if len(out.Items) == 0 && terminal(a.out) {
				a.note("no identity providers")
			}
			var rows [][]string
			for _, p := range out.Items {
				where := p.Settings.Issuer + p.Settings.MetadataURL + p.Settings.APIURL
				if where == "" && p.Kind == "github" {
					where = "github.com"
				}
				rows = append(rows, []string{p.Name, p.Kind, where, fmt.Sprint(p.Accounts), a.when(p.CreatedAt)})
			}
			if len(rows) == 0 {
				return nil
			}
			return a.printTable([]string{"NAME", "KIND", "WHERE", "PEOPLE", "CREATED"}, rows)
		},
	}
	return a.jsonFlag(c)
}

func (a *app) idpShowCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "show NAME", Short: "Show an identity provider, and what to register there", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			p, err := call(cmd.Context(), a, "asking the server", api.GetIDP, api.IDPRef{IDP: argv[0]})
			if err != nil {
				return err
			}
			return a.printIDP(p)
		},
	}
	return a.jsonFlag(c)
}

func (a *app) idpSetCmd() *cobra.Command {
	var f idpFlags
	c := &cobra.Command{
		Use: "set NAME", Short: "Change an identity provider: what is not named stays",
		Example: "  sessctl idp set okta --client-secret-file new-secret\n  sessctl idp set okta --groups-claim roles --valid-for 8h",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			secret, err := f.read(a)
			if err != nil {
				return err
			}
			old, err := call(cmd.Context(), a, "asking the server", api.GetIDP, api.IDPRef{IDP: argv[0]})
			if err != nil {
				return err
			}
			settings := f.over(cmd, old.Settings)
			in := api.IDPPatchIn{IDPRef: api.IDPRef{IDP: argv[0]}}
			in.Body.Settings = &settings
			if f.secretFile != "" {
				in.Body.Secret = &secret
			}
			if cmd.Flags().Changed("valid-for") {
				in.Body.ValidSeconds = new(int64(f.valid.Seconds()))
			}
			p, err := call(cmd.Context(), a, "changing "+argv[0], api.PatchIDP, in)
			if err != nil {
				return err
			}
			a.note("changed %s", cell(p.Name))
			return a.printIDP(p)
		},
	}
	f.register(c)
	return a.jsonFlag(c)
}

// over gives the settings s with those that were named on the command line.
func (f *idpFlags) over(cmd *cobra.Command, s api.IDPSettings) api.IDPSettings {
	n := f.settings
	for flag, set := range map[string]func(){
		"issuer": func() { s.Issuer = n.Issuer }, "client-id": func() { s.ClientID = n.ClientID }, "scopes": func() { s.Scopes = n.Scopes },
		"groups-claim": func() { s.GroupsClaim = n.GroupsClaim }, "trust-email": func() { s.TrustEmail = n.TrustEmail },
		"metadata-file":    func() { s.Metadata, s.MetadataURL = n.Metadata, "" },
		"metadata-url":     func() { s.Metadata, s.MetadataURL = "", n.MetadataURL },
		"groups-attribute": func() { s.GroupsAttribute = n.GroupsAttribute }, "email-attribute": func() { s.EmailAttribute = n.EmailAttribute },
		"api-url": func() { s.APIURL = n.APIURL }, "allow-org": func() { s.AllowOrgs = n.AllowOrgs }, "allow-domain": func() { s.AllowDomains = n.AllowDomains },
	} {
		if cmd.Flags().Changed(flag) {
			set()
		}
	}
	return s
}

func (a *app) idpTestCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "test NAME", Short: "Try an identity provider, as far as that goes without a person",
		Long: "Has the server ask the provider for its description and its keys. Whether it knows the client id and the redirect URL\n" +
			"shows in a login only: sessctl login --idp NAME. A problem is said on standard error, and the exit code is 1.",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			out, err := call(cmd.Context(), a, "trying "+argv[0], api.TestIDP, api.IDPRef{IDP: argv[0]})
			if err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(out); err != nil {
					return err
				}
			} else {
				for _, f := range out.Findings {
					fmt.Fprintln(a.out, cell(f))
				}
			}
			if !out.OK {
				return sess.New(sess.CodeUnavailable, out.Problem, out.Hint)
			}
			return nil
		},
	}
	return a.jsonFlag(c)
}

func (a *app) idpRemoveCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Remove an identity provider; whom it sent is deactivated",
		Long: "Removes an identity provider. The logins of those it sent end, and they are deactivated, which \"sessctl user reactivate\"\n" +
			"takes back for each. A provider set up anew is another one: to change a setting, use \"sessctl idp set\".",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if !yes && terminal(a.in) {
				ok, err := a.confirm("Remove " + cell(argv[0]) + " and deactivate everybody it sent?")
				if err != nil {
					return err
				}
				if !ok {
					return sess.New(sess.CodeInvalid, "nothing was removed", "")
				}
			}
			if _, err := call(cmd.Context(), a, "removing "+argv[0], api.RemoveIDP, api.IDPRef{IDP: argv[0]}); err != nil {
				return err
			}
			a.note("removed %s", cell(argv[0]))
			return nil
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// providerFields shows what an identity provider said of a user.
func (a *app) providerFields(p *api.UserProvider) []field {
	if p == nil {
		return nil
	}
	return []field{
		{"Provider", p.Name + ", where they are " + p.Subject},
		{"Last login by it", a.when(p.LastLoginAt)},
		{"Groups by it", strings.Join(p.Groups, ", ")},
		{"Groups not here", strings.Join(p.Unknown, ", ")},
	}
}
