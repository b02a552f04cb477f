package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) keyCmd() *cobra.Command {
	return parent("key", "Make, replace and delete API keys", a.keyCreateCmd(), a.keyListCmd(), a.keyRotateCmd(),
		a.deleteCmd("Delete API keys; what they have running ends", "KEY", api.DeleteKey))
}

// keyFlags are what a key is made with.
type keyFlags struct {
	ttl  time.Duration
	role string
}

func (a *app) keyCreateCmd() *cobra.Command {
	var in api.KeyIn
	var k keyFlags
	c := &cobra.Command{
		Use: "create [NAME]", Short: "Make an API key: your own, or a machine user's",
		Long: "Makes an API key and prints it, this once, alone on standard output. NAME is for people: what it is for. A key may do\n" +
			"what its user may do, until it runs out: after 90 days, if neither --ttl nor the organisation says otherwise. With it in\n" +
			"SESSCTL_API_KEY and the server in SESSCTL_SERVER, sessctl needs no login and no file.",
		Example: "  sessctl key create laptop\n  sessctl key create nightly --user ci-deploy --ttl 30d --from 10.0.0.0/8,192.0.2.7\n" +
			"  sessctl key create --machine ci --role operator",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if err := k.fill(cmd, argv, &in); err != nil {
				return err
			}
			key, err := call(cmd.Context(), a, "making a key", api.CreateKey, in)
			if err != nil {
				return err
			}
			return a.printKey(key)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.Name, "name", "", "the same as NAME")
	f.StringVar(&in.Body.User, "user", "", "the machine user it is for, `NAME`, if it is not for yourself")
	f.StringVar(&in.Body.Machine, "machine", "", "like --user, but made when there is none")
	f.StringVar(&k.role, "role", "", "the `ROLE` of a new machine user: operator if not given")
	duration(f, &k.ttl, "ttl", 0, "how long it is valid, at most what the organisation allows (default 90d, or what the organisation says)")
	f.StringSliceVar(&in.Body.From, "from", nil, "accept it only from these `ADDRESSES` and networks, with commas between; may be repeated")
	a.completeFlags(c)
	return a.jsonFlag(c)
}

// fill completes what is asked for from arguments and flags.
func (k *keyFlags) fill(cmd *cobra.Command, argv []string, in *api.KeyIn) error {
	switch {
	case len(argv) > 0 && cmd.Flags().Changed("name"):
		return usagef(cmd, "the name is given twice: as %q and with --name", argv[0])
	case len(argv) > 0:
		in.Body.Name = argv[0]
	}
	if k.role != "" && in.Body.Machine == "" {
		return usagef(cmd, "--role is for a new machine user: name it with --machine")
	}
	if in.Body.Machine != "" && in.Body.User != "" {
		return usagef(cmd, "--user and --machine exclude each other: --machine makes the machine user when there is none")
	}
	in.Body.Role = sess.Role(k.role)
	var err error
	in.Body.TTL, err = k.seconds(cmd)
	return err
}

// seconds gives --ttl, and 0 where it is not given.
func (k *keyFlags) seconds(cmd *cobra.Command) (int64, error) {
	if !cmd.Flags().Changed("ttl") {
		return 0, nil
	}
	return ttlSeconds(cmd, k.ttl)
}

// printKey shows a new key: the key alone on standard output, what to do with it on standard error.
func (a *app) printKey(k api.Key) error {
	if a.json {
		return a.printJSON(k)
	}
	a.note("API key %s of %s, until %s; it is shown this once:", k.ID, cell(k.User), k.ExpiresAt.Local().Format("2006-01-02 15:04 MST"))
	if _, err := fmt.Fprintln(a.out, cell(k.Secret)); err != nil {
		return err
	}
	server, err := a.pickServer()
	if err != nil {
		return err
	}
	a.note("\na script needs two variables:\n  SESSCTL_SERVER='%s'\n  SESSCTL_API_KEY=(the key)", server)
	return nil
}

func (a *app) keyRotateCmd() *cobra.Command {
	var in api.KeyRotateIn
	var k keyFlags
	var overlap time.Duration
	c := &cobra.Command{
		Use: "rotate KEY", Short: "Replace an API key by a new one; the old one runs out a little later",
		Long: "Makes a new key like KEY (an id from sessctl key list) and prints it, this once, alone on standard output. The old key works\n" +
			"on for the time of --overlap, so that nothing stops while the new one is handed out. Your own keys, and as an admin those of\n" +
			"machine users.",
		Example: "  sessctl key rotate key_4x2k7q\n  sessctl key rotate key_4x2k7q --overlap 0s",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if overlap < 0 || overlap > 0 && overlap < time.Second {
				return usagef(cmd, "--overlap %s is too short; 0s stops the old key at once", overlap)
			}
			in.ID, in.Body.Overlap = argv[0], int64(overlap.Seconds())
			var err error
			if in.Body.TTL, err = k.seconds(cmd); err != nil {
				return err
			}
			key, err := call(cmd.Context(), a, "replacing a key", api.RotateKey, in)
			if err != nil {
				return err
			}
			if overlap == 0 {
				a.note("%s stopped working", cell(argv[0]))
			} else {
				a.note("%s works for another %s at most", cell(argv[0]), overlap)
			}
			return a.printKey(key)
		},
	}
	duration(c.Flags(), &overlap, "overlap", 24*time.Hour, "how long the old key still works; 0s: not at all")
	duration(c.Flags(), &k.ttl, "ttl", 0, "how long the new key is valid (default: as long as the old one was made for)")
	return a.jsonFlag(c)
}

func (a *app) keyListCmd() *cobra.Command {
	var in api.KeysIn
	l := &lister[api.Key]{
		head: []string{"KEY", "NAME", "BEGINS", "OF", "CREATED", "EXPIRES", "ONLY FROM", "LAST USED", "FROM"},
		none: "no API keys",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Key, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListKeys, in)
			return out.Items, out.Next, err
		},
		row: func(k api.Key) []string {
			return []string{
				string(k.ID), k.Name, k.Hint, k.User, a.when(k.CreatedAt), a.when(k.ExpiresAt), strings.Join(k.From, ","), a.whenp(k.LastUsedAt), k.LastUsedBy,
			}
		},
	}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List API keys: yours, newest first",
		Example: "  sessctl key list\n  sessctl key list --user ci-deploy\n  sessctl key list --all --json",
	}
	c.Flags().BoolVarP(&in.All, "all", "a", false, "those of everyone in the organisation")
	c.Flags().StringVar(&in.User, "user", "", "those of this user: `NAME` or id")
	return l.command(a, c, false)
}
