/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What the BPF program puts into the ring buffer and the counter map. It is written down here
 * and nowhere else: the shim is compiled against it and tells TypeScript the offsets, and the
 * BPF object carries WIRE_ABI, which the shim compares with its own.
 *
 * Every record starts with struct record. Behind the fixed part of its kind come sections: a
 * struct section and its bytes, the next one at the next multiple of 8.
 */
#ifndef __IOURING_H
#define __IOURING_H

/* Programs that write records; each has a row of counters of its own on every CPU. */
enum program {
	PROGRAM_SUBMIT,
	PROGRAM_SUBMIT_AGAIN,
	PROGRAM_FAILED,
	PROGRAM_COMPLETE,
	PROGRAM_OVERFLOW,
	PROGRAM_REGISTER,
	PROGRAM_CREATE,
	PROGRAM_ITERATE,
	PROGRAMS,
};

enum record_kind {
	RECORD_PROCESS = 1,
	RECORD_FILE,
	RECORD_REQUEST,
	RECORD_RESULT,
	RECORD_REGISTER,
	RECORD_RING,
};

/* record.bits */
#define BIT_SQ_THREAD	(1 << 0) /* submitted by the ring's own thread */
#define BIT_REJECTED	(1 << 1) /* refused before it ran; `result` says why */
#define BIT_AGAIN	(1 << 2) /* by the second program, which the first could not see */
#define BIT_NO_REQUEST	(1 << 3) /* this kernel's tracepoint does not pass the request */
#define BIT_ENTRY_FD	(1 << 4) /* fd is from the ring's entry, which its owner can write */
#define BIT_NO_FD	(1 << 5) /* fd could not be read */
#define BIT_POSTED	(1 << 6) /* no request's last completion: one of several, or a message */

struct record {
	__u16 size; /* of the whole record */
	__u8 kind;
	__u8 opcode;
	__u16 cpu;
	__u8 bits;
	__u8 seccomp_mode;
	__u64 time; /* ns since boot, suspend included */
	__u64 process; /* names a RECORD_PROCESS */
	__u64 ring; /* address of the io_ring_ctx */
};

/* RECORD_REQUEST */
struct request_record {
	struct record head;
	__u64 user_data;
	__u64 request; /* address of the io_kiocb; it is used again for other requests */
	__u32 seq; /* of this program on this CPU, from 1; lost ones are counted */
	__u32 tid;
	__u32 pid;
	__u32 flags; /* of the io_kiocb, lower half */
	__s32 fd;
	__u16 buf_index;
	__u16 seccomp_filters;
};

/* RECORD_RESULT */
struct result_record {
	struct record head;
	__u64 user_data;
	__u64 request; /* 0 where the kernel does not tell */
	__s32 res;
	__u32 cqe_flags;
};

/* RECORD_REGISTER */
struct register_record {
	struct record head;
	__s64 result;
	__u32 operation;
	__u32 files;
	__u32 buffers;
	__u32 tid;
	__u32 pid;
	__u32 pad;
};

/* RECORD_RING: found at start (by an iterator) or just created */
struct ring_record {
	struct record head;
	__u32 pid;
	__u32 tid;
	__s32 fd;
	__u32 found_by; /* enum found_by */
	__u32 flags; /* IORING_SETUP_* */
	__u32 sq_entries;
	__u32 cq_entries;
	__u32 sq_head;
	__u32 sq_tail;
	__u32 cq_head;
	__u32 cq_tail;
	__u32 dropped;
	__u32 overflow;
	__u32 sq_pid;
	__u32 sq_tid;
	__s32 sq_cpu;
	__u32 creator_uid;
	__u16 seccomp_filters;
	__u16 valid; /* RING_* */
};

/* ring_record.valid: what could be read */
#define RING_QUEUES	(1 << 0)
#define RING_CREATOR	(1 << 1)
#define RING_PENDING	(1 << 2) /* all opcodes that are pending */
#define RING_SECCOMP	(1 << 3)
#define RING_SQ_THREAD	(1 << 4)

#define MAX_PENDING	64

enum found_by {
	FOUND_BY_FD = 1,
	FOUND_BY_CREATE,
	FOUND_BY_REGISTERED,
	FOUND_BY_TCTX,
};

/* RECORD_PROCESS */
struct process_record {
	struct record head; /* .process names it */
	__u64 image; /* names what it runs: another one after an execve(2) */
	__u64 start; /* of the group leader, ns since boot */
	__u64 exec_count;
	__u64 cap_inheritable;
	__u64 cap_permitted;
	__u64 cap_effective;
	__u32 pid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	__u32 euid;
	__u32 egid;
	__u32 auid;
	__u32 secureexec; /* SECURE_* */
	__u8 comm[16];
	__u32 valid; /* VALID_* */
	__u32 pad;
};

/* process_record.secureexec */
#define SECURE_SETUID		(1 << 0)
#define SECURE_SETGID		(1 << 1)
#define SECURE_FILE_CAPS	(1 << 2)
#define SECURE_FILELESS		(1 << 3)

/* process_record.valid: what could be read */
#define VALID_START	(1 << 0)
#define VALID_CRED	(1 << 1)
#define VALID_AUID	(1 << 2)
#define VALID_PPID	(1 << 3)
#define VALID_SECURE	(1 << 4)
#define EXE_DELETED	(1 << 5)
#define EXE_NONE	(1 << 6) /* a kernel thread */

