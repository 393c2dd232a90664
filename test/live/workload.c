// SPDX-License-Identifier: MIT
/*
 * Requests with known arguments, for tests of the live capture.
 *
 *	workload all          every opcode that this kernel knows, once, with arguments of its own
 *	workload MODE …       one situation each; see the table at the end
 *
 * Each request is announced on standard output as one line of JSON with its user_data, opcode, what
 * op_info must hold, and the result that came back. user_data counts up from a base of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Opcodes newer than the liburing that this is built with. */
enum {
	OP_SENDMSG_ZC = 48, OP_READ_MULTISHOT = 49, OP_WAITID = 50, OP_FUTEX_WAIT = 51,
	OP_FUTEX_WAKE = 52, OP_FUTEX_WAITV = 53, OP_FIXED_FD_INSTALL = 54, OP_FTRUNCATE = 55,
	OP_BIND = 56, OP_LISTEN = 57, OP_RECV_ZC = 58, OP_EPOLL_WAIT = 59, OP_READV_FIXED = 60,
	OP_WRITEV_FIXED = 61, OP_PIPE = 62, OP_NOP128 = 63, OP_URING_CMD128 = 64,
};

#define SETUP_NO_MMAP		(1U << 14)
#define SETUP_REGISTERED_FD_ONLY (1U << 15)

#define BASE 0x10c0ffee00000000ull

static struct io_uring ring;
static uint64_t next_user_data = BASE;
static char dir[64] = "/tmp/iouring-live-XXXXXX";
static bool known[256];

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

static void ring_open(unsigned int entries, unsigned int flags)
{
	int error = io_uring_queue_init(entries, &ring, flags);

	if (error) {
		errno = -error;
		die("cannot make a ring");
	}
}

/* The opcodes that this kernel supports. */
static void probe(void)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
	/* liburing asks for as many as it knows itself, so ask again for all. */
	struct {
		struct io_uring_probe head;
		struct io_uring_probe_op ops[256];
	} all = {};

	free(probe);
	if (syscall(SYS_io_uring_register, ring.ring_fd, IORING_REGISTER_PROBE, &all, 256) < 0)
		die("cannot probe");
	for (int i = 0; i < 256; i++)
		known[all.ops[i].op] |= all.ops[i].flags & IO_URING_OP_SUPPORTED;
}

static struct io_uring_sqe *get(int opcode, int fd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe)
		die("no entry left");
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->user_data = next_user_data++;
	return sqe;
}

/* Submits what was prepared, waits for its completion, and announces it. */
static int run(const char *expect, ...)
{
	struct io_uring_sqe *sqe = &ring.sq.sqes[(ring.sq.sqe_tail - 1) & *ring.sq.kring_mask];
	uint64_t user_data = sqe->user_data;
	int opcode = sqe->opcode, fd = sqe->fd, res;
	struct io_uring_cqe *cqe;
	va_list args;

	io_uring_submit_and_wait(&ring, 1);
	if (io_uring_wait_cqe(&ring, &cqe))
		die("no completion");
	/* Others may come late; this one is waited for. */
	while (cqe->user_data != user_data) {
		io_uring_cqe_seen(&ring, cqe);
		if (io_uring_wait_cqe(&ring, &cqe))
			die("no completion");
	}
	res = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	printf("{\"user_data\":\"0x%llx\",\"opcode\":%d,\"fd\":%d,\"res\":%d,\"op_info\":",
	       (unsigned long long)user_data, opcode, fd, res);
	va_start(args, expect);
	vprintf(expect, args);
	va_end(args);
	printf("}\n");
	fflush(stdout);
	return res;
}

static int tcp_listener(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (void *)address, sizeof(*address)) || listen(fd, 8) ||
	    getsockname(fd, (void *)address, &length))
		die("cannot listen");
	return fd;
}

