package process

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// Limits on what is read about accounts.
const (
	maxUserName   = 64
	getentTimeout = 5 * time.Second // a directory service that does not answer
	maxGetent     = 64 << 10        // bytes of one answer
)

// Account is a user of this machine.
type Account struct {
	Name     string
	UID, GID uint32
	Groups   []uint32 // all of them, the primary one included
	Home     string
	Shell    string // absolute; never empty
}

// Files where accounts are kept.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
	shadowFile = "/etc/shadow"
)

// Accounts looks users up: in passwd and group files, and, for those who are not there (LDAP, SSSD), through getent and
// id. The zero value reads the machine's own.
type Accounts struct {
	Passwd, Group, Shadow string // empty: /etc/passwd, /etc/group, /etc/shadow
}

// Lookup gives the account of a name. A name nobody has is a *sess.Error of code not_found.
func (a Accounts) Lookup(ctx context.Context, name string) (Account, error) {
	unknown := sess.New(sess.CodeNotFound, fmt.Sprintf("there is no user %q on this machine", name), "")
	if name == "" || len(name) > maxUserName || name[0] == '-' || strings.ContainsAny(name, ":/\x00\n ") {
		return Account{}, unknown
	}
	acc, err := a.byField(0, name)
	if !errors.Is(err, errNoEntry) {
		return acc, err
	}
	// getent also takes a number for the user who has it: policies and the owner's list would see another name than the
	// user who runs.
	if strings.Trim(name, "+0123456789") == "" {
		return Account{}, unknown
	}
	acc, err = getent(ctx, name)
	if errors.Is(err, errNoEntry) || err == nil && !strings.EqualFold(acc.Name, name) {
		return Account{}, unknown
	}
	return acc, err
}

// Self gives the account this process runs as. Where it has no entry, a minimal one is made up.
func (a Accounts) Self(ctx context.Context) (Account, error) {
	uid := strconv.Itoa(os.Getuid())
	acc, err := a.byField(2, uid)
	if errors.Is(err, errNoEntry) {
		acc, err = getent(ctx, uid)
	}
	if errors.Is(err, errNoEntry) {
		acc, err = bare(), nil
	}
	if err != nil {
		return Account{}, err
	}
	gids, err := os.Getgroups() // what it has, not what the files say: it can't get others
	if err != nil {
		return Account{}, fmt.Errorf("list own groups: %w", err)
	}
	acc.GID, acc.Groups = uint32(os.Getgid()), nil //nolint:gosec // an id
	for _, g := range gids {
		acc.Groups = append(acc.Groups, uint32(g)) //nolint:gosec // an id
	}
	return acc, nil
}

var errNoEntry = errors.New("no entry")

func (a Accounts) byField(field int, value string) (Account, error) {
	f, err := os.Open(orElse(a.Passwd, passwdFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Account{}, errNoEntry
	}
	if err != nil {
		return Account{}, fmt.Errorf("read accounts: %w", err)
	}
	defer f.Close()
	acc, err := findPasswd(f, field, value)
	if err != nil {
		return Account{}, err
	}
	g, err := os.Open(orElse(a.Group, groupFile))
	if err != nil {
		acc.Groups = []uint32{acc.GID}
		return acc, nil
	}
	defer g.Close()
	acc.Groups = findGroups(g, acc)
	return acc, nil
}

// findPasswd gives the first valid entry whose field is value.
func findPasswd(r io.Reader, field int, value string) (Account, error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if acc, f, ok := parsePasswd(s.Text()); ok && f[field] == value {
			return acc, nil
		}
	}
	if err := s.Err(); err != nil {
		return Account{}, fmt.Errorf("read accounts: %w", err)
	}
	return Account{}, errNoEntry
}

// parsePasswd reads one line of passwd(5).
func parsePasswd(line string) (Account, []string, bool) {
	f := strings.Split(line, ":")
	if len(f) != 7 || f[0] == "" || strings.ContainsAny(f[0][:1], "#+-") {
		return Account{}, nil, false
	}
	uid, err1 := strconv.ParseUint(f[2], 10, 32)
	gid, err2 := strconv.ParseUint(f[3], 10, 32)
	if err1 != nil || err2 != nil {
		return Account{}, nil, false
	}
	acc := Account{Name: f[0], UID: uint32(uid), GID: uint32(gid), Home: f[5], Shell: f[6]}
	if acc.Home == "" {
		acc.Home = "/"
	}
	if !strings.HasPrefix(acc.Shell, "/") {
		acc.Shell = "/bin/sh" // as passwd(5) says of an empty field
	}
	return acc, f, true
}

// findGroups gives the groups of acc as initgroups(3) would.
func findGroups(r io.Reader, acc Account) []uint32 {
	groups := []uint32{acc.GID}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20) // a group of very many members is one line
	for s.Scan() {
		f := strings.Split(s.Text(), ":")
		if len(f) != 4 {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err == nil && slices.Contains(strings.Split(f[3], ","), acc.Name) && !slices.Contains(groups, uint32(gid)) {
			groups = append(groups, uint32(gid))
		}
	}
	return groups
}

// groupID gives the id of a group, or -1.
func groupID(r io.Reader, name string) int {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		f := strings.Split(s.Text(), ":")
		if len(f) == 4 && f[0] == name {
			if gid, err := strconv.ParseUint(f[2], 10, 31); err == nil {
				return int(gid)
			}
		}
	}
	return -1
}

// getent asks the machine's name service, which static Go can't.
func getent(ctx context.Context, key string) (Account, error) {
	out, err := ask(ctx, "getent", "passwd", key)
	if err != nil {
		return Account{}, err
	}
	acc, _, ok := parsePasswd(strings.TrimSpace(string(out)))
	if !ok {
		return Account{}, errNoEntry
	}
	acc.Groups = []uint32{acc.GID}
	out, err = ask(ctx, "id", "-G", acc.Name)
	if err != nil && !errors.Is(err, errNoEntry) {
		return Account{}, err
	}
	for f := range bytes.FieldsSeq(out) {
		if gid, err := strconv.ParseUint(string(f), 10, 32); err == nil && !slices.Contains(acc.Groups, uint32(gid)) {
			acc.Groups = append(acc.Groups, uint32(gid))
		}
	}
	return acc, nil
}

// ask runs a program of the system and gives its output; errNoEntry when there is no such program or it found nothing.
func ask(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, getentTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // fixed programs, the name checked by Lookup
	cmd.Env = []string{"PATH=" + defaultPath, "LC_ALL=C"}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return nil, sess.Wrap(ctx.Err(), sess.CodeUnavailable, "the machine's directory of users does not answer", "try again, or look at its name service (nsswitch.conf)")
	case err != nil || len(out) > maxGetent:
		return nil, errNoEntry
	}
	return out, nil
}

// bare makes up an account for a process whose uid has no entry, as in some containers.
func bare() Account {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/"
	}
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	return Account{Name: name, UID: uint32(os.Getuid()), Home: home, Shell: "/bin/sh"} //nolint:gosec // an id
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
