// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// What the kernel tells of the programs that run in sessions. Compiled by scripts/bpf; the agent carries the result, so
// that nobody needs clang to build it.
//
//   fork  a child of a member becomes a member, before it can run; so does what the agent starts for a session
//   exec  a member runs a program: an event
//         and a child of a session that is over costs its parent's life
//   exit  the last thread of a member ends: an event if it ran a program, and it is a member no longer
//
// A process is a member by descent alone, so that neither double forks, new sessions and namespaces nor an emptied
// environment hide it. Only the fields that are named here need be in the running kernel (CO-RE finds them by its BTF).

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_ANY = 0,
	BPF_F_NO_PREALLOC = 1,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define KERNEL __attribute__((preserve_access_index))

typedef struct { int counter; } KERNEL atomic_t;
typedef struct { u32 val; } KERNEL kuid_t;
struct ns_common { u32 inum; } KERNEL;
struct pid_namespace { struct ns_common ns; } KERNEL;
struct upid { int nr; struct pid_namespace *ns; } KERNEL;
struct pid { u32 level; struct upid numbers[1]; } KERNEL;
struct signal_struct { atomic_t live; struct pid *pids[4]; int group_exit_code; u32 flags; } KERNEL;
struct cred { kuid_t euid; } KERNEL;
struct qstr { const u8 *name; } KERNEL;
struct dentry { struct dentry *d_parent; struct qstr d_name; } KERNEL;
struct vfsmount { struct dentry *mnt_root; } KERNEL;
struct mount { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct vfsmount mnt; } KERNEL;
struct path { struct vfsmount *mnt; struct dentry *dentry; } KERNEL;
struct file { struct path f_path; } KERNEL;
struct fs_struct { struct path pwd; } KERNEL;
struct mm_struct { unsigned long arg_start, arg_end; struct file *exe_file; } KERNEL;
struct linux_binprm { const char *filename; } KERNEL;
struct task_struct {
	int pid, tgid, exit_code;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	struct pid *thread_pid;
	const struct cred *cred;
	struct mm_struct *mm;
	struct fs_struct *fs;
} KERNEL;

#define PIDTYPE_TGID 1
#define SIGNAL_GROUP_EXIT 4
#define SIGKILL 9
#define MAX_LEVEL 32

// What user space reads; programs/event.go knows the same.
#define KIND_EXEC 1
#define KIND_EXIT 2
#define MAX_ARGS 4096 // bytes of arguments
#define MAX_FILE 512  // of the name that was asked for
#define MAX_NAME 256  // of one step of a path
#define MAX_DEPTH 32  // steps of a path
#define DATA 8192     // all of them together; a power of two
#define ARGS_CUT 1
#define ARGS_UNREAD 2
#define EXE_CUT 4
#define CWD_CUT 8
#define EXE_UNNAMED 16 // a file in memory: it has no place in the tree
#define CWD_UNNAMED 32

struct head {
	u64 session;
	u64 at; // since the machine started, ns
	u32 kind;
	u32 pid;
	u32 ppid;
	u32 uid;
	u32 code; // of exit, as wait(2) gives it
	u32 flags;
	u32 args_total;
	u16 args, file, exe, cwd; // lengths in data, in this order
	u32 pad;
};

struct walker {
	struct vfsmount *mnt;
	struct dentry *at;
	u32 off;
};

struct event {
	struct head head;
	char data[DATA + MAX_NAME];
	struct walker walker; // not sent
};

struct member {
	u64 session;
	u32 level; // of the agent's pid namespace: pids are told as the agent sees them
	u32 program; // it ran one
	u32 pid; // on that level
	u32 pad;
};

struct spawner {
	u32 ns, tid;
};

struct counts {
	u64 lost;      // events that found no room
	u64 untracked; // processes that could not be made members
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct member);
} members SEC(".maps");

// Threads of the agent that start a session's process now.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct spawner);
	__type(value, struct member);
} spawners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct counts);
} sessions SEC(".maps");

// Sessions that are over: whoever forks in one dies of it, so that no bomb outruns those who kill.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, u32);
} over SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct event);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 19); // mapped twice into the agent, which is to stay small
} events SEC(".maps");

// Where the agent is woken at once; below, it looks now and then.
#define WAKE_AT (64 << 10)

static __always_inline void send(void *data, u64 size, u64 session)
{
	u64 flags = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= WAKE_AT ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
	if (bpf_ringbuf_output(&events, data, size, flags)) {
		struct counts *c = bpf_map_lookup_elem(&sessions, &session);
		if (c)
			__sync_fetch_and_add(&c->lost, 1);
	}
}

// number gives a process's id in the pid namespace of a level; 0: it has none there.
static __always_inline u32 number(struct task_struct *task, u32 level)
{
	if (level == 0)
		return BPF_CORE_READ(task, tgid);
	struct pid *pid = BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]);
	if (!pid || level > MAX_LEVEL || BPF_CORE_READ(pid, level) < level)
		return 0;
	struct upid *id = (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);
	return BPF_CORE_READ(id, nr);
}

