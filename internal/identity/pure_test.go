package identity_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/sessctl/sess/internal/identity"
	"github.com/sessctl/sess/internal/sess"
)

func TestCheckNewPassword(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"seven wild geese", "Tr0ub4dor&3", "пароль-рыба", strings.Repeat("ab1", 341), "日本語日本語日本", " leading and trailing "} {
		if err := identity.CheckNewPassword(good, "ada@example.com"); err != nil {
			t.Errorf("%.40q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "short", "1234567", "日本語日本語日", "ada@example.com", "ADA@Example.com", " ada@example.com ", "password", "PassWord1", "12345678", "87654321",
		"qwertyuiop", "aaaaaaaaaaaa", "abababab", "summer2026", strings.Repeat("ab1", 342), "geese\x00geese", "geese\ngeese", "\xff\xfe\xfd geese geese", "changeme",
	} {
		err := identity.CheckNewPassword(bad, "ada@example.com")
		if !errors.Is(err, sess.ErrInvalid) {
			t.Errorf("%.40q = %v, want invalid", bad, err)
		} else if len(bad) > 8 && len(bad) < 100 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	good := "$argon2id$v=19$m=65536,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$" + strings.Repeat("A", 43)
	p, salt, sum, err := identity.ParseHash(good)
	if err != nil || p.MemoryKiB != 65536 || p.Passes != 3 || len(salt) != 16 || len(sum) != 32 {
		t.Errorf("ParseHash = %+v, %d, %d, %v", p, len(salt), len(sum), err)
	}
	for _, bad := range []string{
		"", "x", "$", "$$$$$", "$argon2i" + good[9:], strings.Replace(good, "v=19", "v=16", 1), strings.Replace(good, "p=1", "p=4", 1),
		strings.Replace(good, "m=65536", "m=4294967295", 1), strings.Replace(good, "t=3", "t=0", 1), strings.Replace(good, "t=3", "t=1000", 1), good[:len(good)-4], good + "$", strings.Replace(good, "AAEC", "", 4)[:60],
	} {
		if _, _, _, err := identity.ParseHash(bad); err == nil {
			t.Errorf("ParseHash(%q) is taken", bad)
		}
	}
}

func TestNameFromHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"web-1": "web-1", "Web_1.example.com": "web-1", "": "instance", "...": "instance", "--a--b--": "a-b", "ip-10-0-0-1": "ip-10-0-0-1", "größe": "gr-e",
		"日本": "instance", strings.Repeat("a", 300): strings.Repeat("a", 63), strings.Repeat("a", 62) + "-b": strings.Repeat("a", 62), "a b\nc": "a-b-c", "x;rm -rf /": "x-rm-rf",
	} {
		if got := identity.NameFromHost(host); got != want {
			t.Errorf("NameFromHost(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestFreeName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		base  string
		taken []string
		want  string
	}{{"web", nil, "web"}, {"web", []string{"web-2"}, "web"}, {"web", []string{"web"}, "web-2"}, {"web", []string{"web", "web-2", "web-4"}, "web-3"}, {long, []string{long}, long[:61] + "-2"}} {
		if got := identity.FreeName(c.base, c.taken); got != c.want {
			t.Errorf("FreeName(%q, %v) = %q, want %q", c.base, c.taken, got, c.want)
		}
	}
}

func FuzzNameFromHost(f *testing.F) {
	for _, s := range []string{"web-1", "Web_1.example.com", "", "--", "größe", "a\x00b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name := identity.NameFromHost(host)
		taken := []string{name}
		for range 12 {
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
				t.Fatalf("host %q gives the name %q", host, name)
			}
			name = identity.FreeName(name, taken)
			taken = append(taken, name)
		}
	})
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 2, "ab"}, {"é", 1, ""}, {"aé", 2, "a"}, {"a\x1b[0m\u202eb\xffc", 20, "a[0mbc"}, {"", 3, ""}} {
		if got := identity.Clip(c.in, c.n); got != c.want || !utf8.ValidString(got) {
			t.Errorf("Clip(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestNormalEmail(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{" Ada@Example.COM ": "ada@example.com", "root@localhost": "root@localhost", "a+b@c.d": "a+b@c.d", "ÄDA@example.com": "äda@example.com"} {
		if got, err := identity.NormalEmail(in); err != nil || got != want {
			t.Errorf("NormalEmail(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestCheckLabels(t *testing.T) {
	t.Parallel()
	if err := identity.CheckLabels(map[string]string{"app.kubernetes.io/name": "Größe 4", "a": ""}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "A", "a=b", "a b", "ä", strings.Repeat("a", 64), "a\n"} {
		if err := identity.CheckLabels(map[string]string{bad: "x"}); !errors.Is(err, sess.ErrInvalid) {
			t.Errorf("label %q = %v, want invalid", bad, err)
		}
	}
}

// What hashing really costs: a login does it once.
func BenchmarkHash(b *testing.B) {
	for _, passes := range []uint32{3, 4, 5} {
		b.Run(fmt.Sprintf("64MiB-t%d", passes), func(b *testing.B) {
			for b.Loop() {
				argon2.IDKey([]byte("seven wild geese"), make([]byte, 16), passes, 64<<10, 1, 32)
			}
		})
	}
}
