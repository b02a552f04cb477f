package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

// The running server listens on a socket in its data directory, for the box's owner: whoever may connect to it may read
// the directory with all its keys anyway.
const (
	adminSocket  = "admin.sock"
	maxSocket    = 100 // bytes of a socket's path: the system allows 104 to 108
	adminTimeout = 5 * time.Minute
)

// adminLink is the answer to a request for a new admin link.
type adminLink struct {
	Link  string `json:"link"`
	Email string `json:"email,omitempty"` // whose it is; empty: of the first admin, who will say
}

// serveAdmin listens on the socket. A data directory whose path is too long for one gets none.
func (s *Server) serveAdmin() (*http.Server, net.Listener, error) {
	path := s.dir.join(adminSocket)
	if len(path) > maxSocket {
		s.log.Warn("the data directory's path is too long for a socket: sess-server admin won't reach this server", "path", path)
		return nil, nil, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // of a server that was killed: we have the lock
		return nil, nil, unusable(s.dir.path, err)
	}
	l, err := net.Listen("unix", path) //nolint:noctx // it does not wait
	if err != nil {
		return nil, nil, unusable(s.dir.path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, nil, errors.Join(unusable(s.dir.path, err), l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/link", adminHandler(s, func(r *http.Request) (adminLink, error) {
		return s.newAdminLink(r.Context(), r.URL.Query().Get("org"), r.URL.Query().Get("email"), r.URL.Query().Get("remove_factor") == "yes")
	}))
	s.serveAdminOrgs(mux)
	s.serveAdminUsage(mux)
	s.serveAdminLocks(mux)
	s.serveAdminSinks(mux)
	mux.HandleFunc("GET /admin/verify-audit", adminHandler(s, func(r *http.Request) ([]auditResult, error) { return s.verifyAllAudit(r.Context()) }))
	return &http.Server{Handler: s.outer(mux), ReadHeaderTimeout: readHeaderTimeout}, l, nil
}

func adminHandler[Out any](s *Server, f func(*http.Request) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(adminTimeout))
		out, err := f(r)
		if err != nil {
			s.writeError(w, requestOf(r.Context()), err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the client may be gone
	}
}

func adminCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "admin", Short: "What the owner of this machine may do to the server that runs on it",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var org, email string
	var dropFactor bool
	link := &cobra.Command{
		Use: "link", Short: "Print a new one-time link with which an admin sets a password",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out adminLink
			q := url.Values{"org": {org}, "email": {email}}
			if dropFactor {
				q.Set("remove_factor", "yes")
			}
			if err := askRunning(cmd, p, http.MethodPost, "/admin/link?"+q.Encode(), &out); err != nil {
				return err
			}
			fmt.Fprintf(p.Stderr, "for %s, valid once; run on your own machine:\n", cmp.Or(out.Email, "the first admin"))
			fmt.Fprintf(p.Stdout, "sessctl accept '%s'\n", out.Link)
			return nil
		},
	}
	link.Flags().StringVar(&org, "org", "", "`NAME` of the organisation (default: the one that the first start made)")
	link.Flags().StringVar(&email, "email", "", "`ADDRESS` of the admin; needed where there are several, and makes a new one where there is none of it")
	link.Flags().BoolVar(&dropFactor, "remove-factor", false, "remove the admin's second factor there, too: for who lost phone and recovery codes")
	verify := &cobra.Command{
		Use: "verify-audit", Short: "Check the audit logs of this server: nothing altered, removed or reordered",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []auditResult
			if err := askRunning(cmd, p, http.MethodGet, "/admin/verify-audit", &out); err != nil {
				return err
			}
			if len(out) == 0 {
				_, err := fmt.Fprintln(p.Stderr, "no event has its place in a log yet: ask again in a moment")
				return err //nolint:wrapcheck // of the terminal
			}
			return printVerification(p.Stdout, out)
		},
	}
	adminFlags(link, verify)
	cmd.AddCommand(link, verify, adminOrgCommand(p), adminUsageCommand(p), adminLockCommand(p), adminSinkCommand(p))
	return cmd
}

// adminFlags gives commands the flags that say which server is meant.
func adminFlags(cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.Flags().String("config", "", "the server's file with settings")
		c.Flags().String("data-dir", "", "the server's data directory (required)")
	}
}

// auditResult is the check of one log.
type auditResult struct {
	Log string `json:"log"`
	api.AuditVerifyOut
}

func printVerification(w io.Writer, results []auditResult) error {
	bad := 0
	for _, r := range results {
		word := "ok"
		if !r.OK {
			word, bad = "BROKEN", bad+1
		}
		fmt.Fprintf(w, "%s\t%s\t%d events\troot %s\n", r.Log, word, r.Size, r.Root)
		for _, p := range r.Problems {
			fmt.Fprintf(w, "%s\t%s\n", r.Log, p)
		}
	}
	if bad > 0 {
		return sess.New(sess.CodeInvalid, "the audit log was altered", "keep the data directory as it is, and compare with an exported log or checkpoint")
	}
	return nil
}

// askRunning calls the server that runs on the data directory, and decodes its answer into out.
func askRunning(cmd *cobra.Command, p Process, method, path string, out any) error {
	return tellRunning(cmd, p, method, path, nil, out)
}

// tellRunning is askRunning with a body, which unlike a path is in no log; nil: none.
func tellRunning(cmd *cobra.Command, p Process, method, path string, body, out any) error {
	if err := fillFlags(cmd.Flags(), p.Env); err != nil {
		return &usageError{err, cmd.CommandPath()}
	}
	dir := cmd.Flags().Lookup("data-dir").Value.String()
	if dir == "" {
		return &usageError{errors.New("no data directory is given: use --data-dir DIR"), cmd.CommandPath()}
	}
	socket := filepath.Join(dir, adminSocket)
	client := &http.Client{Timeout: adminTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			return fmt.Errorf("make request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(cmd.Context(), method, "http://sess-server"+path, &b)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return sess.Wrap(err, sess.CodeUnavailable, "no server runs on "+dir, "start it with sess-server serve; run this as the same user, or as root")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return api.ReadProblem(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}
