// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/*
 * Records what is submitted to io_uring, by whom and with which arguments.
 *
 * Raw tracepoints only: they need neither tracefs nor perf events, and one object then loads from
 * 5.10 on. There, a tracepoint's arguments are plain numbers and every read is a probe read;
 * atomic fetch-add, task storage and bpf_loop() do not exist. What differs between kernels comes
 * in through the constants below, which the shim sets from BTF, or by CO-RE.
 */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "iouring.h"

#define AF_UNIX		1
#define AF_INET		2
#define AF_INET6	10
#define S_IFMT		0170000
#define S_IFSOCK	0140000
#define S_ISUID		04000
#define S_ISGID		02000
#define S_IXGRP		010
#define PF_IO_WORKER	0x00000010
#define PF_USER_WORKER	0x00004000
#define PF_KTHREAD	0x00200000
#define AT_SECURE	23
#define AUXV_PAIRS	26
#define ANON_INODE_FS_MAGIC 0x09041934
#define TMPFS_MAGIC	0x01021994
#define NAME_MAX	255

#define IOSQE_FIXED_FILE (1 << 0)
#define SPLICE_F_FD_IN_FIXED (1U << 31)
#define REQ_F_FAIL	(1 << 8)
#define IORING_CQE_F_MORE (1 << 1)
#define IORING_SETUP_SQPOLL (1 << 1)
#define IORING_SETUP_SQE128 (1 << 10)
#define IORING_SETUP_REGISTERED_FD_ONLY (1 << 15)
#define IORING_SETUP_NO_SQARRAY (1 << 16)
#define IORING_SETUP_SQE_MIXED (1 << 19)
#define IORING_SETUP_SQ_REWIND (1 << 20)

enum {
	OP_NOP = 0, OP_READV = 1, OP_WRITEV = 2, OP_FSYNC = 3, OP_READ_FIXED = 4,
	OP_WRITE_FIXED = 5, OP_POLL_ADD = 6, OP_POLL_REMOVE = 7, OP_SYNC_FILE_RANGE = 8,
	OP_SENDMSG = 9, OP_RECVMSG = 10, OP_TIMEOUT = 11, OP_TIMEOUT_REMOVE = 12, OP_ACCEPT = 13,
	OP_ASYNC_CANCEL = 14, OP_LINK_TIMEOUT = 15, OP_CONNECT = 16, OP_FALLOCATE = 17,
	OP_OPENAT = 18, OP_CLOSE = 19, OP_FILES_UPDATE = 20, OP_STATX = 21, OP_READ = 22,
	OP_WRITE = 23, OP_FADVISE = 24, OP_MADVISE = 25, OP_SEND = 26, OP_RECV = 27,
	OP_OPENAT2 = 28, OP_EPOLL_CTL = 29, OP_SPLICE = 30, OP_PROVIDE_BUFFERS = 31,
	OP_REMOVE_BUFFERS = 32, OP_TEE = 33, OP_SHUTDOWN = 34, OP_RENAMEAT = 35, OP_UNLINKAT = 36,
	OP_MKDIRAT = 37, OP_SYMLINKAT = 38, OP_LINKAT = 39, OP_MSG_RING = 40, OP_FSETXATTR = 41,
	OP_SETXATTR = 42, OP_FGETXATTR = 43, OP_GETXATTR = 44, OP_SOCKET = 45, OP_URING_CMD = 46,
	OP_SEND_ZC = 47, OP_SENDMSG_ZC = 48, OP_READ_MULTISHOT = 49, OP_WAITID = 50,
	OP_FUTEX_WAIT = 51, OP_FUTEX_WAKE = 52, OP_FUTEX_WAITV = 53, OP_FIXED_FD_INSTALL = 54,
	OP_FTRUNCATE = 55, OP_BIND = 56, OP_LISTEN = 57, OP_RECV_ZC = 58, OP_EPOLL_WAIT = 59,
	OP_READV_FIXED = 60, OP_WRITEV_FIXED = 61, OP_PIPE = 62, OP_NOP128 = 63,
	OP_URING_CMD128 = 64,
};

/*
 * Which opcodes work on the open file in the request's fd, which name paths that may begin at an open
 * directory, which read another open file, and which give way first.
 */
#define BIT(n) (1ULL << (n))
#define ON_FILE                                                                                   \
	(BIT(OP_READV) | BIT(OP_WRITEV) | BIT(OP_FSYNC) | BIT(OP_READ_FIXED) |                    \
	 BIT(OP_WRITE_FIXED) | BIT(OP_POLL_ADD) | BIT(OP_SYNC_FILE_RANGE) | BIT(OP_SENDMSG) |     \
	 BIT(OP_RECVMSG) | BIT(OP_ACCEPT) | BIT(OP_CONNECT) | BIT(OP_FALLOCATE) |                 \
	 BIT(OP_CLOSE) | BIT(OP_READ) | BIT(OP_WRITE) | BIT(OP_FADVISE) | BIT(OP_SEND) |          \
	 BIT(OP_RECV) | BIT(OP_EPOLL_CTL) | BIT(OP_MSG_RING) | BIT(OP_EPOLL_WAIT) |               \
	 BIT(OP_SPLICE) | BIT(OP_TEE) | BIT(OP_SHUTDOWN) | BIT(OP_FSETXATTR) |     \
	 BIT(OP_FGETXATTR) | BIT(OP_URING_CMD) | BIT(OP_SEND_ZC) | BIT(OP_SENDMSG_ZC) |           \
	 BIT(OP_READ_MULTISHOT) | BIT(OP_FIXED_FD_INSTALL) | BIT(OP_FTRUNCATE) | BIT(OP_BIND) |   \
	 BIT(OP_LISTEN) | BIT(OP_RECV_ZC) | BIT(OP_READV_FIXED) | BIT(OP_WRITEV_FIXED))
#define IN_DIRECTORY                                                                              \
	(BIT(OP_OPENAT) | BIT(OP_OPENAT2) | BIT(OP_STATX) | BIT(OP_UNLINKAT) | BIT(OP_MKDIRAT) |  \
	 BIT(OP_RENAMEAT) | BIT(OP_SYMLINKAT) | BIT(OP_LINKAT))
#define WITH_INPUT (BIT(OP_SPLICE) | BIT(OP_TEE))
#define HOT                                                                                       \
	(BIT(OP_NOP) | BIT(OP_READV) | BIT(OP_WRITEV) | BIT(OP_READ_FIXED) | BIT(OP_WRITE_FIXED) | \
	 BIT(OP_READ) | BIT(OP_WRITE) | BIT(OP_READ_MULTISHOT) | BIT(OP_READV_FIXED) |            \
	 BIT(OP_WRITEV_FIXED) | BIT(OP_POLL_ADD) | BIT(OP_POLL_REMOVE) | BIT(OP_TIMEOUT) |        \
	 BIT(OP_TIMEOUT_REMOVE) | BIT(OP_LINK_TIMEOUT) | BIT(OP_NOP128))

/* How the tracepoints of this kernel pass what they pass. */
#define FORM_NONE 0

/* 1: (req) since 6.0. 2: (ctx, req, …) 5.14 to 5.19. 3: (ctx, opcode, user_data, …) before. */
const volatile __u32 submit_form = 1;
/* 1: (ctx, req, cqe) since 6.14. 2: (ctx, req, user_data, res, cflags, …) 5.18 to 6.13.
 * 3: (ctx, user_data, res, cflags) before. */
const volatile __u32 complete_form = 1;
/* 1: (sqe, req, error) since 6.0. 2: (sqe, ctx, req, error) 5.18, 5.19. 3: (sqe, error) 5.17.
 * FORM_NONE before. */
const volatile __u32 failed_form = 1;
/* 1: (ctx, opcode, files, buffers, ret) since 5.18. 2: with a bool before ret. */
const volatile __u32 register_form = 1;
/* The flag of a request that has credentials of its own; without it, what it points to is stale. */
const volatile __u32 creds_flag;

/* What is wanted. */
const volatile __u32 wire_abi = WIRE_ABI;
const volatile bool want_results;
const volatile bool want_again;
/* Only completions of what was recorded are wanted, and not everything is. */
const volatile bool want_tracking;
const volatile bool filter_pids;
const volatile bool filter_opcodes;
const volatile bool filter_uids;
const volatile bool filter_euids;
const volatile bool filter_auids;
const volatile bool filter_binary;
const volatile bool filter_deny;
const volatile __u8 wanted_opcodes[256];
const volatile __u64 ring_bytes = 1 << 24;
/* A process may fill this many bytes in every window of 1 << window_shift when room is short. */
const volatile __u32 window_shift = 22;
const volatile __u32 window_share = 1 << 20;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PROGRAMS);
	__type(key, __u32);
	__type(value, struct counters);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} controls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, JUDGEMENTS);
	__type(key, __u32);
	__type(value, __u64);
} judgements SEC(".maps");

/*
 * A record under construction; one for each program, since one may interrupt another. Where a section
 * begins is masked with MAX_OFFSET: two of the longest paths and what comes with them end before that.
 */
#define SCRATCH_BYTES 24576
#define MAX_OFFSET 16383

/* The ids at the front of a struct cred; the two between them are the saved ones. */
enum id {
	ID_UID = 0,
	ID_GID = 1,
	ID_EUID = 4,
	ID_EGID = 5,
	IDS,
};

/* Who is behind a request; what is read of it for every request. */
struct identity {
	struct task_struct *task;
	struct task_struct *leader;
	const struct cred *cred;
	const struct css_set *cgroups;
	struct dentry *cwd;
	struct vfsmount *cwd_mount;
	__u64 id;
	__u64 image; /* names what it runs: another one after an execve(2) */
	__u64 start;
	__u64 exec_count;
	__u64 caps[3];
	__u32 ids[IDS];
	__u32 auid;
	__u32 ppid;
	__u32 valid;
	__u64 comm[2];
};

/* The ids that were looked up last, and what came of it: most requests are of the same process. */
struct looked_up {
	__u32 uid;
	__u32 euid;
	__u32 auid;
	bool known;
	bool listed;
};

struct scratch {
	__u8 data[SCRATCH_BYTES];
	struct identity who;
	struct looked_up last;
	__u64 others[2]; /* see meet_others() */
	__u32 offset; /* see add_offset() */
	__u64 auxv[AUXV_PAIRS * 2];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PROGRAMS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct process_state);
} processes SEC(".maps");

/* What was judged of an executable in a process, by identity.image. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} files SEC(".maps");

/* Completions that are followed without want_results: what is awaited, by ring and user_data. */
struct awaited {
	__u64 ring;
	__u64 user_data;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct awaited);
	__type(value, __u32);
} awaiting SEC(".maps");

/* Of these two the shim sets how many there are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} pids SEC(".maps");

/* Ids of the filter: the kind (0 uid, 1 euid, 2 auid) above the id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} ids SEC(".maps");

/*
 * Kernels that run tracepoint programs with preemption on (7.0 on) skip a program that is already
 * active on the CPU. A second copy of it then runs all the same; here the first one leaves word
 * of the request that it has seen.
 */
#define MARKS 8192
struct mark {
	__u64 request;
	__u64 user_data;
	__u32 tid;
	__u32 head; /* of its ring's entries: the memory of a request serves the next one, too */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MARKS);
	__type(key, __u32);
	__type(value, struct mark);
} marks SEC(".maps");

/* The strongest seccomp mode among the threads of a process, by its pid: above the filters. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} strictest SEC(".maps");

/* How far the walk through a task's table of rings has come, from one run to the next. */
struct cursor {
	__u64 task;
	__u64 from; /* the next index to look at */
	__u64 entry; /* what next_entry() found */
	__u32 rounds;
	__u32 slot; /* see next_entry() */
	__u32 shift;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cursor);
} cursors SEC(".maps");

/*
 * One step along a pointer. Since 6.0 the tracepoint says of what type its request is, and a program
 * may follow such pointers itself; everywhere else each step is a call, which takes ten times as
 * long. `typed` is a constant in every copy of a function.
 */
#define READ(typed, pointer, field)                                                               \
	({                                                                                        \
		typeof((pointer)->field) value;                                                   \
		if (typed)                                                                        \
			value = (pointer)->field;                                                 \
		else                                                                              \
			BPF_CORE_READ_INTO(&value, pointer, field);                               \
		value;                                                                            \
	})

/* What was a pointer that the verifier follows, and is only a number once it was in memory. */
#define number_of(place) (*(volatile __u64 *)&(place))

/* The compiler may not know what an offset was masked with, or it takes the mask away. */
#define BOUND(x, mask)                                                                            \
	({                                                                                        \
		asm volatile("" : "+r"(x));                                                       \
		(x) &= (mask);                                                                    \
	})

/* The compiler must not compute the argument's address, which the verifier does not allow. */
#define ARG(ctx, n)                                                                               \
	({                                                                                        \
		__u64 value;                                                                      \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                             \
			     : "=r"(value)                                                        \
			     : "r"(ctx), "i"((n) * 8));                                           \
		value;                                                                            \
	})

static __always_inline struct counters *row_of(__u32 program, __u32 *cpu)
{
	__u32 key;

	*cpu = bpf_get_smp_processor_id();
	key = *cpu * PROGRAMS + program;
	return bpf_map_lookup_elem(&counts, &key);
}

