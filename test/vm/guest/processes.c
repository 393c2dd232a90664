/* Rings by the process that holds them. */
#define _GNU_SOURCE
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WEIRD_COMM "\x1b[31mevil\xff"
#define WEIRD_PATH "/tmp/a\x1b[2Jb\n\xfe\xff c\"\\"

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("cannot write %s", path);
	close(fd);
}

static void use(struct ring *r)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	prep_connect4(r, fd, "203.0.113.9", 9001);
	ring_one(r);
	prep_openat(r, "/etc/passwd", O_RDONLY, 0);
	ring_publish(r);
}

/* Denies connect(2) and socket(2). */
static void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_connect, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		die("seccomp");
}

static void seccomp_one(void)
{
	static struct ring r;

	if (!ring_setup(&r, "seccomp_one", 4, 0))
		return;
	use(&r);
	filter();
	ring_truth(&r);
}

static void seccomp_two(void)
{
	static struct ring r;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	filter();
	filter();
	if (!ring_setup(&r, "seccomp_two", 4, 0))
		return;
	prep_connect4(&r, fd, "203.0.113.10", 9002);
	ring_one(&r);
	ring_truth(&r);
}

/* Mode 1 leaves read(2), write(2) and exit(2). */
static void seccomp_strict(void)
{
	static struct ring r;
	int ends[2];
	char c;

	if (pipe(ends))
		die("pipe");
	if (!ring_setup(&r, "seccomp_strict", 4, 0))
		return;
	use(&r);
	r.seccomp_mode = 1;
	ring_truth(&r);
	at_rest();
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(1);
	for (;;)
		if (read(ends[0], &c, 1) < 0)
			continue;
}

static void *filtered(void *arg)
{
	struct ring *r = arg;

	prctl(PR_SET_NAME, "filtered");
	filter();
	if (ring_setup(r, "seccomp_thread", 4, 0)) {
		prep_path(r, OP_UNLINKAT, "/tmp/filtered");
		ring_publish(r);
		ring_truth(r);
	}
	rest_thread();
}

/* Only the thread that made the ring has a filter. */
static void seccomp_thread(void)
{
	static struct ring r;

	start_thread(filtered, &r);
	await_threads(1);
}

/* A login of another user, all privileges dropped after the ring was made. */
static void user(void)
{
	static struct ring before, after;
	gid_t group = 1000;

	write_text("/proc/self/loginuid", "1234");
	if (!ring_setup(&before, "user_before", 4, 0))
		return;
	use(&before);
	if (setgroups(1, &group) || setresgid(1000, 1000, 1000) ||
	    setresuid(1000, 1000, 1000))
		die("setresuid");
	if (!ring_setup(&after, "user_after", 4, 0))
		return;
	use(&after);
	ring_truth(&before);
	ring_truth(&after);
}

/* As one who keeps some capabilities and runs with another effective uid. */
static void capabilities(void)
{
	static struct ring r;
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { 0 };

	if (!ring_setup(&r, "capabilities", 4, 0))
		return;
	use(&r);
	prctl(PR_SET_KEEPCAPS, 1);
	if (setresgid(2000, 2001, 2001) || setresuid(2000, 2001, 2001))
		die("setresuid");
	data[0].permitted = 1 << CAP_NET_BIND_SERVICE | 1 << CAP_NET_RAW;
	data[0].effective = 1 << CAP_NET_BIND_SERVICE;
	data[0].inheritable = 1 << CAP_NET_BIND_SERVICE;
	if (syscall(__NR_capset, &header, data))
		die("capset");
	ring_truth(&r);
}

static void enter_cgroup(const char *path)
{
	char file[512], pid[16], *at;

	snprintf(file, sizeof(file), "/sys/fs/cgroup%s/", path);
	for (at = file + 15; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(file, 0755);
		*at = '/';
	}
	strcat(file, "cgroup.procs");
	sprintf(pid, "%d", getpid());
	write_text(file, pid);
}

#define DOCKER_ID \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CONTAINERD_ID \
	"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static void in_cgroup(const char *name, const char *cgroup)
{
	static struct ring r;

	enter_cgroup(cgroup);
	if (!ring_setup(&r, name, 4, 0))
		return;
	use(&r);
	ring_truth(&r);
}

static void docker(void)
{
	in_cgroup("docker", "/system.slice/docker-" DOCKER_ID ".scope");
}

static void containerd(void)
{
	in_cgroup("containerd", "/kubepods.slice/kubepods-pod1.slice/"
		  "cri-containerd-" CONTAINERD_ID ".scope");
}

static void service(void)
{
	in_cgroup("service", "/system.slice/sshd.service");
}

/* A name that would paint a terminal, and is not UTF-8. */
static void weird_comm(void)
{
	static struct ring r;

	prctl(PR_SET_NAME, WEIRD_COMM);
	if (!ring_setup(&r, "weird_comm", 4, 0))
		return;
	use(&r);
	ring_truth(&r);
}