static const char *in_dir(const char *name)
{
	static char paths[8][128];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void enter_dir(void)
{
	if (!mkdtemp(dir))
		die("cannot make a directory");
}

static void leave_dir(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		die("cannot remove %s", dir);
}

static void all_files(void)
{
	/* Older kernels register anonymous memory only. */
	char *buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	struct iovec iov[2] = { { buffer, 10 }, { buffer + 10, 20 } };
	struct open_how { uint64_t flags, mode, resolve; } how = { O_RDONLY | O_CLOEXEC, 0, 0x04 };
	struct statx stx;
	struct io_uring_sqe *sqe;
	const char *path = in_dir("data");
	int fd, other, registered[2], in[2], out[2];

	/* OPENAT makes the file that the rest works on. */
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)path;
	sqe->open_flags = O_RDWR | O_CREAT | O_TRUNC;
	sqe->len = 0640;
	fd = run("{\"path\":\"%s\",\"access_flags\":\"O_RDWR\",\"creation_flags\":"
		 "\"O_CREAT | O_TRUNC | O_LARGEFILE\",\"dfd\":\"AT_FDCWD\",\"mode\":\"0640\"}",
		 path);
	if (fd < 0)
		die("OPENAT gave %d", fd);
	memset(buffer, 'x', 4096);

	sqe = get(IORING_OP_WRITE, fd);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 4096;
	sqe->off = 0;
	run("{\"fd\":%d,\"offset\":0,\"len\":4096,\"target\":{\"kind\":\"file\",\"path\":\"%s\"}}",
	    fd, path);

	sqe = get(IORING_OP_READ, fd);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 123;
	sqe->off = 7;
	run("{\"fd\":%d,\"offset\":7,\"len\":123,\"target\":{\"kind\":\"file\",\"path\":\"%s\"}}",
	    fd, path);

	sqe = get(IORING_OP_READV, fd);
	sqe->addr = (uintptr_t)iov;
	sqe->len = 2;
	sqe->off = 16;
	run("{\"fd\":%d,\"offset\":16,\"iovecs\":2,\"len\":30}", fd);

	sqe = get(IORING_OP_WRITEV, fd);
	sqe->addr = (uintptr_t)iov;
	sqe->len = 2;
	sqe->off = 32;
	run("{\"fd\":%d,\"offset\":32,\"iovecs\":2,\"len\":30}", fd);

	sqe = get(IORING_OP_FSYNC, fd);
	sqe->fsync_flags = IORING_FSYNC_DATASYNC;
	sqe->off = 4;
	sqe->len = 8;
	run("{\"offset\":4,\"len\":8,\"flags\":\"IORING_FSYNC_DATASYNC\"}");

	sqe = get(IORING_OP_SYNC_FILE_RANGE, fd);
	sqe->off = 12;
	sqe->len = 34;
	sqe->sync_range_flags = 2;
	run("{\"offset\":12,\"len\":34,\"flags\":\"SYNC_FILE_RANGE_WRITE\"}");

	sqe = get(IORING_OP_FALLOCATE, fd);
	sqe->off = 100;
	sqe->addr = 200;
	sqe->len = 1;
	run("{\"offset\":100,\"len\":200,\"mode\":\"FALLOC_FL_KEEP_SIZE\"}");

	sqe = get(IORING_OP_FADVISE, fd);
	sqe->off = 50;
	sqe->len = 60;
	sqe->fadvise_advice = 2;
	run("{\"offset\":50,\"len\":60,\"advice\":\"POSIX_FADV_SEQUENTIAL\"}");

	sqe = get(IORING_OP_MADVISE, -1);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 4096;
	sqe->fadvise_advice = 0;
	run("{\"address\":\"0x%lx\",\"len\":4096,\"advice\":\"MADV_NORMAL\"}",
	    (uintptr_t)buffer);

	sqe = get(IORING_OP_OPENAT2, AT_FDCWD);
	sqe->addr = (uintptr_t)path;
	sqe->off = (uintptr_t)&how;
	sqe->len = sizeof(how);
	other = run("{\"path\":\"%s\",\"access_flags\":\"O_RDONLY\",\"creation_flags\":"
		    "\"O_LARGEFILE | O_CLOEXEC\",\"resolve\":\"RESOLVE_NO_SYMLINKS\"}", path);

	sqe = get(IORING_OP_CLOSE, other);
	run("{\"fd\":%d,\"target\":{\"kind\":\"file\",\"path\":\"%s\"}}", other, path);

	sqe = get(IORING_OP_STATX, AT_FDCWD);
	sqe->addr = (uintptr_t)path;
	sqe->off = (uintptr_t)&stx;
	sqe->len = 0x200;
	sqe->statx_flags = 0x100;
	run("{\"path\":\"%s\",\"flags\":\"AT_SYMLINK_NOFOLLOW\",\"mask\":\"STATX_SIZE\"}", path);

	/* Fixed files and buffers. */
	registered[0] = fd;
	registered[1] = -1;
	io_uring_register_files(&ring, registered, 2);
	io_uring_register_buffers(&ring, &(struct iovec){ buffer, 4096 }, 1);
	sqe = get(IORING_OP_READ_FIXED, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 11;
	sqe->off = 3;
	run("{\"fd\":0,\"fixed_file\":true,\"offset\":3,\"len\":11,\"buf_index\":0,"
	    "\"target\":{\"kind\":\"file\",\"path\":\"%s\"}}", path);
	sqe = get(IORING_OP_WRITE_FIXED, fd);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 12;
	sqe->off = 5;
	run("{\"fd\":%d,\"offset\":5,\"len\":12,\"buf_index\":0}", fd);
	if (known[OP_READV_FIXED]) {
		sqe = get(OP_READV_FIXED, fd);
		sqe->addr = (uintptr_t)iov;
		sqe->len = 2;
		sqe->off = 1;
		run("{\"fd\":%d,\"offset\":1,\"iovecs\":2,\"buf_index\":0}", fd);
		sqe = get(OP_WRITEV_FIXED, fd);
		sqe->addr = (uintptr_t)iov;
		sqe->len = 2;
		sqe->off = 2;
		run("{\"fd\":%d,\"offset\":2,\"iovecs\":2,\"buf_index\":0}", fd);
	}
	sqe = get(IORING_OP_FILES_UPDATE, -1);
	registered[1] = fd;
	sqe->addr = (uintptr_t)&registered[1];
	sqe->len = 1;
	sqe->off = 1;
	run("{\"offset\":1,\"count\":1}");
	if (known[OP_FIXED_FD_INSTALL]) {
		sqe = get(OP_FIXED_FD_INSTALL, 1);
		sqe->flags = IOSQE_FIXED_FILE;
		sqe->rw_flags = 1;
		run("{\"file_slot\":1,\"flags\":\"IORING_FIXED_FD_NO_CLOEXEC\"}");
	}
	io_uring_unregister_buffers(&ring);

	if (pipe(in) || pipe(out) || write(in[1], buffer, 100) != 100)
		die("pipe");
	sqe = get(IORING_OP_TEE, out[1]);
	sqe->splice_fd_in = in[0];
	sqe->len = 10;
	sqe->splice_flags = 2;
	run("{\"fd_in\":%d,\"fd_out\":%d,\"len\":10,\"flags\":\"SPLICE_F_NONBLOCK\","
	    "\"target\":{\"kind\":\"pipe\"},\"target_in\":{\"kind\":\"pipe\"}}", in[0], out[1]);
	sqe = get(IORING_OP_SPLICE, out[1]);
	sqe->splice_fd_in = in[0];
	sqe->splice_off_in = -1;
	sqe->off = -1;
	sqe->len = 20;
	run("{\"fd_in\":%d,\"fd_out\":%d,\"len\":20,\"target_in\":{\"kind\":\"pipe\"}}", in[0],
	    out[1]);
	sqe = get(IORING_OP_SPLICE, out[1]);
	sqe->splice_fd_in = fd;
	sqe->splice_off_in = 2;
	sqe->off = -1;
	sqe->len = 8;
	run("{\"fd_in\":%d,\"off_in\":2,\"len\":8,\"target\":{\"kind\":\"pipe\"},"
	    "\"target_in\":{\"kind\":\"file\",\"path\":\"%s\"}}", fd, path);
	sqe = get(IORING_OP_SPLICE, out[1]);
	sqe->splice_fd_in = 1;
	sqe->splice_flags = 1u << 31;
	sqe->off = -1;
	sqe->len = 9;
	run("{\"fd_in\":1,\"off_in\":0,\"flags\":\"SPLICE_F_FD_IN_FIXED\",\"target_in\":{"
	    "\"kind\":\"file\",\"path\":\"%s\"}}", path);

	if (known[OP_FTRUNCATE]) {
		sqe = get(OP_FTRUNCATE, fd);
		sqe->off = 4000;
		run("{\"len\":4000}");
	}
	if (known[OP_PIPE]) {
		int fds[2];

		sqe = get(OP_PIPE, 0);
		sqe->addr = (uintptr_t)fds;
		sqe->rw_flags = O_NONBLOCK;
		run("{\"flags\":\"O_NONBLOCK\"}");
	}
	if (known[OP_READ_MULTISHOT]) {
		struct io_uring_buf_reg reg = {};
		struct io_uring_buf_ring *buffers =
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

		reg.ring_addr = (uintptr_t)buffers;
		reg.ring_entries = 4;
		reg.bgid = 7;
		if (io_uring_register_buf_ring(&ring, &reg, 0))
			die("buffer ring");
		io_uring_buf_ring_init(buffers);
		io_uring_buf_ring_add(buffers, buffer, 64, 0, 3, 0);
		io_uring_buf_ring_add(buffers, buffer + 64, 64, 1, 3, 1);
		io_uring_buf_ring_advance(buffers, 2);
		sqe = get(OP_READ_MULTISHOT, in[0]);
		sqe->flags = IOSQE_BUFFER_SELECT;
		sqe->buf_group = 7;
		sqe->off = -1;
		run("{\"fd\":%d,\"buf_group\":7,\"target\":{\"kind\":\"pipe\"}}", in[0]);
	}
}

/* Paths that begin at a directory that is open. */
static void all_below(void)
{
	struct open_how { uint64_t flags, mode, resolve; } how = { O_RDONLY, 0, 0 };
	char *old = malloc(4096), *new = malloc(4096);
	int at = open(dir, O_RDONLY | O_DIRECTORY), other;
	struct io_uring_sqe *sqe;
	struct statx stx;

	mkdir(in_dir("sub"), 0700);
	other = open(in_dir("sub"), O_RDONLY | O_DIRECTORY);
	sqe = get(IORING_OP_OPENAT, at);
	sqe->addr = (uintptr_t)"below";
	sqe->open_flags = O_WRONLY | O_CREAT;
	sqe->len = 0600;
	close(run("{\"path\":\"below\",\"dfd\":%d,\"dfd_path\":\"%s\"}", at, dir));

	sqe = get(IORING_OP_OPENAT2, other);
	sqe->addr = (uintptr_t)"../below";
	sqe->off = (uintptr_t)&how;
	sqe->len = sizeof(how);
	close(run("{\"path\":\"../below\",\"dfd\":%d,\"dfd_path\":\"%s/sub\"}", other, dir));

	sqe = get(IORING_OP_STATX, at);
	sqe->addr = (uintptr_t)"";
	sqe->off = (uintptr_t)&stx;
	sqe->len = 0x200;
	sqe->statx_flags = AT_EMPTY_PATH;
	run("{\"path\":\"\",\"flags\":\"AT_EMPTY_PATH\",\"dfd_path\":\"%s\"}", dir);

	sqe = get(IORING_OP_MKDIRAT, at);
	sqe->addr = (uintptr_t)"made";
	sqe->len = 0700;
	run("{\"path\":\"made\",\"dfd_path\":\"%s\"}", dir);

	sqe = get(IORING_OP_SYMLINKAT, other);
	sqe->addr = (uintptr_t)"to nowhere";
	sqe->off = (uintptr_t)"link";
	run("{\"old_path\":\"to nowhere\",\"new_path\":\"link\",\"new_dfd_path\":\"%s/sub\"}", dir);

	sqe = get(IORING_OP_LINKAT, at);
	sqe->addr = (uintptr_t)"below";
	sqe->len = other;
	sqe->off = (uintptr_t)"linked";
	run("{\"old_path\":\"below\",\"new_path\":\"linked\",\"old_dfd_path\":\"%s\","
	    "\"new_dfd_path\":\"%s/sub\"}", dir, dir);
	/* An open file, by the ways that lead to it. */
	for (int i = 0; i < 3; i++) {
		static const char *const ways[] = { "/proc/self", "/proc/thread-self", "/dev" };
		char through[40];

		sprintf(through, "%s/fd/%d/below", ways[i], at);
		sqe = get(IORING_OP_LINKAT, AT_FDCWD);
		sqe->addr = (uintptr_t)through;
		sqe->len = other;
		sqe->off = (uintptr_t)"through";
		run("{\"old_path\":\"%s\",\"old_dfd_path\":\"%s\"}", through, dir);
		unlinkat(other, "through", 0);
	}

	sqe = get(IORING_OP_RENAMEAT, at);
	sqe->addr = (uintptr_t)"below";
	sqe->len = other;
	sqe->off = (uintptr_t)"renamed";
	run("{\"old_path\":\"below\",\"new_path\":\"renamed\",\"old_dfd_path\":\"%s\","
	    "\"new_dfd_path\":\"%s/sub\"}", dir, dir);

	sqe = get(IORING_OP_UNLINKAT, other);
	sqe->addr = (uintptr_t)"renamed";
	run("{\"path\":\"renamed\",\"dfd\":%d,\"dfd_path\":\"%s/sub\"}", other, dir);

	/* The longest paths that there are, in a request that is refused. */
	memset(old, 'o', 4095);
	memset(new, 'n', 4095);
	old[4095] = new[4095] = 0;
	sqe = get(IORING_OP_RENAMEAT, AT_FDCWD);
	sqe->addr = (uintptr_t)old;
	sqe->len = AT_FDCWD;
	sqe->off = (uintptr_t)new;
	sqe->buf_index = 1;
	run("{\"old_path\":\"%s\",\"new_path\":\"%s\"}", old, new);
	free(old);
	free(new);
	close(other);
	close(at);
}

static void all_names(void)
{
	struct io_uring_sqe *sqe;
	const char *a = in_dir("a"), *b = in_dir("b");
	char value[16] = "value";
	int fd;

	sqe = get(IORING_OP_MKDIRAT, AT_FDCWD);
	sqe->addr = (uintptr_t)a;
	sqe->len = 0750;
	run("{\"path\":\"%s\",\"mode\":\"0750\",\"dfd\":\"AT_FDCWD\"}", a);

	sqe = get(IORING_OP_RENAMEAT, AT_FDCWD);
	sqe->addr = (uintptr_t)a;
	sqe->len = AT_FDCWD;
	sqe->off = (uintptr_t)b;
	sqe->rename_flags = 1;
	run("{\"old_path\":\"%s\",\"new_path\":\"%s\",\"flags\":\"RENAME_NOREPLACE\"}", a, b);

	sqe = get(IORING_OP_UNLINKAT, AT_FDCWD);
	sqe->addr = (uintptr_t)b;
	sqe->unlink_flags = AT_REMOVEDIR;
	run("{\"path\":\"%s\",\"flags\":\"AT_REMOVEDIR\"}", b);

	sqe = get(IORING_OP_SYMLINKAT, AT_FDCWD);
	sqe->addr = (uintptr_t)"to nowhere";
	sqe->off = (uintptr_t)a;
	run("{\"old_path\":\"to nowhere\",\"new_path\":\"%s\"}", a);

	sqe = get(IORING_OP_LINKAT, AT_FDCWD);
	sqe->addr = (uintptr_t)a;
	sqe->len = AT_FDCWD;
	sqe->off = (uintptr_t)b;
	run("{\"old_path\":\"%s\",\"new_path\":\"%s\"}", a, b);

	fd = open(in_dir("x"), O_RDWR | O_CREAT, 0600);
	if (known[IORING_OP_FSETXATTR]) {
		sqe = get(IORING_OP_FSETXATTR, fd);
		sqe->addr = (uintptr_t)"user.one";
		sqe->off = (uintptr_t)value;
		sqe->len = 5;
		sqe->xattr_flags = 1;
		run("{\"fd\":%d,\"name\":\"user.one\",\"size\":5,\"flags\":\"XATTR_CREATE\"}", fd);
		sqe = get(IORING_OP_SETXATTR, 0);
		sqe->addr = (uintptr_t)"user.two";
		sqe->off = (uintptr_t)value;
		sqe->addr3 = (uintptr_t)in_dir("x");
		sqe->len = 4;
		run("{\"path\":\"%s\",\"name\":\"user.two\",\"size\":4}", in_dir("x"));
		sqe = get(IORING_OP_FGETXATTR, fd);
		sqe->addr = (uintptr_t)"user.three";
		sqe->off = (uintptr_t)value;
		sqe->len = 16;
		run("{\"fd\":%d,\"name\":\"user.three\",\"size\":16}", fd);
		sqe = get(IORING_OP_GETXATTR, 0);
		sqe->addr = (uintptr_t)"user.four";
		sqe->off = (uintptr_t)value;
		sqe->addr3 = (uintptr_t)in_dir("x");
		sqe->len = 16;
		run("{\"path\":\"%s\",\"name\":\"user.four\",\"size\":16}", in_dir("x"));
	}
}

static void all_sockets(void)
{
	struct sockaddr_in listening, peer, any = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(4343),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_un unix_address = { .sun_family = AF_UNIX };
	struct io_uring_sqe *sqe;
	char buffer[64] = "payload";
	struct iovec iov = { buffer, 9 };
	struct msghdr message = {};
	socklen_t length;
	int listener = tcp_listener(&listening), client, server, udp, fd, stream, moved[2];

	if (known[IORING_OP_SOCKET]) {
		sqe = get(IORING_OP_SOCKET, AF_INET);
		sqe->off = SOCK_STREAM | SOCK_CLOEXEC;
		sqe->len = IPPROTO_TCP;
		client = run("{\"domain\":\"AF_INET\",\"type\":\"SOCK_STREAM | SOCK_CLOEXEC\","
			     "\"protocol\":\"IPPROTO_TCP\"}");
	} else {
		client = socket(AF_INET, SOCK_STREAM, 0);
	}
	sqe = get(IORING_OP_CONNECT, client);
	sqe->addr = (uintptr_t)&listening;
	sqe->off = sizeof(listening);
	run("{\"addr\":\"127.0.0.1\",\"port\":%d,\"family\":\"AF_INET\"}",
	    ntohs(listening.sin_port));

	length = sizeof(peer);
	sqe = get(IORING_OP_ACCEPT, listener);
	sqe->addr = (uintptr_t)&peer;
	sqe->off = (uintptr_t)&length;
	sqe->accept_flags = SOCK_CLOEXEC;
	{
		struct sockaddr_in from;
		socklen_t size = sizeof(from);

		getsockname(client, (void *)&from, &size);
		server = run("{\"addr\":\"127.0.0.1\",\"port\":%d,\"family\":\"AF_INET\","
			     "\"flags\":\"SOCK_CLOEXEC\",\"target\":{\"kind\":\"socket\","
			     "\"family\":\"AF_INET\",\"local_addr\":\"127.0.0.1\","
			     "\"local_port\":%d}}", ntohs(from.sin_port), ntohs(listening.sin_port));
	}

	sqe = get(IORING_OP_SEND, client);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 7;
	sqe->msg_flags = MSG_NOSIGNAL;
	run("{\"fd\":%d,\"len\":7,\"target\":{\"kind\":\"socket\",\"family\":\"AF_INET\","
	    "\"addr\":\"127.0.0.1\",\"port\":%d}}", client, ntohs(listening.sin_port));
	sqe = get(IORING_OP_RECV, server);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 33;
	run("{\"fd\":%d,\"len\":33}", server);
	message = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
	sqe = get(IORING_OP_SENDMSG, client);
	sqe->addr = (uintptr_t)&message;
	run("{\"fd\":%d,\"len\":9}", client);
	sqe = get(IORING_OP_RECVMSG, server);
	sqe->addr = (uintptr_t)&message;
	run("{\"fd\":%d,\"len\":9}", server);
	/* READ and WRITE on a socket: curing's way. */
	sqe = get(IORING_OP_WRITE, client);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 5;
	run("{\"fd\":%d,\"target\":{\"kind\":\"socket\",\"addr\":\"127.0.0.1\",\"port\":%d}}",
	    client, ntohs(listening.sin_port));
	sqe = get(IORING_OP_READ, server);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 6;
	run("{\"fd\":%d,\"target\":{\"kind\":\"socket\"}}", server);
	if (pipe(moved) || write(client, buffer, 4) != 4)
		die("pipe");
	sqe = get(IORING_OP_SPLICE, moved[1]);
	sqe->splice_fd_in = server;
	sqe->splice_off_in = -1;
	sqe->off = -1;
	sqe->len = 4;
	run("{\"fd_in\":%d,\"target\":{\"kind\":\"pipe\"},\"target_in\":{\"kind\":\"socket\","
	    "\"family\":\"AF_INET\",\"local_port\":%d}}", server, ntohs(listening.sin_port));
	if (known[IORING_OP_SEND_ZC]) {
		sqe = get(IORING_OP_SEND_ZC, client);
		sqe->addr = (uintptr_t)buffer;
		sqe->len = 8;
		run("{\"fd\":%d,\"len\":8}", client);
	}
	if (known[OP_SENDMSG_ZC]) {
		sqe = get(OP_SENDMSG_ZC, client);
		sqe->addr = (uintptr_t)&message;
		run("{\"fd\":%d,\"len\":9}", client);
	}

	/* Datagrams to an address. */
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	any.sin_port = htons(9);
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sqe = get(IORING_OP_SEND, udp);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 3;
	if (known[IORING_OP_SEND_ZC]) {
		sqe->addr2 = (uintptr_t)&any;
		sqe->addr_len = sizeof(any);
		run("{\"addr\":\"127.0.0.1\",\"port\":9,\"family\":\"AF_INET\",\"len\":3}");
	} else {
		run("{\"len\":3}");
	}
	message = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_name = &any,
				   .msg_namelen = sizeof(any) };
	sqe = get(IORING_OP_SENDMSG, udp);
	sqe->addr = (uintptr_t)&message;
	run("{\"addr\":\"127.0.0.1\",\"port\":9,\"family\":\"AF_INET\"}");

	/* IPv6, unix and abstract names: refused, and told all the same. */
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd >= 0) {
		sqe = get(IORING_OP_CONNECT, fd);
		sqe->addr = (uintptr_t)&six;
		sqe->off = sizeof(six);
		run("{\"addr\":\"::1\",\"port\":4343,\"family\":\"AF_INET6\"}");
	}
	stream = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(unix_address.sun_path, "/run/no-such-socket");
	sqe = get(IORING_OP_CONNECT, stream);
	sqe->addr = (uintptr_t)&unix_address;
	sqe->off = offsetof(struct sockaddr_un, sun_path) + strlen(unix_address.sun_path) + 1;
	run("{\"path\":\"/run/no-such-socket\",\"family\":\"AF_UNIX\"}");
	memset(unix_address.sun_path, 0, sizeof(unix_address.sun_path));
	memcpy(unix_address.sun_path + 1, "abstract", 8);
	sqe = get(IORING_OP_CONNECT, stream);
	sqe->addr = (uintptr_t)&unix_address;
	sqe->off = offsetof(struct sockaddr_un, sun_path) + 9;
	run("{\"path\":\"@abstract\",\"family\":\"AF_UNIX\"}");

	if (known[OP_BIND]) {
		struct sockaddr_in bound = { .sin_family = AF_INET, .sin_port = htons(0),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		fd = socket(AF_INET, SOCK_STREAM, 0);
		sqe = get(OP_BIND, fd);
		sqe->addr = (uintptr_t)&bound;
		sqe->off = sizeof(bound);
		run("{\"addr\":\"127.0.0.1\",\"port\":0,\"family\":\"AF_INET\"}");
		sqe = get(OP_LISTEN, fd);
		sqe->len = 5;
		run("{\"backlog\":5}");
	}
	if (known[OP_RECV_ZC]) {
		sqe = get(OP_RECV_ZC, server);
		sqe->ioprio = 2;
		run("{\"fd\":%d}", server);
	}
	if (known[IORING_OP_URING_CMD]) {
		/* SOCKET_URING_OP_SIOCINQ */
		sqe = get(IORING_OP_URING_CMD, server);
		sqe->off = 0;
		run("{\"cmd_op\":0,\"cmd\":\"SOCKET_URING_OP_SIOCINQ\"}");
	}
	sqe = get(IORING_OP_SHUTDOWN, client);
	sqe->len = SHUT_WR;
	run("{\"how\":\"SHUT_WR\"}");
}