static __always_inline __u64 mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

/* Room in the ring buffer by what wants it. */
enum room {
	ROOM_ALWAYS, /* what describes processes, files and rings */
	ROOM_COLD,
	ROOM_HOT,
};

static __always_inline bool has_room(enum room room, struct process_state *state, __u32 size)
{
	__u64 used, window;

	if (room == ROOM_ALWAYS)
		return true;
	used = bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA);
	/* What a flood may fill has to last while user space does not run; what is rare needs little. */
	if (used <= ring_bytes / 4 * 3)
		return true;
	if (room == ROOM_HOT || used > ring_bytes / 16 * 15)
		return false;
	if (!state)
		return true;
	/* Nobody gets more than a share of what is written while room is short. */
	window = bpf_ringbuf_query(&records, BPF_RB_PROD_POS) >> window_shift;
	if (state->window != window) {
		state->window = window;
		state->used = 0;
	}
	if (state->used + size > window_share)
		return false;
	state->used += size;
	return true;
}

static __always_inline long write_record(struct scratch *scratch, __u32 size)
{
	struct record *record = (struct record *)scratch->data;

	BOUND(size, MAX_OFFSET);
	record->size = size;
	return bpf_ringbuf_output(&records, scratch, size, BPF_RB_NO_WAKEUP);
}

static __always_inline void count_lost(struct counters *row, __u32 opcode, __u32 pid)
{
	__u32 slot = pid % LOST_PIDS;

	if (opcode >= OPCODES)
		opcode = OPCODES - 1;
	row->lost[opcode]++;
	if (!row->lost_by_pid[slot].pid)
		row->lost_by_pid[slot].pid = pid;
	if (row->lost_by_pid[slot].pid == pid)
		row->lost_by_pid[slot].count++;
}

/*
 * Functions that are not static are verified once, on their own, and not again for every way that
 * leads to them. 5.10 lets only numbers through to them, so they look up what they work on.
 */
static __always_inline struct scratch *scratch_of(__u32 program)
{
	return bpf_map_lookup_elem(&scratches, &program);
}

/* Sections. Each puts itself at `at` and returns where the next one goes. */

static __always_inline __u32 section_head(struct scratch *scratch, __u32 at, __u16 kind,
					  __u16 length, __u32 extra)
{
	struct section *section;

	BOUND(at, MAX_OFFSET);
	section = (struct section *)&scratch->data[at];
	section->kind = kind;
	section->length = length;
	section->extra = extra;
	return at + sizeof(*section) + ((length + 7) & ~7);
}

static __always_inline __u32 put_fault(struct scratch *scratch, __u32 at, __u32 kind)
{
	return section_head(scratch, at, SECTION_FAULT, 0, kind);
}

/* `length` is a constant. */
static __always_inline __u32 put_bytes(struct scratch *scratch, __u32 at, __u16 kind, __u32 extra,
				       const void *from, const __u32 length, bool user)
{
	long error;

	BOUND(at, MAX_OFFSET);
	if (user)
		error = bpf_probe_read_user(&scratch->data[at + 8], length, from);
	else
		error = bpf_probe_read_kernel(&scratch->data[at + 8], length, from);
	if (error)
		return put_fault(scratch, at, kind);
	return section_head(scratch, at, kind, length, extra);
}

static __always_inline __u32 put_u64(struct scratch *scratch, __u32 at, __u16 kind, __u32 extra,
				     __u64 value)
{
	BOUND(at, MAX_OFFSET);
	*(__u64 *)&scratch->data[at + 8] = value;
	return section_head(scratch, at, kind, 8, extra);
}

/* A string of at most MAX_PATH bytes. */
static __always_inline __u32 put_string(struct scratch *scratch, __u32 at, __u16 kind,
					const void *from, bool user)
{
	long length;

	BOUND(at, MAX_OFFSET);
	if (user)
		length = bpf_probe_read_user_str(&scratch->data[at + 8], MAX_PATH, from);
	else
		length = bpf_probe_read_kernel_str(&scratch->data[at + 8], MAX_PATH, from);
	if (length <= 0)
		return put_fault(scratch, at, kind);
	length = (length - 1) & (MAX_PATH - 1);
	return section_head(scratch, at, kind, length, user);
}

/* 1 to 128 bytes of a socket address. */
static __always_inline __u32 put_address(struct scratch *scratch, __u32 at, __u16 kind,
					 const void *from, __s32 length, bool user)
{
	__u32 size = length;
	long error;

	if (length <= 0)
		return at;
	if (size > 128)
		size = 128;
	BOUND(at, MAX_OFFSET);
	BOUND(size, 255);
	if (user)
		error = bpf_probe_read_user(&scratch->data[at + 8], size, from);
	else
		error = bpf_probe_read_kernel(&scratch->data[at + 8], size, from);
	if (error)
		return put_fault(scratch, at, kind);
	return section_head(scratch, at, kind, size, user);
}

/*
 * An offset within MAX_PATH, moved on. The way through memory makes the verifier forget what it
 * knew of the sum, so that one round of a loop looks to it like any other and is followed once.
 */
static __always_inline __u32 add_offset(struct scratch *scratch, __u32 offset, __u32 length)
{
	*(volatile __u32 *)&scratch->offset = offset + length;
	offset = *(volatile __u32 *)&scratch->offset;
	return BOUND(offset, MAX_PATH - 1);
}

/* The components of a path, the last one first. */
static __always_inline __u32 put_path(struct scratch *scratch, __u32 at, __u16 kind,
				      struct dentry *dentry, struct vfsmount *vfsmount,
				      struct dentry *root, struct vfsmount *root_mount)
{
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	__u32 start, off = add_offset(scratch, 0, 0), more = 1;
	int i;

	BOUND(at, MAX_OFFSET);
	start = at + 8;
	for (i = 0; i < MAX_COMPONENTS; i++) {
		struct dentry *parent, *mount_root;
		struct mount *above;
		long length;

		if (dentry == root && vfsmount == root_mount) {
			more = 0;
			break;
		}
		mount_root = BPF_CORE_READ(vfsmount, mnt_root);
		parent = BPF_CORE_READ(dentry, d_parent);
		if (dentry == mount_root) {
			above = BPF_CORE_READ(mount, mnt_parent);
			if (above == mount) {
				more = 0;
				break;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			vfsmount = (void *)mount + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		if (off >= MAX_PATH - NAME_MAX)
			break;
		length = bpf_probe_read_kernel_str(&scratch->data[start + off], NAME_MAX + 1,
						   BPF_CORE_READ(dentry, d_name.name));
		if (length <= 0)
			break;
		off = add_offset(scratch, off, length);
		/* What never was in a directory has a name all the same: memfd:NAME, [eventfd]. */
		if (dentry == parent) {
			more = 0;
			break;
		}
		dentry = parent;
	}
	/* extra 1: there is more of it above. */
	return section_head(scratch, at, kind, off, more);
}

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *node)
{
	if (bpf_core_field_exists(struct kernfs_node___v614, __parent))
		return BPF_CORE_READ((struct kernfs_node___v614 *)node, __parent);
	return BPF_CORE_READ(node, parent);
}

static __always_inline __u32 put_cgroup(struct scratch *scratch, __u32 at, struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup *unified = BPF_CORE_READ(set, dfl_cgrp), *own;
	struct kernfs_node *node = BPF_CORE_READ(unified, kn), *parent;
	struct cgroup_subsys_state **subsys, *css = NULL;
	__u32 start, off = add_offset(scratch, 0, 0), more = 1;
	int i;

	/*
	 * Where controllers are of version 1 they know better: a runtime makes a container's group
	 * there, and leaves its processes in the group of its own service in the hierarchy of version
	 * 2, if systemd has mounted one at all.
	 */
	subsys = (void *)set + bpf_core_field_offset(struct css_set, subsys);
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id))
		subsys += bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id);
	else if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		subsys += bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	else
		subsys = NULL;
	if (subsys)
		bpf_probe_read_kernel(&css, sizeof(css), subsys);
	own = BPF_CORE_READ(css, cgroup);
	if (own && BPF_CORE_READ(own, root) != BPF_CORE_READ(unified, root)) {
		struct kernfs_node *group = BPF_CORE_READ(own, kn);

		if (parent_of(group))
			node = group;
	}

	BOUND(at, MAX_OFFSET);
	start = at + 8;
	for (i = 0; i < 32; i++) {
		long length;

		parent = parent_of(node);
		if (!parent) {
			more = 0;
			break;
		}
		if (off >= MAX_PATH - NAME_MAX)
			break;
		length = bpf_probe_read_kernel_str(&scratch->data[start + off], NAME_MAX + 1,
						   BPF_CORE_READ(node, name));
		if (length <= 0)
			break;
		off = add_offset(scratch, off, length);
		node = parent;
	}
	return section_head(scratch, at, SECTION_CGROUP, off, more);
}

static __always_inline struct task_struct *current_task(const bool typed)
{
	if (typed)
		return (void *)bpf_get_current_task_btf();
	return (void *)bpf_get_current_task();
}

static __always_inline void read_ids(struct identity *who, const struct cred *cred,
				     const bool typed)
{
	if (!typed) {
		bpf_probe_read_kernel(who->ids, sizeof(who->ids),
				      (void *)cred + bpf_core_field_offset(struct cred, uid));
		return;
	}
	who->ids[ID_UID] = cred->uid.val;
	who->ids[ID_GID] = cred->gid.val;
	who->ids[ID_EUID] = cred->euid.val;
	who->ids[ID_EGID] = cred->egid.val;
}

static __always_inline void read_auid(struct identity *who, struct task_struct *leader,
				      const bool typed)
{
	who->auid = -1;
	if (!bpf_core_field_exists(leader->loginuid))
		return;
	who->auid = READ(typed, leader, loginuid.val);
	who->valid |= VALID_AUID;
}

static __always_inline void read_image(struct identity *who, struct task_struct *leader,
				       const bool typed)
{
	who->start = READ(typed, leader, start_boottime);
	who->exec_count = READ(typed, leader, self_exec_id);
	who->image = mix(mix(who->start, READ(typed, leader, tgid)), who->exec_count);
}

/*
 * A filter of the config, as far as it asks for ids and for the executable; what it means says
 * lib/chain/process_filter.ts. Only what is asked for is read.
 */

static __always_inline bool id_listed(__u32 kind, __u32 id)
{
	__u64 key = (__u64)kind << 32 | id;

	return bpf_map_lookup_elem(&ids, &key);
}

/* Whether all ids are listed that the filter asks for and that are there; its lists do not change. */
static __always_inline bool ids_listed(struct looked_up *last, const struct identity *who)
{
	const bool has_auid = bpf_core_field_exists(who->leader->loginuid);
	const __u32 uid = filter_uids ? who->ids[ID_UID] : 0;
	const __u32 euid = filter_euids ? who->ids[ID_EUID] : 0;
	const __u32 auid = filter_auids ? who->auid : 0;

	if (last->known && last->uid == uid && last->euid == euid && last->auid == auid)
		return last->listed;
	last->known = true;
	last->uid = uid;
	last->euid = euid;
	last->auid = auid;
	last->listed = (!filter_uids || id_listed(0, uid)) &&
		       (!filter_euids || id_listed(1, euid)) &&
		       (!filter_auids || !has_auid || id_listed(2, auid));
	return last->listed;
}

/* Whether the executable is one that the filter lists, once that was judged: once for each. */
static __always_inline enum verdict judge_image(__u64 image)
{
	__u32 slot = JUDGEMENT_SLOT(image), verdict, *known;
	__u64 *judgement, word;

	known = bpf_map_lookup_elem(&verdicts, &image);
	if (known)
		return *known;
	judgement = bpf_map_lookup_elem(&judgements, &slot);
	word = judgement ? *judgement : 0;
	verdict = JUDGEMENT_VERDICT(word);
	if (verdict == VERDICT_NONE || word != JUDGEMENT(image, verdict))
		return VERDICT_NONE;
	/* Another one may take its place. */
	bpf_map_update_elem(&verdicts, &image, &verdict, BPF_ANY);
	return verdict;
}

static __always_inline enum verdict judge(struct scratch *scratch, struct task_struct *leader,
					  const struct cred *cred, const bool typed)
{
	const enum verdict no = filter_deny ? VERDICT_PASS : VERDICT_DROP;
	const enum verdict yes = filter_deny ? VERDICT_DROP : VERDICT_PASS;
	struct identity *who = &scratch->who;
	enum verdict listed;

	if (!filter_uids && !filter_euids && !filter_auids && !filter_binary)
		return VERDICT_PASS;
	if (filter_uids || filter_euids)
		read_ids(who, cred, typed);
	if (filter_auids)
		read_auid(who, leader, typed);
	if (!ids_listed(&scratch->last, who))
		return no;
	/* What cannot be read fulfils no condition. */
	if (filter_auids && !bpf_core_field_exists(leader->loginuid))
		return filter_deny ? VERDICT_PASS : VERDICT_NONE;
	if (!filter_binary)
		return yes;
	read_image(who, leader, typed);
	listed = judge_image(who->image);
	if (listed == VERDICT_NONE)
		return VERDICT_NONE;
	return listed == VERDICT_PASS ? yes : no;
}

