package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/sess"
)

// DefaultConfigFile is read when no other is named; it need not exist.
const DefaultConfigFile = "/etc/sess-agent/config"

// Limits of the configuration.
const (
	maxConfigFile      = 64 << 10 // bytes
	maxConfigLine      = 4 << 10  // bytes
	defaultMaxSessions = 100
	maxMaxSessions     = 1000 // their ids must fit a hello
	minMaxProcesses    = 10   // a shell and what it needs to end
	maxMaxProcesses    = 1 << 22
	minMaxMemory       = 16 << 20 // bytes
	maxMaxMemory       = 1 << 50
)

// Config is the machine owner's last word on what the server may have run here. The server can't change it.
type Config struct {
	DefaultUser  string      // runs sessions that name no user; empty: as root, such sessions are refused
	AllowUsers   []string    // users that sessions may run as; empty: all
	AllowKinds   []sess.Kind // kinds of session that may run; empty: all
	DenyRoot     bool        // no session runs as uid 0
	EnvAllow     []string    // patterns of variables that clients may set; empty: all but the dangerous ones
	MaxSessions  int         // at the same time; 0: 100
	MaxProcesses int         // of each session, threads included; 0: no limit
	MaxMemory    int64       // of each session, in bytes; 0: no limit
	NoPrograms   bool        // the kernel is not asked which programs run in sessions
	// Lease is for how long a session may live on without word from a server; a session for which the server says less ends
	// sooner. 0: as the server says.
	Lease time.Duration
}

// Setting is one line of the configuration, also given as an environment variable (SESS_AGENT_…) or a flag (--…).
type Setting struct {
	Name string // in the file: default_user
	Help string
	set  func(c *Config, value string) error
}

// Env is the environment variable of the setting.
func (s Setting) Env() string { return "SESS_AGENT_" + strings.ToUpper(s.Name) }

// Flag is the flag of the setting, without dashes before it.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Name, "_", "-") }

// Settings lists every setting in the order of the reference.
func Settings() []Setting {
	return []Setting{
		{"default_user", "user that runs sessions which name none; without it an agent that runs as root refuses them", setDefaultUser},
		{"allow_users", "users that sessions may run as, with commas between them; empty means all", setAllowUsers},
		{"allow_kinds", "kinds of session that may run (" + strings.Join(sess.KindNames(), ", ") + "); empty means all", setAllowKinds},
		{"deny_root", "true: no session runs as root", setDenyRoot},
		{"env_allow", "variables that clients may set, with commas; * in a name matches anything; empty means all but LD_*", setEnvAllow},
		{"programs", "off: the kernel is not asked which programs run in sessions; their records say so", setPrograms},
		{"lease", "time, as 2m, at least " + sess.FormatDuration(sess.MinLease) + ", after which sessions end by themselves when no server is heard of, unless the server says less; empty means as the server says", setLease},
		{"max_sessions", "sessions at the same time, at most 1000; 0 means 100", setMaxSessions},
		{"max_processes", "processes and threads of each session at the same time, at least 10; 0 means no limit", setMaxProcesses},
		{"max_memory", "memory of each session, as 512M or 4G, at least 16M; 0 means no limit", setMaxMemory},
	}
}

func setDefaultUser(c *Config, v string) error {
	if strings.ContainsAny(v, " ,:/*") {
		return fmt.Errorf("%q is no user name", v)
	}
	c.DefaultUser = v
	return nil
}

func setAllowUsers(c *Config, v string) error {
	users := list(v)
	for _, u := range users {
		if strings.ContainsAny(u, " :/*") {
			return fmt.Errorf("%q is no user name", u)
		}
	}
	c.AllowUsers = users
	return nil
}

func setAllowKinds(c *Config, v string) error {
	c.AllowKinds = nil
	for _, name := range list(v) {
		k := sess.Kind(name)
		if _, ok := sess.Kinds[k]; !ok {
			return fmt.Errorf("%q is no kind of session; there are %s", name, strings.Join(sess.KindNames(), ", "))
		}
		c.AllowKinds = append(c.AllowKinds, k)
	}
	return nil
}

func setDenyRoot(c *Config, v string) (err error) {
	switch v {
	case "true", "yes":
		c.DenyRoot = true
	case "false", "no", "":
		c.DenyRoot = false
	default:
		err = fmt.Errorf("%q is neither true nor false", v)
	}
	return err
}

func setPrograms(c *Config, v string) (err error) {
	switch v {
	case "on", "":
		c.NoPrograms = false
	case "off":
		c.NoPrograms = true
	default:
		err = fmt.Errorf("%q is neither on nor off", v)
	}
	return err
}

func setEnvAllow(c *Config, v string) error {
	c.EnvAllow = list(v)
	for _, p := range c.EnvAllow {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%q is no pattern", p)
		}
	}
	return nil
}

func setLease(c *Config, v string) error {
	if v == "" {
		c.Lease = 0
		return nil
	}
	d, err := sess.ParseDuration(v)
	if err != nil || d < sess.MinLease || d > sess.MaxLease {
		return fmt.Errorf("%q is no time from %s to %s", v, sess.FormatDuration(sess.MinLease), sess.FormatDuration(sess.MaxLease))
	}
	c.Lease = d
	return nil
}

func setMaxSessions(c *Config, v string) error {
	n, err := strconv.Atoi(orElse(v, "0"))
	if err != nil || n < 0 || n > maxMaxSessions {
		return fmt.Errorf("%q is no number from 0 to %d", v, maxMaxSessions)
	}
	c.MaxSessions = n
	return nil
}