static void all_others(void)
{
	struct __kernel_timespec soon = { 0, 1000000 }, later = { 100, 7 };
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 5 };
	static uint32_t futex;
	static char buffers[8 * 64];
	struct io_uring_sqe *sqe;
	int epoll = epoll_create1(0), fds[2];
	struct io_uring target;

	sqe = get(IORING_OP_NOP, -1);
	run("{}");
	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		die("pipe");
	sqe = get(IORING_OP_POLL_ADD, fds[0]);
	sqe->poll32_events = POLLIN;
	run("{\"events\":\"POLLIN\"}");
	sqe = get(IORING_OP_POLL_REMOVE, -1);
	sqe->addr = 0xdead;
	run("{\"target_user_data\":\"0xdead\"}");
	sqe = get(IORING_OP_TIMEOUT, -1);
	sqe->addr = (uintptr_t)&soon;
	sqe->len = 1;
	run("{\"sec\":0,\"nsec\":1000000,\"count\":0}");
	sqe = get(IORING_OP_TIMEOUT_REMOVE, -1);
	sqe->addr = 0xbeef;
	run("{\"target_user_data\":\"0xbeef\"}");
	sqe = get(IORING_OP_ASYNC_CANCEL, -1);
	sqe->addr = 0xcafe;
	run("{\"target_user_data\":\"0xcafe\"}");
	sqe = get(IORING_OP_EPOLL_CTL, epoll);
	sqe->off = fds[0];
	sqe->len = EPOLL_CTL_ADD;
	sqe->addr = (uintptr_t)&event;
	run("{\"op\":\"EPOLL_CTL_ADD\",\"epfd\":%d,\"fd\":%d,\"events\":\"EPOLLIN | EPOLLET\","
	    "\"target\":{\"kind\":\"anon_inode\",\"name\":\"[eventpoll]\"}}",
	    epoll, fds[0]);
	if (known[OP_EPOLL_WAIT]) {
		struct epoll_event got[4];

		sqe = get(OP_EPOLL_WAIT, epoll);
		sqe->addr = (uintptr_t)got;
		sqe->len = 4;
		run("{\"epfd\":%d,\"max_events\":4}", epoll);
	}
	sqe = get(IORING_OP_PROVIDE_BUFFERS, 8);
	sqe->addr = (uintptr_t)buffers;
	sqe->len = 64;
	sqe->buf_group = 3;
	sqe->off = 1;
	run("{\"count\":8,\"address\":\"0x%lx\",\"len\":64,\"buf_group\":3,\"buf_id\":1}",
	    (uintptr_t)buffers);
	sqe = get(IORING_OP_REMOVE_BUFFERS, 2);
	sqe->buf_group = 3;
	run("{\"count\":2,\"buf_group\":3}");
	if (known[IORING_OP_MSG_RING]) {
		if (io_uring_queue_init(2, &target, 0))
			die("second ring");
		sqe = get(IORING_OP_MSG_RING, target.ring_fd);
		sqe->off = 0x1234;
		sqe->len = 56;
		run("{\"cmd\":\"IORING_MSG_DATA\",\"target_user_data\":\"0x1234\","
		    "\"target_res\":56}");
	}
	if (known[OP_WAITID]) {
		int pid = fork();

		if (!pid)
			_exit(0);
		sqe = get(OP_WAITID, pid);
		sqe->len = 1;
		sqe->file_index = WEXITED;
		run("{\"which\":\"P_PID\",\"id\":%d,\"options\":\"WEXITED\"}", pid);
	}
	if (known[OP_FUTEX_WAKE]) {
		struct { uint64_t val, uaddr; uint32_t flags, reserved; } waitv = {
			7, (uintptr_t)&futex, 2, 0 };

		sqe = get(OP_FUTEX_WAKE, 2 | 128);
		sqe->addr = (uintptr_t)&futex;
		sqe->off = 1;
		sqe->addr3 = 0xffffffff;
		run("{\"address\":\"0x%lx\",\"value\":1,\"mask\":\"0xffffffff\"}",
		    (uintptr_t)&futex);
		sqe = get(OP_FUTEX_WAIT, 2);
		sqe->addr = (uintptr_t)&futex;
		sqe->off = 9;
		sqe->addr3 = 0xff;
		run("{\"address\":\"0x%lx\",\"value\":9,\"mask\":\"0xff\"}", (uintptr_t)&futex);
		sqe = get(OP_FUTEX_WAITV, 0);
		sqe->addr = (uintptr_t)&waitv;
		sqe->len = 1;
		run("{\"count\":1}");
	}
	/* Linked: the timeout of a poll that never comes. */
	sqe = get(IORING_OP_POLL_ADD, fds[1]);
	sqe->poll32_events = POLLERR;
	sqe->flags = IOSQE_IO_LINK;
	sqe = get(IORING_OP_LINK_TIMEOUT, -1);
	sqe->addr = (uintptr_t)&later;
	sqe->len = 1;
	{
		/* Taken back at once: 100 seconds are too long. */
		uint64_t poll_data = sqe->user_data - 1;
		struct io_uring_cqe *cqe;

		io_uring_submit(&ring);
		printf("{\"user_data\":\"0x%llx\",\"opcode\":6,\"op_info\":{\"events\":\"POLLERR\"}}\n",
		       (unsigned long long)poll_data);
		printf("{\"user_data\":\"0x%llx\",\"opcode\":15,\"op_info\":{\"sec\":100,\"nsec\":7}}\n",
		       (unsigned long long)poll_data + 1);
		sqe = get(IORING_OP_ASYNC_CANCEL, -1);
		sqe->addr = poll_data;
		run("{\"target_user_data\":\"0x%llx\"}", (unsigned long long)poll_data);
		while (!io_uring_peek_cqe(&ring, &cqe))
			io_uring_cqe_seen(&ring, cqe);
	}
	/* Unknown opcodes are refused before they run. */
	sqe = get(200, -1);
	run("{}");
}