/* What the executable is called, and whether it still is: 0 where there is none. */
static __always_inline __u64 name_of_exe(struct task_struct *task, const bool typed)
{
	struct mm_struct *mm = READ(typed, task, mm);
	struct dentry *dentry;
	struct file *exe;

	if (!mm)
		return 0;
	exe = READ(typed, mm, exe_file);
	if (!exe)
		return 0;
	dentry = READ(typed, exe, f_path.dentry);
	if (!dentry)
		return 0;
	return (__u64)READ(typed, dentry, d_name.hash) << 1 | !READ(typed, dentry, d_hash.pprev);
}

/* Where the thread is. */
static __always_inline void read_cwd(struct identity *who, struct task_struct *task, const bool typed)
{
	struct fs_struct *fs = READ(typed, task, fs);

	who->cwd = NULL;
	who->cwd_mount = NULL;
	if (!fs)
		return;
	who->cwd = READ(typed, fs, pwd.dentry);
	who->cwd_mount = READ(typed, fs, pwd.mnt);
}

static __always_inline void identify(struct identity *who, struct task_struct *task,
				     struct task_struct *leader, const struct cred *cred, __u32 pid,
				     const bool typed)
{
	const void *caps = (void *)cred + bpf_core_field_offset(struct cred, cap_inheritable);
	const void *comm = (void *)leader + bpf_core_field_offset(struct task_struct, comm);
	struct task_struct *parent = READ(typed, leader, real_parent);
	__u64 hash;

	who->task = task;
	who->leader = leader;
	who->cred = cred;
	who->cgroups = READ(typed, leader, cgroups);
	who->valid = 0;
	read_image(who, leader, typed);
	if (who->start)
		who->valid |= VALID_START;
	if (parent) {
		who->ppid = READ(typed, parent, tgid);
		who->valid |= VALID_PPID;
	}
	read_ids(who, cred, typed);
	if (typed) {
		who->caps[0] = *(const __u64 *)caps;
		who->caps[1] = *(const __u64 *)(caps + 8);
		who->caps[2] = *(const __u64 *)(caps + 16);
		who->valid |= VALID_CRED;
		who->comm[0] = *(const __u64 *)comm;
		who->comm[1] = *(const __u64 *)(comm + 8);
	} else {
		if (!bpf_probe_read_kernel(who->caps, sizeof(who->caps), caps))
			who->valid |= VALID_CRED;
		bpf_probe_read_kernel(who->comm, sizeof(who->comm), comm);
	}
	read_auid(who, leader, typed);
	read_cwd(who, task, typed);

	hash = mix(who->image, (__u64)pid << 32 | who->ppid);
	hash = mix(hash, who->auid);
	hash = mix(hash, number_of(who->cgroups));
	hash = mix(hash, number_of(who->cwd));
	hash = mix(hash, number_of(who->cwd_mount));
	hash = mix(hash, name_of_exe(task, typed));
	hash = mix(hash, (__u64)who->ids[ID_UID] << 32 | who->ids[ID_GID]);
	hash = mix(hash, (__u64)who->ids[ID_EUID] << 32 | who->ids[ID_EGID]);
	hash = mix(hash, who->caps[0]);
	hash = mix(hash, who->caps[1]);
	hash = mix(hash, who->caps[2]);
	hash = mix(hash, who->comm[0]);
	hash = mix(hash, who->comm[1]);
	who->id = hash;
}

/* AT_SECURE from the auxiliary vector that execve(2) left, and why. */
static __always_inline __u32 secure_of(struct scratch *scratch, struct mm_struct *mm,
				       struct inode *inode, bool *known)
{
	__u64 *auxv = scratch->auxv;
	__u32 secure = 0;
	__u16 mode;
	int i;

	*known = !bpf_probe_read_kernel(auxv, sizeof(scratch->auxv),
					(void *)mm +
						bpf_core_field_offset(struct mm_struct, saved_auxv));
	if (!*known)
		return 0;
	for (i = 0; i < AUXV_PAIRS; i++) {
		if (auxv[i * 2] == AT_SECURE) {
			secure = auxv[i * 2 + 1];
			break;
		}
	}
	if (!secure)
		return 0;
	mode = BPF_CORE_READ(inode, i_mode);
	secure = 0;
	if (mode & S_ISUID)
		secure |= SECURE_SETUID;
	if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		secure |= SECURE_SETGID;
	return secure ? secure : SECURE_FILE_CAPS;
}

static __always_inline bool is_memfd(struct file *file)
{
	char name[8] = {};

	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != TMPFS_MAGIC)
		return false;
	bpf_probe_read_kernel(name, 6, BPF_CORE_READ(file, f_path.dentry, d_name.name));
	return name[0] == 'm' && name[1] == 'e' && name[2] == 'm' && name[3] == 'f' &&
	       name[4] == 'd' && name[5] == ':';
}

/* Whether the name of a file is gone, or never was in a directory, as that of a memfd. */
static __always_inline bool is_unlinked(struct dentry *dentry, struct vfsmount *vfsmount)
{
	return !BPF_CORE_READ(dentry, d_hash.pprev) &&
	       (dentry != BPF_CORE_READ(dentry, d_parent) ||
		dentry != BPF_CORE_READ(vfsmount, mnt_root));
}

static __always_inline __u32 put_args(struct scratch *scratch, __u32 at, struct mm_struct *mm)
{
	unsigned long start = BPF_CORE_READ(mm, arg_start);
	unsigned long size = BPF_CORE_READ(mm, arg_end) - start;
	__u32 length;

	if (!start || !size)
		return at;
	length = size > MAX_ARGS ? MAX_ARGS : size;
	BOUND(at, MAX_OFFSET);
	BOUND(length, MAX_ARGS * 2 - 1);
	if (bpf_probe_read_user(&scratch->data[at + 8], length, (void *)start)) {
		/* The last page may be gone; the first string is better than none. */
		return put_string(scratch, at, SECTION_ARGS, (void *)start, true);
	}
	return section_head(scratch, at, SECTION_ARGS, length, size > MAX_ARGS);
}

/* Writes what is known of a process. */
__noinline int describe_process(__u32 program, __u32 pid, __u32 current)
{
	struct scratch *scratch = scratch_of(program);
	struct process_record *record;
	struct task_struct *task;
	struct identity *who;
	struct mm_struct *mm;
	struct file *exe;
	struct fs_struct *fs;
	struct dentry *root, *dentry;
	struct vfsmount *root_mount, *vfsmount;
	__u32 at = sizeof(*record);
	bool known = false;

	if (!scratch)
		return -1;
	record = (struct process_record *)scratch->data;
	who = &scratch->who;
	task = who->task;
	mm = BPF_CORE_READ(task, mm);
	exe = BPF_CORE_READ(mm, exe_file);
	fs = BPF_CORE_READ(task, fs);
	__builtin_memset(record, 0, sizeof(*record));
	record->head.kind = RECORD_PROCESS;
	record->head.time = bpf_ktime_get_boot_ns();
	record->head.process = who->id;
	record->start = who->start;
	record->image = who->image;
	record->exec_count = who->exec_count;
	record->cap_inheritable = who->caps[0];
	record->cap_permitted = who->caps[1];
	record->cap_effective = who->caps[2];
	record->pid = pid;
	record->ppid = who->ppid;
	record->uid = who->ids[ID_UID];
	record->gid = who->ids[ID_GID];
	record->euid = who->ids[ID_EUID];
	record->egid = who->ids[ID_EGID];
	record->auid = who->auid;
	record->valid = who->valid;
	__builtin_memcpy(record->comm, who->comm, sizeof(record->comm));

	root = BPF_CORE_READ(fs, root.dentry);
	root_mount = BPF_CORE_READ(fs, root.mnt);
	if (exe) {
		dentry = BPF_CORE_READ(exe, f_path.dentry);
		vfsmount = BPF_CORE_READ(exe, f_path.mnt);
		at = put_path(scratch, at, SECTION_EXE, dentry, vfsmount, root, root_mount);
		record->secureexec = secure_of(scratch, mm, BPF_CORE_READ(exe, f_inode), &known);
		if (known)
			record->valid |= VALID_SECURE;
		if (is_unlinked(dentry, vfsmount))
			record->valid |= EXE_DELETED;
		if (is_memfd(exe))
			record->secureexec |= SECURE_FILELESS;
		/* Another process's memory is out of reach. */
		if (current)
			at = put_args(scratch, at, mm);
	} else if (BPF_CORE_READ(task, flags) & PF_KTHREAD) {
		record->valid |= EXE_NONE;
	}
	at = put_cgroup(scratch, at, who->leader);
	dentry = BPF_CORE_READ(fs, pwd.dentry);
	vfsmount = BPF_CORE_READ(fs, pwd.mnt);
	at = put_path(scratch, at, SECTION_CWD, dentry, vfsmount, root, root_mount);
	return write_record(scratch, at);
}

/* The process's place in the cache; its description is written before its first request. */
static __always_inline struct process_state *meet_process(__u32 program, struct counters *row,
							  struct identity *who, __u32 pid)
{
	struct process_state *state = bpf_map_lookup_elem(&processes, &who->id);

	if (!state) {
		struct process_state fresh = {};

		bpf_map_update_elem(&processes, &who->id, &fresh, BPF_ANY);
		state = bpf_map_lookup_elem(&processes, &who->id);
		if (!state)
			return NULL;
	}
	if (!state->described) {
		/* Only now: what was not written is described again with the next request. */
		if (describe_process(program, pid, true))
			row->lost_other++;
		else
			state->described = 1;
	}
	return state;
}

/* Open files. */

