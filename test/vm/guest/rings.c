/* Rings by how they were made, held and shared. */
#define _GNU_SOURCE
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A few requests that tell one ring from another. */
static void use(struct ring *r)
{
	prep_openat(r, "/etc/passwd", O_RDONLY, 0);
	ring_one(r);
	prep_path(r, OP_UNLINKAT, "/root/.bash_history");
	ring_publish(r);
}

/* Registered with the thread, then closed: no descriptor shows it. */
static void hidden(void)
{
	static struct ring r;
	struct io_uring_rsrc_update update = { .offset = -1U };

	if (!ring_setup(&r, "hidden", 4, 0))
		return;
	update.data = r.fd;
	if (sys_register(r.fd, IORING_REGISTER_RING_FDS, &update, 1) != 1) {
		skip("a registered ring", errno);
		ring_unmap(&r);
		close(r.fd);
		return;
	}
	close(r.fd);
	r.fd_visible = false;
	r.owners[0].fd = -1;
	r.enter_fd = update.offset;
	r.enter_flags = IORING_ENTER_REGISTERED_RING;
	use(&r);
	ring_truth(&r);
}

/* Never had a file descriptor; its memory is the process's own. */
static void registered_only(void)
{
	static struct ring r;

	if (!ring_setup(&r, "registered_only", 4, SETUP_NO_MMAP |
			SETUP_REGISTERED_FD_ONLY))
		return;
	use(&r);
	ring_truth(&r);
}

static void no_mmap(void)
{
	static struct ring r;

	if (!ring_setup(&r, "no_mmap", 4, SETUP_NO_MMAP))
		return;
	use(&r);
	ring_truth(&r);
}

/* A child that holds the ring and never uses it. */
static void inherited(void)
{
	static struct ring r;
	int pid;

	if (!ring_setup(&r, "inherited", 4, 0))
		return;
	use(&r);
	pid = sleeper("inheritor");
	ring_owner(&r, pid, "inheritor", r.fd);
	ring_truth(&r);
}

/* The process that made it is gone; a child still holds it. */
static void orphaned(void)
{
	static struct ring r;
	int parent = getpid();

	if (!ring_setup(&r, "orphaned", 4, 0))
		return;
	use(&r);
	if (fork())
		_exit(0);
	prctl(PR_SET_NAME, "orphan");
	/* Its files go before its children do. */
	wait_until(getppid() != parent, "the parent stays");
	r.pid = getpid();
	r.creator_pid = 0;
	r.nr_owners = 0;
	ring_owner(&r, getpid(), "orphan", r.fd);
	ring_truth(&r);
}

/* Passed over a unix socket, used by both ends. */
static void passed(void)
{
	static struct ring r;
	char control[CMSG_SPACE(sizeof(int))] = "", c = 0;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int pair[2], back[2], pid, fd;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || pipe(back))
		die("socketpair");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "receiver");
		if (recvmsg(pair[1], &msg, 0) != 1)
			sleep_on();
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
		if (write(back[1], &fd, sizeof(fd)) != sizeof(fd))
			_exit(1);
		sleep_on();
	}
	if (!ring_setup(&r, "passed", 4, 0))
		return;
	use(&r);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &r.fd, sizeof(int));
	if (sendmsg(pair[0], &msg, 0) != 1) {
		skip("a ring passed with SCM_RIGHTS", errno);
	} else {
		if (read(back[0], &fd, sizeof(fd)) != sizeof(fd))
			die("receiver");
		ring_owner(&r, pid, "receiver", fd);
	}
	ring_truth(&r);
}

/* Another process takes a copy of the descriptor. */
static void taken(void)
{
	static struct ring r;
	int to[2], back[2], pid, fd, parent = getpid();

	if (pipe(to) || pipe(back))
		die("pipe");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "taker");
		if (read(to[0], &fd, sizeof(fd)) != sizeof(fd))
			_exit(1);
		fd = syscall(__NR_pidfd_getfd,
			     syscall(__NR_pidfd_open, parent, 0), fd, 0);
		if (write(back[1], &fd, sizeof(fd)) != sizeof(fd))
			_exit(1);
		sleep_on();
	}
	if (!ring_setup(&r, "taken", 4, 0))
		return;
	use(&r);
	if (write(to[1], &r.fd, sizeof(fd)) != sizeof(fd) ||
	    read(back[0], &fd, sizeof(fd)) != sizeof(fd) || fd < 0)
		die("taker");
	ring_owner(&r, pid, "taker", fd);
	ring_truth(&r);
}