/* RECORD_FILE: an open file, described once */
struct file_record {
	struct record head;
	__u64 file; /* names it */
	__u64 inode; /* its number */
	__u32 mode; /* st_mode */
	__u32 magic; /* of its file system */
	__u32 deleted;
	__u32 pad;
};

struct section {
	__u16 kind;
	__u16 length; /* of the bytes behind it */
	__u32 extra;
};

/* A section's bytes are a string without NUL unless said otherwise. */
enum section_kind {
	SECTION_COMMAND = 1, /* the opcode's own part of the io_kiocb, as it is */
	SECTION_PATH, /* extra: 1 from user memory */
	SECTION_PATH2, /* the same */
	SECTION_NAME, /* of an extended attribute */
	SECTION_SOCKADDR, /* extra: 1 from user memory */
	SECTION_TIMESPEC, /* __s64 s and ns, or ns alone; extra: flags of the timeout */
	SECTION_BYTES, /* __u64: what a vectored request moves */
	SECTION_SQE, /* struct io_uring_sqe, from the ring, which its owner can write */
	SECTION_CRED, /* __u32 uid, euid: what the request runs with; extra: its personality */
	SECTION_FILE, /* __u64: names a RECORD_FILE; extra: 1 may have changed since. Of a result: opened */
	SECTION_SOCKET, /* struct socket_info; extra as above */
	SECTION_PEER, /* struct socket_info of the socket that ACCEPT made */
	SECTION_USER, /* __u64 address, and the bytes that were there */
	SECTION_RESULT, /* __s32: of a rejected request */
	SECTION_EXE, /* components from the last to the first, each with its NUL */
	SECTION_CWD, /* the same */
	SECTION_FILE_PATH, /* the same */
	SECTION_CGROUP, /* the same */
	SECTION_ARGS, /* argv with its NULs */
	SECTION_UNIX_LOCAL, /* struct sockaddr_un of the socket before it */
	SECTION_UNIX_PEER, /* the same */
	SECTION_FAULT, /* extra: the section_kind that could not be read */
	SECTION_PENDING, /* opcodes in the submission queue, in its order */
	SECTION_DIRECTORY, /* __u64: names a RECORD_FILE that a path begins at; extra: 1 the second path */
	SECTION_INPUT, /* as SECTION_FILE, of what SPLICE and TEE read */
	SECTION_INPUT_SOCKET, /* as SECTION_SOCKET, of the same */
};

struct socket_info {
	__u16 family;
	__u16 type; /* SOCK_* */
	__u16 local_port; /* host order */
	__u16 port; /* host order */
	__u8 local_addr[16]; /* 4 bytes of it for AF_INET */
	__u8 addr[16];
	__u32 valid;
};

#define OPCODES		72 /* the last one stands for all above */
#define LOST_PIDS	16

/* One row for each CPU and program. Only that program on that CPU writes it. */
struct counters {
	__u64 seq; /* requests that passed the filter */
	__u64 seen; /* runs */
	__u64 filtered; /* requests that the filter in the kernel turned away */
	__u64 lost[OPCODES]; /* requests that did not fit, by opcode */
	__u64 lost_other; /* records of other kinds that did not fit */
	struct {
		__u32 pid;
		__u32 count;
	} lost_by_pid[LOST_PIDS]; /* by pid % LOST_PIDS, the first one there keeps it */
};

/* What both sides may change while the programs run; entry 0 of the control map. */
struct control {
	__u64 canary; /* user_data of our own requests: they pass every filter */
	__u64 probe; /* first 8 bytes of the address that our own CONNECT names */
	__u64 address_place; /* where the kernel keeps it, as found there */
	__u64 awaiting; /* a completion has been asked for since the start */
};

/* Where CONNECT and BIND keep their copy of the address: the types do not tell. */
enum address_place {
	ADDRESS_UNKNOWN,
	ADDRESS_AT_START, /* a sockaddr_storage of its own: newest, and stable kernels of older series */
	ADDRESS_IN_MESSAGE, /* in an io_async_msghdr: from 6.10 */
};

/* What the filter said of a process, or of what it runs. */
enum verdict {
	VERDICT_NONE,
	VERDICT_PASS,
	VERDICT_DROP,
};

/*
 * What user space says of an executable in a process (process_record.image), in a map that it
 * writes through memory: it may not call bpf(2) any more. Name and verdict are one word, so that no
 * half of it is ever read.
 */
#define JUDGEMENTS		4096u
#define JUDGEMENT_SLOT(id)	((__u32)((id) ^ (id) >> 32) % JUDGEMENTS)
#define JUDGEMENT(id, verdict)	(((id) & ~3ULL) | (verdict))
#define JUDGEMENT_VERDICT(word)	((word) & 3ULL)

/* A process in the kernel's cache. */
struct process_state {
	__u64 window; /* which part of the ring buffer's life `used` counts */
	__u32 used; /* bytes written in it */
	__u32 described; /* its record was written */
};

#define MAX_PATH	4096
#define MAX_ARGS	1024
#define MAX_COMPONENTS	64
#define WIRE_ABI	5u

#endif /* __IOURING_H */