static __always_inline struct file *file_of(struct task_struct *task, __s32 fd, const bool typed)
{
	struct files_struct *files = READ(typed, task, files);
	struct fdtable *table;
	struct file **slots, *file = NULL;

	if (!files)
		return NULL;
	table = READ(typed, files, fdt);
	if (!table || fd < 0 || (__u32)fd >= READ(typed, table, max_fds))
		return NULL;
	slots = READ(typed, table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	return file;
}

/* The file in a slot of the ring's file table. */
static __always_inline struct file *fixed_file_of(struct io_ring_ctx *ring, __s32 slot)
{
	unsigned long pointer = 0;

	if (slot < 0)
		return NULL;
	if (bpf_core_field_exists(struct io_file_table, data)) {
		struct io_rsrc_node **nodes = BPF_CORE_READ(ring, file_table.data.nodes);
		struct io_rsrc_node *node = NULL;

		if ((__u32)slot >= BPF_CORE_READ(ring, file_table.data.nr))
			return NULL;
		bpf_probe_read_kernel(&node, sizeof(node), &nodes[slot]);
		if (!node)
			return NULL;
		pointer = BPF_CORE_READ(node, file_ptr);
	} else if (bpf_core_field_exists(struct io_file_table___v612, files) &&
		   bpf_core_field_exists(struct io_ring_ctx, nr_user_files)) {
		struct io_file_table___v612 *table =
			(void *)ring + bpf_core_field_offset(struct io_ring_ctx, file_table);
		struct io_fixed_file *files = BPF_CORE_READ(table, files);

		if ((__u32)slot >= BPF_CORE_READ(ring, nr_user_files))
			return NULL;
		bpf_probe_read_kernel(&pointer, sizeof(pointer), &files[slot]);
	}
	/* Its lower bits are flags. */
	return (struct file *)(pointer & ~7ul);
}

static __always_inline bool is_socket(struct file *file)
{
	return (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK;
}

static __always_inline __u32 put_unix(struct scratch *scratch, __u32 at, __u16 kind,
				      struct sock *sk)
{
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);

	if (!address)
		return at;
	return put_address(scratch, at, kind,
			   (void *)address + bpf_core_field_offset(struct unix_address, name),
			   BPF_CORE_READ(address, len), false);
}

__noinline int put_socket(__u32 program, __u32 at, __u32 kind, __u32 extra, __u64 file)
{
	struct scratch *scratch = scratch_of(program);
	struct socket *socket = BPF_CORE_READ((struct file *)file, private_data);
	struct sock *sk = BPF_CORE_READ(socket, sk);
	struct socket_info *info;

	if (!scratch)
		return at;
	BOUND(at, MAX_OFFSET);
	info = (struct socket_info *)&scratch->data[at + 8];
	__builtin_memset(info, 0, sizeof(*info));
	info->type = BPF_CORE_READ(socket, type);
	if (sk) {
		info->valid = 1;
		info->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	}
	if (info->family == AF_INET) {
		BPF_CORE_READ_INTO((__u32 *)info->local_addr, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((__u32 *)info->addr, sk, __sk_common.skc_daddr);
	} else if (info->family == AF_INET6) {
		bpf_probe_read_kernel(info->local_addr, 16, (void *)sk +
			bpf_core_field_offset(struct sock, __sk_common.skc_v6_rcv_saddr));
		bpf_probe_read_kernel(info->addr, 16, (void *)sk +
			bpf_core_field_offset(struct sock, __sk_common.skc_v6_daddr));
	}
	if (info->family == AF_INET || info->family == AF_INET6) {
		info->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
		info->port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	}
	at = section_head(scratch, at, kind, sizeof(*info), extra);
	if (sk && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX) {
		struct sock *peer = BPF_CORE_READ((struct unix_sock *)sk, peer);

		at = put_unix(scratch, at, SECTION_UNIX_LOCAL, sk);
		if (peer)
			at = put_unix(scratch, at, SECTION_UNIX_PEER, peer);
	}
	return at;
}

/* A number for an open file that no other one has: pointers are used again. */
static __always_inline __u64 file_id(struct file *file, struct inode *inode, struct dentry *dentry)
{
	__u64 hash = mix((__u64)file, (__u64)inode);

	hash = mix(hash, (__u64)dentry);
	hash = mix(hash, BPF_CORE_READ(inode, i_ino));
	hash = mix(hash, (__u64)BPF_CORE_READ(file, f_path.mnt));
	/* Another name gives it another description, and so does none. */
	hash = mix(hash, BPF_CORE_READ(dentry, d_name.hash));
	hash = mix(hash, !BPF_CORE_READ(dentry, d_hash.pprev));
	hash = mix(hash, (__u64)BPF_CORE_READ(dentry, d_parent));
	return mix(hash, BPF_CORE_READ(inode, i_sb, s_dev));
}

__noinline int describe_file(__u32 program, __u64 address, __u64 id)
{
	struct scratch *scratch = scratch_of(program);
	struct file *file = (struct file *)address;
	struct file_record *record;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfsmount *vfsmount = BPF_CORE_READ(file, f_path.mnt);
	__u32 at = sizeof(*record);

	if (!scratch)
		return -1;
	record = (struct file_record *)scratch->data;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.kind = RECORD_FILE;
	record->head.time = bpf_ktime_get_boot_ns();
	record->file = id;
	record->mode = BPF_CORE_READ(file, f_inode, i_mode);
	record->inode = BPF_CORE_READ(file, f_inode, i_ino);
	record->magic = BPF_CORE_READ(file, f_inode, i_sb, s_magic);
	record->deleted = is_unlinked(dentry, vfsmount);
	at = put_path(scratch, at, SECTION_FILE_PATH, dentry, vfsmount,
		      BPF_CORE_READ(fs, root.dentry), BPF_CORE_READ(fs, root.mnt));
	return write_record(scratch, at);
}

/* The open file's number, once its description was written; 0 if it was not, or for a socket. */
static __always_inline __u64 meet_file(__u32 program, struct counters *row, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	__u64 id = file_id(file, inode, dentry);
	__u32 seen = 1;

	if (bpf_map_lookup_elem(&files, &id))
		return id;
	if (describe_file(program, (__u64)file, id)) {
		row->lost_other++;
		return 0;
	}
	bpf_map_update_elem(&files, &id, &seen, BPF_ANY);
	return id;
}

/* Where a request's command keeps the pointer to a struct filename. */
#define NAME_OFFSET(type, field)                                                                  \
	(bpf_core_type_exists(struct delayed_filename) ?                                          \
		 bpf_core_field_offset(struct type##___v7, field) :                               \
		 bpf_core_field_offset(struct type, field))

/* The open file that SPLICE and TEE read. */
static __always_inline struct file *input_of(struct task_struct *task, struct io_kiocb *request)
{
	struct io_splice *splice = (struct io_splice *)request;
	__s32 fd;

	/* Before 5.15 it is not told by its number. */
	if (!bpf_core_field_exists(splice->splice_fd_in))
		return NULL;
	fd = BPF_CORE_READ(splice, splice_fd_in);
	if (BPF_CORE_READ(splice, flags) & SPLICE_F_FD_IN_FIXED)
		return fixed_file_of(BPF_CORE_READ(request, ctx), fd);
	return file_of(task, fd, false);
}

/* The descriptor that a path leads through: /proc/self/fd/N, the usual way to link an open file; or -1. */
__noinline int fd_in_path(__u64 name)
{
	const __u64 *word;
	char text[24] = {}, digits[8] = {};
	__s32 fd = 0;
	__u32 at, i;

	bpf_probe_read_kernel_str(text, sizeof(text), (void *)name);
	word = (__u64 *)text;
	if (word[0] == 0x2f64662f7665642fULL) /* /dev/fd/ */
		at = 8;
	else if (word[0] == 0x65732f636f72702fULL && /* /proc/se */
		 (word[1] & 0xffffffffffffULL) == 0x2f64662f666cULL) /* lf/fd/ */
		at = 14;
	else if (word[0] == 0x68742f636f72702fULL && /* /proc/th */
		 word[1] == 0x6c65732d64616572ULL && /* read-sel */
		 (word[2] & 0xffffffffffULL) == 0x2f64662f66ULL) /* f/fd/ */
		at = 21;
	else
		return -1;
	bpf_probe_read_kernel_str(digits, sizeof(digits), (void *)name + at);
#pragma unroll
	for (i = 0; i < sizeof(digits) - 1; i++) {
		__u8 digit = digits[i] - '0';

		if (digit > 9)
			break;
		fd = fd * 10 + digit;
	}
	return i ? fd : -1;
}

/*
 * The open files beside its own that a request has to do with. Directories that its paths begin at
 * are named in scratch->others, the first path's and the second's; an input is named in the first, or
 * in the second by the address of its file where it is a socket.
 */
__noinline int meet_others(__u32 program, __u64 address, __u32 opcode)
{
	struct scratch *scratch = scratch_of(program);
	void *request = (void *)address;
	__s32 first = -1, second = -1;
	struct filename *filename = NULL;
	struct counters *row;
	struct file *file;
	__u32 cpu;

	row = row_of(program, &cpu);
	if (!scratch || !row)
		return 0;
	switch (opcode) {
	case OP_OPENAT:
	case OP_OPENAT2:
		first = BPF_CORE_READ((struct io_open *)request, dfd);
		break;
	case OP_STATX:
		first = BPF_CORE_READ((struct io_statx *)request, dfd);
		break;
	case OP_UNLINKAT:
		if (bpf_core_type_exists(struct io_unlink))
			first = BPF_CORE_READ((struct io_unlink *)request, dfd);
		break;
	case OP_MKDIRAT:
		if (bpf_core_type_exists(struct io_mkdir))
			first = BPF_CORE_READ((struct io_mkdir *)request, dfd);
		break;
	case OP_RENAMEAT:
		if (bpf_core_type_exists(struct io_rename)) {
			first = BPF_CORE_READ((struct io_rename *)request, old_dfd);
			second = BPF_CORE_READ((struct io_rename *)request, new_dfd);
		}
		break;
	case OP_LINKAT:
		/* The name that is linked is the old one. */
		if (bpf_core_type_exists(struct io_link))
			bpf_probe_read_kernel(&filename, sizeof(filename),
					      request + NAME_OFFSET(io_link, oldpath));
		else if (bpf_core_type_exists(struct io_hardlink))
			filename = BPF_CORE_READ((struct io_hardlink *)request, oldpath);
		if (bpf_core_type_exists(struct io_link)) {
			first = BPF_CORE_READ((struct io_link *)request, old_dfd);
			second = BPF_CORE_READ((struct io_link *)request, new_dfd);
		} else if (bpf_core_type_exists(struct io_hardlink)) {
			first = BPF_CORE_READ((struct io_hardlink *)request, old_dfd);
			second = BPF_CORE_READ((struct io_hardlink *)request, new_dfd);
		}
		break;
	case OP_SYMLINKAT:
		if (bpf_core_type_exists(struct io_link))
			second = BPF_CORE_READ((struct io_link *)request, new_dfd);
		else if (bpf_core_type_exists(struct io_symlink))
			second = BPF_CORE_READ((struct io_symlink *)request, new_dfd);
		break;
	}
	scratch->others[0] = 0;
	scratch->others[1] = 0;
	if (filename) {
		__s32 through = fd_in_path((__u64)BPF_CORE_READ(filename, name));

		if (through >= 0)
			first = through;
	}
	if (opcode == OP_SPLICE || opcode == OP_TEE)
		file = input_of(scratch->who.task, request);
	else
		file = file_of(scratch->who.task, first, false);
	if (file && !is_socket(file))
		scratch->others[0] = meet_file(program, row, file);
	else if (opcode == OP_SPLICE)
		scratch->others[1] = (__u64)file;
	file = file_of(scratch->who.task, second, false);
	if (file && !is_socket(file))
		scratch->others[1] = meet_file(program, row, file);
	return 0;
}

static __always_inline __u32 put_directories(struct scratch *scratch, __u32 at)
{
	if (scratch->others[0])
		at = put_u64(scratch, at, SECTION_DIRECTORY, 0, scratch->others[0]);
	if (scratch->others[1])
		at = put_u64(scratch, at, SECTION_DIRECTORY, 1, scratch->others[1]);
	return at;
}

static __always_inline __u32 put_filename(struct scratch *scratch, __u32 at, __u16 kind,
					  void *request, __u32 offset)
{
	struct filename *filename = NULL;

	bpf_probe_read_kernel(&filename, sizeof(filename), request + offset);
	if (!filename)
		return put_fault(scratch, at, kind);
	return put_string(scratch, at, kind, BPF_CORE_READ(filename, name), false);
}

static __always_inline __u32 put_paths(struct scratch *scratch, __u32 at, void *request, __u8 opcode)
{
	switch (opcode) {
	case OP_OPENAT:
	case OP_OPENAT2:
		return put_filename(scratch, at, SECTION_PATH, request,
				    NAME_OFFSET(io_open, filename));
	case OP_STATX:
		/* io_xattr came with the release that made the name a struct filename. */
		if (!bpf_core_type_exists(struct io_xattr))
			return put_string(scratch, at, SECTION_PATH,
					  BPF_CORE_READ((struct io_statx___v518 *)request,
							filename),
					  true);
		return put_filename(scratch, at, SECTION_PATH, request,
				    NAME_OFFSET(io_statx, filename));
	case OP_UNLINKAT:
		if (!bpf_core_type_exists(struct io_unlink))
			return at;
		return put_filename(scratch, at, SECTION_PATH, request,
				    NAME_OFFSET(io_unlink, filename));
	case OP_MKDIRAT:
		if (!bpf_core_type_exists(struct io_mkdir))
			return at;
		return put_filename(scratch, at, SECTION_PATH, request,
				    NAME_OFFSET(io_mkdir, filename));
	case OP_SETXATTR:
	case OP_GETXATTR:
		if (!bpf_core_type_exists(struct io_xattr))
			return at;
		return put_filename(scratch, at, SECTION_PATH, request,
				    NAME_OFFSET(io_xattr, filename));
	}
	return at;
}

static __always_inline __u32 put_two_paths(struct scratch *scratch, __u32 at, void *request,
					   __u8 opcode)
{
	__u32 old, new;

	if (opcode == OP_RENAMEAT) {
		if (!bpf_core_type_exists(struct io_rename))
			return at;
		old = NAME_OFFSET(io_rename, oldpath);
		new = NAME_OFFSET(io_rename, newpath);
	} else if (bpf_core_type_exists(struct io_link)) {
		old = NAME_OFFSET(io_link, oldpath);
		new = NAME_OFFSET(io_link, newpath);
	} else if (opcode == OP_SYMLINKAT && bpf_core_type_exists(struct io_symlink)) {
		old = bpf_core_field_offset(struct io_symlink, oldpath);
		new = bpf_core_field_offset(struct io_symlink, newpath);
	} else if (opcode == OP_LINKAT && bpf_core_type_exists(struct io_hardlink)) {
		old = bpf_core_field_offset(struct io_hardlink, oldpath);
		new = bpf_core_field_offset(struct io_hardlink, newpath);
	} else {
		return at;
	}
	at = put_filename(scratch, at, SECTION_PATH, request, old);
	return put_filename(scratch, at, SECTION_PATH2, request, new);
}

static __always_inline __u32 put_attribute_name(struct scratch *scratch, __u32 at,
						struct io_xattr *xattr)
{
	struct xattr_name *name;

	if (!bpf_core_type_exists(struct io_xattr))
		return at;
	if (bpf_core_type_exists(struct kernel_xattr_ctx))
		name = BPF_CORE_READ((struct io_xattr___v613 *)xattr, ctx.kname);
	else
		name = BPF_CORE_READ(xattr, ctx.kname);
	return put_string(scratch, at, SECTION_NAME, name, false);
}

static __always_inline __u32 async_address_offset(void)
{
	if (bpf_core_type_exists(struct __kernel_sockaddr_storage))
		return bpf_core_field_offset(struct io_async_msghdr___v617, addr);
	return bpf_core_field_offset(struct io_async_msghdr, addr);
}

/* Where the copy of the address of CONNECT and BIND lies. */
static __always_inline void *kept_address(void *async)
{
	__u32 zero = 0;
	struct control *control = bpf_map_lookup_elem(&controls, &zero);
	__u64 first = 0;

	if (control && control->address_place == ADDRESS_AT_START)
		return async;
	if (control && control->address_place == ADDRESS_IN_MESSAGE)
		return async + async_address_offset();
	/* A message starts with a pointer or NULL, an address with its family. */
	bpf_probe_read_kernel(&first, sizeof(first), async);
	if (!first || (first >> 48 == 0xffff && !(first & 7)))
		return async + async_address_offset();
	return async;
}

/* Learns from our own CONNECT where this kernel keeps the address. */
static __always_inline void probe_address(struct io_kiocb *request, struct control *control)
{
	void *async = BPF_CORE_READ(request, async_data);
	__u64 value = 0;

	if (!async)
		return;
	bpf_probe_read_kernel(&value, sizeof(value), async);
	if (value == control->probe) {
		control->address_place = ADDRESS_AT_START;
		return;
	}
	bpf_probe_read_kernel(&value, sizeof(value), async + async_address_offset());
	if (value == control->probe)
		control->address_place = ADDRESS_IN_MESSAGE;
}

/* The address that a request names: the kernel's copy since 6.10, else user memory. */
static __always_inline __u32 put_named_address(struct scratch *scratch, __u32 at,
					       struct io_kiocb *request, __u8 opcode)
{
	void *async = BPF_CORE_READ(request, async_data);
	bool copied = !bpf_core_type_exists(struct io_async_connect);

	if (opcode == OP_CONNECT) {
		struct io_connect *connect = (void *)request;
		__s32 length = BPF_CORE_READ(connect, addr_len);

		if (copied && async)
			return put_address(scratch, at, SECTION_SOCKADDR,
					   kept_address(async), length, false);
		return put_address(scratch, at, SECTION_SOCKADDR, BPF_CORE_READ(connect, addr),
				   length, true);
	}
	if (opcode == OP_BIND) {
		if (!bpf_core_type_exists(struct io_bind) || !async)
			return at;
		return put_address(scratch, at, SECTION_SOCKADDR, kept_address(async),
				   BPF_CORE_READ((struct io_bind *)request, addr_len), false);
	}
	/* SEND, SENDMSG and their zero-copy forms */
	if (copied) {
		struct io_async_msghdr *message = async;

		if (!async || !BPF_CORE_READ(message, msg.msg_name))
			return at;
		return put_address(scratch, at, SECTION_SOCKADDR, async + async_address_offset(),
				   BPF_CORE_READ(message, msg.msg_namelen), false);
	}
	if (opcode == OP_SEND || opcode == OP_SEND_ZC) {
		struct io_sr_msg *send = (void *)request;

		if (bpf_core_field_exists(send->addr_len))
			return put_address(scratch, at, SECTION_SOCKADDR,
					   BPF_CORE_READ(send, addr), BPF_CORE_READ(send, addr_len),
					   true);
		return at;
	}
	/* struct user_msghdr: name, its length, iov, its length */
	{
		void *header = BPF_CORE_READ((struct io_sr_msg *)request, umsg);
		__u64 name[2] = {};

		if (bpf_probe_read_user(name, sizeof(name), header))
			return put_fault(scratch, at, SECTION_SOCKADDR);
		if (!name[0])
			return at;
		return put_address(scratch, at, SECTION_SOCKADDR, (void *)name[0], (__s32)name[1],
				   true);
	}
}

/* The bytes at a user address, for whoever finds the address in the request. */
static __always_inline __u32 put_user(struct scratch *scratch, __u32 at, __u64 address, __u32 length)
{
	BOUND(at, MAX_OFFSET);
	BOUND(length, 511);
	*(__u64 *)&scratch->data[at + 8] = address;
	if (bpf_probe_read_user(&scratch->data[at + 16], length, (void *)address))
		return at;
	return section_head(scratch, at, SECTION_USER, length + 8, 0);
}

#define MAX_IOVECS 16
#define IOVEC_BYTES 16
#define MSGHDR_BYTES 56
#define OPEN_HOW_BYTES 24
#define TIMESPEC_BYTES 16
#define EPOLL_EVENT_BYTES 12

/* The list of buffers of a request, where the kernel has not copied it: before 6.10. */
static __always_inline __u32 put_iovecs(struct scratch *scratch, __u32 at, __u64 address, __u64 count)
{
	if (!address || !count || count > MAX_IOVECS)
		return at;
	return put_user(scratch, at, address, count * IOVEC_BYTES);
}

/* `named`: with the address that it is for. */
static __always_inline __u32 put_message(struct scratch *scratch, __u32 at, __u64 address,
					 bool named)
{
	/* struct user_msghdr: name, its length, iov, its length, … */
	__u64 header[4] = {};
	__u32 length;

	if (bpf_probe_read_user(header, sizeof(header), (void *)address))
		return at;
	at = put_user(scratch, at, address, MSGHDR_BYTES);
	length = header[1];
	if (named && header[0] && length <= 128)
		at = put_user(scratch, at, header[0], length);
	return put_iovecs(scratch, at, header[2], header[3]);
}

/* What a request over several buffers moves in all. */
static __always_inline __u32 put_byte_count(struct scratch *scratch, __u32 at,
					    struct io_kiocb *request, bool message)
{
	void *async = BPF_CORE_READ(request, async_data);
	bool copied = !bpf_core_type_exists(struct io_async_connect);

	if (!copied) {
		if (message)
			return put_message(scratch, at,
					   (__u64)BPF_CORE_READ((struct io_sr_msg *)request, umsg),
					   false);
		return put_iovecs(scratch, at, BPF_CORE_READ((struct io_rw *)request, addr),
				  BPF_CORE_READ((struct io_rw *)request, len));
	}
	if (!async)
		return at;
	if (message)
		return put_u64(scratch, at, SECTION_BYTES, 0,
			       BPF_CORE_READ((struct io_async_msghdr *)async, msg.msg_iter.count));
	if (!bpf_core_field_exists(struct io_async_rw, iter))
		return at;
	return put_u64(scratch, at, SECTION_BYTES, 0,
		       BPF_CORE_READ((struct io_async_rw *)async, iter.count));
}

static __always_inline __u32 put_timeout(struct scratch *scratch, __u32 at,
					 struct io_kiocb *request, __u8 opcode)
{
	struct io_timeout_data *data;
	void *from;
	__u32 flags;

	if (opcode == OP_TIMEOUT_REMOVE) {
		flags = BPF_CORE_READ((struct io_timeout_rem *)request, flags);
		if (!bpf_core_field_exists(struct io_timeout_rem, ts))
			return put_u64(scratch, at, SECTION_TIMESPEC, flags,
				       BPF_CORE_READ((struct io_timeout_rem___v7 *)request, time));
		from = (void *)request + bpf_core_field_offset(struct io_timeout_rem, ts);
		return put_bytes(scratch, at, SECTION_TIMESPEC, flags, from, 16, false);
	}
	data = BPF_CORE_READ(request, async_data);
	if (!data)
		return put_fault(scratch, at, SECTION_TIMESPEC);
	flags = BPF_CORE_READ(data, flags);
	if (!bpf_core_field_exists(struct io_timeout_data, ts))
		return put_u64(scratch, at, SECTION_TIMESPEC, flags,
			       BPF_CORE_READ((struct io_timeout_data___v7 *)data, time));
	from = (void *)data + bpf_core_field_offset(struct io_timeout_data, ts);
	return put_bytes(scratch, at, SECTION_TIMESPEC, flags, from, 16, false);
}

/*
 * What a request was about of which there is only the entry, and what that points to: a refused one,
 * or any where the kernel does not pass the request.
 */
__noinline int put_entry(__u32 program, __u32 at, __u64 address)
{
	const struct io_uring_sqe *sqe = (void *)address;
	struct scratch *scratch = scratch_of(program);
	__u64 one, two;
	__u32 count;
	__u8 opcode;

	if (!scratch)
		return at;
	at = put_bytes(scratch, at, SECTION_SQE, 0, sqe, 64, false);
	opcode = BPF_CORE_READ(sqe, opcode);
	count = BPF_CORE_READ(sqe, len);
	one = BPF_CORE_READ(sqe, addr);
	two = BPF_CORE_READ(sqe, off);
	switch (opcode) {
	case OP_OPENAT2:
		at = put_user(scratch, at, two, OPEN_HOW_BYTES);
		return put_string(scratch, at, SECTION_PATH, (void *)one, true);
	case OP_OPENAT:
	case OP_STATX:
	case OP_UNLINKAT:
	case OP_MKDIRAT:
		return put_string(scratch, at, SECTION_PATH, (void *)one, true);
	case OP_RENAMEAT:
	case OP_SYMLINKAT:
	case OP_LINKAT:
		at = put_string(scratch, at, SECTION_PATH, (void *)one, true);
		return put_string(scratch, at, SECTION_PATH2, (void *)two, true);
	case OP_SETXATTR:
	case OP_GETXATTR:
		if (!bpf_core_field_exists(sqe->addr3))
			return at;
		at = put_string(scratch, at, SECTION_PATH, (void *)BPF_CORE_READ(sqe, addr3), true);
		return put_string(scratch, at, SECTION_NAME, (void *)one, true);
	case OP_FSETXATTR:
	case OP_FGETXATTR:
		return put_string(scratch, at, SECTION_NAME, (void *)one, true);
	case OP_CONNECT:
	case OP_BIND:
		return put_address(scratch, at, SECTION_SOCKADDR, (void *)one, two, true);
	case OP_SENDMSG:
	case OP_SENDMSG_ZC:
		return put_message(scratch, at, one, true);
	case OP_RECVMSG:
		return put_message(scratch, at, one, false);
	case OP_READV:
	case OP_WRITEV:
	case OP_READV_FIXED:
	case OP_WRITEV_FIXED:
		return put_iovecs(scratch, at, one, count);
	case OP_TIMEOUT:
	case OP_LINK_TIMEOUT:
		return put_user(scratch, at, one, TIMESPEC_BYTES);
	case OP_EPOLL_CTL:
		return put_user(scratch, at, one, EPOLL_EVENT_BYTES);
	}
	return at;
}

static __always_inline __u32 put_input(__u32 program, struct scratch *scratch, __u32 at,
				       struct io_kiocb *request)
{
	__u32 unsure = BPF_CORE_READ((struct io_splice *)request, flags) >> 31;

	if (scratch->others[1])
		return put_socket(program, at, SECTION_INPUT_SOCKET, unsure, scratch->others[1]);
	if (scratch->others[0])
		return put_u64(scratch, at, SECTION_INPUT, unsure, scratch->others[0]);
	return at;
}

#define COMMAND_BYTES 64

/* What else the opcode has to tell. */
__noinline int put_arguments(__u32 program, __u32 at, __u64 address, __u32 opcode)
{
	struct io_kiocb *request = (struct io_kiocb *)address;
	struct scratch *scratch = scratch_of(program);

	if (!scratch)
		return at;
	switch (opcode) {
	case OP_NOP:
	case OP_NOP128:
		if (!bpf_core_field_exists(struct io_nop, flags) ||
		    !BPF_CORE_READ((struct io_nop *)request, flags))
			return at;
		break;
	}
	at = put_bytes(scratch, at, SECTION_COMMAND, 0, request, COMMAND_BYTES, false);
	if (opcode < 64 && IN_DIRECTORY & BIT(opcode))
		at = put_directories(scratch, at);
	switch (opcode) {
	case OP_OPENAT:
	case OP_OPENAT2:
	case OP_STATX:
	case OP_UNLINKAT:
	case OP_MKDIRAT:
		return put_paths(scratch, at, request, opcode);
	case OP_FSETXATTR:
	case OP_FGETXATTR:
		return put_attribute_name(scratch, at, (void *)request);
	case OP_SETXATTR:
	case OP_GETXATTR:
		at = put_attribute_name(scratch, at, (void *)request);
		return put_paths(scratch, at, request, opcode);
	case OP_RENAMEAT:
	case OP_SYMLINKAT:
	case OP_LINKAT:
		return put_two_paths(scratch, at, request, opcode);
	case OP_SENDMSG:
	case OP_SENDMSG_ZC:
		at = put_byte_count(scratch, at, request, true);
		return put_named_address(scratch, at, request, opcode);
	case OP_RECVMSG:
		return put_byte_count(scratch, at, request, true);
	case OP_CONNECT:
	case OP_BIND:
	case OP_SEND:
	case OP_SEND_ZC:
		return put_named_address(scratch, at, request, opcode);
	case OP_READV:
	case OP_WRITEV:
	case OP_READV_FIXED:
	case OP_WRITEV_FIXED:
		return put_byte_count(scratch, at, request, false);
	case OP_TIMEOUT:
	case OP_LINK_TIMEOUT:
	case OP_TIMEOUT_REMOVE:
		return put_timeout(scratch, at, request, opcode);
	case OP_SPLICE:
	case OP_TEE:
		return put_input(program, scratch, at, request);
	case OP_URING_CMD:
	case OP_URING_CMD128:
		if (bpf_core_field_exists(struct io_uring_cmd, sqe))
			return put_bytes(scratch, at, SECTION_SQE, 0,
					 BPF_CORE_READ((struct io_uring_cmd *)request, sqe), 64,
					 false);
		return at;
	}
	return at;
}

static __always_inline __u64 user_data_of(struct io_kiocb *request, const bool typed)
{
	if (bpf_core_field_exists(request->cqe.user_data))
		return READ(typed, request, cqe.user_data);
	return BPF_CORE_READ((struct io_kiocb___v518 *)request, user_data);
}

/*
 * The ring's own thread is of the kernel's making: one of the process since 5.12, though never its
 * first, and one of the kernel's own before.
 */
static __always_inline bool is_sq_thread(struct task_struct *task, struct io_ring_ctx *ring,
					 __u64 pid_tgid, const bool typed)
{
	if (pid_tgid >> 32 == (__u32)pid_tgid &&
	    !bpf_core_field_exists(struct io_ring_ctx, sqo_task))
		return false;
	return (READ(typed, ring, flags) & IORING_SETUP_SQPOLL) &&
	       (READ(typed, task, flags) & (PF_IO_WORKER | PF_USER_WORKER | PF_KTHREAD));
}

static __always_inline __u32 filters_of(struct task_struct *task, const bool typed)
{
	if (!bpf_core_field_exists(task->seccomp.filter_count))
		return 0;
	return READ(typed, task, seccomp.filter_count.counter);
}

static __always_inline void put_seccomp(struct request_record *record, struct task_struct *task,
					struct task_struct *leader, bool is_leader,
					const bool typed)
{
	__u32 mode = 0, filters = 0, more;

	if (bpf_core_field_exists(task->seccomp.mode)) {
		mode = READ(typed, task, seccomp.mode);
		filters = filters_of(task, typed);
		if (!is_leader) {
			more = READ(typed, leader, seccomp.mode);
			if (more > mode)
				mode = more;
			more = filters_of(leader, typed);
			if (more > filters)
				filters = more;
		}
	}
	record->head.seccomp_mode = mode;
	record->seccomp_filters = filters;
}

/* In place of an opcode: requests of different ones have the same name. */
#define MIXED 0xff
/* ACCEPT into the slot of the ring's file table that it names, or that its result names. */
#define ACCEPT_TO_SLOT 0xfe
#define ACCEPT_TO_ANY_SLOT 0xfd
#define FILE_INDEX_ALLOC (~0U)

static __always_inline __u8 kind_of_accept(struct io_kiocb *request)
{
	__u32 slot = 0;

	if (request && bpf_core_field_exists(struct io_accept, file_slot))
		slot = BPF_CORE_READ((struct io_accept *)request, file_slot);
	return !slot ? OP_ACCEPT : slot == FILE_INDEX_ALLOC ? ACCEPT_TO_ANY_SLOT : ACCEPT_TO_SLOT;
}

/* The file that ACCEPT made, where it is known which. */
static __always_inline struct file *accepted_file(__u32 kind, struct io_ring_ctx *ring,
						  struct io_kiocb *request, __s32 res)
{
	if (kind == OP_ACCEPT)
		return file_of(current_task(false), res, false);
	if (kind == ACCEPT_TO_ANY_SLOT)
		return fixed_file_of(ring, res);
	if (kind == ACCEPT_TO_SLOT && request &&
	    bpf_core_field_exists(struct io_accept, file_slot))
		return fixed_file_of(ring,
				     BPF_CORE_READ((struct io_accept *)request, file_slot) - 1);
	return NULL;
}

/* The file that OPENAT or OPENAT2 opened. */
static __always_inline struct file *opened_file(struct io_ring_ctx *ring, struct io_kiocb *request,
						__s32 res)
{
	__u32 slot = 0;

	if (bpf_core_field_exists(struct io_open, file_slot))
		slot = BPF_CORE_READ((struct io_open *)request, file_slot);
	if (slot)
		return fixed_file_of(ring, slot == FILE_INDEX_ALLOC ? res : slot - 1);
	return file_of(current_task(false), res, false);
}

/* Remembers that completions of a request are wanted: its opcode, above how many there are. */
static __always_inline void await(struct control *control, struct io_ring_ctx *ring,
				  __u64 user_data, __u8 opcode)
{
	struct awaited key = { .ring = (__u64)ring, .user_data = user_data };
	__u32 *known = bpf_map_lookup_elem(&awaiting, &key);
	__u32 value = (__u32)opcode << 24 | 1;

	if (known && *known >> 24 == opcode)
		value = *known + 1;
	else if (known)
		value = (__u32)MIXED << 24 | ((*known & 0xffffff) + 1);
	control->awaiting = 1;
	bpf_map_update_elem(&awaiting, &key, &value, BPF_ANY);
}

/* The entry that a request was made from, `back` entries ago; its owner can write it. */
static __always_inline struct io_uring_sqe *sqe_of(struct io_ring_ctx *ring, __u32 flags, __u32 back)
{
	__u32 index = (BPF_CORE_READ(ring, cached_sq_head) - back) &
		      (BPF_CORE_READ(ring, sq_entries) - 1);

	if (!(flags & IORING_SETUP_NO_SQARRAY)) {
		__u32 *array = BPF_CORE_READ(ring, sq_array), slot = 0;

		if (array && !bpf_probe_read_kernel(&slot, sizeof(slot), &array[index]))
			index = slot & (BPF_CORE_READ(ring, sq_entries) - 1);
	}
	if (flags & IORING_SETUP_SQE128)
		index <<= 1;
	return (void *)BPF_CORE_READ(ring, sq_sqes) + index * 64ul;
}

/*
 * The same, or 0 where it serves another request by now. The verifier follows this once, and not in
 * each of its callers' ways to it.
 */
__noinline __u64 find_sqe(__u64 ring_address, __u64 user_data)
{
	struct io_ring_ctx *ring = (void *)ring_address;
	__u32 flags = BPF_CORE_READ(ring, flags);
	struct io_uring_sqe *sqe = sqe_of(ring, flags, 1);

	if (BPF_CORE_READ(sqe, user_data) == user_data)
		return (__u64)sqe;
	/* A large entry among small ones counts as two. */
	if (!(flags & IORING_SETUP_SQE_MIXED))
		return 0;
	sqe = sqe_of(ring, flags, 2);
	return BPF_CORE_READ(sqe, user_data) == user_data ? (__u64)sqe : 0;
}

static __always_inline struct io_uring_sqe *sqe_named(struct io_ring_ctx *ring, __u64 user_data)
{
	return (void *)find_sqe((__u64)ring, user_data);
}

/* Before 5.19 a request does not keep the number of its file. */
static __always_inline void entry_fd(struct request_record *record, struct io_ring_ctx *ring,
				     __u64 user_data)
{
	struct io_uring_sqe *sqe = sqe_named(ring, user_data);

	if (sqe) {
		record->fd = BPF_CORE_READ(sqe, fd);
		record->head.bits |= BIT_ENTRY_FD;
	} else {
		record->head.bits |= BIT_NO_FD;
	}
}

/* What the request runs with, where that is not what its process has. */
static __always_inline __u32 put_cred(struct scratch *scratch, __u32 at, struct identity *who,
				      const struct cred *creds, __u64 ring, __u64 user_data)
{
	struct io_uring_sqe *sqe = (void *)find_sqe(ring, user_data);
	__u32 uid, euid = 0;
	__u16 personality = 0;

	uid = BPF_CORE_READ(creds, uid.val);
	bpf_probe_read_kernel(&euid, sizeof(euid),
			      (void *)creds + bpf_core_field_offset(struct cred, uid) + 16);
	if (sqe)
		personality = BPF_CORE_READ(sqe, personality);
	if (uid == who->ids[ID_UID] && euid == who->ids[ID_EUID] && !personality)
		return at;
	return put_u64(scratch, at, SECTION_CRED, personality, (__u64)euid << 32 | uid);
}

/*
 * Whether the kernel keeps the number of the file in the request itself: what is there of others is
 * left over from an earlier one. CLOSE and EPOLL_CTL look their file up themselves, and have its
 * number among their arguments.
 */
static __always_inline bool keeps_fd(__u8 opcode)
{
	return opcode == OP_URING_CMD128 ||
	       (opcode < 64 && ON_FILE & ~(BIT(OP_CLOSE) | BIT(OP_EPOLL_CTL)) & BIT(opcode));
}

/* The open file that a request works on; `sqe` is all that there is where `request` is NULL. */
static __always_inline struct file *file_of_request(struct io_kiocb *request,
						    const struct io_uring_sqe *sqe,
						    struct io_ring_ctx *ring,
						    struct task_struct *task, __u8 opcode,
						    __u32 flags, const bool typed)
{
	__s32 fd;

	if (opcode == OP_URING_CMD128)
		opcode = OP_URING_CMD;
	if (opcode >= 64 || !(ON_FILE & BIT(opcode)))
		return NULL;
	if (request && opcode == OP_CLOSE && bpf_core_field_exists(struct io_close, file_slot)) {
		__u32 slot = BPF_CORE_READ((struct io_close *)request, file_slot);

		if (slot)
			return fixed_file_of(ring, slot - 1);
	}
	if (!request)
		fd = BPF_CORE_READ(sqe, fd);
	else if (opcode == OP_CLOSE)
		return file_of(task, BPF_CORE_READ((struct io_close *)request, fd), typed);
	else if (opcode == OP_EPOLL_CTL)
		return file_of(task, BPF_CORE_READ((struct io_epoll *)request, epfd), typed);
	else if (!bpf_core_field_exists(request->cqe.fd))
		return BPF_CORE_READ(request, file);
	else
		fd = READ(typed, request, cqe.fd);
	if (flags & IOSQE_FIXED_FILE)
		return fixed_file_of(ring, fd);
	return file_of(task, fd, typed);
}

/* Whose ring it is that a thread of the kernel's own serves, through 5.11; else who is here. */
static __always_inline struct task_struct *submitter_of(struct io_ring_ctx *ring, bool sq_thread)
{
	struct task_struct *task = current_task(false), *owner;

	if (!sq_thread || !bpf_core_field_exists(struct io_ring_ctx, sqo_task))
		return task;
	owner = BPF_CORE_READ(ring, sqo_task);
	return owner ? owner : task;
}

/*
 * Everything of one submitted or refused request. Where there is no `request`, and for one that was
 * refused with an `error`, `sqe` is what its arguments are read from.
 */
static __always_inline int record_request(struct io_kiocb *request, struct io_ring_ctx *ring,
					  __u8 opcode, __u64 user_data, __u32 program,
					  const struct io_uring_sqe *sqe, __s32 error,
					  const bool typed)
{
	const bool refused = program == PROGRAM_FAILED || error;
	struct request_record *record;
	struct process_state *state = NULL;
	struct task_struct *current = current_task(typed), *task = current, *leader;
	const struct cred *cred, *creds = NULL;
	struct identity *who;
	struct scratch *scratch;
	struct counters *row;
	struct control *control;
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 pid = pid_tgid >> 32, cpu, zero = 0, key = program, at = sizeof(*record);
	__u32 flags = 0, unsure;
	struct file *file = NULL;
	bool canary, sq_thread, socket = false;
	__u64 file_name = 0;
	enum room room;

	row = row_of(program, &cpu);
	scratch = bpf_map_lookup_elem(&scratches, &key);
	control = bpf_map_lookup_elem(&controls, &zero);
	if (!row || !scratch || !control)
		return 0;
	who = &scratch->who;
	row->seen++;
	canary = user_data == control->canary && !refused;
	if (canary && opcode == OP_CONNECT && request) {
		probe_address(request, control);
		return 0;
	}
	canary = canary && opcode == OP_NOP;

	/* The filter, the cheapest conditions first. */
	if (filter_opcodes && !canary && !wanted_opcodes[opcode])
		goto filtered;
	sq_thread = ring && is_sq_thread(current, ring, pid_tgid, typed);
	if (!typed) {
		task = submitter_of(ring, sq_thread);
		if (bpf_core_field_exists(struct io_ring_ctx, sqo_task))
			pid = BPF_CORE_READ(task, tgid);
	}
	if (filter_pids && !canary && !bpf_map_lookup_elem(&pids, &pid))
		goto filtered;
	leader = READ(typed, task, group_leader);
	if (!leader)
		goto unread;
	cred = READ(typed, task, cred);
	/* That thread keeps the credentials of when the ring was made. */
	if (sq_thread)
		cred = READ(typed, leader, cred);
	if (!cred)
		goto unread;
	if (!canary && judge(scratch, leader, cred, typed) == VERDICT_DROP)
		goto filtered;
	/* Of ourselves, too: what is told of us is compared with what we know. */
	identify(who, task, leader, cred, pid, typed);
	state = meet_process(program, row, who, pid);

	if ((request || sqe) && !refused && !canary) {
		flags = request ? READ(typed, request, flags) : BPF_CORE_READ(sqe, flags);
		file = file_of_request(request, sqe, ring, task, opcode, flags, typed);
		if (file) {
			socket = is_socket(file);
			if (!socket)
				file_name = meet_file(program, row, file);
		}
		if (request && opcode < 64 && (IN_DIRECTORY | WITH_INPUT) & BIT(opcode)) {
			scratch->others[0] = (__u64)request;
			meet_others(program, number_of(scratch->others[0]), opcode);
		}
	}

	row->seq++;
	record = (struct request_record *)scratch->data;
	record->head.kind = RECORD_REQUEST;
	record->head.opcode = opcode;
	record->head.cpu = cpu;
	record->head.bits = (sq_thread ? BIT_SQ_THREAD : 0) |
			    (program == PROGRAM_SUBMIT_AGAIN ? BIT_AGAIN : 0) |
			    (refused ? BIT_REJECTED : 0) | (request ? 0 : BIT_NO_REQUEST);
	record->head.time = bpf_ktime_get_boot_ns();
	record->head.process = who->id;
	record->head.ring = (__u64)ring;
	record->user_data = user_data;
	record->request = (__u64)request;
	record->seq = row->seq;
	record->tid = pid_tgid;
	record->pid = pid;
	record->flags = flags;
	record->fd = -1;
	record->buf_index = 0;
	put_seccomp(record, task, leader, record->tid == pid, typed);

	if (sqe) {
		at = put_entry(program, at, (__u64)sqe);
	} else if (request && !refused) {
		record->buf_index = READ(typed, request, buf_index);
		if (!bpf_core_field_exists(request->cqe.fd))
			entry_fd(record, ring, user_data);
		else if (keeps_fd(opcode))
			record->fd = READ(typed, request, cqe.fd);
		else
			record->head.bits |= BIT_NO_FD;
		at = put_arguments(program, at, number_of(record->request), opcode);
	}
	if (sqe || !request || refused)
		record->head.bits |= BIT_NO_FD;
	if (refused) {
		BOUND(at, MAX_OFFSET);
		*(__s32 *)&scratch->data[at + 8] = error;
		at = section_head(scratch, at, SECTION_RESULT, 4, 0);
	} else if (!request || bpf_core_field_exists(request->creds)) {
		const bool own = request && flags & creds_flag;

		if (own || (request && !creds_flag))
			creds = READ(typed, request, creds);
		if (!creds)
			creds = READ(typed, current, cred);
		if (own || creds != who->cred)
			at = put_cred(scratch, at, who, creds, number_of(record->head.ring),
				      user_data);
	}
	unsure = !request || flags & IOSQE_FIXED_FILE;
	if (socket)
		at = put_socket(program, at, SECTION_SOCKET, unsure, (__u64)file);
	else if (file_name)
		at = put_u64(scratch, at, SECTION_FILE, unsure, file_name);

	room = opcode < 64 && (HOT & BIT(opcode)) ? ROOM_HOT : ROOM_COLD;
	if (canary)
		room = ROOM_ALWAYS;
	if (!has_room(room, state, at) || write_record(scratch, at)) {
		if (canary)
			row->lost_other++;
		else
			count_lost(row, opcode, pid);
		return 0;
	}
	if (!canary && !refused && (opcode == OP_ACCEPT || want_tracking))
		await(control, ring, user_data,
		      opcode == OP_ACCEPT ? kind_of_accept(request) : opcode);
	return 0;

unread:
	row->seq++;
	count_lost(row, opcode, pid);
	return 0;

filtered:
	row->filtered++;
	return 0;
}

/* True when the first program has seen this request; the word is taken away. */
static __always_inline bool marked(const struct mark *seen)
{
	__u32 key = seen->tid % MARKS;
	struct mark *mark = bpf_map_lookup_elem(&marks, &key);

	/* The kernel may have skipped the program that takes the word away, so one can be old. */
	if (!mark || mark->request != seen->request || mark->tid != seen->tid ||
	    mark->head != seen->head || mark->user_data != seen->user_data)
		return false;
	mark->request = 0;
	return true;
}

static __always_inline void leave_mark(const struct mark *seen)
{
	__u32 key = seen->tid % MARKS;
	struct mark *mark = bpf_map_lookup_elem(&marks, &key);

	if (mark)
		*mark = *seen;
}

static __always_inline int on_submit(void *ctx, __u32 program, const bool typed)
{
	struct io_ring_ctx *ring;
	struct io_kiocb *request;
	__u64 user_data;
	__u8 opcode;

	if (!typed && submit_form == 3) {
		ring = (void *)ARG(ctx, 0);
		user_data = ARG(ctx, 2);
		return record_request(NULL, ring, ARG(ctx, 1), user_data, program,
				      sqe_named(ring, user_data), 0, false);
	}
	if (!typed && submit_form == 2)
		request = (void *)ARG(ctx, 1);
	else
		request = (void *)ARG(ctx, 0);
	ring = READ(typed, request, ctx);
	opcode = READ(typed, request, opcode);
	user_data = user_data_of(request, typed);
	if (want_again) {
		struct mark seen = {
			.request = (__u64)request,
			.user_data = user_data,
			.tid = bpf_get_current_pid_tgid(),
			.head = READ(typed, ring, cached_sq_head),
		};

		if (program == PROGRAM_SUBMIT)
			leave_mark(&seen);
		else if (marked(&seen))
			return 0;
	}
	/* Through 5.18 one of a chain comes here also when it was refused, and was not prepared. */
	if (!typed && submit_form == 2 && BPF_CORE_READ(request, flags) & REQ_F_FAIL) {
		if (failed_form != FORM_NONE)
			return 0;
		return record_request(request, ring, opcode, user_data, program,
				      sqe_named(ring, user_data),
				      BPF_CORE_READ((struct io_kiocb___v518 *)request, result),
				      false);
	}
	return record_request(request, ring, opcode, user_data, program, NULL, 0, typed);
}

/* Of each pair one is loaded: the first where the tracepoint's types are known. */
SEC("tp_btf/io_uring_submit_req")
int submit_typed(void *ctx)
{
	return on_submit(ctx, PROGRAM_SUBMIT, true);
}

SEC("raw_tp/io_uring_submit_req")
int submit(void *ctx)
{
	return on_submit(ctx, PROGRAM_SUBMIT, false);
}

/* The same once more: runs what the kernel would not let the first one see. */
SEC("tp_btf/io_uring_submit_req")
int submit_again_typed(void *ctx)
{
	return on_submit(ctx, PROGRAM_SUBMIT_AGAIN, true);
}

SEC("raw_tp/io_uring_submit_req")
int submit_again(void *ctx)
{
	return on_submit(ctx, PROGRAM_SUBMIT_AGAIN, false);
}

/* A request that was refused: by its preparation, a restriction or a filter of the ring. */
SEC("raw_tp/io_uring_req_failed")
int failed(struct bpf_raw_tracepoint_args *ctx)
{
	const struct io_uring_sqe *sqe = (void *)ARG(ctx, 0);
	struct io_kiocb *request = NULL;
	struct io_ring_ctx *ring = NULL;
	__s32 error;

	if (failed_form == 1) {
		request = (void *)ARG(ctx, 1);
		error = ARG(ctx, 2);
	} else if (failed_form == 2) {
		request = (void *)ARG(ctx, 2);
		error = ARG(ctx, 3);
	} else {
		error = ARG(ctx, 1);
	}
	if (request)
		ring = BPF_CORE_READ(request, ctx);
	return record_request(request, ring, BPF_CORE_READ(sqe, opcode),
			      BPF_CORE_READ(sqe, user_data), PROGRAM_FAILED, sqe, error, false);
}

/* Completions. */

static __always_inline int record_result(struct io_ring_ctx *ring, struct io_kiocb *request,
					 __u64 user_data, __s32 res, __u32 cqe_flags,
					 __u32 program)
{
	struct awaited awaited = { .ring = (__u64)ring, .user_data = user_data };
	__u32 cpu, key = program, zero = 0, at = sizeof(struct result_record);
	struct control *control = bpf_map_lookup_elem(&controls, &zero);
	struct result_record *record;
	struct scratch *scratch;
	struct counters *row;
	__u32 *known = NULL;
	bool tracked = !want_results || want_tracking;
	/* It names no request, where the kernel tells of which one a completion is the last. */
	bool posted = program == PROGRAM_COMPLETE && complete_form != 3 && !request;
	__u8 opcode = request ? BPF_CORE_READ(request, opcode) : OP_NOP;
	__u64 opened = 0;

	if (tracked || !request || opcode == OP_ACCEPT)
		known = bpf_map_lookup_elem(&awaiting, &awaited);
	if (tracked && !known)
		return 0;
	row = row_of(program, &cpu);
	scratch = bpf_map_lookup_elem(&scratches, &key);
	if (!row || !scratch || !control)
		return 0;
	row->seen++;
	if (user_data == control->canary)
		return 0;

	/* A path may lead through links and mounts; only now it is known to which file. */
	if (want_results && res >= 0 && (opcode == OP_OPENAT || opcode == OP_OPENAT2)) {
		struct file *file = opened_file(ring, request, res);

		if (file)
			opened = meet_file(program, row, file);
	}
	record = (struct result_record *)scratch->data;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.kind = RECORD_RESULT;
	record->head.cpu = cpu;
	record->head.bits = posted ? BIT_POSTED : 0;
	record->head.time = bpf_ktime_get_boot_ns();
	record->head.ring = (__u64)ring;
	record->user_data = user_data;
	record->request = (__u64)request;
	record->res = res;
	record->cqe_flags = cqe_flags;
	if (known && res >= 0) {
		struct file *file = accepted_file(*known >> 24, ring, request, res);

		if (file && is_socket(file))
			at = put_socket(program, at, SECTION_PEER, 0, (__u64)file);
	}
	if (opened)
		at = put_u64(scratch, at, SECTION_FILE, 0, opened);
	if (known && !posted && !(cqe_flags & IORING_CQE_F_MORE)) {
		if ((*known & 0xffffff) > 1)
			(*known)--;
		else
			bpf_map_delete_elem(&awaiting, &awaited);
	}
	/* What a flood of requests came to is not worth the room of other requests. */
	if (!has_room(known ? ROOM_COLD : ROOM_HOT, NULL, at) || write_record(scratch, at))
		row->lost_other++;
	return 0;
}

/* Whether a completion may be one that is awaited, before anything is read of it. */
static __always_inline bool awaits_any(void)
{
	__u32 zero = 0;
	struct control *control = bpf_map_lookup_elem(&controls, &zero);

	return want_results || (control && control->awaiting);
}

SEC("raw_tp/io_uring_complete")
int complete(struct bpf_raw_tracepoint_args *ctx)
{
	struct io_ring_ctx *ring = (void *)ARG(ctx, 0);

	if (!awaits_any())
		return 0;
	if (complete_form == 1) {
		struct io_uring_cqe cqe;

		if (bpf_probe_read_kernel(&cqe, sizeof(cqe), (void *)ARG(ctx, 2))) {
			struct counters *row;
			__u32 cpu;

			row = row_of(PROGRAM_COMPLETE, &cpu);
			if (row)
				row->lost_other++;
			return 0;
		}
		return record_result(ring, (void *)ARG(ctx, 1), cqe.user_data, cqe.res, cqe.flags,
				     PROGRAM_COMPLETE);
	}
	if (complete_form == 2)
		return record_result(ring, (void *)ARG(ctx, 1), ARG(ctx, 2), ARG(ctx, 3),
				     ARG(ctx, 4), PROGRAM_COMPLETE);
	return record_result(ring, NULL, ARG(ctx, 1), ARG(ctx, 2), ARG(ctx, 3),
			     PROGRAM_COMPLETE);
}

/* A completion for which the queue had no room: it does not pass io_uring_complete. */
SEC("raw_tp/io_uring_cqe_overflow")
int overflow(struct bpf_raw_tracepoint_args *ctx)
{
	if (!awaits_any())
		return 0;
	return record_result((void *)ARG(ctx, 0), NULL, ARG(ctx, 1), ARG(ctx, 2), ARG(ctx, 3),
			     PROGRAM_OVERFLOW);
}

/* Rings. */

/* Describes the current process for a record of another kind; NULL where the filter drops it. */
static __always_inline struct scratch *begin(__u32 program, struct counters **row, __u32 *cpu,
					     __u32 *pid)
{
	__u32 key = program;
	struct task_struct *task = current_task(false);
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	const struct cred *cred = BPF_CORE_READ(task, cred);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &key);

	*pid = bpf_get_current_pid_tgid() >> 32;
	*row = row_of(program, cpu);
	if (!*row || !scratch)
		return NULL;
	if (filter_pids && !bpf_map_lookup_elem(&pids, pid))
		return NULL;
	(*row)->seen++;
	if (judge(scratch, leader, cred, false) == VERDICT_DROP)
		return NULL;
	identify(&scratch->who, task, leader, cred, *pid, false);
	meet_process(program, *row, &scratch->who, *pid);
	return scratch;
}

static __always_inline int finish(struct scratch *scratch, struct counters *row, __u32 size)
{
	if (write_record(scratch, size))
		row->lost_other++;
	return 0;
}

SEC("raw_tp/io_uring_register")
int registered(struct bpf_raw_tracepoint_args *ctx)
{
	struct register_record *record;
	struct scratch *scratch;
	struct counters *row;
	__u32 cpu, pid;

	scratch = begin(PROGRAM_REGISTER, &row, &cpu, &pid);
	if (!scratch)
		return 0;
	record = (struct register_record *)scratch->data;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.kind = RECORD_REGISTER;
	record->head.cpu = cpu;
	record->head.time = bpf_ktime_get_boot_ns();
	record->head.process = scratch->who.id;
	record->head.ring = ARG(ctx, 0);
	record->operation = ARG(ctx, 1);
	record->files = ARG(ctx, 2);
	record->buffers = ARG(ctx, 3);
	record->result = (__s32)(register_form == 1 ? ARG(ctx, 4) : ARG(ctx, 5));
	record->tid = bpf_get_current_pid_tgid();
	record->pid = pid;
	return finish(scratch, row, sizeof(*record));
}

/* A thread's seccomp mode above the number of its filters. */
static __always_inline __u32 seccomp_of(struct task_struct *task)
{
	__u32 mode = BPF_CORE_READ(task, seccomp.mode) << 16;

	if (bpf_core_field_exists(task->seccomp.filter_count))
		mode |= (__u16)BPF_CORE_READ(task, seccomp.filter_count.counter);
	return mode;
}

/* The strongest of what the thread, its group leader and, if they were looked at, all others have. */
static __always_inline void put_ring_seccomp(struct ring_record *record, struct task_struct *task,
					     struct task_struct *leader, __u32 pid)
{
	__u32 mode, *known = bpf_map_lookup_elem(&strictest, &pid);

	if (!bpf_core_field_exists(task->seccomp.mode))
		return;
	mode = seccomp_of(task);
	if (seccomp_of(leader) > mode)
		mode = seccomp_of(leader);
	if (known && *known > mode)
		mode = *known;
	record->valid |= RING_SECCOMP;
	record->head.seccomp_mode = mode >> 16;
	record->seccomp_filters = mode;
}

SEC("raw_tp/io_uring_create")
int created(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct ring_record *record;
	struct scratch *scratch;
	struct counters *row;
	__u32 cpu, pid;

	scratch = begin(PROGRAM_CREATE, &row, &cpu, &pid);
	if (!scratch)
		return 0;
	record = (struct ring_record *)scratch->data;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.kind = RECORD_RING;
	record->head.cpu = cpu;
	record->head.time = bpf_ktime_get_boot_ns();
	record->head.process = scratch->who.id;
	record->head.ring = ARG(ctx, 1);
	/* Of a ring without a descriptor it is the index among those that the task registered. */
	record->fd = ARG(ctx, 4) & IORING_SETUP_REGISTERED_FD_ONLY ? -1 : ARG(ctx, 0);
	record->sq_entries = ARG(ctx, 2);
	record->cq_entries = ARG(ctx, 3);
	record->flags = ARG(ctx, 4);
	record->found_by = FOUND_BY_CREATE;
	record->pid = pid;
	record->tid = bpf_get_current_pid_tgid();
	record->valid = RING_QUEUES | RING_CREATOR | RING_PENDING;
	record->creator_uid = scratch->who.ids[ID_UID];
	put_ring_seccomp(record, task, BPF_CORE_READ(task, group_leader), pid);
	return finish(scratch, row, sizeof(*record));
}

/* Rings that were there before. */

static __always_inline bool is_ring(struct file *file)
{
	char name[12] = {};

	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return false;
	bpf_probe_read_kernel_str(name, sizeof(name),
				  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	return *(__u64 *)name == 0x6e6972755f6f695bULL && /* "[io_urin" */
	       name[8] == 'g' && name[9] == ']' && !name[10];
}

/*
 * The opcodes that wait in the submission queue. The kernel has its own mapping of the entries,
 * but it is the owner who writes them, and who says how many there are.
 */
static __always_inline __u32 put_pending(struct scratch *scratch, struct ring_record *record,
					 __u32 at, struct io_ring_ctx *ring, __u32 tail)
{
	__u32 head = BPF_CORE_READ(ring, cached_sq_head), mask = record->sq_entries - 1;
	__u32 count = tail - head, length = 64, flags = record->flags;
	__u32 *array = BPF_CORE_READ(ring, sq_array);
	void *entries = BPF_CORE_READ(ring, sq_sqes);
	int i;

	if (!count) {
		record->valid |= RING_PENDING;
		return at;
	}
	/* In a queue of mixed sizes an entry is only told from another's second half by walking. */
	if (count > record->sq_entries || !entries ||
	    flags & (IORING_SETUP_SQE_MIXED | IORING_SETUP_SQ_REWIND))
		return at;
	if (count <= MAX_PENDING)
		record->valid |= RING_PENDING;
	else
		count = MAX_PENDING;
	if (flags & IORING_SETUP_SQE128)
		length = 128;
	BOUND(at, MAX_OFFSET);
	for (i = 0; i < MAX_PENDING; i++) {
		__u32 index = head + i & mask;

		if (i >= count)
			break;
		if (array)
			bpf_probe_read_kernel(&index, sizeof(index), &array[index]);
		bpf_probe_read_kernel(&scratch->data[at + 8 + i], 1,
				      entries + (__u64)(index & mask) * length);
	}
	BOUND(count, 127);
	return section_head(scratch, at, SECTION_PENDING, count, 0);
}

/* Writes what is known of a ring that one task has. */
__noinline int describe_ring(__u64 task_address, __u64 ring_address, __u32 fd, __u32 found_by,
			     __u64 file)
{
	struct task_struct *task = (struct task_struct *)task_address;
	struct io_ring_ctx *ring = (struct io_ring_ctx *)ring_address;
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	const struct cred *cred = BPF_CORE_READ(task, cred);
	__u32 cpu, key = PROGRAM_ITERATE, pid = BPF_CORE_READ(task, tgid);
	struct counters *row = row_of(PROGRAM_ITERATE, &cpu);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &key);
	__u32 at = sizeof(struct ring_record);
	struct ring_record *record;
	struct task_struct *thread;
	struct user_struct *user;
	struct io_sq_data *sq;
	struct io_rings *rings;

	if (!row || !scratch || !ring)
		return 0;
	row->seen++;
	if (filter_pids && !bpf_map_lookup_elem(&pids, &pid))
		return 0;
	if (judge(scratch, leader, cred, false) == VERDICT_DROP)
		return 0;
	identify(&scratch->who, task, leader, cred, pid, false);
	/* Without its arguments this is not the description that requests refer to. */
	scratch->who.id ^= 1;
	if (describe_process(PROGRAM_ITERATE, pid, false)) {
		row->lost_other++;
		return 0;
	}
	record = (struct ring_record *)scratch->data;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.kind = RECORD_RING;
	record->head.cpu = cpu;
	record->head.time = bpf_ktime_get_boot_ns();
	record->head.process = scratch->who.id;
	record->head.ring = ring_address;
	record->fd = fd;
	record->found_by = found_by;
	record->flags = BPF_CORE_READ(ring, flags);
	record->sq_entries = BPF_CORE_READ(ring, sq_entries);
	record->cq_entries = BPF_CORE_READ(ring, cq_entries);
	record->pid = pid;
	record->tid = BPF_CORE_READ(task, pid);
	sq = BPF_CORE_READ(ring, sq_data);
	/* Not what sq_data calls them: through 6.6 that is the ring's creator. */
	if (sq && (thread = BPF_CORE_READ(sq, thread))) {
		record->valid |= RING_SQ_THREAD;
		record->sq_tid = BPF_CORE_READ(thread, pid);
		record->sq_pid = BPF_CORE_READ(thread, tgid);
		record->sq_cpu = BPF_CORE_READ(sq, sq_cpu);
	}
	/* Whoever may lock memory is not charged for it, and then the ring does not name its user. */
	user = BPF_CORE_READ(ring, user);
	if (file) {
		record->valid |= RING_CREATOR;
		record->creator_uid = BPF_CORE_READ((struct file *)file, f_cred, uid.val);
	} else if (user) {
		record->valid |= RING_CREATOR;
		record->creator_uid = BPF_CORE_READ(user, uid.val);
	}
	put_ring_seccomp(record, task, BPF_CORE_READ(task, group_leader), pid);
	rings = BPF_CORE_READ(ring, rings);
	if (rings) {
		record->valid |= RING_QUEUES;
		record->sq_head = BPF_CORE_READ(rings, sq.head);
		record->sq_tail = BPF_CORE_READ(rings, sq.tail);
		record->cq_head = BPF_CORE_READ(rings, cq.head);
		record->cq_tail = BPF_CORE_READ(rings, cq.tail);
		record->dropped = BPF_CORE_READ(rings, sq_dropped);
		record->overflow = BPF_CORE_READ(rings, cq_overflow);
		at = put_pending(scratch, record, at, ring, record->sq_tail);
	}
	return finish(scratch, row, at);
}

/* A pointer of a kind that the verifier follows, as the number that functions take. */
static __always_inline __u64 address_of(const void *pointer)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &pointer);
	return address;
}

