// SPDX-License-Identifier: MIT
/*
 * What the published tools that hide in io_uring do, operation by operation, against loopback and
 * files of its own: RingReaper (one request at a time on one ring) and curing (READ and WRITE on a
 * socket). Nothing outside the scratch folder is changed: what they would damage is named under
 * paths that do not exist.
 *
 * published_tools FOLDER prints "NAME USER_DATA" for each request. It removes its own executable.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct io_uring ring;
static unsigned long long next_user_data = 0x7001;
static char buffer[4096];

static struct io_uring_sqe *request(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe)
		exit(1);
	return sqe;
}

/* Submits the one request that waits, prints its name, and gives its result. */
static int run(struct io_uring_sqe *sqe, const char *name)
{
	struct io_uring_cqe *cqe;
	int res;

	io_uring_sqe_set_data64(sqe, next_user_data);
	printf("%s 0x%llx\n", name, next_user_data++);
	if (io_uring_submit(&ring) != 1 || io_uring_wait_cqe(&ring, &cqe))
		exit(1);
	res = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return res;
}

static int open_file(const char *name, const char *path, int flags)
{
	struct io_uring_sqe *sqe = request();

	io_uring_prep_openat(sqe, AT_FDCWD, path, flags, 0600);
	return run(sqe, name);
}

static void open_and_read(const char *name, const char *path)
{
	struct io_uring_sqe *sqe;
	int fd = open_file(name, path, O_RDONLY);

	if (fd < 0)
		return;
	sqe = request();
	io_uring_prep_read(sqe, fd, buffer, 64, 0);
	run(sqe, name);
	close(fd);
}

static int connected(struct sockaddr_in *address, int listener, int *peer)
{
	struct io_uring_sqe *sqe;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sqe = request();
	io_uring_prep_connect(sqe, fd, (struct sockaddr *)address, sizeof(*address));
	if (run(sqe, "connect"))
		exit(1);
	*peer = accept(listener, NULL, NULL);
	if (*peer < 0 || write(*peer, "command\n", 8) != 8)
		exit(1);
	return fd;
}

static void ring_reaper(struct sockaddr_in *address, int listener, const char *executable)
{
	struct io_uring_sqe *sqe;
	struct dirent *entry;
	struct statx stats;
	char path[4200];
	int fd, peer, left = 40;
	DIR *directory;

	fd = connected(address, listener, &peer);
	sqe = request();
	io_uring_prep_recv(sqe, fd, buffer, sizeof(buffer), 0);
	run(sqe, "recv");
	sqe = request();
	io_uring_prep_send(sqe, fd, "reply", 5, 0);
	run(sqe, "send");

	open_and_read("users", "/var/run/utmp");
	open_and_read("ss", "/proc/net/tcp");
	open_and_read("ps", "/proc/1/comm");
	directory = opendir("/usr/bin");
	while (directory && left && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/usr/bin/%s", entry->d_name);
		sqe = request();
		io_uring_prep_statx(sqe, AT_FDCWD, path, 0, STATX_MODE, &stats);
		run(sqe, --left ? "privesc-one" : "privesc");
	}
	closedir(directory);

	open_file("killbpf-tracing", "/sys/kernel/debug/tracing/no-such-folder/tracing_on", O_WRONLY);
	sqe = request();
	io_uring_prep_unlinkat(sqe, AT_FDCWD, "/sys/fs/bpf/no-such-folder/pinned", 0);
	run(sqe, "killbpf-unlink");
	open_and_read("killbpf-maps", "/proc/1/maps");
	sqe = request();
	io_uring_prep_unlinkat(sqe, AT_FDCWD, executable, 0);
	run(sqe, "selfdestruct");
	close(fd);
	close(peer);
}

static void curing(struct sockaddr_in *address, int listener, const char *folder)
{
	struct io_uring_sqe *sqe;
	char path[4200];
	int fd, peer;

	fd = connected(address, listener, &peer);
	sqe = request();
	io_uring_prep_write(sqe, fd, "hello", 5, 0);
	run(sqe, "socket-write");
	sqe = request();
	io_uring_prep_read(sqe, fd, buffer, sizeof(buffer), 0);
	run(sqe, "socket-read");
	sqe = request();
	io_uring_prep_close(sqe, fd);
	run(sqe, "close");
	close(peer);

	fd = open_file("shadow", "/etc/shadow", O_RDONLY);
	if (fd >= 0)
		close(fd);
	snprintf(path, sizeof(path), "%s/link", folder);
	sqe = request();
	io_uring_prep_symlinkat(sqe, "/etc/shadow", AT_FDCWD, path);
	run(sqe, "symlink");
	snprintf(path, sizeof(path), "%s/written", folder);
	fd = open_file("write-file", path, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	char executable[4096];
	ssize_t size = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 2 || size < 0)
		return 2;
	executable[size] = 0;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) ||
	    io_uring_queue_init(32, &ring, 0))
		return 1;
	curing(&address, listener, argv[1]);
	ring_reaper(&address, listener, executable);
	return 0;
}
