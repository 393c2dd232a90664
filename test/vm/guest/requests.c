/* Rings by what becomes of their requests: pending, in flight, done. */
#define _GNU_SOURCE
#include "workload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/userfaultfd.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A path in the executable whose page this process never touches: only the
 * page cache has it. The kernel maps 64 KiB around a fault, hence the margins.
 */
#define MARGIN (128 * 1024)
struct untouched {
	char before[MARGIN];
	char path[4096];
	char after[MARGIN];
};
static const struct untouched untouched __attribute__((aligned(4096))) = {
	.before = { 1 },
	.path = "/etc/only-in-page-cache",
	.after = { 1 },
};

static int make_file(const char *path, const char *text)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("cannot write %s", path);
	return fd;
}

/* A ring with a past and a future. */
static void a_stale(void)
{
	static struct ring r;
	static char text[] = "hello from a_stale";
	int sock = socket(AF_INET, SOCK_STREAM, 0);

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

static struct io_uring_sqe *prep_two_paths(struct ring *r, int op,
					   const char *old, const char *new)
{
	struct io_uring_sqe *sqe = ring_sqe(r, op, AT_FDCWD);

	sqe->addr = (uintptr_t)old;
	sqe->addr2 = (uintptr_t)new;
	if (op != OP_SYMLINKAT)
		sqe->len = AT_FDCWD;
	ring_info(r, "%s,%s,\"new_dfd\":\"AT_FDCWD\"", jkey("old_path", old),
		  jkey("new_path", new));
	return sqe;
}

static void pending_paths(struct ring *r)
{
	static struct open_how how = {
		.flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		.mode = 0600,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	static struct statx stx;
	struct io_uring_sqe *sqe;

	prep_openat(r, "/etc/shadow", O_RDONLY, 0);
	prep_openat(r, "/tmp/dropped", O_WRONLY | O_CREAT | O_TRUNC, 0755);
	prep_openat(r, "relative/näme \"quoted\"\\\n\xff", O_RDWR | O_APPEND |
		    O_CLOEXEC, 0);

	sqe = prep_path(r, OP_OPENAT2, "/root/.ssh/id_ed25519");
	sqe->len = sizeof(how);
	sqe->off = (uintptr_t)&how;
	ring_info(r, "\"access_flags\":\"O_RDWR\",\"creation_flags\":"
		  "\"O_CREAT | O_EXCL | O_LARGEFILE | O_CLOEXEC\"");
	ring_info(r, "\"mode\":\"0600\",\"resolve\":"
		  "\"RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH\"");

	sqe = prep_path(r, OP_STATX, "/usr/bin/pkexec");
	sqe->len = STATX_MODE | STATX_UID;
	sqe->statx_flags = AT_SYMLINK_NOFOLLOW;
	sqe->off = (uintptr_t)&stx;
	ring_info(r, "\"mask\":\"STATX_MODE | STATX_UID\","
		  "\"flags\":\"AT_SYMLINK_NOFOLLOW\"");

	prep_path(r, OP_UNLINKAT, "/var/log/auth.log");
	sqe = prep_path(r, OP_UNLINKAT, "/tmp/directory");
	sqe->unlink_flags = AT_REMOVEDIR;
	ring_info(r, "\"flags\":\"AT_REMOVEDIR\"");
	prep_two_paths(r, OP_RENAMEAT, "/tmp/a", "/usr/bin/sudo")->rename_flags =
		1;
	ring_info(r, "\"flags\":\"RENAME_NOREPLACE\",\"old_dfd\":\"AT_FDCWD\"");
	prep_two_paths(r, OP_SYMLINKAT, "/etc/passwd", "/tmp/link");
	prep_two_paths(r, OP_LINKAT, "/bin/su", "/tmp/hardlink");
	sqe = prep_path(r, OP_MKDIRAT, "/dev/shm/.hidden");
	sqe->len = 0700;
	ring_info(r, "\"mode\":\"0700\"");
	sqe = ring_sqe(r, OP_SETXATTR, 0);
	sqe->addr = (uintptr_t)"security.capability";
	sqe->addr2 = (uintptr_t)"value";
	sqe->addr3 = (uintptr_t)"/usr/bin/ping";
	sqe->len = 5;
	ring_info(r, "\"path\":\"/usr/bin/ping\","
		  "\"name\":\"security.capability\",\"size\":5");
}

static void pending_sockets(struct ring *r)
{
	static struct sockaddr_in6 sin6;
	static struct sockaddr_in sin;
	static struct msghdr msg;
	static struct iovec iov = { .iov_base = "datagram", .iov_len = 8 };
	static char buffer[256];
	static socklen_t length = sizeof(struct sockaddr_in);
	int tcp = socket(AF_INET, SOCK_STREAM, 0);
	int tcp6 = socket(AF_INET6, SOCK_STREAM, 0);
	int udp = socket(AF_INET, SOCK_DGRAM, 0);
	int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int connected = connected_tcp(7701), listener;
	struct io_uring_sqe *sqe;

	prep_connect4(r, tcp, "198.51.100.23", 443);
	sin6.sin6_family = AF_INET6;
	sin6.sin6_port = htons(8443);
	inet_pton(AF_INET6, "2001:db8::7:1", &sin6.sin6_addr);
	sqe = ring_sqe(r, OP_CONNECT, tcp6);
	sqe->addr = (uintptr_t)&sin6;
	sqe->off = sizeof(sin6);
	ring_info(r, "\"addr\":\"2001:db8::7:1\",\"port\":8443,"
		  "\"family\":\"AF_INET6\"");
	prep_connect_unix(r, unix_fd, "/run/docker.sock");
	prep_connect_unix(r, unix_fd, "@abstract-c2");

	prep_io(r, OP_SEND, connected, buffer, 100, 0);
	target_socket(r, connected);
	prep_io(r, OP_RECV, connected, buffer, sizeof(buffer), 0);
	target_socket(r, connected);
	prep_io(r, OP_READ, connected, buffer, 17, -1);
	target_socket(r, connected);
	prep_io(r, OP_WRITE, connected, buffer, 18, -1);
	target_socket(r, connected);

	/* A datagram's address in the SQE, and in a msghdr. */
	sqe = prep_io(r, OP_SEND, udp, buffer, 9, 0);
	sqe->addr2 = (uintptr_t)ipv4("192.0.2.53", 53);
	sqe->addr_len = sizeof(struct sockaddr_in);
	ring_info(r, "\"addr\":\"192.0.2.53\",\"port\":53,"
		  "\"family\":\"AF_INET\"");
	msg.msg_name = ipv4("192.0.2.54", 5353);
	msg.msg_namelen = sizeof(struct sockaddr_in);
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	sqe = ring_sqe(r, OP_SENDMSG, udp);
	sqe->addr = (uintptr_t)&msg;
	sqe->len = 1;
	ring_info(r, "\"addr\":\"192.0.2.54\",\"port\":5353,"
		  "\"family\":\"AF_INET\"");
	ring_info(r, "\"fd\":%d,\"iovecs\":1,\"len\":8", udp);

	sqe = ring_sqe(r, OP_SOCKET, AF_INET);
	sqe->off = SOCK_STREAM;
	sqe->len = IPPROTO_TCP;
	ring_info(r, "\"domain\":\"AF_INET\",\"type\":\"SOCK_STREAM\","
		  "\"protocol\":\"IPPROTO_TCP\"");
	listener = socket(AF_INET, SOCK_STREAM, 0);
	sin = *ipv4("127.0.0.1", 7790);
	if (bind(listener, (void *)&sin, sizeof(sin)) || listen(listener, 1))
		die("listen");
	sqe = ring_sqe(r, OP_ACCEPT, listener);
	sqe->addr = (uintptr_t)&sin;
	sqe->addr2 = (uintptr_t)&length;
	sqe->accept_flags = SOCK_CLOEXEC;
	target_socket(r, listener);
	ring_info(r, "\"flags\":\"SOCK_CLOEXEC\"");
	sqe = ring_sqe(r, OP_SHUTDOWN, connected);
	sqe->len = SHUT_RDWR;
	target_socket(r, connected);
	ring_info(r, "\"how\":\"SHUT_RDWR\"");
	if (op_supported(OP_BIND)) {
		sqe = ring_sqe(r, OP_BIND, tcp);
		sqe->addr = (uintptr_t)ipv4("0.0.0.0", 31337);
		sqe->addr2 = sizeof(struct sockaddr_in);
		ring_info(r, "\"addr\":\"0.0.0.0\",\"port\":31337,"
			  "\"family\":\"AF_INET\"");
		sqe = ring_sqe(r, OP_LISTEN, tcp);
		sqe->len = 5;
		ring_info(r, "\"backlog\":5");
	} else {
		skip("pending IORING_OP_BIND, IORING_OP_LISTEN", EINVAL);
	}
}

static void pending_others(struct ring *r)
{
	static struct __kernel_timespec ts = { .tv_sec = 7, .tv_nsec = 5 };
	static char buffer[256];
	static struct iovec iov[2];
	int fd = make_file("/tmp/data", "some data");
	int registered[3] = { -1, fd, -1 };
	int ends[2], ends2[2];
	struct io_uring_sqe *sqe;

	if (pipe(ends) || pipe(ends2))
		die("pipe");
	prep_io(r, OP_READ, fd, buffer, 64, 4096);
	target_file(r, "/tmp/data");
	prep_io(r, OP_WRITE, fd, buffer, 65, 0x20000000001000);
	target_file(r, "/tmp/data");
	iov[0] = (struct iovec){ buffer, 10 };
	iov[1] = (struct iovec){ buffer, 20 };
	sqe = ring_sqe(r, OP_READV, fd);
	sqe->addr = (uintptr_t)iov;
	sqe->len = 2;
	sqe->off = 16;
	ring_info(r, "\"fd\":%d,\"offset\":16,\"iovecs\":2,\"len\":30", fd);
	target_file(r, "/tmp/data");

	if (ring_register(r, IORING_REGISTER_FILES, registered, 3))
		die("register files");
	sqe = prep_io(r, OP_READ, 1, buffer, 66, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	ring_info(r, "\"fixed_file\":true");
	target_file(r, "/tmp/data");

	/* A chain of three. */
	prep_openat(r, "/etc/hostname", O_RDONLY, 0)->flags = IOSQE_IO_LINK;
	prep_io(r, OP_READ, fd, buffer, 67, 0)->flags = IOSQE_IO_HARDLINK;
	ring_sqe(r, OP_CLOSE, fd);
	ring_info(r, "\"fd\":%d", fd);

	sqe = ring_sqe(r, OP_POLL_ADD, ends[0]);
	sqe->poll32_events = POLLIN;
	ring_info(r, "\"events\":\"POLLIN\"");
	sqe = ring_sqe(r, OP_TIMEOUT, -1);
	sqe->addr = (uintptr_t)&ts;
	sqe->len = 1;
	sqe->off = 3;
	ring_info(r, "\"sec\":7,\"nsec\":5,\"count\":3");
	sqe = ring_sqe(r, OP_URING_CMD, fd);
	sqe->cmd_op = 0x1234;
	ring_info(r, "\"cmd_op\":%d", 0x1234);
	sqe = ring_sqe(r, OP_SPLICE, ends2[1]);
	sqe->off = -1;
	sqe->splice_off_in = -1;
	sqe->splice_fd_in = ends[0];
	sqe->len = 512;
	ring_info(r, "\"fd_in\":%d,\"fd_out\":%d,\"len\":512", ends[0],
		  ends2[1]);
	ring_sqe(r, OP_FSYNC, fd);
	sqe = ring_sqe(r, OP_MSG_RING, r->fd);
	sqe->len = 77;
	sqe->off = 0x1122334455667788;
	ring_info(r, "\"cmd\":\"IORING_MSG_DATA\",\"target_res\":77,"
		  "\"target_user_data\":\"0x1122334455667788\"");
	ring_sqe(r, 200, -1);
	ring_sqe(r, OP_NOP, -1)->user_data = 0xfedcba9876543210;
	ring_sqe(r, OP_NOP, -1)->user_data = 1;
}

/* One of every kind, queued and not submitted. */
static void b_pending(void)
{
	static struct ring r;

	echo_server(7701);
	if (!ring_setup(&r, "b_pending", 128, 0))
		return;
	pending_paths(&r);
	pending_sockets(&r);
	pending_others(&r);
	ring_publish(&r);
	ring_truth(&r);
}

/* Asks for a path whose bytes are not simply there; "" if they are nowhere. */
static void prep_hidden_path(struct ring *r, const void *address,
			     const char *path, const char *state)
{
	struct io_uring_sqe *sqe = ring_sqe(r, OP_UNLINKAT, AT_FDCWD);

	sqe->addr = (uintptr_t)address;
	if (path)
		ring_info(r, "%s", jkey("path", path));
	ring_raw(r, "\"memory\":\"%s\",\"address\":\"0x%lx\"", state,
		 (uintptr_t)address);
}

static bool has_huge_page(void)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	char line[256];
	int kib = 0;

	while (!kib && fgets(line, sizeof(line), file))
		sscanf(line, "AnonHugePages: %d", &kib);
	fclose(file);
	return kib;
}

/* Paths in every kind of memory. */
static void c_memory(void)
{
	static struct ring r;
	static const char crossing[] = "/etc/over/the/edge/of/a/page";
	static const char huge_path[] = "/etc/in-a-huge-page";
	static const char mapped_path[] = "/etc/in-a-mapped-file";
	static const char swap_path[] = "/etc/swapped-out";
	char *none = pages(4096), *two = pages(8192), *huge, *map, *swap;
	char text[8192] = "";
	int fd;

	if (!ring_setup(&r, "c_memory", 16, 0))
		return;
	if (page_state(untouched.path) != 0)
		die("the untouched page was touched");
	prep_hidden_path(&r, untouched.path, NULL, "file_backed");
	ring_info(&r, "\"path\":\"/etc/only-in-page-cache\"");

	strcpy(none, "/etc/behind-prot-none");
	if (mprotect(none, 4096, PROT_NONE))
		die("mprotect");
	prep_hidden_path(&r, none, "/etc/behind-prot-none", "prot_none");

	memcpy(two + 4096 - 10, crossing, sizeof(crossing));
	prep_hidden_path(&r, two + 4096 - 10, crossing, "two_pages");

	huge = (char *)(((uintptr_t)pages(4 << 20) + (2 << 20) - 1) &
			~((2UL << 20) - 1));
	madvise(huge, 2 << 20, MADV_HUGEPAGE);
	memcpy(huge + 0x123456, huge_path, sizeof(huge_path));
	if (!has_huge_page())
		skip("an argument in a huge page", 0);
	prep_hidden_path(&r, huge + 0x123456, huge_path, "huge_page");

	memcpy(text + 4096 + 100, mapped_path, sizeof(mapped_path));
	fd = open("/mapped", O_RDWR | O_CREAT, 0644);
	if (fd < 0 || write(fd, text, sizeof(text)) != sizeof(text))
		die("write /mapped");
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 4096);
	if (map == MAP_FAILED || page_state(map) != 0)
		die("map /mapped");
	close(fd);
	prep_hidden_path(&r, map + 100, mapped_path, "file_backed");

	prep_hidden_path(&r, (void *)0x133700000000, "", "unmapped");
	prep_hidden_path(&r, NULL, "", "null");
	prep_hidden_path(&r, (void *)0xffffffff81000000, "", "kernel");
	/* An anonymous page that was never written. */
	prep_hidden_path(&r, pages(4096), NULL, "untouched_anonymous");

	swap = pages(4096);
	memcpy(swap, swap_path, sizeof(swap_path));
	madvise(swap, 4096, 21 /* MADV_PAGEOUT */);
	if (page_state(swap) == 2)
		prep_hidden_path(&r, swap, "", "swapped");
	else
		skip("an argument in a swapped page", 0);
	ring_publish(&r);
	if (page_state(untouched.path) != 0 || page_state(map) != 0)
		die("a page that nobody touches was touched");
	ring_truth(&r);
}

/* What a reverse shell does: one request at a time, waited for. */
static void d_network(void)
{
	static struct ring r;
	static char hello[] = "hello", answer[64];
	int sock = socket(AF_INET, SOCK_STREAM, 0);

	echo_server(7702);
	if (!ring_setup(&r, "d_network", 8, 0))
		return;
	prep_connect4(&r, sock, "127.0.0.1", 7702);
	if (ring_one(&r))
		die("connect");
	prep_io(&r, OP_SEND, sock, hello, 5, 0);
	ring_one(&r);
	target_socket(&r, sock);
	prep_io(&r, OP_RECV, sock, answer, sizeof(answer), 0);
	if (ring_one(&r) != 5)
		die("recv");
	target_socket(&r, sock);
	ring_truth(&r);
}

/* What a file stealer does, with the files still open. */
static void e_files(void)
{
	static struct ring r;
	static char buffer[128];
	int fd;

	close(make_file("/etc/secret", "top secret"));
	if (!ring_setup(&r, "e_files", 8, 0))
		return;
	prep_openat(&r, "/etc/secret", O_RDONLY, 0);
	fd = ring_one(&r);
	prep_io(&r, OP_READ, fd, buffer, sizeof(buffer), 0);
	if (ring_one(&r) != 10)
		die("read");
	target_file(&r, "/etc/secret");
	prep_openat(&r, "/etc/passwd", O_RDONLY, 0);
	fd = ring_one(&r);
	prep_io(&r, OP_READ, fd, buffer, sizeof(buffer), 0);
	ring_one(&r);
	ring_sqe(&r, OP_CLOSE, fd);
	ring_one(&r);
	ring_truth(&r);
}

/* More submissions than the queue holds: only the last are left. */
static void f_wrapped(void)
{
	static struct ring r;

	if (!ring_setup(&r, "f_wrapped", 4, 0))
		return;
	for (int i = 0; i < 11; i++) {
		char *path = malloc(32);

		sprintf(path, "/tmp/wrapped-%d", i);
		prep_openat(&r, path, O_RDONLY, 0);
		ring_one(&r);
	}
	ring_truth(&r);
}

/* Completions that nobody has read, some from slots used again. */
static void g_unread(void)
{
	static struct ring r;

	if (!ring_setup(&r, "g_unread", 4, 0))
		return;
	for (int i = 0; i < 6; i++) {
		prep_openat(&r, i % 2 ? "/nonexistent" : "/etc/passwd",
			    O_RDONLY, 0);
		ring_submit(&r, 1, 0);
	}
	ring_wait(&r, 6); /* opens may finish in a worker */
	ring_look(&r, false);
	ring_truth(&r);
}

/* More completions than the queue holds. */
static void h_overflow(void)
{
	static struct ring r;

	if (!ring_setup(&r, "h_overflow", 4, 0))
		return;
	for (int i = 0; i < 12; i++) {
		ring_sqe(&r, OP_NOP, -1);
		ring_submit(&r, 1, 0);
	}
	ring_look(&r, false);
	for (int i = 0; i < r.nr_reqs; i++) {
		r.reqs[i].overflowed = !r.reqs[i].done;
		r.reqs[i].done = true;
	}
	ring_truth(&r);
}

/* Requests that wait for something to happen. */
static void i_waiting(void)
{
	static struct ring r;
	static struct __kernel_timespec hour = { .tv_sec = 3600 };
	static struct __kernel_timespec two_hours = { .tv_sec = 7200 };
	static struct sockaddr_in sin;
	static struct msghdr msg;
	static struct iovec iov;
	static char buffer[64];
	int ends[2], pair[2], listener, tcp;
	struct io_uring_sqe *sqe;

	echo_server(7703);
	if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("pipe");
	tcp = connected_tcp(7703);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	sin = *ipv4("127.0.0.1", 7791);
	if (bind(listener, (void *)&sin, sizeof(sin)) || listen(listener, 1))
		die("listen");
	if (!ring_setup(&r, "i_waiting", 16, 0))
		return;
	prep_io(&r, OP_RECV, tcp, buffer, sizeof(buffer), 0);
	target_socket(&r, tcp);
	prep_io(&r, OP_RECV, pair[0], buffer, sizeof(buffer), 0);
	target_socket(&r, pair[0]);
	sqe = ring_sqe(&r, OP_POLL_ADD, pair[0]);
	sqe->poll32_events = POLLIN | POLLPRI;
	ring_info(&r, "\"events\":\"POLLIN | POLLPRI\"");
	sqe = ring_sqe(&r, OP_ACCEPT, listener);
	sqe->accept_flags = SOCK_CLOEXEC;
	ring_info(&r, "\"flags\":\"SOCK_CLOEXEC\"");
	target_socket(&r, listener);
	sqe = ring_sqe(&r, OP_TIMEOUT, -1);
	sqe->addr = (uintptr_t)&hour;
	sqe->len = 1;
	ring_info(&r, "\"sec\":3600,\"nsec\":0");
	prep_io(&r, OP_READ, ends[0], buffer, 32, -1)->flags = IOSQE_IO_LINK;
	sqe = ring_sqe(&r, OP_LINK_TIMEOUT, -1);
	sqe->addr = (uintptr_t)&two_hours;
	sqe->len = 1;
	ring_info(&r, "\"sec\":7200,\"nsec\":0");
	iov = (struct iovec){ buffer, 48 };
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	sqe = ring_sqe(&r, OP_RECVMSG, pair[1]);
	sqe->addr = (uintptr_t)&msg;
	sqe->len = 1;
	ring_info(&r, "\"fd\":%d,\"iovecs\":1,\"len\":48", pair[1]);
	target_socket(&r, pair[1]);
	/* Multishot: it stays after its first completions. */
	sqe = ring_sqe(&r, OP_POLL_ADD, pair[1]);
	sqe->len = IORING_POLL_ADD_MULTI;
	sqe->poll32_events = POLLOUT;
	ring_info(&r, "\"events\":\"POLLOUT\","
		  "\"flags\":\"IORING_POLL_ADD_MULTI\"");
	ring_submit(&r, 9, 0);
	ring_wait(&r, 1);
	ring_look(&r, false);
	ring_truth(&r);
}

/* Futexes and children, where the kernel can wait for them. */
static void j_waiting_new(void)
{
	static struct ring r;
	static uint32_t word = 5;
	static siginfo_t info;
	struct io_uring_sqe *sqe;
	int pid;

	if (!op_supported(OP_FUTEX_WAIT) || !op_supported(OP_WAITID)) {
		skip("IORING_OP_FUTEX_WAIT, IORING_OP_WAITID", EINVAL);
		return;
	}
	pid = sleeper("j_child");
	if (!ring_setup(&r, "j_waiting_new", 4, 0))
		return;
	r.nr_owners = 1;
	sqe = ring_sqe(&r, OP_FUTEX_WAIT, 2 /* FUTEX2_SIZE_U32 */ | 128);
	sqe->addr = (uintptr_t)&word;
	sqe->addr2 = 5;
	sqe->addr3 = FUTEX_BITSET_MATCH_ANY;
	ring_info(&r, "\"address\":\"0x%lx\",\"value\":5,"
		  "\"mask\":\"0xffffffff\","
		  "\"flags\":\"FUTEX2_SIZE_U32 | FUTEX2_PRIVATE\"",
		  (uintptr_t)&word);
	sqe = ring_sqe(&r, OP_WAITID, pid);
	sqe->len = P_PID;
	sqe->file_index = WEXITED;
	sqe->addr2 = (uintptr_t)&info;
	ring_info(&r, "\"id\":%d,\"which\":\"P_PID\","
		  "\"options\":\"WEXITED\"", pid);
	ring_submit(&r, 2, 0);
	ring_look(&r, false);
	ring_truth(&r);
}

/* Limits io-wq to one worker of either kind. */
static void one_worker(struct ring *r)
{
	unsigned int max[2] = { 1, 1 };

	if (ring_register(r, IORING_REGISTER_IOWQ_MAX_WORKERS, max, 2))
		die("max workers");
}

/* Opens of a FIFO block their only worker: one runs, the others queue. */
static void k_workers(void)
{
	static struct ring r;

	if (mkfifo("/tmp/fifo", 0644))
		die("mkfifo");
	if (!ring_setup(&r, "k_workers", 8, 0))
		return;
	one_worker(&r);
	for (int i = 0; i < 3; i++) {
		prep_openat(&r, "/tmp/fifo", O_RDONLY, 0)->flags = IOSQE_ASYNC;
		ring_raw(&r, "\"where\":\"%s\"", i ? "queued" : "running");
	}
	ring_submit(&r, 3, 0);
	await_worker();
	ring_look(&r, false);
	ring_truth(&r);
}

/* Writes to one file go one at a time: the first waits for its own page. */
static void l_hashed(void)
{
	static struct ring r;
	static char data[64];
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct pollfd fault = { .fd = uffd, .events = POLLIN };
	int fd = make_file("/tmp/hashed", "x");
	char *page = pages(4096);

	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &range)) {
		skip("userfaultfd", errno);
		return;
	}
	if (!ring_setup(&r, "l_hashed", 8, 0))
		return;
	prep_io(&r, OP_WRITE, fd, page, 64, 0)->flags = IOSQE_ASYNC;
	target_file(&r, "/tmp/hashed");
	ring_raw(&r, "\"where\":\"running\"");
	for (int i = 1; i < 4; i++) {
		prep_io(&r, OP_WRITE, fd, data, 60 + i, 64 * i)->flags =
			IOSQE_ASYNC;
		target_file(&r, "/tmp/hashed");
		ring_raw(&r, "\"where\":\"queued\"");
	}
	ring_submit(&r, 4, 0);
	/* The first has come to its page. */
	wait_until(poll(&fault, 1, 0) == 1, "no fault of a worker");
	ring_look(&r, false);
	ring_truth(&r);
}

