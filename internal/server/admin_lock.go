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
	"github.com/sessctl/sess/internal/sess"
)

// serveAdminLocks answers what the box's owner asks about locks.
func (s *Server) serveAdminLocks(mux *http.ServeMux) {
	mux.HandleFunc("GET /admin/locks", adminHandler(s, func(r *http.Request) ([]identity.BoxLock, error) {
		return s.identity.BoxLocks(r.Context()) //nolint:wrapcheck // it says everything
	}))
	mux.HandleFunc("POST /admin/locks", adminHandler(s, func(r *http.Request) (identity.BoxLock, error) {
		q := r.URL.Query()
		ttl, err := time.ParseDuration(q.Get("ttl"))
		if err != nil {
			return identity.BoxLock{}, sess.New(sess.CodeInvalid, fmt.Sprintf("%.40q is no duration", q.Get("ttl")), "")
		}
		return s.identity.LockBox(r.Context(), sess.LockKind(q.Get("kind")), q.Get("target"), q.Get("reason"), ttl) //nolint:wrapcheck // it says everything
	}))
	mux.HandleFunc("DELETE /admin/locks", adminHandler(s, func(r *http.Request) (struct{}, error) {
		return struct{}{}, s.identity.UnlockBox(r.Context(), sess.LockID(r.URL.Query().Get("lock"))) //nolint:wrapcheck // it says everything
	}))
}

// adminLockCommand makes the commands with which the box's owner puts and lifts locks.
func adminLockCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lock", Short: "Locks on this server: the owner's own, and the organisations'",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	add, list, remove := adminLockAdd(p), adminLockList(p), adminLockRemove(p)
	adminFlags(add, list, remove)
	cmd.AddCommand(add, list, remove)
	return cmd
}

func adminLockAdd(p Process) *cobra.Command {
	var address, org, reason string
	var ttl ttlFlag
	c := &cobra.Command{
		Use: "add (--address ADDRESS | --org NAME)", Short: "Lock an address for every organisation, or an organisation with everybody in it",
		Long:    "What runs from there or in there ends, and every call is refused. Nobody in an organisation can lift it.",
		Example: "  sess-server admin lock add --address 203.0.113.0/24 --ttl 24h --data-dir /var/lib/sess-server\n  sess-server admin lock add --org acme --reason 'not paid' --data-dir /var/lib/sess-server",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (address == "") == (org == "") {
				return &usageError{errors.New("say what to lock: --address or --org, one of the two"), cmd.CommandPath()}
			}
			kind, target := sess.LockAddress, address
			if org != "" {
				kind, target = sess.LockOrg, org
			}
			var out identity.BoxLock
			q := url.Values{"kind": {string(kind)}, "target": {target}, "reason": {reason}, "ttl": {time.Duration(ttl).String()}}
			if err := askRunning(cmd, p, http.MethodPost, "/admin/locks?"+q.Encode(), &out); err != nil {
				return err
			}
			fmt.Fprintf(p.Stderr, "locked %s %s; to lift it: sess-server admin lock remove %s\n", out.Kind, out.Name, out.ID)
			return nil
		},
	}
	c.Flags().StringVar(&address, "address", "", "lock this `ADDRESS` or network, for every organisation")
	c.Flags().StringVar(&org, "org", "", "lock the organisation of this `NAME`")
	c.Flags().StringVar(&reason, "reason", "", "why: whoever it bars is told, and it is on record")
	c.Flags().Var(&ttl, "ttl", "how long it lasts; until it is lifted, if not given")
	return c
}

// ttlFlag is how long a lock lasts, as sessctl lock add takes it: 90s, 15m, 12h, 30d.
type ttlFlag time.Duration

// Type implements pflag.Value.
func (f *ttlFlag) Type() string { return "TIME" }

// String implements pflag.Value.
func (f *ttlFlag) String() string {
	if *f == 0 {
		return ""
	}
	return sess.FormatDuration(time.Duration(*f))
}

// Set implements pflag.Value.
func (f *ttlFlag) Set(text string) error {
	d, err := sess.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%.40q is no duration: write it like 90s, 15m, 12h or 30d", text)
	}
	*f = ttlFlag(d)
	return nil
}

func adminLockList(p Process) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the locks of this server, and those of every organisation",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []identity.BoxLock
			if err := askRunning(cmd, p, http.MethodGet, "/admin/locks", &out); err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(p.Stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(out)
			}
			w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "LOCK\tIN\tON\tNAME\tBY\tEXPIRES\tREASON")
			for _, l := range out {
				expires := ""
				if l.ExpiresAt != nil {
					expires = l.ExpiresAt.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.Org, l.Kind, l.Name, l.MadeBy, expires, l.Reason)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func adminLockRemove(p Process) *cobra.Command {
	return &cobra.Command{
		Use: "remove LOCK", Aliases: []string{"rm"}, Short: "Lift a lock: of this server, or of any organisation that locked itself out",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out struct{}
			if err := askRunning(cmd, p, http.MethodDelete, "/admin/locks?"+url.Values{"lock": {args[0]}}.Encode(), &out); err != nil {
				return err
			}
			fmt.Fprintf(p.Stderr, "lifted %s\n", args[0])
			return nil
		},
	}
}
