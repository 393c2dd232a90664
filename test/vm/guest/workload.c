/*
 * The guest's workload: processes with rings in known states.
 *
 * Every scenario runs in a process of its own, prints its truth and sleeps.
 * The parent starts one after the other, so that nothing races.
 */
#define _GNU_SOURCE
#include "workload.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_FD 200
/* Longer than a scenario waits for one thing, so that it can say for what. */
#define PATIENCE_MS 600000

void at_rest(void)
{
	if (write(READY_FD, "r", 1) != 1)
		_exit(1);
	close(READY_FD);
}

void sleep_on(void)
{
	for (;;)
		pause();
}

int sleeper(const char *name)
{
	int named[2], pid;
	char c;

	if (pipe(named))
		die("pipe");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		if (write(named[1], "n", 1) != 1)
			_exit(1);
		close(named[0]);
		close(named[1]);
		sleep_on();
	}
	close(named[1]);
	if (read(named[0], &c, 1) != 1)
		die("%s did not start", name);
	close(named[0]);
	return pid;
}

/* A counter, as a futex may be what a thread's filter forbids. */
static int threads_at_rest;

void start_thread(void *(*run)(void *), void *arg)
{
	pthread_t id;

	if (pthread_create(&id, NULL, run, arg))
		die("cannot start a thread");
}

void rest_thread(void)
{
	__atomic_fetch_add(&threads_at_rest, 1, __ATOMIC_RELEASE);
	sleep_on();
}

void await_threads(int nr)
{
	wait_until(__atomic_load_n(&threads_at_rest, __ATOMIC_ACQUIRE) == nr,
		   "%d threads did not come to rest", nr);
}

/* For this file the kernel makes sure that a task has left the processor. */
static bool is_asleep(int tid)
{
	char path[64];
	FILE *file;
	int c;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	file = fopen(path, "r");
	if (!file)
		return false;
	c = fgetc(file);
	fclose(file);
	return c != EOF && c != 'r'; /* "running" */
}

void await_sleep(int tid)
{
	wait_until(is_asleep(tid), "thread %d does not sleep", tid);
}

/* The last thread of this process whose name begins so; 0 if there is none. */
static int find_thread(const char *prefix)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	char path[320], comm[32] = "";
	int tid = 0;

	while ((entry = readdir(dir))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm",
			 entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(comm, sizeof(comm), file) &&
		    !strncmp(comm, prefix, strlen(prefix)))
			tid = atoi(entry->d_name);
		if (file)
			fclose(file);
	}
	closedir(dir);
	return tid;
}

void await_worker(void)
{
	/* A worker takes its name and then a request before it first sleeps. */
	wait_until(is_asleep(find_thread("iou-wrk")), "no worker sleeps");
}

void settle(void)
{
	/*
	 * The kernel frees a ring from a workqueue, behind grace periods, and
	 * tells nobody. Each of these sleeps lets go of the processor.
	 */
	for (int i = 0; i < 100; i++)
		usleep(10000);
}

void rest(void)
{
	at_rest();
	sleep_on();
}

void skip(const char *what, int error)
{
	truth_line("{\"skipped\":%s,\"errno\":\"%s\"}", js(what),
		   strerrorname_np(error) ?: "0");
}

bool op_supported(unsigned int op)
{
	struct {
		struct io_uring_probe probe;
		struct io_uring_probe_op ops[256];
	} p = { 0 };
	struct io_uring_params params = { 0 };
	int fd = sys_setup(1, &params);

	if (fd < 0 || sys_register(fd, IORING_REGISTER_PROBE, &p, 256))
		die("probe");
	close(fd);
	return p.probe.last_op >= op &&
	       p.ops[op].flags & IO_URING_OP_SUPPORTED;
}

static void append_flag(char *text, int flags, int flag, const char *name)
{
	if ((flags & flag) != flag)
		return;
	strcat(text, name);
	strcat(text, " | ");
}

