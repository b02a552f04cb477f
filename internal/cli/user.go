package cli

import "github.com/spf13/cobra"

func (a *app) userCmd() *cobra.Command {
	return parent("user", "Make users", a.userCreateCmd())
}