static __always_inline void found_file(__u64 task, struct file *file, __s32 fd, __u32 found_by)
{
	describe_ring(task, (__u64)BPF_CORE_READ(file, private_data), fd, found_by,
		      address_of(file));
}

/* Runs first: a ring's record of one thread says what holds for the whole process. */
SEC("iter/task")
int modes_of_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 pid, mode, *known;

	if (!task || !bpf_core_field_exists(task->seccomp.mode))
		return 0;
	mode = seccomp_of(task);
	if (!mode)
		return 0;
	pid = BPF_CORE_READ(task, tgid);
	known = bpf_map_lookup_elem(&strictest, &pid);
	if (!known || *known < mode)
		bpf_map_update_elem(&strictest, &pid, &mode, BPF_ANY);
	return 0;
}

SEC("iter/task_file")
int rings_of_files(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;

	if (file && task && is_ring(file))
		found_file(address_of(task), file, ctx->fd, FOUND_BY_FD);
	return 0;
}

#define XA_BITS		6
#define XA_LEVELS	11 /* of 6 bits each, for an index of 64 */
#define XA_INTERNAL	2 /* in the lower two bits of a pointer to a node */
/* So many looks at tables of one task; a ring takes about a dozen. */
#define MAX_ROUNDS	(1 << 17)

