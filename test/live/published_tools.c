// SPDX-License-Identifier: MIT
/*
 * What the published tools that hide in io_uring do, operation by operation, against loopback and
 * files of its own: RingReaper (one ring, one request at a time) and curing (two rings, READ and
 * WRITE on a socket).
 *
 *	published_tools FOLDER	changes nothing outside FOLDER: what the tools would damage is named
 *				under paths that do not exist. It removes its own executable.
 *	published_tools --guest	in a guest of the lab: nothing is spared, and it stays
 *
 * Each request is a line of JSON, on standard output or in the file that TRUTH names.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many files the sweeps look at: more than it takes to be one. */
#define SWEEP 40
#define PROCESSES 20

struct tool {
	struct io_uring ring;
	int socket;
};

static FILE *truth;
static struct sockaddr_in address = { .sin_family = AF_INET };
static int listener;
/* Inserted where a path must not be that of the machine's own file. */
static const char *spared = "no-such-folder/";
static unsigned long long next_user_data = 0x7001;
static char buffer[65536];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* A path that stays where it is, so that memory shows it later. */
__attribute__((format(printf, 1, 2))) static char *lasting(const char *format, ...)
{
	va_list args;
	char *path;

	va_start(args, format);
	if (vasprintf(&path, format, args) < 0)
		die("path");
	va_end(args);
	return path;
}

static struct io_uring_sqe *request(struct tool *tool)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&tool->ring);

	if (!sqe)
		die("no entry left");
	return sqe;
}

/* Submits the one request that waits, tells of it, and gives its result. */
static int run(struct tool *tool, struct io_uring_sqe *sqe, const char *name, const char *path)
{
	struct io_uring_cqe *cqe;
	int opcode = sqe->opcode, res;

	sqe->user_data = next_user_data;
	if (io_uring_submit(&tool->ring) != 1 || io_uring_wait_cqe(&tool->ring, &cqe))
		die("submit");
	res = cqe->res;
	io_uring_cqe_seen(&tool->ring, cqe);
	fprintf(truth, "{\"operation\":\"%s\",\"user_data\":\"0x%llx\",\"opcode\":%d,\"res\":%d", name,
		next_user_data++, opcode, res);
	if (path)
		fprintf(truth, ",\"path\":\"%s\"", path);
	fprintf(truth, "}\n");
	return res;
}

static int run_open(struct tool *tool, const char *name, const char *path, int flags)
{
	struct io_uring_sqe *sqe = request(tool);

	io_uring_prep_openat(sqe, AT_FDCWD, path, flags, 0644);
	return run(tool, sqe, name, path);
}

static int run_read(struct tool *tool, const char *name, int fd, unsigned int length)
{
	struct io_uring_sqe *sqe = request(tool);

	io_uring_prep_read(sqe, fd, buffer, length, 0);
	return run(tool, sqe, name, NULL);
}

static int run_write(struct tool *tool, const char *name, int fd, const char *text)
{
	struct io_uring_sqe *sqe = request(tool);

	io_uring_prep_write(sqe, fd, text, strlen(text), 0);
	return run(tool, sqe, name, NULL);
}

static void run_close(struct tool *tool, int fd)
{
	struct io_uring_sqe *sqe = request(tool);

	io_uring_prep_close(sqe, fd);
	run(tool, sqe, "close", NULL);
}

static void run_send(struct tool *tool, const char *text)
{
	struct io_uring_sqe *sqe = request(tool);

	io_uring_prep_send(sqe, tool->socket, text, strlen(text), 0);
	run(tool, sqe, "send", NULL);
}

static int run_recv(struct tool *tool)
{
	struct io_uring_sqe *sqe = request(tool);

	io_uring_prep_recv(sqe, tool->socket, buffer, sizeof(buffer) - 1, 0);
	return run(tool, sqe, "recv", NULL);
}

static void run_unlink(struct tool *tool, const char *name, const char *path)
{
	struct io_uring_sqe *sqe = request(tool);

	io_uring_prep_unlinkat(sqe, AT_FDCWD, path, 0);
	run(tool, sqe, name, path);
}

/* Connects to the server, which says `command` at once; returns the server's end. */
static int run_connect(struct tool *tool, const char *command)
{
	struct io_uring_sqe *sqe = request(tool);
	int peer;

	tool->socket = socket(AF_INET, SOCK_STREAM, 0);
	io_uring_prep_connect(sqe, tool->socket, (void *)&address, sizeof(address));
	if (run(tool, sqe, "connect", NULL))
		die("connect");
	peer = accept(listener, NULL, NULL);
	if (peer < 0 || write(peer, command, strlen(command)) < 0)
		die("serve");
	return peer;
}

static void open_and_read(struct tool *tool, const char *name, const char *path)
{
	int fd = run_open(tool, name, path, O_RDONLY);

	if (fd < 0)
		return;
	run_read(tool, name, fd, 4096);
	close(fd);
}

/* RingReaper, by its commands. */

static void get_and_put(struct tool *tool, const char *folder)
{
	int fd = run_open(tool, "get", "/etc/passwd", O_RDONLY);

	run_read(tool, "get-read", fd, sizeof(buffer));
	run_send(tool, "contents");
	close(fd);
	fd = run_open(tool, "put", lasting("%s/put", folder), O_WRONLY | O_CREAT | O_TRUNC);
	run_write(tool, "put-write", fd, "contents");
	close(fd);
}