/* Drained behind an outstanding request; linked behind another. */
static void m_deferred(void)
{
	static struct ring r, l;
	static char buffer[64];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	if (!ring_setup(&r, "m_deferred", 8, 0))
		return;
	prep_io(&r, OP_RECV, pair[0], buffer, sizeof(buffer), 0);
	prep_path(&r, OP_UNLINKAT, "/tmp/drained")->flags = IOSQE_IO_DRAIN;
	ring_sqe(&r, OP_NOP, -1);
	ring_submit(&r, 3, 0);

	if (!ring_setup(&l, "m_linked", 8, 0))
		return;
	prep_io(&l, OP_RECV, pair[0], buffer, sizeof(buffer), 0)->flags =
		IOSQE_IO_LINK;
	prep_io(&l, OP_SEND, pair[0], buffer, 5, 0)->flags = IOSQE_IO_LINK;
	prep_openat(&l, "/tmp/linked", O_RDONLY, 0);
	ring_submit(&l, 3, 0);
	ring_look(&r, false);
	ring_look(&l, false);
	ring_truth(&r);
	ring_truth(&l);
}

/* Registered files and buffers, provided buffers. */
static void n_registered(void)
{
	static struct ring r;
	static char buffer[4096] __attribute__((aligned(4096)));
	static char extra[256];
	struct iovec iov = { buffer, sizeof(buffer) };
	int files[2] = { -1, make_file("/tmp/registered", "registered") };
	struct io_uring_sqe *sqe;

	if (!ring_setup(&r, "n_registered", 8, 0))
		return;
	if (ring_register(&r, IORING_REGISTER_FILES, files, 2) ||
	    ring_register(&r, IORING_REGISTER_BUFFERS, &iov, 1))
		die("register");
	close(files[1]);
	sqe = prep_io(&r, OP_READ_FIXED, 1, buffer, 10, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	if (ring_one(&r) != 10)
		die("read fixed");
	ring_info(&r, "\"fixed_file\":true,\"buf_index\":0");
	target_file(&r, "/tmp/registered");
	sqe = prep_io(&r, OP_WRITE_FIXED, 1, buffer, 9, 10);
	sqe->flags = IOSQE_FIXED_FILE;
	ring_info(&r, "\"fixed_file\":true,\"buf_index\":0");
	target_file(&r, "/tmp/registered");
	ring_publish(&r);
	snprintf(extra, sizeof(extra), ",\"registered_files\":{\"slots\":2,"
		 "\"files\":[{\"slot\":1,\"kind\":\"file\",\"path\":"
		 "\"/tmp/registered\"}]},\"registered_buffers\":{\"slots\":1,"
		 "\"buffers\":[{\"slot\":0,\"addr\":\"0x%lx\","
		 "\"len\":4096}]}", (uintptr_t)buffer);
	r.extra = extra;
	ring_truth(&r);
}

/* How many connections wait to be accepted. */
static unsigned int unaccepted(int listener)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);

	if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length))
		die("TCP_INFO");
	return info.tcpi_unacked;
}

