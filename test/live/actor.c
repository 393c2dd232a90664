// SPDX-License-Identifier: MIT
/*
 * A process that becomes whom it is told to be, and submits the same requests as each: what a
 * process filter decides by, for tests of where it is decided.
 *
 * It takes one command a line from standard input, and answers each with a line: who submitted the
 * requests, as UID EUID AUID EXECUTABLE, or "done".
 *
 *	ids UID EUID		setresuid(2) of the whole process
 *	login UID		its login uid
 *	name COMM		its comm
 *	exec PATH		becomes another executable; the ring is gone then
 *	ring [polled]		makes a new ring, whose requests a kernel thread submits if polled
 *	act USER_DATA		submits the requests, counting up from there
 *	thread UID USER_DATA	the same in a thread of another user
 *	nop COUNT		submits so many NOPs
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No kernel has it. */
#define OP_REFUSED 200

static struct io_uring ring;
static bool has_ring;
static uint64_t next_user_data;

static void die(const char *what)
{
	fprintf(stderr, "Cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static void make_ring(unsigned int flags)
{
	int error;

	if (has_ring)
		io_uring_queue_exit(&ring);
	error = io_uring_queue_init(8, &ring, flags);
	if (error) {
		errno = -error;
		die("make a ring");
	}
	has_ring = true;
}

static struct io_uring_sqe *request(void)
{
	struct io_uring_sqe *sqe;

	if (!has_ring)
		make_ring(0);
	sqe = io_uring_get_sqe(&ring);
	if (!sqe)
		die("get an entry");
	return sqe;
}

/* Submits the one request that was prepared, and gives its result. */
static int run(struct io_uring_sqe *sqe)
{
	struct io_uring_cqe *cqe;
	int res;

	sqe->user_data = next_user_data++;
	if (io_uring_submit(&ring) < 0 || io_uring_wait_cqe(&ring, &cqe))
		die("run a request");
	res = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return res;
}

/* What the kernel says of the calling thread. */
static void tell_who(void)
{
	char auid[32] = "", path[4096] = "";
	int fd = open("/proc/self/loginuid", O_RDONLY);

	/* A kernel without audit has no login users. */
	if (fd < 0 || read(fd, auid, sizeof(auid) - 1) < 0)
		strcpy(auid, "4294967295");
	close(fd);
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		die("read its executable");
	printf("%ld %ld %s %s\n", syscall(SYS_getuid), syscall(SYS_geteuid), auid, path);
}

static void act(void)
{
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(9),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(8443),
				     .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct open_how how = { .flags = O_RDONLY };
	int socket4 = socket(AF_INET, SOCK_STREAM, 0), socket6 = socket(AF_INET6, SOCK_STREAM, 0);
	struct io_uring_sqe *sqe;
	struct statx stats;
	char buffer[64];
	int fd;

	io_uring_prep_nop(sqe = request());
	run(sqe);
	io_uring_register_eventfd(&ring, -1); /* refused, and told all the same */
	io_uring_prep_openat(sqe = request(), AT_FDCWD, "/etc/hostname", O_RDONLY, 0);
	fd = run(sqe);
	io_uring_prep_read(sqe = request(), fd, buffer, sizeof(buffer), 0);
	run(sqe);
	io_uring_prep_close(sqe = request(), fd);
	run(sqe);
	io_uring_prep_openat2(sqe = request(), AT_FDCWD, "/no/such/folder/../file", &how);
	run(sqe);
	io_uring_prep_statx(sqe = request(), AT_FDCWD, "relative", 0, STATX_SIZE, &stats);
	run(sqe);
	io_uring_prep_unlinkat(sqe = request(), AT_FDCWD, "/no/such/folder/file", 0);
	run(sqe);
	io_uring_prep_renameat(sqe = request(), AT_FDCWD, "/no/such/a", AT_FDCWD, "/no/such/b", 0);
	run(sqe);
	io_uring_prep_connect(sqe = request(), socket4, (void *)&ipv4, sizeof(ipv4));
	run(sqe);
	io_uring_prep_connect(sqe = request(), socket6, (void *)&ipv6, sizeof(ipv6));
	run(sqe);
	io_uring_prep_send(sqe = request(), socket4, "x", 1, MSG_NOSIGNAL);
	run(sqe);
	/* Refused: an opcode that is none, and a flag that does not go with the other. */
	io_uring_prep_nop(sqe = request());
	sqe->opcode = OP_REFUSED;
	run(sqe);
	io_uring_prep_openat(sqe = request(), AT_FDCWD, "/etc/hostname", O_RDONLY, 0);
	sqe->buf_index = 5;
	run(sqe);
	close(socket4);
	close(socket6);
	tell_who();
}

static void *act_as(void *uid)
{
	long id = (long)uid;

	/* glibc's setresuid() would be of all threads. */
	if (syscall(SYS_setresuid, id, id, id))
		die("become another user");
	act();
	return NULL;
}

static void log_in(const char *uid)
{
	int fd = open("/proc/self/loginuid", O_WRONLY);

	if (fd < 0 || write(fd, uid, strlen(uid)) < 0)
		die("log in");
	close(fd);
}

static void obey(char *command)
{
	char *words[4] = { strtok(command, " ") };
	pthread_t thread;

	for (int i = 1; i < 4; i++)
		words[i] = strtok(NULL, " ");
	if (!words[0])
		return;
	if (!strcmp(words[0], "act")) {
		next_user_data = strtoull(words[1], NULL, 0);
		act();
		return;
	}
	if (!strcmp(words[0], "thread")) {
		next_user_data = strtoull(words[2], NULL, 0);
		if (pthread_create(&thread, NULL, act_as, (void *)atol(words[1])) ||
		    pthread_join(thread, NULL))
			die("start a thread");
		return;
	}
	if (!strcmp(words[0], "ids")) {
		if (setresuid(atoi(words[1]), atoi(words[2]), -1))
			die("become another user");
	} else if (!strcmp(words[0], "login")) {
		log_in(words[1]);
	} else if (!strcmp(words[0], "name")) {
		prctl(PR_SET_NAME, words[1], 0, 0, 0);
	} else if (!strcmp(words[0], "exec")) {
		execl(words[1], words[1], (char *)NULL);
		die("execute");
	} else if (!strcmp(words[0], "ring")) {
		make_ring(words[1] ? IORING_SETUP_SQPOLL : 0);
	} else if (!strcmp(words[0], "nop")) {
		for (int left = atoi(words[1]); left; left--) {
			struct io_uring_sqe *sqe = request();

			io_uring_prep_nop(sqe);
			run(sqe);
		}
	} else {
		errno = EINVAL;
		die(words[0]);
	}
	printf("done\n");
}

int main(void)
{
	char command[512];

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");
	while (fgets(command, sizeof(command), stdin)) {
		command[strcspn(command, "\n")] = '\0';
		obey(command);
	}
	return 0;
}