static void ps(struct tool *tool)
{
	int left = PROCESSES;
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	while (left && (entry = readdir(directory))) {
		if (!isdigit(entry->d_name[0]) || atoi(entry->d_name) == getpid())
			continue;
		open_and_read(tool, "ps", lasting("/proc/%s/comm", entry->d_name));
		left--;
	}
	closedir(directory);
}

/* The tool has one buffer for all the names, so that memory shows the last of them at best. */
static void privesc(struct tool *tool)
{
	static struct statx stats;
	static char path[512];
	int left = SWEEP;
	DIR *directory = opendir("/usr/bin");
	struct dirent *entry;

	while (left && (entry = readdir(directory))) {
		struct io_uring_sqe *sqe;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/usr/bin/%s", entry->d_name);
		sqe = request(tool);
		io_uring_prep_statx(sqe, AT_FDCWD, path, 0, STATX_MODE, &stats);
		run(tool, sqe, --left ? "privesc-one" : "privesc", path);
	}
	closedir(directory);
}

static void killbpf(struct tool *tool)
{
	static const char *const files[] = { "tracing_on", "set_event", "current_tracer" };

	for (int i = 0; i < 3; i++) {
		const char *path = lasting("/sys/kernel/debug/tracing/%s%s", spared, files[i]);
		int fd = run_open(tool, "killbpf-tracing", path, O_WRONLY);

		if (fd < 0)
			continue;
		run_write(tool, "killbpf-write", fd, "0");
		run_close(tool, fd);
	}
	run_unlink(tool, "killbpf-unlink", lasting("/sys/fs/bpf/%spinned", spared));
	open_and_read(tool, "killbpf-maps", "/proc/1/maps");
}

static void ring_reaper(struct tool *tool, const char *folder, const char *executable)
{
	int peer = run_connect(tool, "command\n");

	run_recv(tool);
	run_send(tool, "reply");
	get_and_put(tool, folder);
	open_and_read(tool, "users", "/var/run/utmp");
	open_and_read(tool, "ss", "/proc/net/tcp");
	ps(tool);
	privesc(tool);
	killbpf(tool);
	run_unlink(tool, "selfdestruct", executable);
	close(peer);
}

/* curing: one ring asks for commands, the other executes them. */

static void curing(struct tool *puller, struct tool *executer, const char *folder)
{
	static const char empty[] = "";
	static struct statx stats;
	struct io_uring_sqe *sqe;
	int fd, peer = run_connect(puller, "commands");

	run_write(puller, "socket-write", puller->socket, "hello");
	run_read(puller, "socket-read", puller->socket, sizeof(buffer));
	run_close(puller, puller->socket);
	close(peer);

	fd = run_open(executer, "shadow", "/etc/shadow", O_RDONLY);
	if (fd >= 0) {
		sqe = request(executer);
		io_uring_prep_statx(sqe, fd, empty, AT_EMPTY_PATH, STATX_SIZE, &stats);
		run(executer, sqe, "shadow-size", NULL);
		run_read(executer, "shadow-read", fd, 32768);
		run_close(executer, fd);
	}
	sqe = request(executer);
	io_uring_prep_symlinkat(sqe, "/etc/shadow", AT_FDCWD, lasting("%s/link", folder));
	run(executer, sqe, "symlink", NULL);
	fd = run_open(executer, "write-file", lasting("%s/written", folder),
		      O_WRONLY | O_CREAT | O_TRUNC);
	run_write(executer, "write-file-write", fd, "contents");
	run_close(executer, fd);

	peer = run_connect(puller, "");
	run_write(puller, "socket-write", puller->socket, "results");
	run_close(puller, puller->socket);
	close(peer);
}

static void make_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0755);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* What the tools look for, and a guest does not have. */
static void furnish_guest(void)
{
	if (access("/workload.args", F_OK))
		die("Cannot run: this is not a guest of the lab");
	mkdir("/usr", 0755);
	mkdir("/usr/bin", 0755);
	for (int i = 0; i < SWEEP; i++)
		make_file(lasting("/usr/bin/program-%d", i), "");
	mkdir("/var", 0755);
	mkdir("/var/run", 0755);
	make_file("/var/run/utmp", "root");
	make_file("/etc/shadow", "root:*:::::::\n");
	if (mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL) ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) || symlink("of", "/sys/fs/bpf/pinned"))
		die("mount");
	spared = "";
}

static void start(struct tool *tool, unsigned int entries)
{
	if (io_uring_queue_init(entries, &tool->ring, 0))
		die("ring");
}

int main(int argc, char **argv)
{
	static struct tool reaper, puller, executer;
	static char executable[4096];
	bool guest = argc == 2 && !strcmp(argv[1], "--guest");
	const char *folder = guest ? "/tmp" : argv[1], *path = getenv("TRUTH");
	ssize_t size = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
	socklen_t length = sizeof(address);

	if (argc != 2 || size < 0)
		return 2;
	truth = path ? fopen(path, "w") : stdout;
	if (!truth)
		die(path);
	if (guest)
		furnish_guest();
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 4) ||
	    getsockname(listener, (void *)&address, &length))
		die("listen");
	start(&puller, 32);
	start(&executer, 32);
	io_uring_register_eventfd(&puller.ring, eventfd(0, 0));
	io_uring_register_eventfd(&executer.ring, eventfd(0, 0));
	curing(&puller, &executer, folder);
	start(&reaper, 256);
	ring_reaper(&reaper, folder, executable);
	fflush(truth);
	if (!guest)
		return 0;
	close(open("/run/rested", O_WRONLY | O_CREAT, 0644));
	for (;;)
		pause();
}