/* Parent and child both submit; the ring's notes are shared as well. */
static void shared(void)
{
	struct ring *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int done[2], pid;
	char c;

	if (pipe(done) || !ring_setup(r, "shared", 8, 0))
		return;
	prep_openat(r, "/etc/passwd", O_RDONLY, 0);
	ring_one(r);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "sharer");
		prep_openat(r, "/etc/by-the-child", O_RDONLY, 0);
		ring_one(r);
		if (write(done[1], "d", 1) != 1)
			_exit(1);
		sleep_on();
	}
	if (read(done[0], &c, 1) != 1)
		die("sharer");
	prep_path(r, OP_UNLINKAT, "/tmp/shared");
	ring_publish(r);
	ring_owner(r, pid, "sharer", r->fd);
	ring_truth(r);
}

/* No file descriptor, but the memory is still mapped. */
static void mapped(void)
{
	static struct ring r;

	if (!ring_setup(&r, "mapped", 4, 0))
		return;
	use(&r);
	close(r.fd);
	r.fd_visible = false;
	r.owners[0].fd = -1;
	ring_truth(&r);
}

static int left_tid;

static void *make_and_leave(void *arg)
{
	struct ring *r = arg;

	left_tid = gettid();
	if (ring_setup(r, "mapped_only", 4, 0)) {
		use(r);
		close(r->fd);
	}
	return NULL;
}

/* The thread that made it has ended, the fd is closed: only a mapping. */
static void mapped_only(void)
{
	static struct ring r;
	pthread_t thread;
	char task[32];

	pthread_create(&thread, NULL, make_and_leave, &r);
	pthread_join(thread, NULL);
	/* That it is over is told before it is. */
	snprintf(task, sizeof(task), "/proc/self/task/%d", left_tid);
	wait_until(access(task, F_OK), "the thread stays");
	r.fd_visible = false;
	r.owners[0].fd = -1;
	r.no_process = true;
	ring_truth(&r);
}

/* Forty in one process. */
static void forty(void)
{
	static struct ring rings[40];

	for (int i = 0; i < 40; i++) {
		char name[32], *path = malloc(32);

		sprintf(name, "forty-%d", i);
		sprintf(path, "/tmp/forty-%d", i);
		if (!ring_setup(&rings[i], name, 1U << (i % 5), 0))
			return;
		prep_path(&rings[i], OP_UNLINKAT, path);
		ring_publish(&rings[i]);
		ring_truth(&rings[i]);
	}
}

/* Two descriptors, one far up in a grown table. */
static void two_fds(void)
{
	static struct ring r;
	struct rlimit limit = { 4096, 4096 };
	int far;

	setrlimit(RLIMIT_NOFILE, &limit);
	if (!ring_setup(&r, "two_fds", 4, 0))
		return;
	use(&r);
	far = fcntl(r.fd, F_DUPFD, 3000);
	if (far < 0)
		die("dup");
	ring_owner(&r, getpid(), "two_fds", far);
	ring_truth(&r);
}

static int read_sq_thread(const struct ring *r)
{
	char path[64], line[128];
	FILE *file;
	int tid = -1;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", r->fd);
	file = fopen(path, "r");
	if (!file)
		die("fdinfo");
	while (fgets(line, sizeof(line), file))
		sscanf(line, "SqThread:\t%d", &tid);
	fclose(file);
	return tid;
}

/*
 * The thread that polls a ring, as the kernel names it: -1 while it is busy,
 * and the task that made the ring until the thread has begun.
 */
static int sq_thread_of(const struct ring *r)
{
	int tid;

	wait_until((tid = read_sq_thread(r)) > 0 && tid != r->creator_pid,
		   "ring %s: no thread polls it", r->name);
	return tid;
}

static void note_sq_thread(struct ring *r)
{
	char task[32];

	r->sq_tid = sq_thread_of(r);
	/* Before 5.12 it is a process of the kernel's. */
	snprintf(task, sizeof(task), "/proc/self/task/%d", r->sq_tid);
	r->sq_pid = access(task, F_OK) ? r->sq_tid : r->creator_pid;
}