static void mode_all(void)
{
	enter_dir();
	ring_open(64, 0);
	probe();
	all_files();
	all_names();
	all_below();
	all_sockets();
	all_others();
	io_uring_queue_exit(&ring);
	/* The 128-byte opcodes need a ring of their own. */
	if (known[OP_NOP128]) {
		ring_open(8, IORING_SETUP_SQE128);
		get(OP_NOP128, -1);
		run("{}");
		io_uring_queue_exit(&ring);
	}
	leave_dir();
}

/* NOPs: COUNT of them in batches (0: without end), PER_SECOND of them (0: as fast as can be). */
static void mode_nop(char **args)
{
	uint64_t count = strtoull(args[0], NULL, 0), done = 0, rate = strtoull(args[1], NULL, 0);
	const char *op = args[2];
	struct timespec start, now, cpu_start, cpu;
	struct io_uring_cqe *cqe;
	static char buffer[64];
	int fd = open("/dev/zero", O_RDONLY);
	double seconds;

	ring_open(64, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_start);
	while (!count || done < count) {
		unsigned int batch = count && count - done < 32 ? count - done : 32, head, seen = 0;

		for (unsigned int i = 0; i < batch; i++) {
			struct io_uring_sqe *sqe = get(IORING_OP_NOP, -1);

			if (op && !strcmp(op, "openat")) {
				sqe->opcode = IORING_OP_OPENAT;
				sqe->fd = AT_FDCWD;
				sqe->addr = (uintptr_t)"/no/such/file";
			} else if (op && !strcmp(op, "read")) {
				sqe->opcode = IORING_OP_READ;
				sqe->fd = fd;
				sqe->addr = (uintptr_t)buffer;
				sqe->len = sizeof(buffer);
			}
		}
		io_uring_submit_and_wait(&ring, batch);
		while (seen < batch) {
			io_uring_for_each_cqe(&ring, head, cqe)
				seen++;
			io_uring_cq_advance(&ring, seen);
		}
		done += batch;
		while (rate) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			seconds = now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9;
			if (seconds * rate >= done)
				break;
			/* A short sleep is cheaper than spinning on a machine of two cores. */
			if (done - seconds * rate > rate / 5000.0)
				nanosleep(&(struct timespec){ 0, 50000 }, NULL);
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	seconds = now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9;
	printf("{\"submitted\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n",
	       (unsigned long long)done, seconds,
	       cpu.tv_sec - cpu_start.tv_sec + (cpu.tv_nsec - cpu_start.tv_nsec) / 1e9);
}

static void install_filter(int syscall_number, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, syscall_number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program))
		die("seccomp");
}

