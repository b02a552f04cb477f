package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/identity"
)

// adminOrg is the answer to who made an organisation.
type adminOrg struct {
	Link  string `json:"link"`
	Email string `json:"email"`
	Known bool   `json:"known"` // to this server: the person accepts with the password they have
}

// serveAdminOrgs answers what the box's owner asks about organisations.
func (s *Server) serveAdminOrgs(mux *http.ServeMux) {
	mux.HandleFunc("POST /admin/orgs", adminHandler(s, func(r *http.Request) (adminOrg, error) {
		q := r.URL.Query()
		token, known, err := s.identity.CreateOrg(r.Context(), q.Get("name"), q.Get("admin"))
		if err != nil {
			return adminOrg{}, err //nolint:wrapcheck // it says everything
		}
		return adminOrg{Link: s.identity.InviteLink(token), Email: q.Get("admin"), Known: known}, nil
	}))
	mux.HandleFunc("GET /admin/orgs", adminHandler(s, func(r *http.Request) ([]identity.BoxOrg, error) {
		return s.identity.AllOrgs(r.Context()) //nolint:wrapcheck // it says everything
	}))
}

// adminOrgCommand makes the commands with which the box's owner makes and lists organisations.
func adminOrgCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "org", Short: "The organisations of this server",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	create, list := adminOrgCreate(p), adminOrgList(p)
	adminFlags(create, list)
	cmd.AddCommand(create, list)
	return cmd
}

func adminOrgCreate(p Process) *cobra.Command {
	var email string
	c := &cobra.Command{
		Use: "create NAME --admin EMAIL", Short: "Make an organisation, and print the link with which its first admin joins it",
		Long: "Makes an organisation with the project \"default\". The link is valid once, for 72 hours. Who is new to this server sets a\n" +
			"password with it; who is in another organisation of this server already accepts it with the password they have.",
		Example: "  sess-server admin org create acme --admin ann@acme.example --data-dir /var/lib/sess-server",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if email == "" {
				return &usageError{errors.New("say who is to be its first admin: --admin EMAIL"), cmd.CommandPath()}
			}
			var out adminOrg
			if err := askRunning(cmd, p, http.MethodPost, "/admin/orgs?"+url.Values{"name": {args[0]}, "admin": {email}}.Encode(), &out); err != nil {
				return err
			}
			how := "they set a password with it"
			if out.Known {
				how = "they have a password on this server and accept with that"
			}
			fmt.Fprintf(p.Stderr, "made the organisation %s; for %s, valid once (%s); to run on their own machine:\n", args[0], out.Email, how)
			fmt.Fprintf(p.Stdout, "sessctl accept '%s'\n", out.Link)
			return nil
		},
	}
	c.Flags().StringVar(&email, "admin", "", "e-mail `ADDRESS` of the first admin (required)")
	return c
}

func adminOrgList(p Process) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the organisations of this server, oldest first",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []identity.BoxOrg
			if err := askRunning(cmd, p, http.MethodGet, "/admin/orgs", &out); err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(p.Stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(out)
			}
			w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tMEMBERS\tINSTANCES\tCREATED\tID")
			for _, o := range out {
				fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", o.Name, o.Members, o.Instances, o.CreatedAt.UTC().Format(time.DateOnly), o.ID)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
