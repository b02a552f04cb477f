package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/agent"
)

func installCommand(o *options) *cobra.Command {
	var config, user string
	var show bool
	c := &cobra.Command{
		Use: "install", Short: "Install the agent as a service of systemd and start it",
		Long: `Installs this program, where it lies, as a service: the machine's when root runs it,
else your own. The machine must be enrolled. Without systemd it says how to run it.

With --run-as the service of root runs as an ordinary user, shut in tightly; then
sudo does not work in its sessions.`,
		Example: `  sudo sess-agent install
  sudo sess-agent install --run-as deploy
  sess-agent install`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := o.service(config, user)
			if err != nil {
				return err
			}
			if !show {
				return s.Install(c.Context())
			}
			unit, err := s.Unit()
			if err == nil {
				_, err = fmt.Fprint(o.out, unit)
			}
			return err
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration file of the service")
	c.Flags().StringVar(&user, "run-as", "", "user that the service runs as (root's services only)")
	c.Flags().BoolVar(&show, "print", false, "print the unit, install nothing")
	return c
}

func uninstallCommand(o *options) *cobra.Command {
	var purge bool
	c := &cobra.Command{
		Use: "uninstall", Short: "Stop the service and remove it",
		Example: "  sudo sess-agent uninstall --purge",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := o.service("", "")
			if err != nil {
				return err
			}
			return s.Uninstall(c.Context(), purge)
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "remove identity and key too")
	return c
}

func (o *options) service(config, user string) (agent.Service, error) {
	if user != "" && os.Getuid() != 0 {
		return agent.Service{}, usageError{fmt.Errorf("--run-as is for root's services; yours run as you")}
	}
	state, err := o.state()
	if err != nil {
		return agent.Service{}, err
	}
	exe, err := os.Executable()
	if err != nil {
		return agent.Service{}, fmt.Errorf("find this program: %w", err)
	}
	dir, err := filepath.Abs(string(state))
	if err != nil {
		return agent.Service{}, fmt.Errorf("find the state directory: %w", err)
	}
	if config != "" {
		if config, err = filepath.Abs(config); err != nil {
			return agent.Service{}, fmt.Errorf("find the configuration: %w", err)
		}
	}
	return agent.Service{Binary: exe, State: agent.StateDir(dir), Config: config, User: user, Out: o.err}, nil
}