/* Runs PROGRAM with its arguments where bpf(2) is forbidden, as in a container. */
static void mode_deny_bpf(char **args)
{
	install_filter(SYS_bpf, 0);
	execv(args[0], args);
	die("cannot run %s", args[0]);
}

static void openat_shadow(void)
{
	struct io_uring_sqe *sqe = get(IORING_OP_OPENAT, AT_FDCWD);

	sqe->addr = (uintptr_t)"/etc/shadow";
	sqe->open_flags = O_RDONLY;
	run("{\"path\":\"/etc/shadow\"}");
}

/* openat(2) is refused, IORING_OP_OPENAT of the same path is not. */
static void mode_seccomp(void)
{
	ring_open(8, 0);
	install_filter(SYS_openat, 0);
	if (syscall(SYS_openat, AT_FDCWD, "/etc/shadow", O_RDONLY) != -1 || errno != EPERM)
		die("the filter does not refuse openat(2)");
	openat_shadow();
}

/* A filter that came after the ring's thread, which does not have it. */
static void mode_sqpoll_seccomp(void)
{
	ring_open(8, IORING_SETUP_SQPOLL);
	install_filter(SYS_openat, 0);
	openat_shadow();
}

/* A ring made as root, used after root was given up: it still opens what root may. */
static void mode_sqpoll_setuid(void)
{
	ring_open(8, IORING_SETUP_SQPOLL);
	if (setresuid(1000, 1000, 1000))
		die("setresuid");
	openat_shadow();
}

/* A personality registered as root, used after root was given up. */
static void mode_personality(void)
{
	struct io_uring_sqe *sqe;
	int id;

	ring_open(8, 0);
	id = io_uring_register_personality(&ring);
	if (setresuid(1000, 1000, 1000))
		die("setresuid");
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)"/etc/shadow";
	sqe->personality = id;
	run("{\"path\":\"/etc/shadow\"}");
}

/* A child that never executes anything. */
static void mode_fork(void)
{
	int pid, status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		ring_open(8, 0);
		printf("{\"child\":%d,\"parent\":%d}\n", getpid(), getppid());
		openat_shadow();
		exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("child");
}