/* A TCP socket that will get no answer: the listener's queue is full. */
static int unanswered(int port)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), tries = 127, sock;
	struct sockaddr_in *sin = ipv4("127.0.0.1", port);

	/* The kernel takes one more than it is told. */
	if (bind(listener, (void *)sin, sizeof(*sin)) || listen(listener, 1))
		die("listen");
	connected_tcp(port);
	connected_tcp(port);
	wait_until(unaccepted(listener) == 2, "the listener's queue has room");
	free(sin);
	sock = socket(AF_INET, SOCK_STREAM, 0);
	/* It does not give up after two minutes. */
	if (setsockopt(sock, IPPROTO_TCP, TCP_SYNCNT, &tries, sizeof(tries)))
		die("TCP_SYNCNT");
	return sock;
}

/*
 * The process wipes its SQEs and what they pointed to once the kernel has
 * taken them: only the kernel's copies tell what is in flight.
 */
static void o_scrubbed(void)
{
	static struct ring r;
	static char buffer[64];
	struct io_uring_sqe *sqe;
	char *path = strdup("/tmp/scrubbed");
	void *address;
	int pair[2], sock = unanswered(7792);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || mkfifo(path, 0644))
		die("socketpair");
	if (!ring_setup(&r, "o_scrubbed", 8, 0))
		return;
	prep_io(&r, OP_RECV, pair[0], buffer, sizeof(buffer), 0);
	target_socket(&r, pair[0]);
	prep_openat(&r, path, O_RDONLY, 0)->flags = IOSQE_ASYNC;
	prep_connect4(&r, sock, "127.0.0.1", 7792);
	sqe = &((struct io_uring_sqe *)r.sqes)[2];
	address = (void *)(uintptr_t)sqe->addr;
	ring_submit(&r, 3, 0);
	await_worker();
	r.scrubbed = true;
	memset(path, 'X', strlen(path));
	memset(address, 0, sizeof(struct sockaddr_in));
	memset(r.sqes, 0, 8 * sizeof(*sqe));
	ring_look(&r, false);
	ring_truth(&r);
}