static __always_inline void add_member(struct task_struct *child, u32 tgid, struct member *like)
{
	struct member m = {.session = like->session, .level = like->level};
	m.pid = number(child, m.level);
	if (bpf_map_update_elem(&members, &tgid, &m, BPF_ANY)) {
		struct counts *c = bpf_map_lookup_elem(&sessions, &m.session);
		if (c)
			__sync_fetch_and_add(&c->untracked, 1);
	}
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 from = parent->tgid, to = child->tgid;
	if (to != (u32)child->pid)
		return 0; // a thread
	struct member *m = bpf_map_lookup_elem(&members, &from);
	if (m) {
		u64 session = m->session;
		add_member(child, to, m);
		if (bpf_map_lookup_elem(&over, &session))
			bpf_send_signal(SIGKILL);
		return 0;
	}
	struct pid *pid = parent->thread_pid;
	u32 level = BPF_CORE_READ(pid, level);
	if (level > MAX_LEVEL)
		return 0;
	struct upid *id = (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);
	struct spawner by = {.ns = BPF_CORE_READ(id, ns, ns.inum), .tid = BPF_CORE_READ(id, nr)};
	m = bpf_map_lookup_elem(&spawners, &by);
	if (m) {
		struct member first = {.session = m->session, .level = level};
		add_member(child, to, &first);
	} else {
		bpf_map_delete_elem(&members, &to); // whoever had this number before and was not seen to go
	}
	return 0;
}

// walk writes the names of a path, from the leaf to the root, into data from walker.off on, which is behind them then.
// All that changes from step to step lies in memory and not in registers: so each step looks the same to the verifier,
// and it need not try all combinations of all steps.
static __noinline int walk(struct event *e, u32 cut)
{
	volatile struct walker *w = &e->walker;
	for (int i = 0; i < 2 * MAX_DEPTH; i++) {
		struct vfsmount *mnt = w->mnt;
		struct dentry *at = w->at;
		if (at == BPF_CORE_READ(mnt, mnt_root)) {
			struct mount *m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
			struct mount *up = BPF_CORE_READ(m, mnt_parent);
			if (!up || up == m)
				return 0;
			w->at = BPF_CORE_READ(m, mnt_mountpoint);
			w->mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		u32 off = w->off;
		if (off > DATA - MAX_NAME)
			break;
		long n = bpf_probe_read_kernel_str(&e->data[off & (DATA - 1)], MAX_NAME, BPF_CORE_READ(at, d_name.name));
		if (n <= 0 || n > MAX_NAME)
			break;
		w->off = off + n;
		struct dentry *up = BPF_CORE_READ(at, d_parent);
		if (!up || up == at) {
			e->head.flags |= cut << 2; // …_UNNAMED
			return 0;
		}
		w->at = up;
	}
	e->head.flags |= cut;
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old, struct linux_binprm *bprm)
{
	u32 tgid = task->tgid, zero = 0;
	struct member *m = bpf_map_lookup_elem(&members, &tgid);
	if (!m)
		return 0;
	m->program = 1;
	struct event *e = bpf_map_lookup_elem(&scratch, &zero);
	if (!e)
		return 0;
	struct head *h = &e->head;
	h->session = m->session;
	h->at = bpf_ktime_get_boot_ns();
	h->kind = KIND_EXEC;
	h->code = 0;
	h->flags = 0;
	h->pid = number(task, m->level);
	h->ppid = number(BPF_CORE_READ(task, real_parent), m->level);
	h->uid = BPF_CORE_READ(task, cred, euid.val);

	unsigned long start = BPF_CORE_READ(task, mm, arg_start), end = BPF_CORE_READ(task, mm, arg_end);
	u64 len = end > start ? end - start : 0;
	h->args_total = len;
	if (len > MAX_ARGS) {
		len = MAX_ARGS;
		h->flags |= ARGS_CUT;
	}
	if (len && bpf_probe_read_user(e->data, len, (void *)start)) {
		h->flags |= ARGS_UNREAD;
		len = 0;
	}
	h->args = len;
	u32 off = len;
	long n = bpf_probe_read_kernel_str(&e->data[off & (DATA - 1)], MAX_FILE, BPF_CORE_READ(bprm, filename));
	h->file = n > 0 && n <= MAX_FILE ? n : 0;
	off += h->file;
	struct file *f = BPF_CORE_READ(task, mm, exe_file);
	e->walker.mnt = BPF_CORE_READ(f, f_path.mnt);
	e->walker.at = BPF_CORE_READ(f, f_path.dentry);
	e->walker.off = off;
	walk(e, EXE_CUT);
	h->exe = e->walker.off - off;
	off = e->walker.off;
	e->walker.mnt = BPF_CORE_READ(task, fs, pwd.mnt);
	e->walker.at = BPF_CORE_READ(task, fs, pwd.dentry);
	walk(e, CWD_CUT);
	u32 behind = e->walker.off;
	h->cwd = behind - off;
	if (behind > DATA)
		behind = DATA;
	send(e, sizeof(struct head) + behind, h->session);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return 0;
	u32 tgid = task->tgid;
	struct member *m = bpf_map_lookup_elem(&members, &tgid);
	if (!m)
		return 0;
	struct member was = *m;
	if (bpf_map_delete_elem(&members, &tgid) || !was.program)
		return 0; // another thread was faster; or it ran no program
	struct head h = {.session = was.session, .at = bpf_ktime_get_boot_ns(), .kind = KIND_EXIT};
	h.pid = number(task, was.level);
	h.code = BPF_CORE_READ(task, exit_code);
	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		h.code = BPF_CORE_READ(task, signal, group_exit_code);
	send(&h, sizeof h, was.session);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