/* One of each kind: linked, drained, to io-wq, multishot accept. */
static void mode_kinds(void)
{
	struct io_uring_sqe *sqe;
	struct sockaddr_in address;
	struct io_uring_cqe *cqe;
	int listener = tcp_listener(&address), slot = -1, clients[2];
	uint64_t accept_data, first;
	static char buffer[64];
	int results[2] = {};

	ring_open(16, 0);
	io_uring_register_files(&ring, &slot, 1);
	/* OPENAT into a slot, and a READ from it that is submitted before the slot is filled. */
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)"/etc/hostname";
	sqe->file_index = 1;
	sqe->flags = IOSQE_IO_LINK;
	first = sqe->user_data;
	sqe = get(IORING_OP_READ, 0);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = 8;
	sqe->flags = IOSQE_FIXED_FILE;
	io_uring_submit(&ring);
	for (int i = 0; i < 2; i++) {
		if (io_uring_wait_cqe(&ring, &cqe))
			die("no completion");
		results[cqe->user_data - first] = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
	}
	printf("{\"user_data\":\"0x%llx\",\"opcode\":18,\"res\":%d,\"op_info\":{\"path\":"
	       "\"/etc/hostname\",\"file_slot\":0},\"sqe_flags\":[\"IOSQE_IO_LINK\"]}\n",
	       (unsigned long long)first, results[0]);
	printf("{\"user_data\":\"0x%llx\",\"opcode\":22,\"res\":%d,\"op_info\":{\"fd\":0,"
	       "\"fixed_file\":true,\"len\":8}}\n",
	       (unsigned long long)first + 1, results[1]);
	sqe = get(IORING_OP_NOP, -1);
	sqe->flags = IOSQE_IO_DRAIN;
	run("{}");
	/* Through a worker thread. */
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)"/etc/passwd";
	sqe->flags = IOSQE_ASYNC;
	run("{\"path\":\"/etc/passwd\"}");
	/* Refused: a bad flag. */
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)"/etc/group";
	sqe->buf_index = 5;
	run("{\"path\":\"/etc/group\"}");
	/* Two connections, one request. */
	sqe = get(IORING_OP_ACCEPT, listener);
	sqe->ioprio = IORING_ACCEPT_MULTISHOT;
	accept_data = sqe->user_data;
	io_uring_submit(&ring);
	for (int i = 0; i < 2; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(clients[i], (void *)&address, sizeof(address)))
			die("connect");
	}
	for (int i = 0; i < 2; i++) {
		int res;

		if (io_uring_wait_cqe(&ring, &cqe))
			die("no connection");
		res = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
		if (res >= 0)
			continue;
		/* Before 5.19 there is no such thing. */
		printf("{\"user_data\":\"0x%llx\",\"opcode\":13,\"res\":%d,\"op_info\":{}}\n",
		       (unsigned long long)accept_data, res);
		return;
	}
	printf("{\"user_data\":\"0x%llx\",\"opcode\":13,\"accepts\":2,\"op_info\":{\"addr\":"
	       "\"127.0.0.1\"}}\n", (unsigned long long)accept_data);
	/* What else would end it is the ring's end, some time after the process is gone. */
	if (shutdown(listener, SHUT_RDWR) || io_uring_wait_cqe(&ring, &cqe))
		die("no end of accepting");
}

/* What the five model events are of: ARGS are the path to open, stat, delete and make. */
static void mode_samples(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(443),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct statx stx;
	struct io_uring_sqe *sqe;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	enter_dir();
	ring_open(8, 0);
	sqe = get(IORING_OP_CONNECT, fd);
	sqe->addr = (uintptr_t)&address;
	sqe->off = sizeof(address);
	run("{\"addr\":\"127.0.0.1\",\"port\":443}");
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)"/etc/passwd";
	run("{\"path\":\"/etc/passwd\",\"access_flags\":\"O_RDONLY\",\"creation_flags\":"
	    "\"O_LARGEFILE\"}");
	sqe = get(IORING_OP_STATX, AT_FDCWD);
	sqe->addr = (uintptr_t)"/usr/bin/pkexec";
	sqe->off = (uintptr_t)&stx;
	sqe->len = 0x7ff;
	run("{\"path\":\"/usr/bin/pkexec\"}");
	sqe = get(IORING_OP_UNLINKAT, AT_FDCWD);
	sqe->addr = (uintptr_t)in_dir("agent");
	run("{\"path\":\"%s\"}", in_dir("agent"));
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)in_dir("shadow.pdf");
	sqe->open_flags = O_WRONLY | O_CREAT | O_TRUNC;
	sqe->len = 0644;
	run("{\"path\":\"%s\",\"access_flags\":\"O_WRONLY\",\"creation_flags\":"
	    "\"O_CREAT | O_TRUNC | O_LARGEFILE\"}", in_dir("shadow.pdf"));
	leave_dir();
}

/* COUNT times an OPENAT, every millisecond or every so many; user_data is the time, in ns. */
static void mode_ticks(char **args)
{
	int count = atoi(args[0]), pause_ms = args[1] ? atoi(args[1]) : 1;
	struct timespec now;

	ring_open(8, 0);
	for (int i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = get(IORING_OP_OPENAT, AT_FDCWD);
		struct io_uring_cqe *cqe;

		clock_gettime(CLOCK_REALTIME, &now);
		sqe->user_data = now.tv_sec * 1000000000ull + now.tv_nsec;
		sqe->addr = (uintptr_t)"/no/such/tick";
		io_uring_submit_and_wait(&ring, 1);
		if (io_uring_wait_cqe(&ring, &cqe))
			die("no completion");
		io_uring_cqe_seen(&ring, cqe);
		nanosleep(&(struct timespec){ 0, pause_ms * 1000000L }, NULL);
	}
	printf("{\"submitted\":%d}\n", count);
}

/* COUNT rings, one after another, each with one request: the kernel uses their memory again. */
static void mode_rings(char **args)
{
	for (int i = atoi(args[0]); i > 0; i--) {
		ring_open(8, 0);
		get(IORING_OP_NOP, -1);
		run("{}");
		io_uring_queue_exit(&ring);
	}
}

struct submitter {
	int policy;
	double seconds;
	unsigned long submitted;
};

/* Submits NOPs on a ring of its own for a while, pinned to the first CPU. */
static void *submitter(void *argument)
{
	struct submitter *self = argument;
	struct sched_param param = { .sched_priority = self->policy == SCHED_FIFO ? 10 : 0 };
	struct timespec start, now;
	struct io_uring own;
	struct io_uring_cqe *cqe;
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first) ||
	    sched_setscheduler(0, self->policy, &param) || io_uring_queue_init(64, &own, 0))
		die("submitter");
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		unsigned int head, seen = 0;

		for (int i = 0; i < 32; i++)
			io_uring_prep_nop(io_uring_get_sqe(&own));
		io_uring_submit_and_wait(&own, 32);
		io_uring_for_each_cqe(&own, head, cqe)
			seen++;
		io_uring_cq_advance(&own, seen);
		self->submitted += 32;
		if (self->policy == SCHED_FIFO)
			nanosleep(&(struct timespec){ 0, 20000 }, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9 < self->seconds);
	return NULL;
}

/* A real-time thread that interrupts a fair one on the same CPU, both submitting. */
static void mode_preempt(char **args)
{
	struct submitter fair = { SCHED_OTHER, atof(args[0]), 0 };
	struct submitter fifo = { SCHED_FIFO, atof(args[0]), 0 };
	pthread_t threads[2];

	pthread_create(&threads[0], NULL, submitter, &fair);
	pthread_create(&threads[1], NULL, submitter, &fifo);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	printf("{\"submitted\":%lu}\n", fair.submitted + fifo.submitted);
}

/* A path in a page that is in a file, and not in memory until somebody looks. */
static const char *path_not_resident(void)
{
	char name[] = "/tmp/iouring-live-XXXXXX";
	int fd = mkstemp(name);
	char *path;

	if (fd < 0 || pwrite(fd, "/no/such/page", 14, 0) != 14)
		die("cannot write %s", name);
	path = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	if (path == MAP_FAILED)
		die("cannot map %s", name);
	close(fd);
	unlink(name);
	return path;
}