/* Wipes SQEs and completions of what is over; the kernel's objects stay. */
static void p_wiped(void)
{
	static struct ring r;
	static char buffer[16];
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd = make_file("/tmp/wiped", "0123456789");

	if (!ring_setup(&r, "p_wiped", 8, 0))
		return;
	/* In one batch, so that each has an object of its own. */
	prep_io(&r, OP_READ, fd, buffer, 7, 0);
	prep_connect_unix(&r, sock, "/run/nobody");
	ring_sqe(&r, OP_NOP, -1);
	ring_submit(&r, 3, 3);
	ring_look(&r, true);
	for (int i = 0; i < r.nr_reqs; i++) {
		r.reqs[i].only_object = true;
		r.reqs[i].info[0] = '\0';
	}
	memset(r.sqes, 0, 8 * sizeof(struct io_uring_sqe));
	memset(r.cqes, 0, 16 * sizeof(struct io_uring_cqe));
	r.wiped = true;
	r.scrubbed = true;
	ring_truth(&r);
}

/* Wipes its SQEs and leaves the completions. */
static void q_zeroed(void)
{
	static struct ring r;
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	if (!ring_setup(&r, "q_zeroed", 4, 0))
		return;
	for (int i = 0; i < 6; i++) {
		if (i % 2)
			prep_connect_unix(&r, sock, "/run/nobody");
		else
			prep_openat(&r, "/etc/zeroed", O_RDONLY, 0);
		ring_one(&r);
		ring_last(&r)->unslotted = true;
	}
	memset(r.sqes, 0, 4 * sizeof(struct io_uring_sqe));
	r.scrubbed = true;
	ring_truth(&r);
}