func setMaxProcesses(c *Config, v string) error {
	n, err := strconv.Atoi(orElse(v, "0"))
	if err != nil || n != 0 && n < minMaxProcesses || n > maxMaxProcesses {
		return fmt.Errorf("%q is neither 0 nor a number from %d to %d", v, minMaxProcesses, maxMaxProcesses)
	}
	c.MaxProcesses = n
	return nil
}

func setMaxMemory(c *Config, v string) error {
	digits, shift := strings.TrimSpace(orElse(v, "0")), 0
	for i, unit := range []string{"K", "M", "G", "T"} {
		if d, ok := strings.CutSuffix(strings.TrimSuffix(strings.ToUpper(digits), "IB"), unit); ok {
			digits, shift = d, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 0 || n > maxMaxMemory>>shift || n != 0 && n<<shift < minMaxMemory {
		return fmt.Errorf("%q is neither 0 nor a size from 16M on, as 512M or 4G", v)
	}
	c.MaxMemory = n << shift
	return nil
}

func list(v string) []string {
	var out []string
	for f := range strings.SplitSeq(v, ",") {
		if f = strings.TrimSpace(f); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// ParseConfig reads lines of "key = value" into c. Lines that begin with # are comments; a value may stand in double
// quotes. Unknown or repeated keys are errors that name the line.
func ParseConfig(r io.Reader, name string, c *Config) error {
	s := bufio.NewScanner(io.LimitReader(r, maxConfigFile+1))
	s.Buffer(nil, maxConfigLine)
	seen := map[string]int{}
	size := 0
	for n := 1; s.Scan(); n++ {
		if size += len(s.Bytes()) + 1; size > maxConfigFile {
			return configError(name, n, "the file is too long", "")
		}
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := parseLine(c, line, n, seen); err != nil {
			return configError(name, n, err.Error(), hintFor(err))
		}
	}
	if err := s.Err(); err != nil {
		return configError(name, 0, err.Error(), "")
	}
	return nil
}

var errUnknownSetting = errors.New("unknown setting")

func parseLine(c *Config, line string, n int, seen map[string]int) error {
	key, value, ok := strings.Cut(line, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok {
		return errors.New("a line is key = value")
	}
	if strings.ContainsRune(value, 0) {
		return errors.New("a NUL byte")
	}
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	if first, dup := seen[key]; dup {
		return fmt.Errorf("%s is set on line %d already", key, first)
	}
	seen[key] = n
	for _, s := range Settings() {
		if s.Name == key {
			return s.set(c, value)
		}
	}
	return fmt.Errorf("%w %q", errUnknownSetting, key)
}

func hintFor(err error) string {
	if !errors.Is(err, errUnknownSetting) {
		return ""
	}
	var names []string
	for _, s := range Settings() {
		names = append(names, s.Name)
	}
	return "settings are " + strings.Join(names, ", ")
}

func configError(name string, line int, msg, hint string) error {
	where := name
	if line > 0 {
		where = fmt.Sprintf("%s:%d", name, line)
	}
	return sess.New(sess.CodeInvalid, where+": "+msg, hint)
}

// LoadConfig puts the configuration together: file, environment over it, flags (by the setting's name) over that. An
// empty file means DefaultConfigFile, which may be missing.
func LoadConfig(file string, env func(string) (string, bool), flags map[string]string) (Config, error) {
	var c Config
	if err := readConfig(&c, file); err != nil {
		return c, err
	}
	for _, s := range Settings() {
		if v, ok := env(s.Env()); ok {
			if err := s.set(&c, v); err != nil {
				return c, sess.New(sess.CodeInvalid, s.Env()+": "+err.Error(), "")
			}
		}
		if v, ok := flags[s.Name]; ok {
			if err := s.set(&c, v); err != nil {
				return c, sess.New(sess.CodeInvalid, "--"+s.Flag()+": "+err.Error(), "")
			}
		}
	}
	return c, nil
}

func readConfig(c *Config, file string) error {
	name := orElse(file, DefaultConfigFile)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && file == "" {
		return nil
	}
	if err != nil {
		return sess.Wrap(err, sess.CodeInvalid, "can't read the configuration "+name, "check its path and owner")
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", name, err)
	}
	if st.Mode&0o022 != 0 || st.Uid != 0 && int(st.Uid) != os.Getuid() {
		return sess.New(sess.CodeInvalid, name+" may be changed by others: it is the owner's last word",
			fmt.Sprintf("chown it to the agent's user, then: chmod go-w %s", name))
	}
	return ParseConfig(f, name, c)
}

// allowsUser says whether sessions may run as a user.
func (c Config) allowsUser(name string) bool {
	return len(c.AllowUsers) == 0 || slices.Contains(c.AllowUsers, name)
}

func (c Config) allowsKind(k sess.Kind) bool {
	return len(c.AllowKinds) == 0 || slices.Contains(c.AllowKinds, k)
}

// envPatterns gives what process.CheckEnv takes.
func (c Config) envPatterns() []string {
	if len(c.EnvAllow) == 0 {
		return []string{"*"}
	}
	return c.EnvAllow
}

func (c Config) maxSessions() int {
	if c.MaxSessions == 0 {
		return defaultMaxSessions
	}
	return c.MaxSessions
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