/*
 * Odd arguments: a path that is not UTF-8, one too long, one that is not there, two that are not in
 * memory, of which the kernel reads one and refuses the other before it does, and a bad comm.
 */
static void mode_odd(void)
{
	static char path[5000];
	struct io_uring_sqe *sqe;

	prctl(PR_SET_NAME, "ev\x1b[31mil\n", 0, 0, 0);
	ring_open(8, 0);
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)"/tmp/\xff\xfe\x1b]0;x\x07";
	run("{\"path_hex\":\"2f746d702ffffe1b5d303b7807\"}");
	memset(path, 'p', sizeof(path) - 1);
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)path;
	run("{}");
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = 0x10;
	run("{\"path\":\"\"}");
	/* Just short enough. */
	path[4095] = '\0';
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)path;
	run("{\"path\":\"%s\"}", path);
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)path_not_resident();
	run("{\"path\":\"/no/such/page\"}");
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)path_not_resident();
	sqe->buf_index = 1;
	run("{\"path\":\"\"}");
}

/* The longest paths that there are, two at once: with a personality, and refused. */
static void mode_long(void)
{
	char *paths[2];
	int id;

	ring_open(8, 0);
	id = io_uring_register_personality(&ring);
	for (int i = 0; i < 2; i++) {
		paths[i] = malloc(4096);
		for (int at = 0; at < 4095; at++)
			paths[i][at] = at % 100 ? 'a' + i : '/';
		paths[i][4095] = '\0';
	}
	for (int refused = 0; refused < 2; refused++) {
		struct io_uring_sqe *sqe = get(IORING_OP_RENAMEAT, AT_FDCWD);

		sqe->addr = (uintptr_t)paths[0];
		sqe->len = AT_FDCWD;
		sqe->off = (uintptr_t)paths[1];
		sqe->personality = id;
		sqe->buf_index = refused;
		run("{\"old_path\":\"%s\",\"new_path\":\"%s\"},\"io_uring\":{\"personality\":%d}",
		    paths[0], paths[1], id);
	}
}

static void read_from(int fd)
{
	static char buffer[8];
	struct io_uring_sqe *sqe = get(IORING_OP_READ, fd);

	sqe->addr = (uintptr_t)buffer;
	sqe->len = 1;
}

/* Files whose paths do not say which they are, and the slots that they are closed in. */
static void mode_opened(void)
{
	int slots[2] = { -1, -1 }, fd;
	struct io_uring_sqe *sqe;
	const char *file, *names[3];
	char name[32];

	ring_open(8, 0);
	enter_dir();
	file = in_dir("file");
	names[0] = in_dir("link");
	names[1] = in_dir("above/file");
	names[2] = name;
	fd = open(file, O_RDWR | O_CREAT, 0600);
	sprintf(name, "/proc/self/fd/%d", fd);
	if (fd < 0 || symlink(file, names[0]) || symlink(dir, in_dir("above")) ||
	    io_uring_register_files(&ring, slots, 2))
		die("cannot use %s", dir);
	for (int i = 0; i < 3; i++) {
		sqe = get(IORING_OP_OPENAT, AT_FDCWD);
		sqe->addr = (uintptr_t)names[i];
		sqe->flags = i ? IOSQE_ASYNC : 0;
		run("{\"path\":\"%s\",\"target\":{\"kind\":\"file\",\"path\":\"%s\"}}", names[i],
		    file);
	}
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)names[0];
	sqe->file_index = 2;
	run("{\"path\":\"%s\",\"target\":{\"kind\":\"file\",\"path\":\"%s\"}}", names[0], file);
	sqe = get(IORING_OP_CLOSE, 0);
	sqe->file_index = 2;
	run("{\"file_slot\":1,\"target\":{\"kind\":\"file\",\"path\":\"%s\"}}", file);
	unlink(names[0]);
	unlink(in_dir("above"));
	unlink(file);
}

/* A directory and files that are not what or where they were with the request before. */
static void mode_moved(void)
{
	char name[251] = { [0 ... 249] = 'd' };
	const char *one, *two;
	int fd;

	ring_open(8, 0);
	enter_dir();
	one = in_dir("one");
	two = in_dir("two");
	fd = open(one, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || chdir(dir))
		die("cannot use %s", dir);
	read_from(fd);
	run("{\"target\":{\"kind\":\"file\",\"path\":\"%s\"}},\"process\":{\"cwd\":\"%s\"}", one,
	    dir);
	rename(one, two);
	read_from(fd);
	run("{\"target\":{\"path\":\"%s\"}}", two);
	unlink(two);
	read_from(fd);
	run("{\"target\":{\"path\":\"%s\",\"deleted\":true}}", two);
	read_from(memfd_create("pages", 0));
	run("{\"target\":{\"kind\":\"file\",\"path\":\"/memfd:pages\",\"deleted\":true}}");
	read_from(eventfd(1, 0));
	run("{\"target\":{\"kind\":\"anon_inode\",\"name\":\"[eventfd]\"}}");
	/* Longer than any path may be that is given at once. */
	for (int i = 0; i < 20; i++) {
		if (mkdir(name, 0700) || chdir(name))
			die("cannot go down");
	}
	read_from(open("deep", O_RDWR | O_CREAT, 0600));
	run("{\"target\":{\"partial\":true}}");
	if (chdir("/"))
		die("cannot go up");
	get(IORING_OP_NOP, -1);
	run("{},\"process\":{\"cwd\":\"/\"}");
	leave_dir();
}

/* Requests whose memory in the kernel served one before that had other credentials. */
static void mode_stale(void)
{
	struct io_uring_sqe *sqe;

	ring_open(8, 0);
	/* What a worker is to run gets the submitter's. */
	sqe = get(IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t)"/etc/shadow";
	sqe->flags = IOSQE_ASYNC;
	run("{\"path\":\"/etc/shadow\"},\"process\":{\"euid\":0}");
	if (setresuid(1000, 1000, 1000))
		die("setresuid");
	for (int i = 0; i < 4; i++) {
		sqe = get(IORING_OP_OPENAT, AT_FDCWD);
		sqe->addr = (uintptr_t)"/etc/shadow";
		run("{\"path\":\"/etc/shadow\"},\"process\":{\"euid\":1000}");
	}
}

/* A READ that waits, and a message from another ring that has its user_data and another result. */
static void mode_message(void)
{
	struct io_uring_cqe *cqe;
	struct io_uring other;
	uint64_t user_data;
	int fds[2];

	if (pipe(fds) || io_uring_queue_init(8, &other, 0))
		die("other ring");
	ring_open(8, 0);
	read_from(fds[0]);
	user_data = next_user_data - 1;
	io_uring_submit(&ring);
	{
		struct io_uring_sqe *sqe = io_uring_get_sqe(&other);

		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = IORING_OP_MSG_RING;
		sqe->fd = ring.ring_fd;
		sqe->off = user_data;
		sqe->len = 77;
		sqe->user_data = next_user_data++;
		io_uring_submit(&other);
		if (io_uring_wait_cqe(&other, &cqe))
			die("no message");
	}
	if (cqe->res == 0) {
		if (io_uring_wait_cqe(&ring, &cqe) || cqe->res != 77)
			die("another message");
		io_uring_cqe_seen(&ring, cqe);
	}
	if (write(fds[1], "x", 1) != 1 || io_uring_wait_cqe(&ring, &cqe) ||
	    cqe->user_data != user_data)
		die("no completion");
	printf("{\"user_data\":\"0x%llx\",\"opcode\":%d,\"res\":%d,\"op_info\":{\"fd\":%d}}\n",
	       (unsigned long long)user_data, IORING_OP_READ, cqe->res, fds[0]);
}

