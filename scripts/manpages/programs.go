package main

import (
	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/server"
)

// programs are the command trees of the three programs.
func programs() []*cobra.Command {
	return []*cobra.Command{server.Command(server.Process{})}
}
