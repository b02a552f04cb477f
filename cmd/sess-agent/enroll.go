package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/agent"
	"github.com/sessctl/sess/internal/sess"
)

func enrollCommand(o *options) *cobra.Command {
	var server, token, tokenFile, name string
	var force bool
	c := &cobra.Command{
		Use: "enroll", Aliases: []string{"enrol"}, Short: "Make this machine an instance, by an enrolment token",
		Long: `Makes a key on this machine, registers its public half at the server by a token,
and pins the server's certificate and the keys that may start sessions here. The
private half never leaves this machine.`,
		Example: `  sess-agent enroll --server https://sess.example.com --token sesn_…
  sess-agent enroll --server https://10.0.0.5:8443#pin=sha256:… --token-file - < token`,
		RunE: func(c *cobra.Command, _ []string) error {
			url := orEnv(server, "SESS_AGENT_SERVER")
			if url == "" {
				return usageError{errors.New("which server? --server is missing")}
			}
			secret, err := o.token(token, tokenFile)
			if err != nil {
				return err
			}
			state, err := o.state()
			if err != nil {
				return err
			}
			id, err := agent.Enroll(c.Context(), agent.Enrolment{
				State: state, Server: url, Token: secret, Name: orEnv(name, "SESS_AGENT_NAME"), Force: force, Version: programVersion(),
			})
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(o.err, "enrolled as %s (%s) at %s\n", plain(id.Name), id.Instance, id.Server)
			_, _ = fmt.Fprintln(o.err, "hint: sess-agent run connects it; sess-agent install makes it a service")
			_, err = fmt.Fprintln(o.out, plain(id.Name))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&server, "server", "", "the server's URL, with its pin if its certificate is its own (SESS_AGENT_SERVER)")
	f.StringVar(&token, "token", "", "enrolment token (SESS_AGENT_TOKEN)")
	f.StringVar(&tokenFile, "token-file", "", "file with the token; - is standard input")
	f.StringVar(&name, "name", "", "name of the instance (SESS_AGENT_NAME; the host name)")
	f.BoolVar(&force, "force", false, "replace an enrolment that is there")
	return c
}

// token gives the token of flag, file or environment.
func (o *options) token(flag, file string) (string, error) {
	if flag != "" && file != "" {
		return "", usageError{errors.New("--token and --token-file exclude each other")}
	}
	if file == "" {
		if t := orEnv(flag, "SESS_AGENT_TOKEN"); t != "" {
			return t, nil
		}
		return "", usageError{errors.New("which token? --token or --token-file is missing")}
	}
	r := o.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", sess.Wrap(err, sess.CodeInvalid, "can't read the token file", "")
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, sess.MaxToken+64))
	if err != nil {
		return "", sess.Wrap(err, sess.CodeInvalid, "can't read the token", "")
	}
	return strings.TrimSpace(string(b)), nil
}