/* The same for the executable and its arguments. */
static void weird_path(void)
{
	char *argv[] = { "workload", "weird_path", "\x1b[0m", "\xff\xfe",
			 "a b", "", "end", NULL };
	static struct ring r;
	char buffer[65536];
	int in, out, n;

	if (access(WEIRD_PATH, F_OK)) {
		in = open("/proc/self/exe", O_RDONLY);
		out = open(WEIRD_PATH, O_WRONLY | O_CREAT, 0755);
		if (in < 0 || out < 0)
			die("copy");
		while ((n = read(in, buffer, sizeof(buffer))) > 0)
			if (write(out, buffer, n) != n)
				die("copy");
		close(in);
		close(out);
		execv(WEIRD_PATH, argv);
		die("exec");
	}
	if (!ring_setup(&r, "weird_path", 4, 0))
		return;
	use(&r);
	ring_truth(&r);
}

/* The executable is gone from the disk. */
static void deleted(void)
{
	static struct ring r;
	char *argv[] = { "workload", "deleted", NULL };
	char buffer[65536], path[64] = "";
	int in, out, n;

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0 ||
	    strcmp(path, "/tmp/deleted")) {
		in = open("/proc/self/exe", O_RDONLY);
		out = open("/tmp/deleted", O_WRONLY | O_CREAT, 0755);
		while ((n = read(in, buffer, sizeof(buffer))) > 0)
			if (write(out, buffer, n) != n)
				die("copy");
		close(in);
		close(out);
		execv("/tmp/deleted", argv);
		die("exec");
	}
	unlink("/tmp/deleted");
	if (!ring_setup(&r, "deleted", 4, 0))
		return;
	use(&r);
	ring_truth(&r);
}

/* Runs a request with the credentials that another user left behind. */
static void personality(void)
{
	static struct ring r;
	static char extra[128];
	int id;

	if (!ring_setup(&r, "personality", 4, 0))
		return;
	id = ring_register(&r, IORING_REGISTER_PERSONALITY, NULL, 0);
	if (id <= 0)
		die("register personality");
	snprintf(extra, sizeof(extra), ",\"personalities\":[{\"id\":%d,"
		 "\"uid\":0,\"euid\":0,\"gid\":0,\"egid\":0,"
		 "\"cap_effective\":\"ANY_CAPS\"}]", id);
	r.extra = extra;
	if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
		die("setresuid");
	prep_openat(&r, "/etc/secret", O_RDWR, 0)->personality = id;
	ring_one(&r);
	ring_raw(&r, "\"cred\":{\"uid\":0,\"euid\":0}");
	prep_openat(&r, "/etc/shadow", O_RDONLY, 0)->personality = id;
	ring_raw(&r, "\"cred\":{\"uid\":0,\"euid\":0}");
	ring_publish(&r);
	ring_truth(&r);
}

/* Allowed to do no more than it says. */
static void restricted(void)
{
	struct io_uring_restriction rules[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = OP_NOP },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = OP_READ },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		  .sqe_flags = IOSQE_ASYNC },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_REGISTER_ENABLE_RINGS },
	};
	static struct ring r;

	if (!ring_setup(&r, "restricted", 4, IORING_SETUP_R_DISABLED))
		return;
	if (ring_register(&r, IORING_REGISTER_RESTRICTIONS, rules, 4) ||
	    ring_register(&r, IORING_REGISTER_ENABLE_RINGS, NULL, 0))
		die("restrictions");
	ring_sqe(&r, OP_NOP, -1);
	ring_one(&r);
	/* The kernel has taken the flag away. */
	r.params.flags = 0;
	r.extra = ",\"restrictions\":{\"sqe_ops\":[\"IORING_OP_NOP\","
		  "\"IORING_OP_READ\"],\"sqe_flags_allowed\":[\"IOSQE_ASYNC\"],"
		  "\"sqe_flags_required\":[],"
		  "\"register_ops\":[\"IORING_REGISTER_ENABLE_RINGS\"]}";
	ring_truth(&r);
}

/* The ring outlives the memory that its requests point to. */
static void executed(void)
{
	static struct ring r;
	const char *saved = getenv("RING");
	char number[16];
	int fd;

	if (!saved) {
		char *path = pages(4096);

		strcpy(path, "/tmp/executed");
		if (!ring_setup(&r, "executed", 4, 0))
			return;
		prep_path(&r, OP_UNLINKAT, path);
		strcpy(ring_last(&r)->info, "\"path\":\"\"");
		ring_publish(&r);
		fcntl(r.fd, F_SETFD, 0);
		fd = memfd_create("ring", 0);
		if (pwrite(fd, &r, sizeof(r), 0) != sizeof(r))
			die("memfd");
		sprintf(number, "%d", fd);
		setenv("RING", number, 1);
		execl("/proc/self/exe", "workload", "executed", (char *)NULL);
		die("exec");
	}
	fd = atoi(saved);
	if (pread(fd, &r, sizeof(r), 0) != sizeof(r))
		die("memfd");
	close(fd);
	ring_map(&r);
	r.creator_pid = 0; /* The memory it was made with is gone. */
	ring_truth(&r);
	ring_unmap(&r);
}

const struct scenario process_scenarios[] = {
	{ "seccomp_one", seccomp_one },
	{ "seccomp_two", seccomp_two },
	{ "seccomp_strict", seccomp_strict },
	{ "seccomp_thread", seccomp_thread },
	{ "user", user },
	{ "capabilities", capabilities },
	{ "docker", docker },
	{ "containerd", containerd },
	{ "service", service },
	{ "weird_comm", weird_comm },
	{ "weird_path", weird_path },
	{ "deleted", deleted },
	{ "personality", personality },
	{ "restricted", restricted },
	{ "executed", executed },
	{ NULL, NULL },
};