/* Writes harmless requests over those that it made. */
static void r_rewritten(void)
{
	static struct ring r;
	static char buffer[16];
	struct io_uring_sqe *sqes;
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd = make_file("/tmp/rewritten", "0123456789");

	if (!ring_setup(&r, "r_rewritten", 8, 0))
		return;
	prep_io(&r, OP_READ, fd, buffer, 5, 0);
	prep_connect_unix(&r, sock, "/run/nobody");
	ring_submit(&r, 2, 2);
	ring_look(&r, true);
	sqes = (struct io_uring_sqe *)r.sqes;
	for (int i = 0; i < r.nr_reqs; i++) {
		uint64_t user_data = sqes[i].user_data;

		memset(&sqes[i], 0, sizeof(*sqes));
		sqes[i].fd = -1;
		sqes[i].user_data = user_data;
		r.reqs[i].only_object = true;
		r.reqs[i].info[0] = '\0';
	}
	r.scrubbed = true;
	ring_truth(&r);
}

const struct scenario request_scenarios[] = {
	{ "a_stale", a_stale },
	{ "b_pending", b_pending },
	{ "c_memory", c_memory },
	{ "d_network", d_network },
	{ "e_files", e_files },
	{ "f_wrapped", f_wrapped },
	{ "g_unread", g_unread },
	{ "h_overflow", h_overflow },
	{ "i_waiting", i_waiting },
	{ "j_waiting_new", j_waiting_new },
	{ "k_workers", k_workers },
	{ "l_hashed", l_hashed },
	{ "m_deferred", m_deferred },
	{ "n_registered", n_registered },
	{ "o_scrubbed", o_scrubbed },
	{ "p_wiped", p_wiped },
	{ "q_zeroed", q_zeroed },
	{ "r_rewritten", r_rewritten },
	{ NULL, NULL },
};
