/*
 * The guest's workload: processes with rings in known states.
 *
 * Every scenario runs in a process of its own, prints its truth and sleeps.
 * The parent starts one after the other, so that nothing races.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define READY_FD 200

/* Tells the parent that the truth is out, and sleeps for good. */
static void rest(void)
{
	if (write(READY_FD, "r", 1) != 1)
		_exit(1);
	close(READY_FD);
	for (;;)
		pause();
}

static const char *flags_info(int flags)
{
	static char text[256];
	static const char *const access[] = { "O_RDONLY", "O_WRONLY", "O_RDWR" };
	char creation[200] = "";

	if (flags & O_CREAT)
		strcat(creation, "O_CREAT | ");
	if (flags & O_TRUNC)
		strcat(creation, "O_TRUNC | ");
	snprintf(text, sizeof(text),
		 "\"access_flags\":\"%s\",\"creation_flags\":\"%sO_LARGEFILE\"",
		 access[flags & O_ACCMODE], creation);
	return text;
}

static void prep_openat(struct ring *r, const char *path, int flags, int mode)
{
	struct io_uring_sqe *sqe = ring_sqe(r, OP_OPENAT, AT_FDCWD);

	sqe->addr = (uintptr_t)path;
	sqe->open_flags = flags;
	sqe->len = mode;
	ring_info(r, "%s,%s", jkey("path", path), flags_info(flags));
}

static void prep_path(struct ring *r, int op, const char *path)
{
	struct io_uring_sqe *sqe = ring_sqe(r, op, AT_FDCWD);

	sqe->addr = (uintptr_t)path;
	ring_info(r, "%s", jkey("path", path));
}

static struct sockaddr_in *ipv4(const char *addr, int port)
{
	struct sockaddr_in *sin = calloc(1, sizeof(*sin));

	sin->sin_family = AF_INET;
	sin->sin_port = htons(port);
	inet_pton(AF_INET, addr, &sin->sin_addr);
	return sin;
}

static void prep_connect4(struct ring *r, int fd, const char *addr, int port)
{
	struct io_uring_sqe *sqe = ring_sqe(r, OP_CONNECT, fd);

	sqe->addr = (uintptr_t)ipv4(addr, port);
	sqe->off = sizeof(struct sockaddr_in);
	ring_info(r, "\"addr\":\"%s\",\"port\":%d,\"family\":\"AF_INET\"",
		  addr, port);
}

static void prep_io(struct ring *r, int op, int fd, const void *buffer,
		    unsigned int len, uint64_t off)
{
	struct io_uring_sqe *sqe = ring_sqe(r, op, fd);

	sqe->addr = (uintptr_t)buffer;
	sqe->len = len;
	sqe->off = off;
	ring_info(r, "\"fd\":%d,\"len\":%u", fd, len);
	if (off != (uint64_t)-1 && op != OP_SEND && op != OP_RECV)
		ring_info(r, "\"offset\":%lu", off);
}

/* A ring with a past, a present and a future. */
static void a_stale(void)
{
	static struct ring r;
	int sock = socket(AF_INET, SOCK_STREAM, 0);
	static char text[] = "hello from a_stale";

	if (!ring_setup(&r, "a_stale", 8, 0))
		return;
	prep_openat(&r, "/etc/shadow-decoy", O_RDONLY, 0);
	ring_one(&r);
	prep_connect4(&r, sock, "203.0.113.7", 4444);
	ring_one(&r);
	ring_sqe(&r, OP_NOP, -1);
	ring_one(&r);
	prep_io(&r, OP_SEND, sock, text, sizeof(text), 0);
	prep_path(&r, OP_UNLINKAT, "/tmp/agent");
	ring_publish(&r);
	ring_truth(&r);
}

/* A RECV that waits for its socket. */
static void b_recv(void)
{
	static struct ring r;
	static char buffer[64];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	if (!ring_setup(&r, "b_recv", 4, 0))
		return;
	prep_io(&r, OP_RECV, pair[0], buffer, sizeof(buffer), 0);
	ring_submit(&r, 1, 0);
	ring_truth(&r);
}

/* Registered, then closed: no file descriptor shows it. */
static void c_hidden(void)
{
	static struct ring r;
	struct io_uring_rsrc_update update = { .offset = -1U };

	if (!ring_setup(&r, "c_hidden", 4, 0))
		return;
	update.data = r.fd;
	if (sys_register(r.fd, IORING_REGISTER_RING_FDS, &update, 1) != 1)
		die("register ring fd");
	close(r.fd);
	r.fd_visible = false;
	r.owners[0].fd = -1;
	r.enter_fd = update.offset;
	r.enter_flags = IORING_ENTER_REGISTERED_RING;
	prep_openat(&r, "/etc/passwd", O_RDONLY, 0);
	ring_one(&r);
	prep_path(&r, OP_UNLINKAT, "/root/.bash_history");
	ring_publish(&r);
	ring_truth(&r);
}

/* Inherited over fork; the child never uses it. */
static void d_inherit(void)
{
	static struct ring r;
	int pid;

	if (!ring_setup(&r, "d_inherit", 4, 0))
		return;
	ring_sqe(&r, OP_NOP, -1);
	ring_one(&r);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "d_child");
		close(READY_FD);
		for (;;)
			pause();
	}
	usleep(100000);
	ring_owner(&r, pid, "d_child", r.fd);
	ring_truth(&r);
}

struct scenario {
	const char *name;
	void (*run)(void);
};

static const struct scenario scenarios[] = {
	{ "a_stale", a_stale },
	{ "b_recv", b_recv },
	{ "c_hidden", c_hidden },
	{ "d_inherit", d_inherit },
};

#define NR_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

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
	if (poll(&pollfd, 1, 60000) != 1 || read(ready[0], &c, 1) != 1)
		truth_line("{\"error\":\"scenario did not come to rest\","
			   "\"comm\":\"%s\"}", s->name);
	close(ready[0]);
}

int main(int argc, char **argv)
{
	truth_open();
	if (argc > 1) {
		for (size_t i = 0; i < NR_SCENARIOS; i++) {
			if (strcmp(argv[1], scenarios[i].name))
				continue;
			prctl(PR_SET_NAME, scenarios[i].name);
			scenarios[i].run();
			rest();
		}
		return 2;
	}
	for (size_t i = 0; i < NR_SCENARIOS; i++)
		start(&scenarios[i]);
	return 0;
}
