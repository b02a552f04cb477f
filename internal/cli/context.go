package cli

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/sess"
)

func (a *app) contextCmd() *cobra.Command {
	return parent("context", "The servers and organisations you are logged in to", a.contextListCmd(), a.contextUseCmd(), a.contextRemoveCmd())
}

// aContext is a server and an organisation there, as the files know them. Nothing in it is secret.
type aContext struct {
	Name      string    `json:"name"` // ORGANISATION@HOST
	Server    string    `json:"server"`
	Org       string    `json:"org,omitempty"`
	OrgID     string    `json:"org_id,omitempty"`
	Email     string    `json:"email,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	LoggedIn  bool      `json:"logged_in"`
	Current   bool      `json:"current"`

	login loginConf
}

// contexts lists what the files know, by server and organisation.
func (a *app) contexts() ([]aContext, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	var out []aContext
	for _, server := range slices.Sorted(maps.Keys(c.Servers)) {
		s := c.Servers[server]
		host := server
		if u, err := url.Parse(server); err == nil && u.Host != "" {
			host = u.Host + strings.TrimSuffix(u.Path, "/")
		}
		var here []aContext
		for id, l := range s.Logins {
			here = append(here, aContext{
				Name: l.Org + "@" + host, Server: server, Org: l.Org, OrgID: id, Email: l.Email, ExpiresAt: l.ExpiresAt,
				LoggedIn: l.ExpiresAt.IsZero() || a.now().Before(l.ExpiresAt), Current: server == c.Current && id == s.OrgID, login: l,
			})
		}
		if len(here) == 0 { // logged out; the pin is still known
			here = append(here, aContext{Name: s.Org + "@" + host, Server: server, Org: s.Org, OrgID: s.OrgID, Email: s.Email, Current: server == c.Current})
		}
		slices.SortFunc(here, func(x, y aContext) int { return strings.Compare(x.Name, y.Name) })
		out = append(out, here...)
	}
	return out, nil
}

// findContext finds what is called NAME, ORGANISATION, HOST or URL.
func (a *app) findContext(ref string) (aContext, error) {
	all, err := a.contexts()
	if err != nil {
		return aContext{}, err
	}
	c := a.conf
	var found []aContext
	for _, x := range all {
		_, host, _ := strings.Cut(x.Name, "@")
		if x.Name == ref {
			return x, nil
		}
		if slices.Contains([]string{x.Org, x.OrgID, host, x.Server}, ref) && ref != "" {
			found = append(found, x)
		}
	}
	if len(found) > 1 { // of one server: the organisation used last there
		used := slices.DeleteFunc(slices.Clone(found), func(x aContext) bool { return x.OrgID != c.Servers[x.Server].OrgID })
		if len(used) == 1 && !slices.ContainsFunc(found, func(x aContext) bool { return x.Server != used[0].Server }) {
			found = used
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return aContext{}, sess.New(sess.CodeNotFound, fmt.Sprintf("no context %q", ref), "sessctl context list shows them; sessctl login makes one")
	}
	var names []string
	for _, x := range found {
		names = append(names, x.Name)
	}
	return aContext{}, sess.New(sess.CodeInvalid, fmt.Sprintf("%q may be several", ref), "say which: "+strings.Join(names, ", "))
}

func (a *app) contextListCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the servers and organisations you have logged in to",
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			all, err := a.contexts()
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(append([]aContext{}, all...))
			}
			rows := make([][]string, 0, len(all))
			for _, x := range all {
				until := "logged out"
				if x.LoggedIn {
					until = a.when(x.ExpiresAt)
				}
				rows = append(rows, []string{x.Name, mark(x.Current), x.Email, until, x.Server})
			}
			return a.printTable([]string{"NAME", "CURRENT", "USER", "LOGGED IN UNTIL", "SERVER"}, rows)
		},
	})
}

func (a *app) contextUseCmd() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Have commands go to another server or organisation",
		Long: "NAME is a context as sessctl context list shows it, or an organisation, a host or a URL that fits only one. For one command\n" +
			"only, there are --server and --org.",
		Example: "  sessctl context use acme@sess.example.com\n  sessctl context use sess.example.com",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			x, err := a.findContext(args[0])
			if err != nil {
				return err
			}
			if err := a.useContext(x.Server, x.OrgID, x.login); err != nil {
				return err
			}
			if !x.LoggedIn {
				a.note("you are not logged in there: sessctl login")
			}
			return nil
		},
		ValidArgsFunction: a.completeContexts,
	}
}

// useContext makes a server, and a login there, what commands use.
func (a *app) useContext(server, id string, l loginConf) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	s := c.Servers[server]
	if _, ok := s.Logins[id]; ok {
		s.Logins[id] = l
		s.Org, s.OrgID, s.Email = l.Org, id, l.Email
	}
	c.Current, c.Servers[server] = server, s
	if err := a.saveConfig(); err != nil {
		return err
	}
	host := server
	if u, err := url.Parse(server); err == nil {
		host = u.Host
	}
	a.note("now %s@%s as %s", cell(s.Org), cell(host), cell(s.Email))
	return nil
}

func (a *app) contextRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Forget a login, here only",
		Long: "Removes what this machine knows of a login, and with the last one of a server its pin. The server is not told: sessctl logout\n" +
			"ends a login there, too.",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			x, err := a.findContext(args[0])
			if err != nil {
				return err
			}
			if err := a.removeContext(x); err != nil {
				return err
			}
			a.note("forgot %s", cell(x.Name))
			return nil
		},
		ValidArgsFunction: a.completeContexts,
	}
}

func (a *app) removeContext(x aContext) error {
	s := a.conf.Servers[x.Server]
	if err := a.drop(x.Server, x.OrgID, x.login); err != nil {
		return err
	}
	delete(s.Logins, x.OrgID)
	if len(s.Logins) == 0 {
		delete(a.conf.Servers, x.Server)
		if a.conf.Current == x.Server {
			a.conf.Current = ""
		}
	}
	return a.saveConfig()
}

func (a *app) completeContexts(_ *cobra.Command, argv []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	all, err := a.contexts()
	if err != nil || len(argv) > 0 {
		return nil, directive
	}
	var names []string
	for _, x := range all {
		names = append(names, x.Name)
	}
	return names, directive
}