/*
 * Looks in an xarray for the first entry from cursor->from on: 1 when there is one (cursor->entry)
 * or when the search is to go on at cursor->from, 0 at the end. It goes down from the root each
 * time and never up, as nothing that it has seen may be there in the next run.
 *
 * As in add_offset(), the way through memory lets the verifier take one round for another.
 */
__noinline int next_entry(__u64 root)
{
	__u32 key = 0, level, i;
	volatile struct cursor *cursor = bpf_map_lookup_elem(&cursors, &key);
	__u64 from;

	if (!cursor)
		return 0;
	cursor->entry = root;
	for (level = 0; level < XA_LEVELS; level++) {
		__u64 entry = cursor->entry, slot;
		struct xa_node *node = (struct xa_node *)(entry - XA_INTERNAL);
		__u32 shift = BPF_CORE_READ(node, shift) & 63;

		from = cursor->from;
		/* What the root has no room for is not in it. */
		if (!level && shift + XA_BITS < 64 && from >> (shift + XA_BITS))
			return 0;
		cursor->slot = 64;
		for (i = 0; i < 64; i++) {
			entry = 0;
			slot = (from >> shift & 63) + i;
			if (slot >= 64)
				break;
			bpf_probe_read_kernel(&entry, sizeof(entry),
					      (void *)node +
						      bpf_core_field_offset(struct xa_node, slots) +
						      slot * 8);
			if (entry) {
				cursor->slot = slot;
				cursor->entry = entry;
				break;
			}
		}
		slot = cursor->slot;
		if (slot >= 64) {
			/* On behind this node. */
			if (!level || shift + XA_BITS >= 64)
				return 0;
			from = ((from >> (shift + XA_BITS)) + 1) << (shift + XA_BITS);
			cursor->from = from;
			cursor->entry = 0;
			return from != 0;
		}
		if (slot != (from >> shift & 63)) {
			from = (from >> shift & ~63ULL) + slot;
			cursor->from = from << shift;
		}
		entry = cursor->entry;
		if ((entry & 3) != XA_INTERNAL) {
			cursor->from++;
			return 1;
		}
	}
	return 0;
}