struct io_uring_sqe *prep_openat(struct ring *r, const char *path, int flags,
				 int mode)
{
	static const char *const access[] = { "O_RDONLY", "O_WRONLY", "O_RDWR" };
	struct io_uring_sqe *sqe = prep_path(r, OP_OPENAT, path);
	char creation[256] = "", cloexec[32] = "";

	sqe->open_flags = flags;
	sqe->len = mode;
	append_flag(creation, flags, O_CREAT, "O_CREAT");
	append_flag(creation, flags, O_EXCL, "O_EXCL");
	append_flag(creation, flags, O_TRUNC, "O_TRUNC");
	append_flag(creation, flags, O_APPEND, "O_APPEND");
	if (flags & O_CLOEXEC)
		strcpy(cloexec, " | O_CLOEXEC");
	ring_info(r, "\"access_flags\":\"%s\",\"creation_flags\":"
		  "\"%sO_LARGEFILE%s\"", access[flags & O_ACCMODE], creation,
		  cloexec);
	if (flags & O_CREAT)
		ring_info(r, "\"mode\":\"%04o\"", mode);
	return sqe;
}

struct io_uring_sqe *prep_path(struct ring *r, int op, const char *path)
{
	struct io_uring_sqe *sqe = ring_sqe(r, op, AT_FDCWD);

	sqe->addr = (uintptr_t)path;
	ring_info(r, "%s,\"dfd\":\"AT_FDCWD\"", jkey("path", path));
	return sqe;
}

struct sockaddr_in *ipv4(const char *addr, int port)
{
	struct sockaddr_in *sin = calloc(1, sizeof(*sin));

	sin->sin_family = AF_INET;
	sin->sin_port = htons(port);
	inet_pton(AF_INET, addr, &sin->sin_addr);
	return sin;
}

void prep_connect4(struct ring *r, int fd, const char *addr, int port)
{
	struct io_uring_sqe *sqe = ring_sqe(r, OP_CONNECT, fd);

	sqe->addr = (uintptr_t)ipv4(addr, port);
	sqe->off = sizeof(struct sockaddr_in);
	ring_info(r, "\"addr\":\"%s\",\"port\":%d,\"family\":\"AF_INET\"",
		  addr, port);
}

/* A leading @ stands for the NUL of an abstract name. */
void prep_connect_unix(struct ring *r, int fd, const char *path)
{
	struct io_uring_sqe *sqe = ring_sqe(r, OP_CONNECT, fd);
	struct sockaddr_un *sun = calloc(1, sizeof(*sun));
	size_t length = strlen(path);

	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, length);
	if (path[0] == '@')
		sun->sun_path[0] = '\0';
	sqe->addr = (uintptr_t)sun;
	sqe->off = offsetof(struct sockaddr_un, sun_path) + length +
		   (path[0] != '@');
	ring_info(r, "%s,\"family\":\"AF_UNIX\"", jkey("path", path));
}

struct io_uring_sqe *prep_io(struct ring *r, int op, int fd,
			     const void *buffer, unsigned int len,
			     uint64_t off)
{
	struct io_uring_sqe *sqe = ring_sqe(r, op, fd);
	bool has_offset = op == OP_READ || op == OP_WRITE || op == OP_READV ||
			  op == OP_READ_FIXED || op == OP_WRITE_FIXED;

	sqe->addr = (uintptr_t)buffer;
	sqe->len = len;
	sqe->off = off;
	ring_info(r, "\"fd\":%d,\"len\":%u", fd, len);
	if (!has_offset || off == (uint64_t)-1)
		return sqe;
	/* Above 2^53 a number is text. */
	ring_info(r, off >> 53 ? "\"offset\":\"0x%lx\"" : "\"offset\":%lu",
		  off);
	return sqe;
}

void target_file(struct ring *r, const char *path)
{
	ring_info(r, "\"target\":{\"kind\":\"file\",%s}", jkey("path", path));
}

static void address_text(char *out, const char *prefix, const void *address)
{
	const struct sockaddr_in *sin = address;
	const struct sockaddr_in6 *sin6 = address;
	char text[64];

	if (sin->sin_family == AF_INET)
		inet_ntop(AF_INET, &sin->sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &sin6->sin6_addr, text, sizeof(text));
	sprintf(out, ",\"%saddr\":\"%s\",\"%sport\":%d", prefix, text, prefix,
		ntohs(sin->sin_port));
}

