// Command sessctl starts sessions on instances and looks after them. See sessctl --help.
package main

import (
	"context"
	"os"

	"github.com/sessctl/sess/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:]))
}
