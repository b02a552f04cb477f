package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// maxNoLogin bounds what is shown of a nologin file, in bytes.
const maxNoLogin = 500

// MayLogin looks at what login(1) and sshd look at before they let anyone in: an account that has expired, and a machine
// that is going down or closed for maintenance (nologin), which only root may enter.
func (a Accounts) MayLogin(acc Account, now time.Time) error {
	if acc.UID != 0 {
		for _, name := range []string{"/etc/nologin", "/run/nologin"} {
			if text, err := readSome(name); err == nil {
				text = strings.TrimSpace(text[:min(len(text), maxNoLogin)])
				return sess.New(sess.CodeRejected, "the machine lets nobody but root in: "+orElse(text, name+" exists"), "try again later")
			}
		}
	}
	f, err := os.Open(orElse(a.Shadow, shadowFile))
	if err != nil {
		return nil
	}
	defer f.Close()
	if day := expiry(f, acc.Name); day >= 0 && now.Unix()/86400 >= day {
		return sess.New(sess.CodeRejected, fmt.Sprintf("the account %s has expired on this machine", acc.Name), "its administrator can renew it with chage")
	}
	return nil
}

// expiry gives the day (since 1970) from which shadow(5) says that an account is void; -1: never.
func expiry(r io.Reader, name string) int64 {
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Split(s.Text(), ":")
		if len(f) != 9 || f[0] != name || f[7] == "" {
			continue
		}
		if day, err := strconv.ParseInt(f[7], 10, 64); err == nil && day >= 0 {
			return day
		}
	}
	return -1
}
