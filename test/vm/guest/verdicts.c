/*
 * Rings of threads under seccomp filters. Each thread tries every system call
 * that a request of io_uring can stand for, and notes the filter's verdict.
 */
#define _GNU_SOURCE
#include "workload.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a filter says and no system call does. */
#define DENIED 777

static const struct call {
	int number;
	const char *name;
} calls[] = {
	{ 0, "read" },
	{ 1, "write" },
	{ 2, "open" },
	{ 3, "close" },
	{ 4, "stat" },
	{ 5, "fstat" },
	{ 6, "lstat" },
	{ 7, "poll" },
	{ 17, "pread64" },
	{ 18, "pwrite64" },
	{ 19, "readv" },
	{ 20, "writev" },
	{ 22, "pipe" },
	{ 28, "madvise" },
	{ 41, "socket" },
	{ 42, "connect" },
	{ 43, "accept" },
	{ 44, "sendto" },
	{ 45, "recvfrom" },
	{ 46, "sendmsg" },
	{ 47, "recvmsg" },
	{ 48, "shutdown" },
	{ 49, "bind" },
	{ 50, "listen" },
	{ 54, "setsockopt" },
	{ 55, "getsockopt" },
	{ 61, "wait4" },
	{ 74, "fsync" },
	{ 75, "fdatasync" },
	{ 77, "ftruncate" },
	{ 82, "rename" },
	{ 83, "mkdir" },
	{ 84, "rmdir" },
	{ 85, "creat" },
	{ 86, "link" },
	{ 87, "unlink" },
	{ 88, "symlink" },
	{ 188, "setxattr" },
	{ 190, "fsetxattr" },
	{ 191, "getxattr" },
	{ 193, "fgetxattr" },
	{ 202, "futex" },
	{ 221, "fadvise64" },
	{ 232, "epoll_wait" },
	{ 233, "epoll_ctl" },
	{ 247, "waitid" },
	{ 257, "openat" },
	{ 258, "mkdirat" },
	{ 262, "newfstatat" },
	{ 263, "unlinkat" },
	{ 264, "renameat" },
	{ 265, "linkat" },
	{ 266, "symlinkat" },
	{ 271, "ppoll" },
	{ 275, "splice" },
	{ 276, "tee" },
	{ 277, "sync_file_range" },
	{ 281, "epoll_pwait" },
	{ 285, "fallocate" },
	{ 288, "accept4" },
	{ 293, "pipe2" },
	{ 295, "preadv" },
	{ 296, "pwritev" },
	{ 299, "recvmmsg" },
	{ 307, "sendmmsg" },
	{ 316, "renameat2" },
	{ 327, "preadv2" },
	{ 328, "pwritev2" },
	{ 332, "statx" },
	{ 437, "openat2" },
	{ 449, "futex_waitv" },
};

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_LOW(arg) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
		 offsetof(struct seccomp_data, args) + 8 * (arg))
#define IF(test, value, yes, no) \
	BPF_JUMP(BPF_JMP | BPF_ ## test | BPF_K, value, yes, no)
#define RET(action) BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOW RET(SECCOMP_RET_ALLOW)
#define DENY RET(SECCOMP_RET_ERRNO | DENIED)

/* As a container's: some calls are named and denied. */
static struct sock_filter deny_list[] = {
	LOAD(arch), IF(JEQ, AUDIT_ARCH_X86_64, 1, 0), RET(SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
	IF(JEQ, __NR_connect, 5, 0), IF(JEQ, __NR_openat, 4, 0),
	IF(JEQ, __NR_sendto, 3, 0), IF(JEQ, __NR_unlinkat, 2, 0),
	IF(JEQ, __NR_statx, 1, 0), ALLOW, DENY,
};

/* As libseccomp writes an allow list: a tree of comparisons. */
static struct sock_filter allow_list[] = {
	LOAD(nr),
	IF(JGT, __NR_close, 0, 3),	/* read write open close: allowed */
	IF(JGE, __NR_mmap, 0, 3),
	IF(JGT, __NR_exit_group, 0, 3),
	IF(JGE, __NR_io_uring_setup, 0, 5),
	ALLOW,
	DENY,
	/* mmap to exit_group */
	IF(JGE, __NR_socket, 0, 1),
	IF(JGT, __NR_getsockopt, 0, 1),
	ALLOW, DENY,
};

/* Stores, adds, masks and shifts before it decides. */
static struct sock_filter computed[] = {
	LOAD(nr), BPF_STMT(BPF_ST, 3),
	BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, __NR_socket),
	BPF_STMT(BPF_MISC | BPF_TAX, 0),
	BPF_STMT(BPF_LD | BPF_IMM, 15),
	/* socket to bind + 7: in the range of 16 numbers */
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_X, 0, 0, 1), DENY,
	BPF_STMT(BPF_LD | BPF_MEM, 3),
	BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 3),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff),
	IF(JEQ, __NR_openat >> 3, 0, 1), DENY, ALLOW,
};