/* What is queued once the thread has gone to sleep stays. */
static void await_sq_sleep(const struct ring *r)
{
	wait_until(__atomic_load_n(r->sq_flags, __ATOMIC_ACQUIRE) &
		   IORING_SQ_NEED_WAKEUP, "ring %s: its thread goes on",
		   r->name);
	/* It looks at the queue once more after it has said so. */
	await_sleep(r->sq_tid);
}

/* One thread polls for three rings; the fd of one is closed. */
static void sqpoll(void)
{
	static struct ring r[3];
	static const char *const names[] = { "sqpoll", "sqpoll_attached",
					     "sqpoll_closed" };

	for (int i = 0; i < 3; i++) {
		r[i].params.flags = IORING_SETUP_SQPOLL |
				    (i ? IORING_SETUP_ATTACH_WQ : 0);
		r[i].params.wq_fd = r[0].fd;
		r[i].params.sq_thread_idle = 20;
		if (!ring_setup_params(&r[i], names[i], 8))
			return;
	}
	for (int i = 0; i < 3; i++) {
		note_sq_thread(&r[i]);
		r[i].serves[0] = getpid();
		prep_openat(&r[i], "/etc/passwd", O_RDONLY, 0);
		ring_sqe(&r[i], OP_NOP, -1);
		ring_publish(&r[i]);
		ring_enter(&r[i], 0, 0, IORING_ENTER_SQ_WAKEUP);
		ring_wait(&r[i], 2);
		ring_look(&r[i], true);
	}
	close(r[2].fd);
	r[2].fd_visible = false;
	r[2].owners[0].fd = -1;
	for (int i = 0; i < 3; i++)
		await_sq_sleep(&r[i]);
	for (int i = 0; i < 3; i++) {
		prep_path(&r[i], OP_UNLINKAT, "/tmp/sqpoll");
		ring_publish(&r[i]);
		ring_truth(&r[i]);
	}
}

/*
 * A child that has its parent's polled ring, and one of its own that asks for
 * the same thread. Since 5.12 another process gets a thread of its own.
 */
static void sqpoll_family(void)
{
	struct ring *r = mmap(NULL, 2 * sizeof(*r), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int done[2], pid, parent = getpid();
	char c;

	r[0].params.flags = IORING_SETUP_SQPOLL;
	r[0].params.sq_thread_idle = 20;
	if (pipe(done) || !ring_setup_params(&r[0], "sqpoll_parent", 4))
		return;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "sqpoll_child");
		r[1].params.flags = IORING_SETUP_SQPOLL |
				    IORING_SETUP_ATTACH_WQ;
		r[1].params.wq_fd = r[0].fd;
		r[1].params.sq_thread_idle = 20;
		if (ring_setup_params(&r[1], "sqpoll_child", 4)) {
			note_sq_thread(&r[1]);
			r[1].serves[0] = getpid();
			if (r[1].sq_tid == sq_thread_of(&r[0])) {
				r[1].serves[0] = parent;
				r[1].serves[1] = getpid();
			}
			prep_path(&r[1], OP_UNLINKAT, "/tmp/sqpoll_child");
			await_sq_sleep(&r[1]);
			ring_publish(&r[1]);
			ring_truth(&r[1]);
		}
		if (write(done[1], "d", 1) != 1)
			_exit(1);
		sleep_on();
	}
	close(done[1]);
	if (read(done[0], &c, 1) != 1)
		die("sqpoll_child");
	note_sq_thread(&r[0]);
	r[0].serves[0] = parent;
	r[0].serves[1] = pid;
	ring_owner(&r[0], pid, "sqpoll_child", r[0].fd);
	prep_path(&r[0], OP_UNLINKAT, "/tmp/sqpoll_parent");
	await_sq_sleep(&r[0]);
	ring_publish(&r[0]);
	ring_truth(&r[0]);
}

#define REGISTER_BPF_FILTER 37

/* `struct io_uring_bpf` of Linux 7.0, with its one command. */
struct bpf_command {
	uint16_t cmd_type, cmd_flags;
	uint32_t resv;
	uint32_t opcode, flags, filter_len;
	uint8_t pdu_size, resv1[3];
	uint64_t filter_ptr, resv2[5];
};

