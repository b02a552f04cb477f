package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessctl/sess/internal/api"
	"github.com/sessctl/sess/internal/sess"
)

func (a *app) lockCmd() *cobra.Command {
	c := parent("lock", "Lock users, instances, keys and addresses out at once, and let them back in",
		a.lockAddCmd(), a.lockListCmd(), a.lockShowCmd(), a.lockRemoveCmd())
	c.Long = "A lock ends what runs and bars what comes, whatever roles and policies allow, until it is lifted or its time is up."
	return c
}

// lockFlags are what a lock is put on.
type lockFlags struct {
	targets map[sess.LockKind]*string
	org     bool
	yes     bool
	ttl     time.Duration
}

// lockFlag gives the flag that names what to lock: --org says, with every command, in which organisation one asks.
func lockFlag(k sess.LockKind) string {
	if k == sess.LockOrg {
		return "whole-org"
	}
	return string(k)
}

func (f *lockFlags) fill(cmd *cobra.Command, in *api.LockIn) error {
	var named []string
	for _, k := range sess.LockKinds() {
		if !cmd.Flags().Changed(lockFlag(k)) {
			continue
		}
		named = append(named, "--"+lockFlag(k))
		in.Body.Kind = k
		if k != sess.LockOrg {
			in.Body.Target = *f.targets[k]
		}
	}
	switch {
	case len(named) == 0 || in.Body.Kind == sess.LockOrg && !f.org:
		return usagef(cmd, "say what to lock: --user, --group, --instance, --project, --key, --address or --whole-org")
	case len(named) > 1:
		return usagef(cmd, "lock one thing at a time, not %s", strings.Join(named, " and "))
	}
	if !cmd.Flags().Changed("ttl") {
		return nil
	}
	var err error
	in.Body.TTL, err = ttlSeconds(cmd, f.ttl)
	return err
}

func (a *app) lockAddCmd() *cobra.Command {
	var in api.LockIn
	f := lockFlags{targets: map[sess.LockKind]*string{}}
	c := &cobra.Command{
		Use:   "add (--user USER | --group GROUP | --instance INSTANCE | --project PROJECT | --key KEY | --address ADDRESS | --whole-org)",
		Short: "Lock something: what it has running ends within a second, and nothing of it begins",
		Long: "Locks a user, everybody in a group, an instance, every instance of a project, an API key, whoever comes from an address or\n" +
			"network, or the whole organisation. Live sessions that it is on end, with their processes; every call of who is locked is\n" +
			"refused, and says why. A lock on the organisation leaves its admins in, who then see and put right, and start nothing.\n" +
			"A lock that bars yourself needs --force and --ttl.",
		Example: "  sessctl lock add --user ann@example.com --reason 'laptop stolen, INC-7'\n" +
			"  sessctl lock add --instance web-1 --ttl 2h --reason forensics\n  sessctl lock add --address 203.0.113.0/24",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.fill(cmd, &in); err != nil {
				return err
			}
			if f.org && !f.yes {
				if !terminal(a.in) {
					return usagef(cmd, "--whole-org ends every session in the organisation and lets nobody but its admins in: say --yes, too")
				}
				if yes, err := a.confirm("End every session in the organisation, and let nobody but its admins in?"); err != nil || !yes {
					return err
				}
			}
			l, err := call(cmd.Context(), a, "locking", api.AddLock, in)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(l)
			}
			a.note("locked %s %s%s; to lift it: sessctl lock remove %s", l.Kind, cell(l.Name), a.until(l), l.ID)
			return nil
		},
	}
	fs := c.Flags()
	for _, k := range sess.LockKinds() {
		if k == sess.LockOrg {
			fs.BoolVar(&f.org, lockFlag(k), false, "lock the whole organisation, but for what its admins do to see and put right")
			continue
		}
		f.targets[k] = new(string)
		fs.StringVar(f.targets[k], string(k), "", map[sess.LockKind]string{
			sess.LockUser: "lock this `USER`: an e-mail address, or the name of a machine user", sess.LockGroup: "lock everybody in this `GROUP`",
			sess.LockInstance: "lock this `INSTANCE`", sess.LockProject: "lock every instance of this `PROJECT`",
			sess.LockKey: "lock this API `KEY`, by its id", sess.LockAddress: "lock people and scripts that come from this `ADDRESS` or network",
		}[k])
	}
	duration(fs, &f.ttl, "ttl", 0, "how long it lasts; until it is lifted, if not given")
	fs.StringVar(&in.Body.Reason, "reason", "", "`TEXT` says why: whoever it bars is told, and it is on record")
	fs.BoolVar(&in.Body.Force, "force", false, "also if it bars yourself")
	fs.BoolVarP(&f.yes, "yes", "y", false, "don't ask, with --whole-org")
	_ = c.RegisterFlagCompletionFunc("instance", a.completeInstances)
	return a.jsonFlag(c)
}

// until says until when a lock lasts.
func (a *app) until(l api.Lock) string {
	if l.ExpiresAt == nil {
		return ""
	}
	return " until " + l.ExpiresAt.Local().Format("2006-01-02 15:04:05 MST")
}

func (a *app) lockListCmd() *cobra.Command {
	in := api.LocksIn{}
	l := &lister[api.Lock]{
		head: []string{"LOCK", "ON", "NAME", "BY", "CREATED", "EXPIRES", "REASON"},
		none: "nothing is locked",
		fetch: func(ctx context.Context, c *api.Client, p api.Page) ([]api.Lock, string, error) {
			in.Page = p
			out, err := api.Call(ctx, c, api.ListLocks, in)
			return out.Items, out.Next, err
		},
		row: func(l api.Lock) []string {
			return []string{string(l.ID), string(l.Kind), l.Name, l.MadeBy, a.when(l.CreatedAt), a.whenp(l.ExpiresAt), l.Reason}
		},
	}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List locks, newest first",
		Example: "  sessctl lock list\n  sessctl lock list --kind user --json",
	}
	choice(c, &in.Kind, "kind", "", "only those on this `KIND` of thing", sess.LockKinds()...)
	return l.command(a, c, true)
}

func (a *app) lockShowCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show LOCK", Short: "Show a lock", Args: args(cobra.ExactArgs(1)),
		Example: "  sessctl lock show lck_4x2k7q",
		RunE: func(cmd *cobra.Command, argv []string) error {
			l, err := call(cmd.Context(), a, "asking the server", api.GetLock, api.LockRef{Lock: sess.LockID(argv[0])})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(l)
			}
			return a.printFields([]field{
				{"Lock", string(l.ID)},
				{"On", string(l.Kind)},
				{"Name", l.Name},
				{"ID", l.Target},
				{"Reason", l.Reason},
				{"By", l.MadeBy},
				{"Created", a.exactly(l.CreatedAt)},
				{"Expires", a.exactlyp(l.ExpiresAt)},
			})
		},
	})
}

func (a *app) lockRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "remove LOCK…", Aliases: []string{"rm", "delete"}, Short: "Lift locks; sessctl lock list shows their ids",
		Example: "  sessctl lock remove lck_4x2k7q",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			var errs []error
			for _, id := range argv {
				if _, err := call(cmd.Context(), a, "lifting "+id, api.RemoveLock, api.LockRef{Lock: sess.LockID(id)}); err != nil {
					errs = append(errs, err)
					continue
				}
				a.note("lifted %s", cell(id))
			}
			return a.several(errs)
		},
	}
}
