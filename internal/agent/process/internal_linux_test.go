package process

import (
	"slices"
	"strings"
	"testing"
)

func TestParseEnvironment(t *testing.T) {
	env := map[string]string{"PATH": "/bin"}
	parseEnvironment(strings.NewReader("# c\nPATH=\"/a:/b\"\nexport LANG='C.UTF-8'\nEMPTY=\nbad line\nLD_PRELOAD=/x.so\n =y\nA B=c\nX=a=b\n"), env)
	want := map[string]string{"PATH": "/a:/b", "LANG": "C.UTF-8", "EMPTY": "", "X": "a=b"}
	if len(env) != len(want) {
		t.Errorf("environment = %v, want %v", env, want)
	}
	for k, v := range want {
		if env[k] != v {
			t.Errorf("%s = %q, want %q", k, env[k], v)
		}
	}
}

func TestFindGroups(t *testing.T) {
	groups := "root:x:0:\na:x:10:ann,bob\nb:x:11:bob\nbroken\nc:x:12:annie\nd:x:13:zoe,ann\nmine:x:5:ann\n"
	if got := findGroups(strings.NewReader(groups), Account{Name: "ann", GID: 5}); !slices.Equal(got, []uint32{5, 10, 13}) {
		t.Errorf("groups = %v", got)
	}
	if got := groupID(strings.NewReader(groups), "c"); got != 12 {
		t.Errorf("groupID(c) = %d", got)
	}
	if got := groupID(strings.NewReader(groups), "none"); got != -1 {
		t.Errorf("groupID(none) = %d", got)
	}
}

func TestCgroupDir(t *testing.T) {
	const hybrid = "30 25 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n31 25 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	const unified = "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
	const container = "31 25 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
	for _, c := range []struct{ mounts, self, want string }{
		{hybrid, "8:pids:/x\n0::/\n", "/sys/fs/cgroup/unified"},
		{unified, "0::/system.slice/sess-agent.service\n", "/sys/fs/cgroup/system.slice/sess-agent.service"},
		{container, "0::/docker/abc/agent\n", "/sys/fs/cgroup/agent"},
		{container, "0::/elsewhere\n", ""},
		{hybrid, "8:pids:/x\n", ""},
		{"30 25 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw\n", "0::/\n", ""},
	} {
		if got := cgroupDir(c.mounts, c.self); got != c.want {
			t.Errorf("cgroupDir(%q, %q) = %q, want %q", c.mounts, c.self, got, c.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (a) b (c)) S 7 8 9 34816 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 99 1\n"
	p, ok := parseStat(42, []byte(line))
	if !ok || p != (procInfo{pid: 42, ppid: 7, pgrp: 8, session: 9, state: 'S', born: 777}) {
		t.Errorf("parseStat = %+v, %v", p, ok)
	}
	for _, bad := range []string{"", "42 (x", "42 (x) S 1 2", "42 (x) S a b c 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"} {
		if _, ok := parseStat(42, []byte(bad)); ok {
			t.Errorf("parseStat(%q) is no error", bad)
		}
	}
}

func FuzzPasswd(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:\n", "ann")
	f.Add("+nis::::::\n#c:x:0:0:::\n", "root")
	f.Fuzz(func(t *testing.T, text, name string) {
		acc, err := findPasswd(strings.NewReader(text), 0, name)
		if err != nil {
			return
		}
		if acc.Name != name || acc.Name == "" || !strings.HasPrefix(acc.Shell, "/") || acc.Home == "" {
			t.Errorf("account = %+v for %q", acc, name)
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("42 (a) b (c)) S 7 8 9 34816 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 99 1\n"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseStat(1, b) })
}