/*
 * Rings that a task has registered, or has used: they need no file descriptor. A run takes one step
 * through the table of those, and asks to be run again for the next one by what it returns.
 */
SEC("iter/task")
int rings_of_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct io_uring_task *uring;
	__u32 key = 0, cpu;
	struct cursor *cursor = bpf_map_lookup_elem(&cursors, &key);
	struct counters *row;
	__u64 root, address;
	int i;

	if (!task || !cursor)
		return 0;
	address = address_of(task);
	uring = BPF_CORE_READ(task, io_uring);
	if (!uring)
		return 0;
	if (cursor->task != address) {
		cursor->task = address;
		cursor->from = 0;
		cursor->rounds = 0;
		if (bpf_core_field_exists(struct io_uring_task, registered_rings)) {
			for (i = 0; i < 16; i++) {
				struct file *file = NULL;

				bpf_probe_read_kernel(
					&file, sizeof(file),
					(void *)uring +
						bpf_core_field_offset(struct io_uring_task,
								      registered_rings) +
						i * 8);
				if (file && is_ring(file))
					found_file(address, file, -1, FOUND_BY_REGISTERED);
			}
		}
	}
	root = (__u64)BPF_CORE_READ(uring, xa.xa_head);
	if ((root & 3) != XA_INTERNAL || bpf_core_field_size(struct xa_node, slots) != 512)
		goto done;
	if (++cursor->rounds > MAX_ROUNDS) {
		row = row_of(PROGRAM_ITERATE, &cpu);
		if (row)
			row->lost_other++;
		goto done;
	}
	if (!next_entry(root))
		goto done;
	if (!cursor->entry)
		return 1;
	if (bpf_core_type_exists(struct io_tctx_node)) {
		struct io_tctx_node *node = (struct io_tctx_node *)cursor->entry;

		describe_ring(address, (__u64)BPF_CORE_READ(node, ctx), -1, FOUND_BY_TCTX, 0);
	} else {
		struct file *file = (struct file *)(cursor->entry & ~3ULL);

		if (is_ring(file))
			found_file(address, file, -1, FOUND_BY_TCTX);
	}
	return 1;
done:
	cursor->task = 0;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
