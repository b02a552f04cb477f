package programs_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sessctl/sess/internal/agent/programs"
	"github.com/sessctl/sess/internal/sess"
)

// TestWhereItIsAvailable opens the list as those who may and those who may not: each reason comes from a real kernel that
// refuses. Not tried: kernels that are too old, and a locked down one, which stays so until it is started again.
func TestWhereItIsAvailable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	open(t) // else there is nothing to compare with
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	nobody := []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	for name, c := range map[string]struct {
		as   []string
		env  string
		want string
	}{
		"root":                 {want: "on 1"},
		"pid namespace":        {as: []string{"unshare", "--pid", "--fork", "--mount-proc"}, want: "on 1"},
		"nobody":               {as: nobody, want: sess.NoProgramsCapability},
		"two capabilities":     {as: append(nobody, "--inh-caps=+bpf,+perfmon", "--ambient-caps=+bpf,+perfmon"), want: "on 1"},
		"one capability":       {as: append(nobody, "--inh-caps=+bpf", "--ambient-caps=+bpf"), want: sess.NoProgramsCapability},
		"bare root":            {as: []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all"}, want: sess.NoProgramsCapability},
		"user namespace":       {as: []string{"unshare", "--user", "--map-root-user"}, want: sess.NoProgramsCapability},
		"container":            {env: "SESS_TEST_SECCOMP=1", want: sess.NoProgramsCapability}, // as container engines forbid bpf(2)
		"container's own way":  {env: "SESS_TEST_SECCOMP=38", want: sess.NoProgramsKernel},    // ENOSYS, as kernels without it say
		"no description":       {as: []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs none /sys/kernel/btf && exec "$@"`, "sh"}, want: sess.NoProgramsBTF},
		"description of a lie": {as: []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs none /sys/kernel/btf && echo lie >/sys/kernel/btf/vmlinux && exec "$@"`, "sh"}, want: "on 1|" + sess.NoProgramsFault},
	} {
		t.Run(name, func(t *testing.T) {
			argv := append(c.as[:len(c.as):len(c.as)], "/proc/self/fd/3", "-test.run=^TestOpenHelper$", "-test.v")
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = append(os.Environ(), "SESS_TEST_OPEN=1", c.env)
			cmd.ExtraFiles = []*os.File{self}
			cmd.Dir = "/"
			out, err := cmd.CombinedOutput()
			_, got, _ := bytes.Cut(out, []byte("OPENED "))
			word, _, _ := strings.Cut(string(got), ":")
			if err != nil || !strings.Contains("|"+c.want+"|", "|"+word+"|") {
				t.Errorf("%v, want %s:\n%s", err, c.want, out)
			}
		})
	}
}

// TestOpenHelper says whether the list can be opened, and how many programs it saw of one.
func TestOpenHelper(t *testing.T) {
	if os.Getenv("SESS_TEST_OPEN") == "" {
		t.Skip("a helper of TestWhereItIsAvailable")
	}
	if errno := os.Getenv("SESS_TEST_SECCOMP"); errno != "" {
		var n uint32
		if _, err := fmt.Sscan(errno, &n); err != nil {
			t.Fatal(err)
		}
		forbidBPF(t, n)
	}
	w, err := programs.Open(t.Context(), slog.New(slog.DiscardHandler))
	var why *programs.Unavailable
	switch {
	case errors.As(err, &why):
		fmt.Printf("OPENED %s: %v\n", why.Code, why)
	case err != nil:
		fmt.Printf("OPENED %v:\n", err)
	default:
		defer w.Close()
		l := follow(t, w, exec.Command("/bin/true"))
		fmt.Printf("OPENED on %d:\n", l.sum.Count)
	}
}

// forbidBPF has the kernel refuse bpf(2) to this process.
func forbidBPF(t *testing.T, errno uint32) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_BPF, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x00050000 | errno}, // SECCOMP_RET_ERRNO
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},         // SECCOMP_RET_ALLOW
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	const setFilter, allThreads = 1, 1
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&prog))); e != 0 {
		t.Fatal(e)
	}
}