/* BPF programs say of two opcodes whether a request may run. */
static void bpf_filtered(void)
{
	static const int opcodes[] = { OP_UNLINKAT, OP_NOP };
	static struct ring r;

	if (!ring_setup(&r, "bpf_filtered", 4, 0))
		return;
	for (int i = 0; i < 2; i++) {
		/* The first is denied, the other allowed. */
		struct sock_filter verdict = BPF_STMT(BPF_RET | BPF_K, i);
		struct bpf_command command = {
			.cmd_type = 1, .opcode = opcodes[i], .filter_len = 1,
			.filter_ptr = (uintptr_t)&verdict,
		};

		if (ring_register(&r, REGISTER_BPF_FILTER, &command, 1)) {
			skip("IORING_REGISTER_BPF_FILTER", errno);
			ring_unmap(&r);
			close(r.fd);
			return;
		}
	}
	prep_path(&r, OP_UNLINKAT, "/tmp/bpf_filtered");
	if (ring_one(&r) != -EACCES)
		die("a BPF filter denies nothing");
	ring_sqe(&r, OP_NOP, -1);
	if (ring_one(&r))
		die("a BPF filter denies what it allows");
	r.extra = ",\"bpf_filters\":[\"IORING_OP_NOP\","
		  "\"IORING_OP_UNLINKAT\"]";
	ring_truth(&r);
}

/* SQPOLL without a task that ever entered the kernel for it, and in flight. */
static void sqpoll_flight(void)
{
	static struct ring r;
	static char buffer[64];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	r.params.flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF;
	r.params.sq_thread_idle = 20;
	r.params.sq_thread_cpu = 0;
	if (!ring_setup_params(&r, "sqpoll_flight", 4))
		return;
	prep_io(&r, OP_RECV, pair[0], buffer, sizeof(buffer), 0);
	target_socket(&r, pair[0]);
	ring_publish(&r);
	ring_enter(&r, 0, 0, IORING_ENTER_SQ_WAKEUP);
	wait_until(__atomic_load_n(r.sq_head, __ATOMIC_ACQUIRE) == r.tail,
		   "ring %s: nothing was taken", r.name);
	note_sq_thread(&r);
	await_sq_sleep(&r);
	r.serves[0] = getpid();
	ring_look(&r, false);
	ring_truth(&r);
}

/* One ring of every kind that changes its layout or its rules. */
static void kinds(void)
{
	static const struct {
		const char *name;
		unsigned int flags;
	} list[] = {
		{ "sqe128", SETUP_SQE128 },
		{ "cqe32", SETUP_CQE32 },
		{ "both_big", SETUP_SQE128 | SETUP_CQE32 },
		{ "iopoll", IORING_SETUP_IOPOLL },
		{ "no_sqarray", SETUP_NO_SQARRAY },
		{ "single_issuer", SETUP_SINGLE_ISSUER },
		{ "defer_taskrun", SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN },
		{ "coop_taskrun", SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG },
		{ "submit_all", SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP },
	};
	static struct ring r[sizeof(list) / sizeof(list[0])];
	static struct ring disabled, disabled_single, sized;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		if (!ring_setup(&r[i], list[i].name, 4, list[i].flags))
			continue;
		if (list[i].flags & IORING_SETUP_IOPOLL) {
			ring_sqe(&r[i], OP_NOP, -1);
			ring_publish(&r[i]);
		} else {
			use(&r[i]);
			prep_openat(&r[i], "/tmp/kinds", O_RDONLY, 0);
			ring_publish(&r[i]);
		}
		ring_truth(&r[i]);
	}
	if (ring_setup(&disabled, "disabled", 4, IORING_SETUP_R_DISABLED)) {
		prep_path(&disabled, OP_UNLINKAT, "/tmp/disabled");
		ring_publish(&disabled);
		ring_truth(&disabled);
	}
	if (ring_setup(&disabled_single, "disabled_single", 4,
		       IORING_SETUP_R_DISABLED | SETUP_SINGLE_ISSUER)) {
		prep_path(&disabled_single, OP_UNLINKAT, "/tmp/disabled");
		ring_publish(&disabled_single);
		ring_truth(&disabled_single);
	}
	sized.params.flags = IORING_SETUP_CQSIZE;
	sized.params.cq_entries = 4096;
	if (ring_setup_params(&sized, "cqsize", 2)) {
		use(&sized);
		ring_truth(&sized);
	}
}