/* ACCEPT into slots of the ring, of which the numbers are those of other sockets of the process. */
static void mode_direct(void)
{
	struct sockaddr_in address, from;
	socklen_t size = sizeof(from);
	int listener, slots[4] = { -1, -1, -1, -1 };

	listener = tcp_listener(&address);
	ring_open(8, 0);
	if (io_uring_register_files(&ring, slots, 4))
		die("slots");
	/* 3 is asked for, 0 is what the kernel takes next. */
	for (int i = 0; i < 2; i++) {
		struct io_uring_sqe *sqe;
		int other = socket(AF_INET, SOCK_STREAM, 0);
		int client = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(other, (void *)&address, sizeof(address)) || dup2(other, 0) ||
		    accept(listener, NULL, NULL) < 0 ||
		    connect(client, (void *)&address, sizeof(address)) ||
		    getsockname(client, (void *)&from, &size))
			die("connect");
		sqe = get(IORING_OP_ACCEPT, listener);
		sqe->file_index = i ? ~0U : 4;
		run("{\"addr\":\"127.0.0.1\",\"port\":%d,\"family\":\"AF_INET\"}",
		    ntohs(from.sin_port));
	}
}

static void copy_self(int to)
{
	int from = open("/proc/self/exe", O_RDONLY);

	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	close(from);
}

/* Runs from memory. */
static void mode_fileless(void)
{
	int fd = memfd_create("agent", MFD_CLOEXEC);

	copy_self(fd);
	fexecve(fd, (char *[]){ "workload", "rings", "1", NULL }, environ);
	die("cannot run from memory");
}

/* Removes what it runs, first a copy of this. */
static void mode_vanish(char **args)
{
	char path[128];
	struct io_uring_sqe *sqe;

	if (strcmp(args[0], "now")) {
		int fd;

		enter_dir();
		fd = open(in_dir("agent"), O_WRONLY | O_CREAT, 0700);
		copy_self(fd);
		close(fd);
		execv(in_dir("agent"), (char *[]){ "workload", "vanish", "now", NULL });
		die("cannot run a copy");
	}
	path[readlink("/proc/self/exe", path, sizeof(path) - 1)] = '\0';
	ring_open(8, 0);
	sqe = get(IORING_OP_UNLINKAT, AT_FDCWD);
	sqe->addr = (uintptr_t)path;
	run("{\"path\":\"%s\"},\"process\":{\"binary_path\":\"%s\"}", path, path);
	get(IORING_OP_NOP, -1);
	run("{},\"process\":{\"binary_path\":\"%s\",\"binary_deleted\":true}", path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

/* Completions that find no room in the queue. */
static void mode_overflow(void)
{
	struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE, .cq_entries = 8 };

	if (io_uring_queue_init_params(8, &ring, &params))
		die("ring");
	for (int batch = 0; batch < 4; batch++) {
		for (int i = 0; i < 8; i++)
			get(IORING_OP_NOP, -1);
		io_uring_submit(&ring);
	}
	printf("{\"submitted\":32}\n");
}

static int raw_ring(unsigned int entries, struct io_uring_params *params)
{
	int fd = syscall(SYS_io_uring_setup, entries, params);

	if (fd < 0)
		die("cannot make a ring of %u", entries);
	return fd;
}

static void *filtered(void *ready)
{
	install_filter(SYS_openat, 0);
	pthread_barrier_wait(ready);
	pause();
	return NULL;
}

/*
 * Holds rings until standard input ends, told apart by their entries: 8 is open, with a SEND that
 * was not submitted; 16 is mapped and closed; 32 registered and closed, where the kernel can (since
 * 5.18); 64 was never a file descriptor (since 6.5); 128 has a thread of the kernel. Of the process's
 * threads only one has a filter. Each byte of standard input is one OPENAT on the open ring.
 */
static void mode_hold(void)
{
	static char entries[4096] __attribute__((aligned(4096)));
	static char queues[8192] __attribute__((aligned(4096)));
	struct io_uring_params mapped = {}, registered = {}, polled = {};
	struct io_uring_params bare = {
		.flags = SETUP_NO_MMAP | SETUP_REGISTERED_FD_ONLY,
	};
	struct io_uring_rsrc_update update = { .offset = -1U };
	pthread_barrier_t ready;
	pthread_t thread;
	bool is_registered;
	int fd, only;
	char end;

	ring_open(8, 0);
	get(IORING_OP_NOP, -1);
	run("{}");
	get(IORING_OP_SEND, 0);
	__atomic_store_n(ring.sq.ktail, ring.sq.sqe_tail, __ATOMIC_RELEASE);

	fd = raw_ring(16, &mapped);
	if (mmap(NULL, 16 * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 IORING_OFF_SQES) == MAP_FAILED)
		die("cannot map");
	close(fd);

	fd = raw_ring(32, &registered);
	update.data = fd;
	is_registered = syscall(SYS_io_uring_register, fd, IORING_REGISTER_RING_FDS, &update,
				1) == 1;
	close(fd);

	/* Newer than the structure's names for them. */
	memcpy(&bare.sq_off.resv2, &(uint64_t){ (uintptr_t)entries }, 8);
	memcpy(&bare.cq_off.resv2, &(uint64_t){ (uintptr_t)queues }, 8);
	only = syscall(SYS_io_uring_setup, 64, &bare);

	polled.flags = IORING_SETUP_SQPOLL;
	raw_ring(128, &polled);

	pthread_barrier_init(&ready, NULL, 2);
	pthread_create(&thread, NULL, filtered, &ready);
	pthread_barrier_wait(&ready);
	printf("{\"holding\":%d,\"registered\":%s,\"bare\":%s}\n", getpid(),
	       is_registered ? "true" : "false", only < 0 ? "false" : "true");
	fflush(stdout);
	while (read(0, &end, 1) > 0)
		openat_shadow();
	_exit(0);
}

/* Holds COUNT rings, mapped and closed, but for the last one. */
static void mode_hold_many(char **args)
{
	struct io_uring_params params = {};
	char end;

	for (int i = atoi(args[0]); i > 0; i--) {
		int fd = raw_ring(4, &params);

		if (i > 1 && mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, IORING_OFF_SQES) !=
				     MAP_FAILED)
			close(fd);
		memset(&params, 0, sizeof(params));
	}
	printf("{\"holding\":%d}\n", getpid());
	fflush(stdout);
	while (read(0, &end, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
		void (*run_with)(char **args);
		int args;
	} modes[] = {
		{ "all", mode_all, NULL, 0 },
		{ "nop", NULL, mode_nop, 2 },
		{ "seccomp", mode_seccomp, NULL, 0 },
		{ "sqpoll-seccomp", mode_sqpoll_seccomp, NULL, 0 },
		{ "sqpoll-setuid", mode_sqpoll_setuid, NULL, 0 },
		{ "deny-bpf", NULL, mode_deny_bpf, 1 },
		{ "personality", mode_personality, NULL, 0 },
		{ "fork", mode_fork, NULL, 0 },
		{ "kinds", mode_kinds, NULL, 0 },
		{ "samples", mode_samples, NULL, 0 },
		{ "ticks", NULL, mode_ticks, 1 },
		{ "rings", NULL, mode_rings, 1 },
		{ "preempt", NULL, mode_preempt, 1 },
		{ "odd", mode_odd, NULL, 0 },
		{ "long", mode_long, NULL, 0 },
		{ "opened", mode_opened, NULL, 0 },
		{ "moved", mode_moved, NULL, 0 },
		{ "stale", mode_stale, NULL, 0 },
		{ "message", mode_message, NULL, 0 },
		{ "direct", mode_direct, NULL, 0 },
		{ "fileless", mode_fileless, NULL, 0 },
		{ "vanish", NULL, mode_vanish, 1 },
		{ "overflow", mode_overflow, NULL, 0 },
		{ "hold", mode_hold, NULL, 0 },
		{ "hold-many", NULL, mode_hold_many, 1 },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name))
			continue;
		if (argc < 2 + modes[i].args)
			break;
		if (modes[i].run)
			modes[i].run();
		else
			modes[i].run_with(argv + 2);
		return 0;
	}
	fprintf(stderr, "usage: workload MODE [ARGS]\n");
	return 2;
}