/* Sockets of the unix family only; no ring may be entered. */
static struct sock_filter by_argument[] = {
	LOAD(nr), IF(JEQ, __NR_io_uring_enter, 4, 0),
	IF(JEQ, __NR_socket, 0, 2), LOAD_LOW(0), IF(JEQ, AF_UNIX, 0, 1),
	ALLOW, DENY,
};

struct trial {
	struct ring ring;
	const char *name;
	struct sock_fprog filters[2];
	const char *more;
	char text[8192];
};

/* The verdicts as members of the ring's seccomp. */
static void try_all(struct trial *t)
{
	const char *comma = "";
	bool enters, sets_up;
	char *at = t->text;

	at += sprintf(at, ",\"denies\":[");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		int ret = syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L);
		bool depends = t->more && !strcmp(calls[i].name, "socket");

		if (ret != -1 || errno != DENIED || depends)
			continue;
		at += sprintf(at, "%s\"%s\"", comma, calls[i].name);
		comma = ",";
	}
	enters = syscall(__NR_io_uring_enter, -1, 0, 0, 0, 0, 0) != -1 ||
		 errno != DENIED;
	sets_up = syscall(__NR_io_uring_setup, 0, 0) != -1 || errno != DENIED;
	sprintf(at, "]%s,\"allows_io_uring\":%s", t->more ?: "",
		enters && sets_up ? "true" : "false");
}

static void *filtered(void *arg)
{
	struct trial *t = arg;

	prctl(PR_SET_NAME, "tried");
	if (!ring_setup(&t->ring, t->name, 4, 0))
		die("ring %s", t->name);
	prep_path(&t->ring, OP_UNLINKAT, "/tmp/tried");
	ring_publish(&t->ring);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs");
	for (int i = 0; i < 2 && t->filters[i].len; i++) {
		if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0,
			    &t->filters[i]))
			die("seccomp");
		t->ring.seccomp_filters++;
		/* The next filter must still be let in. */
	}
	t->ring.seccomp_mode = 2;
	try_all(t);
	rest_thread();
}

static void run_trial(struct trial *t)
{
	start_thread(filtered, t);
	await_threads(1);
	t->ring.seccomp_extra = t->text;
	ring_truth(&t->ring);
}

#define FILTER(code) { ARRAY_SIZE(code), code }

static void denied(void)
{
	static struct trial t = { .name = "denied",
				  .filters = { FILTER(deny_list) } };

	run_trial(&t);
}

static void allowed(void)
{
	static struct trial t = { .name = "allowed",
				  .filters = { FILTER(allow_list) } };

	run_trial(&t);
}

static void stacked(void)
{
	static struct trial t = { .name = "stacked", .filters = {
		FILTER(computed), FILTER(deny_list) } };

	run_trial(&t);
}

static void argument(void)
{
	static struct trial t = { .name = "argument",
				  .filters = { FILTER(by_argument) },
				  .more = ",\"denies_some\":[\"socket\"]" };

	run_trial(&t);
}

const struct scenario verdict_scenarios[] = {
	{ "denied", denied },
	{ "allowed", allowed },
	{ "stacked", stacked },
	{ "argument", argument },
	{ NULL, NULL },
};
