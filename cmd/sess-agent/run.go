package main

import (
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/agent"
)

// gcPercent trades a little CPU for a small resident size: an agent idles nearly always.
const gcPercent = 50

func runCommand(o *options) *cobra.Command {
	var config string
	var noCgroup bool
	c := &cobra.Command{
		Use: "run", Short: "Connect to the server and run sessions, until stopped",
		Long: `Connects to the server this machine is enrolled at and runs the sessions it
offers, until SIGTERM. It comes back by itself when the server or the network was
away. Settings come from flags, then the environment, then the configuration file
(lines of "key = value").`,
		Example: `  sess-agent run
  sess-agent run --default-user deploy --deny-root true`,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := o.logger()
			if err != nil {
				return err
			}
			state, err := o.state()
			if err != nil {
				return err
			}
			cfg, err := agent.LoadConfig(orEnv(config, "SESS_AGENT_CONFIG"), os.LookupEnv, settings(c.Flags()))
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			a, err := agent.New(agent.Options{State: state, Config: cfg, Version: programVersion(), Log: log, NoCgroup: noCgroup})
			if err != nil {
				return err
			}
			return a.Run(c.Context())
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration file (SESS_AGENT_CONFIG; "+agent.DefaultConfigFile+")")
	c.Flags().BoolVar(&noCgroup, "no-cgroup", false, "hold sessions' processes together without cgroups")
	settingFlags(c.Flags())
	return c
}