/* The queue's index array names the second slot first. */
static void indices(void)
{
	static struct ring r;
	struct req second;

	if (!ring_setup(&r, "indices", 4, 0))
		return;
	prep_path(&r, OP_UNLINKAT, "/tmp/second");
	prep_path(&r, OP_UNLINKAT, "/tmp/first");
	r.sq_array[0] = 1;
	r.sq_array[1] = 0;
	ring_publish(&r);
	/* The notes are in the order of the queue. */
	second = r.reqs[0];
	r.reqs[0] = r.reqs[1];
	r.reqs[1] = second;
	ring_truth(&r);
}

/* An index beyond the slots: the kernel drops it, and says so. */
static void dropped(void)
{
	static struct ring r;

	if (!ring_setup(&r, "dropped", 4, 0))
		return;
	ring_sqe(&r, OP_NOP, -1);
	r.sq_array[0] = 77;
	ring_publish(&r);
	ring_enter(&r, 1, 0, 0);
	r.nr_reqs = 0;
	use(&r);
	ring_truth(&r);
}

static void *make_in_thread(void *arg)
{
	struct ring *r = arg;

	prctl(PR_SET_NAME, "not_the_leader");
	if (ring_setup(&r[0], "thread", 4, 0)) {
		use(&r[0]);
		ring_truth(&r[0]);
	}
	if (ring_setup(&r[1], "thread_single", 4, SETUP_SINGLE_ISSUER)) {
		use(&r[1]);
		ring_truth(&r[1]);
	}
	rest_thread();
}

static void thread(void)
{
	static struct ring r[2];

	start_thread(make_in_thread, r);
	await_threads(1);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *submit_some(void *arg)
{
	struct ring *r = arg;

	for (int i = 0; i < 2; i++) {
		pthread_mutex_lock(&lock);
		prep_openat(r, "/etc/passwd", O_RDONLY, 0);
		ring_one(r);
		pthread_mutex_unlock(&lock);
	}
	rest_thread();
}

/* Three threads submit to one ring. */
static void threads(void)
{
	static struct ring r;

	if (!ring_setup(&r, "threads", 16, 0))
		return;
	for (int i = 0; i < 3; i++)
		start_thread(submit_some, &r);
	await_threads(3);
	ring_truth(&r);
}

static void *own_files(void *arg)
{
	struct ring *r = arg;

	if (unshare(CLONE_FILES))
		die("unshare");
	if (ring_setup(r, "own_files", 4, 0)) {
		use(r);
		r->fd_visible = false;
		ring_truth(r);
	}
	rest_thread();
}

/* A thread with a file table of its own: /proc/PID/fd does not show it. */
static void own_table(void)
{
	static struct ring r;

	start_thread(own_files, &r);
	await_threads(1);
}

static char state_of(int pid)
{
	char path[32], line[128] = "";
	const char *after;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file || !fgets(line, sizeof(line), file))
		die("%s", path);
	fclose(file);
	after = strrchr(line, ')');
	return after ? after[2] : 0;
}

static void *outlive(void *arg)
{
	struct ring *r = arg;

	wait_until(state_of(getpid()) == 'Z', "the leader lives on");
	if (ring_setup(r, "dead_leader", 4, 0)) {
		use(r);
		r->fd_visible = false;
		ring_truth(r);
	}
	rest();
}

/* The group leader is a zombie; a thread goes on. */
static void dead_leader(void)
{
	static struct ring r;

	start_thread(outlive, &r);
	syscall(SYS_exit, 0);
}

const struct scenario ring_scenarios[] = {
	{ "hidden", hidden },
	{ "registered_only", registered_only },
	{ "no_mmap", no_mmap },
	{ "inherited", inherited },
	{ "orphaned", orphaned },
	{ "passed", passed },
	{ "taken", taken },
	{ "shared", shared },
	{ "mapped", mapped },
	{ "mapped_only", mapped_only },
	{ "forty", forty },
	{ "two_fds", two_fds },
	{ "sqpoll", sqpoll },
	{ "sqpoll_family", sqpoll_family },
	{ "bpf_filtered", bpf_filtered },
	{ "sqpoll_flight", sqpoll_flight },
	{ "kinds", kinds },
	{ "indices", indices },
	{ "dropped", dropped },
	{ "thread", thread },
	{ "threads", threads },
	{ "own_table", own_table },
	{ "dead_leader", dead_leader },
	{ NULL, NULL },
};
