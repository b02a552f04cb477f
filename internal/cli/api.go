package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
	"github.com/sessctl/sess/internal/wire"
)

func (a *app) apiCmd() *cobra.Command {
	var input string
	c := &cobra.Command{
		Use: "api METHOD PATH", Short: "Call the HTTP API",
		Long:    "Sends one request to the server's API, as whoever is logged in, and prints the answer as it comes.",
		Example: "  sessctl api GET /v1/whoami\n  echo '{\"reason\":\"maintenance\"}' | sessctl api POST /v1/sessions/ses_4x2k/end --input -",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			u, err := url.Parse(argv[1])
			if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
				return usagef(cmd, "%q is no path such as /v1/whoami", argv[1])
			}
			var body []byte
			if input != "" {
				if body, err = a.readInput(input); err != nil {
					return err
				}
			}
			c, err := a.open()
			if err != nil {
				return err
			}
			done := a.busy("asking the server")
			resp, err := c.API.Do(cmd.Context(), strings.ToUpper(argv[0]), u.EscapedPath(), u.Query(), body)
			done()
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(a.bytesOut(), resp.Body)
			return err
		},
	}
	c.Flags().StringVar(&input, "input", "", "send this `FILE` of JSON; - is standard input")
	return c
}

// readInput reads a JSON body.
func (a *app) readInput(path string) ([]byte, error) {
	f := a.in
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
		}
		defer f.Close()
	}
	b, err := io.ReadAll(io.LimitReader(f, api.MaxBody+1))
	switch {
	case err != nil:
		return nil, sess.Wrap(err, sess.CodeInvalid, "can't read "+path, "")
	case len(b) > api.MaxBody:
		return nil, sess.New(sess.CodeTooLarge, fmt.Sprintf("the input is over %d bytes", api.MaxBody), "")
	case !json.Valid(b):
		return nil, sess.New(sess.CodeInvalid, "the input is not valid JSON", "")
	}
	return b, nil
}

func (a *app) versionCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Show the version of sessctl, and of the server it speaks to",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			withServer, _ := cmd.Flags().GetBool("with-server")
			v := versions{Version: version(), Protocol: wire.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if withServer {
				s, err := a.pickServer()
				if err != nil {
					return err
				}
				info, err := api.Call(cmd.Context(), a.openAs(s, "").API, api.GetServer, api.None{})
				if err != nil {
					return err
				}
				v.Server = &info
			}
			if a.json {
				return a.printJSON(v)
			}
			fmt.Fprintf(a.out, "sessctl %s (protocol %d, %s, %s)\n", v.Version, v.Protocol, v.Go, v.Platform)
			if v.Server != nil {
				fmt.Fprintf(a.out, "sess-server %s (protocol %d) at %s\n", cell(v.Server.Version), v.Server.Protocol, cell(v.Server.Name))
			}
			return nil
		},
	}
	c.Flags().Bool("with-server", false, "the server's, too")
	return a.jsonFlag(c)
}

// versions is what version --json prints.
type versions struct {
	Version  string          `json:"version"`
	Protocol int             `json:"protocol"`
	Go       string          `json:"go"`
	Platform string          `json:"platform"`
	Server   *api.ServerInfo `json:"server,omitempty"`
}