void target_socket(struct ring *r, int fd)
{
	struct sockaddr_storage local = { 0 }, peer = { 0 };
	socklen_t length = sizeof(local);
	char local_text[128] = "", peer_text[128] = "";
	const char *family;

	getsockname(fd, (struct sockaddr *)&local, &length);
	length = sizeof(peer);
	family = local.ss_family == AF_INET ? "AF_INET" :
		 local.ss_family == AF_INET6 ? "AF_INET6" : "AF_UNIX";
	if (local.ss_family != AF_UNIX) {
		address_text(local_text, "local_", &local);
		if (!getpeername(fd, (struct sockaddr *)&peer, &length))
			address_text(peer_text, "", &peer);
	}
	ring_info(r, "\"target\":{\"kind\":\"socket\",\"family\":\"%s\"%s%s}",
		  family, local_text, peer_text);
}

void echo_server(int port)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, fd, n;
	struct sockaddr_in *sin = ipv4("127.0.0.1", port);
	char buffer[256];

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)sin, sizeof(*sin)) ||
	    listen(listener, 16))
		die("listen on port %d", port);
	if (fork())
		return;
	prctl(PR_SET_NAME, "echo");
	close(READY_FD);
	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fork())
			continue;
		while ((n = read(fd, buffer, sizeof(buffer))) > 0)
			if (write(fd, buffer, n) != n)
				_exit(1);
		sleep_on();
	}
}

int connected_tcp(int port)
{
	struct sockaddr_in *sin = ipv4("127.0.0.1", port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)sin, sizeof(*sin)))
		die("connect to port %d", port);
	return fd;
}

void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

int page_state(const void *address)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, &entry, 8, (uintptr_t)address / 4096 * 8) != 8)
		die("pagemap");
	close(fd);
	return entry >> 63 ? 1 : entry >> 62 & 1 ? 2 : 0;
}

static void start(const struct scenario *s)
{
	struct pollfd pollfd;
	int ready[2], pid;
	char c;

	if (pipe(ready))
		die("pipe");
	pid = fork();
	if (pid == 0) {
		dup2(ready[1], READY_FD);
		close(ready[0]);
		close(ready[1]);
		execl("/proc/self/exe", "workload", s->name, (char *)NULL);
		_exit(1);
	}
	close(ready[1]);
	pollfd = (struct pollfd){ .fd = ready[0], .events = POLLIN };
	if (poll(&pollfd, 1, PATIENCE_MS) != 1 || read(ready[0], &c, 1) != 1)
		truth_line("{\"error\":\"scenario did not come to rest\","
			   "\"comm\":\"%s\"}", s->name);
	close(ready[0]);
}

int main(int argc, char **argv)
{
	const struct scenario *const lists[] = {
		request_scenarios, ring_scenarios, process_scenarios,
		verdict_scenarios, hidden_scenarios, busy_scenarios,
	};
	bool busy = argc == 2 && !strcmp(argv[1], "--busy");
	bool idle = argc == 2 && !strcmp(argv[1], "--idle");

	/* It connects, unlinks and mounts: a guest's own, never a machine's. */
	if (access("/workload.args", F_OK)) {
		fprintf(stderr, "Cannot run: this is not a guest of the lab\n");
		return 1;
	}
	if (argc == 2 && !strcmp(argv[1], "--spin"))
		for (;;)
			;
	truth_open();
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; !idle && i < 5 + (argc > 1); i++) {
		for (const struct scenario *s = lists[i]; s->name; s++) {
			if (argc == 1 || busy) {
				start(s);
			} else if (!strcmp(argv[1], s->name)) {
				prctl(PR_SET_NAME, s->name);
				s->run();
				rest();
			}
		}
	}
	if (argc > 1 && !busy && !idle)
		return 2;
	/* The parent of all stays, so that what they said of it stays true. */
	close(open("/run/rested", O_WRONLY | O_CREAT, 0644));
	sleep_on();
}
