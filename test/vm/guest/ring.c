#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static FILE *truth;
static uint64_t next_tag;

static const char *const opcode_names[] = {
	"NOP", "READV", "WRITEV", "FSYNC", "READ_FIXED", "WRITE_FIXED",
	"POLL_ADD", "POLL_REMOVE", "SYNC_FILE_RANGE", "SENDMSG", "RECVMSG",
	"TIMEOUT", "TIMEOUT_REMOVE", "ACCEPT", "ASYNC_CANCEL", "LINK_TIMEOUT",
	"CONNECT", "FALLOCATE", "OPENAT", "CLOSE", "FILES_UPDATE", "STATX",
	"READ", "WRITE", "FADVISE", "MADVISE", "SEND", "RECV", "OPENAT2",
	"EPOLL_CTL", "SPLICE", "PROVIDE_BUFFERS", "REMOVE_BUFFERS", "TEE",
	"SHUTDOWN", "RENAMEAT", "UNLINKAT", "MKDIRAT", "SYMLINKAT", "LINKAT",
	"MSG_RING", "FSETXATTR", "SETXATTR", "FGETXATTR", "GETXATTR", "SOCKET",
	"URING_CMD", "SEND_ZC", "SENDMSG_ZC", "READ_MULTISHOT", "WAITID",
	"FUTEX_WAIT", "FUTEX_WAKE", "FUTEX_WAITV", "FIXED_FD_INSTALL",
	"FTRUNCATE", "BIND", "LISTEN",
};

static const char *const setup_names[] = {
	"IOPOLL", "SQPOLL", "SQ_AFF", "CQSIZE", "CLAMP", "ATTACH_WQ",
	"R_DISABLED", "SUBMIT_ALL", "COOP_TASKRUN", "TASKRUN_FLAG", "SQE128",
	"CQE32", "SINGLE_ISSUER", "DEFER_TASKRUN", "NO_MMAP",
	"REGISTERED_FD_ONLY", "NO_SQARRAY",
};

static const char *const sqe_flag_names[] = {
	"FIXED_FILE", "IO_DRAIN", "IO_LINK", "IO_HARDLINK", "ASYNC",
	"BUFFER_SELECT", "CQE_SKIP_SUCCESS",
};

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

int sys_setup(unsigned int entries, struct io_uring_params *p)
{
	return syscall(__NR_io_uring_setup, entries, p);
}

int sys_enter(int fd, unsigned int submit, unsigned int wait,
	      unsigned int flags)
{
	return syscall(__NR_io_uring_enter, fd, submit, wait, flags, NULL, 0);
}

int sys_register(int fd, unsigned int op, const void *arg, unsigned int nr)
{
	return syscall(__NR_io_uring_register, fd, op, arg, nr);
}

void truth_open(void)
{
	const char *path = getenv("TRUTH");
	int fd = open(path ? path : "/dev/stdout", O_WRONLY | O_NOCTTY);

	truth = fd < 0 ? stdout : fdopen(fd, "w");
	setvbuf(truth, NULL, _IOFBF, 1 << 16);
	next_tag = ((uint64_t)getpid() << 16) + 0xa000;
}

void truth_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(truth, fmt, ap);
	va_end(ap);
	fputc('\n', truth);
	fflush(truth);
}

void die(const char *fmt, ...)
{
	char text[512], comm[17] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	prctl(PR_GET_NAME, comm);
	truth_line("{\"error\":%s,\"comm\":%s,\"errno\":\"%s\"}", js(text),
		   js(comm), strerrorname_np(errno) ?: "0");
	_exit(1);
}

/* Length of the valid UTF-8 sequence at s, or 0. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
		     s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
		     s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static char *scratch(void)
{
	static char buffers[16][2048];
	static int next;

	return buffers[next++ % 16];
}

const char *jbytes(const char *s, size_t n)
{
	char *buffer = scratch(), *out = buffer;

	*out++ = '"';
	for (size_t i = 0; i < n && out < buffer + 2000;) {
		unsigned char c = s[i];
		size_t len = utf8_length((const unsigned char *)s + i, n - i);

		if (len == 0) {
			out += sprintf(out, "\xef\xbf\xbd");
			i++;
		} else if (len > 1) {
			memcpy(out, s + i, len);
			out += len;
			i += len;
		} else {
			if (c == '"' || c == '\\')
				out += sprintf(out, "\\%c", c);
			else if (c < 0x20 || c == 0x7f)
				out += sprintf(out, "\\u%04x", c);
			else
				*out++ = c;
			i++;
		}
	}
	*out++ = '"';
	*out = '\0';
	return buffer;
}

const char *js(const char *s)
{
	return jbytes(s, strlen(s));
}

const char *jkey(const char *key, const char *s)
{
	char *out = scratch();
	size_t n = strlen(s), i = 0, len;
	int at = sprintf(out, "\"%s\":%s", key, jbytes(s, n));

	while (i < n && (len = utf8_length((const unsigned char *)s + i, n - i)))
		i += len;
	if (i < n) {
		at += sprintf(out + at, ",\"%s_hex\":\"", key);
		for (i = 0; i < n; i++)
			at += sprintf(out + at, "%02x", (unsigned char)s[i]);
		sprintf(out + at, "\"");
	}
	return out;
}

static int read_small(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY);
	int n = fd < 0 ? -1 : (int)read(fd, buffer, size - 1);

	if (fd >= 0)
		close(fd);
	buffer[n < 0 ? 0 : n] = '\0';
	return n;
}

/* The group leader's name, whichever thread asks. */
static const char *leader_comm(void)
{
	static char comm[64];
	int n = read_small("/proc/self/comm", comm, sizeof(comm));

	if (n > 0)
		comm[n - 1] = '\0';
	return comm;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void point(struct ring *r, char *rings, char *sqes)
{
	struct io_uring_params *p = &r->params;

	r->sq_head = (unsigned int *)(rings + p->sq_off.head);
	r->sq_tail = (unsigned int *)(rings + p->sq_off.tail);
	r->sq_mask = (unsigned int *)(rings + p->sq_off.ring_mask);
	r->sq_dropped = (unsigned int *)(rings + p->sq_off.dropped);
	r->sq_flags = (unsigned int *)(rings + p->sq_off.flags);
	r->sq_array = p->flags & SETUP_NO_SQARRAY ? NULL :
		      (unsigned int *)(rings + p->sq_off.array);
	r->cq_head = (unsigned int *)(rings + p->cq_off.head);
	r->cq_tail = (unsigned int *)(rings + p->cq_off.tail);
	r->cq_mask = (unsigned int *)(rings + p->cq_off.ring_mask);
	r->cq_overflow = (unsigned int *)(rings + p->cq_off.overflow);
	r->cqes = rings + p->cq_off.cqes;
	r->sqes = sqes;
}

void ring_map(struct ring *r)
{
	const struct io_uring_params *p = &r->params;
	size_t cqe = p->flags & SETUP_CQE32 ? 32 : 16;
	size_t sqe = p->flags & SETUP_SQE128 ? 128 : 64;
	size_t sq_end = p->sq_off.array + p->sq_entries * sizeof(unsigned int);
	size_t cq_end = p->cq_off.cqes + p->cq_entries * cqe;

	r->map_size = sq_end > cq_end ? sq_end : cq_end;
	r->sqe_size = p->sq_entries * sqe;
	r->map = mmap(NULL, r->map_size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
	r->sqe_map = mmap(NULL, r->sqe_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	if (r->map == MAP_FAILED || r->sqe_map == MAP_FAILED)
		die("cannot map ring %s", r->name);
	point(r, r->map, r->sqe_map);
}

void ring_unmap(struct ring *r)
{
	munmap(r->map, r->map_size);
	munmap(r->sqe_map, r->sqe_size);
}

bool ring_setup_params(struct ring *r, const char *name, unsigned int entries)
{
	struct io_uring_params *p = &r->params;
	bool user_memory = p->flags & SETUP_NO_MMAP;

	snprintf(r->name, sizeof(r->name), "%s", name);
	if (user_memory) {
		r->map = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		r->sqe_map = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
				  -1, 0);
		/* user_addr of cq_off and sq_off: the last u64 of each */
		*(uint64_t *)((char *)&p->cq_off + 32) = (uintptr_t)r->map;
		*(uint64_t *)((char *)&p->sq_off + 32) = (uintptr_t)r->sqe_map;
	}
	r->created = now();
	r->fd = sys_setup(entries, p);
	if (r->fd < 0) {
		truth_line("{\"skipped\":%s,\"errno\":\"%s\"}", js(name),
			   strerrorname_np(errno));
		return false;
	}
	r->enter_fd = r->fd;
	r->fd_visible = true;
	r->creator_uid = getuid();
	r->creator_pid = getpid();
	r->pid = getpid();
	r->next_user_data = next_tag += 0x100;
	if (p->flags & SETUP_REGISTERED_FD_ONLY) {
		r->fd_visible = false;
		r->enter_flags = IORING_ENTER_REGISTERED_RING;
		r->fd = -1;
	}
	if (user_memory)
		point(r, r->map, r->sqe_map);
	else
		ring_map(r);
	ring_owner(r, getpid(), leader_comm(), r->fd_visible ? r->fd : -1);
	return true;
}

bool ring_setup(struct ring *r, const char *name, unsigned int entries,
		unsigned int flags)
{
	memset(r, 0, sizeof(*r));
	r->params.flags = flags;
	return ring_setup_params(r, name, entries);
}

int ring_register(struct ring *r, unsigned int op, const void *arg,
		  unsigned int nr)
{
	return sys_register(r->enter_fd, op, arg, nr);
}

void ring_owner(struct ring *r, int pid, const char *comm, int fd)
{
	struct owner *o = &r->owners[r->nr_owners++];

	o->pid = pid;
	o->fd = fd;
	snprintf(o->comm, sizeof(o->comm), "%s", comm);
}

struct io_uring_sqe *ring_sqe(struct ring *r, unsigned int op, int fd)
{
	unsigned int index = r->tail & *r->sq_mask;
	unsigned int shift = r->params.flags & SETUP_SQE128 ? 7 : 6;
	struct io_uring_sqe *sqe = (void *)(r->sqes + ((size_t)index << shift));
	struct req *req;

	if (r->nr_reqs == MAX_REQS)
		die("too many requests in ring %s", r->name);
	memset(sqe, 0, 1U << shift);
	sqe->opcode = op;
	sqe->fd = fd;
	sqe->user_data = r->next_user_data++;
	if (r->sq_array)
		r->sq_array[index] = index;
	req = &r->reqs[r->nr_reqs++];
	memset(req, 0, sizeof(*req));
	req->user_data = sqe->user_data;
	req->opcode = op;
	req->fd = fd;
	req->seq = r->tail++;
	return sqe;
}

struct req *ring_last(struct ring *r)
{
	return &r->reqs[r->nr_reqs - 1];
}

struct req *ring_find(struct ring *r, uint64_t user_data)
{
	for (int i = 0; i < r->nr_reqs; i++)
		if (r->reqs[i].user_data == user_data)
			return &r->reqs[i];
	return NULL;
}

static void add(char *text, size_t size, const char *fmt, va_list ap)
{
	size_t at = strlen(text);

	at += snprintf(text + at, size - at, "%s", at ? "," : "");
	vsnprintf(text + at, size - at, fmt, ap);
}

void ring_info(struct ring *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(ring_last(r)->info, sizeof(ring_last(r)->info), fmt, ap);
	va_end(ap);
}

void ring_raw(struct ring *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(ring_last(r)->raw, sizeof(ring_last(r)->raw), fmt, ap);
	va_end(ap);
}

void ring_publish(struct ring *r)
{
	/* The flags were set after ring_sqe(): note them from the slots. */
	unsigned int shift = r->params.flags & SETUP_SQE128 ? 7 : 6;

	for (int i = 0; i < r->nr_reqs; i++) {
		struct req *req = &r->reqs[i];
		size_t index = req->seq & *r->sq_mask;
		struct io_uring_sqe *sqe = (void *)(r->sqes + (index << shift));

		if ((int)(req->seq - *r->sq_tail) < 0)
			continue;
		req->sqe_flags = sqe->flags;
		req->personality = sqe->personality;
		req->user_data = sqe->user_data;
	}
	__atomic_store_n(r->sq_tail, r->tail, __ATOMIC_RELEASE);
}

int ring_enter(struct ring *r, unsigned int nr, unsigned int wait,
	       unsigned int flags)
{
	return sys_enter(r->enter_fd, nr, wait, flags | r->enter_flags);
}

int ring_submit(struct ring *r, unsigned int nr, unsigned int wait)
{
	int ret;

	ring_publish(r);
	ret = ring_enter(r, nr, wait, wait ? IORING_ENTER_GETEVENTS : 0);
	if (ret != (int)nr)
		die("ring %s: submitted %d of %u", r->name, ret, nr);
	return ret;
}

void ring_wait(struct ring *r, unsigned int nr)
{
	wait_until(__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) -
		   *r->cq_head >= nr,
		   "ring %s: no %u completions", r->name, nr);
}

void ring_look(struct ring *r, bool consume)
{
	unsigned int head = *r->cq_head;
	unsigned int tail = __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE);
	unsigned int shift = r->params.flags & SETUP_CQE32 ? 5 : 4;

	for (unsigned int at = head; at != tail; at++) {
		size_t index = at & *r->cq_mask;
		struct io_uring_cqe *cqe =
			(void *)(r->cqes + (index << shift));
		struct req *req = ring_find(r, cqe->user_data);

		if (!req || cqe->flags & IORING_CQE_F_MORE)
			continue;
		req->done = true;
		req->res = cqe->res;
		req->has_cqe = true;
		req->cqe_seq = at;
	}
	if (consume)
		__atomic_store_n(r->cq_head, tail, __ATOMIC_RELEASE);
}

int ring_one(struct ring *r)
{
	ring_submit(r, 1, 1);
	ring_look(r, true);
	return ring_last(r)->res;
}

static void print_flags(const char *key, unsigned int flags,
			const char *prefix, const char *const *names,
			size_t count)
{
	const char *comma = "";

	fprintf(truth, "\"%s\":[", key);
	for (size_t i = 0; i < count; i++) {
		if (!(flags & (1U << i)))
			continue;
		fprintf(truth, "%s\"%s%s\"", comma, prefix, names[i]);
		comma = ",";
	}
	fprintf(truth, "]");
}

static bool completion_kept(const struct ring *r, const struct req *req)
{
	if (!req->done)
		return false;
	return req->overflowed ||
	       (req->has_cqe &&
		*r->cq_tail - req->cqe_seq <= r->params.cq_entries);
}

static bool completion_unread(const struct ring *r, const struct req *req)
{
	return req->done &&
	       (req->overflowed ||
		(req->has_cqe && (int)(req->cqe_seq - *r->cq_head) >= 0));
}

static void print_result(const struct req *req)
{
	fprintf(truth, ",\"result\":{\"res\":%d", req->res);
	if (req->res < 0)
		fprintf(truth, ",\"errno\":\"%s\"",
			strerrorname_np(-req->res));
	fprintf(truth, "}");
}

static void print_req(const struct ring *r, const struct req *req,
		      const char *comma)
{
	fprintf(truth, "%s{", comma);
	if (req->unslotted) {
		fprintf(truth, "\"user_data\":\"0x%lx\"", req->user_data);
		print_result(req);
		fprintf(truth, "}");
		return;
	}
	if (req->opcode < ARRAY_SIZE(opcode_names))
		fprintf(truth, "\"opcode\":\"IORING_OP_%s\"",
			opcode_names[req->opcode]);
	else
		fprintf(truth, "\"opcode\":\"UNKNOWN\"");
	fprintf(truth, ",\"opcode_number\":%u,\"user_data\":\"0x%lx\"",
		req->opcode, req->user_data);
	if (!req->only_object)
		fprintf(truth, ",\"fd\":%d", req->fd);
	if (req->info[0])
		fprintf(truth, ",\"op_info\":{%s}", req->info);
	if (completion_kept(r, req))
		print_result(req);
	fprintf(truth, ",\"raw\":{");
	print_flags("sqe_flags", req->sqe_flags, "IOSQE_", sqe_flag_names,
		    ARRAY_SIZE(sqe_flag_names));
	fprintf(truth, ",\"personality\":%u%s%s}}", req->personality,
		req->raw[0] ? "," : "", req->raw);
}

enum list { PENDING, IN_FLIGHT, HISTORY };

static enum list list_of(const struct ring *r, const struct req *req)
{
	if (req->seq - *r->sq_head < *r->sq_tail - *r->sq_head)
		return PENDING;
	return req->done ? HISTORY : IN_FLIGHT;
}

static void print_list(const struct ring *r, const char *key, enum list list)
{
	const char *comma = "";

	fprintf(truth, ",\"%s\":[", key);
	for (int i = 0; i < r->nr_reqs; i++) {
		const struct req *req = &r->reqs[i];

		if (list_of(r, req) != list)
			continue;
		if (list == PENDING || list == IN_FLIGHT ||
		    r->tail - req->seq <= r->params.sq_entries) {
			print_req(r, req, comma);
		} else if (completion_unread(r, req)) {
			/* The slot was used again: the completion remains. */
			fprintf(truth, "%s{\"user_data\":\"0x%lx\"", comma,
				req->user_data);
			print_result(req);
			fprintf(truth, "}");
		} else {
			/* Nothing has to remember it. */
			continue;
		}
		comma = ",";
	}
	fprintf(truth, "]");
}

static const char *capability_text(const char *status, const char *key)
{
	const char *at = strstr(status, key);
	uint64_t caps = at ? strtoull(at + strlen(key), NULL, 16) : 0;
	char last[32];
	uint64_t all;

	read_small("/proc/sys/kernel/cap_last_cap", last, sizeof(last));
	all = (2ULL << atoi(last)) - 1;
	if (caps == all)
		return "ANY_CAPS";
	if (caps == 0)
		return "";
	/* The only others that a scenario sets. */
	if (caps == 1ULL << 10)
		return "CAP_NET_BIND_SERVICE";
	if (caps == (1ULL << 10 | 1ULL << 13))
		return "CAP_NET_BIND_SERVICE | CAP_NET_RAW";
	return "?";
}

/* The process as its own /proc shows it; returns its start in ticks. */
static unsigned long long print_process(void)
{
	char status[4096], buffer[2048], args[2048] = "", cgroup[1024];
	char path[1024] = "", cwd[1024] = "";
	const char *name, *field;
	char *deleted;
	unsigned long long start = 0;
	unsigned int auid;
	int n;

	read_small("/proc/thread-self/status", status, sizeof(status));
	n = read_small("/proc/thread-self/cmdline", buffer, sizeof(buffer));
	for (int i = (int)strlen(buffer) + 1; i < n - 1; i++)
		strncat(args, buffer[i] ? (char[]){ buffer[i], 0 } : " ", 1);
	read_small("/proc/thread-self/cgroup", cgroup, sizeof(cgroup));
	cgroup[strcspn(cgroup, "\n")] = '\0';
	n = readlink("/proc/thread-self/exe", path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	deleted = strstr(path, " (deleted)");
	if (deleted)
		*deleted = '\0';
	name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	if (!getcwd(cwd, sizeof(cwd)))
		cwd[0] = '\0';
	read_small("/proc/thread-self/loginuid", buffer, sizeof(buffer));
	auid = strtoul(buffer, NULL, 10);
	read_small("/proc/self/stat", buffer, sizeof(buffer));
	field = strrchr(buffer, ')');
	if (field)
		sscanf(field, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
		       "%*u %*u %*d %*d %*d %*d %*d %*d %llu", &start);
	fprintf(truth, ",\"process\":{\"pid\":%d,\"ppid\":%d,\"uid\":%u,"
		"\"euid\":%u,\"auid\":%u", getpid(), getppid(), getuid(),
		geteuid(), auid);
	fprintf(truth, ",\"cap_inheritable\":\"%s\"",
		capability_text(status, "CapInh:\t"));
	fprintf(truth, ",\"cap_permitted\":\"%s\"",
		capability_text(status, "CapPrm:\t"));
	fprintf(truth, ",\"cap_effective\":\"%s\"",
		capability_text(status, "CapEff:\t"));
	fprintf(truth, ",%s,", jkey("filename", name));
	fprintf(truth, "%s,", jkey("binary_path", path));
	fprintf(truth, "%s,", jkey("args", args));
	field = strstr(cgroup, "docker-") ?: strstr(cgroup, "containerd-");
	field = field ? strchr(field, '-') + 1 : "";
	fprintf(truth, "\"container_id\":\"%.64s\",", field);
	if (deleted)
		fprintf(truth, "\"binary_deleted\":true,");
	fprintf(truth, "\"gid\":%u,\"egid\":%u,", getgid(), getegid());
	fprintf(truth, "%s,%s,%s}", jkey("comm", leader_comm()),
		jkey("cgroup", strstr(cgroup, "::") ? strstr(cgroup, "::") + 2 :
		     ""), jkey("cwd", cwd));
	return start;
}

void ring_truth(struct ring *r)
{
	const struct io_uring_params *p = &r->params;
	unsigned long long start = 0;
	char status[4096];
	const char *at;

	read_small("/proc/thread-self/status", status, sizeof(status));
	fprintf(truth, "{\"name\":%s,\"fd_visible\":%s,\"created\":%.3f",
		js(r->name), r->fd_visible ? "true" : "false", r->created);
	if (r->wiped)
		fprintf(truth, ",\"wiped\":true");
	if (r->gone)
		fprintf(truth, ",\"gone\":true");
	if (r->scrubbed)
		fprintf(truth, ",\"scrubbed\":true");
	fprintf(truth, ",\"expect\":{");
	if (!r->no_process)
		fprintf(truth, "\"pid\":%d", r->pid);
	if (!r->no_process)
		fprintf(truth, ",%s", jkey("comm", leader_comm()));
	fprintf(truth, "%s\"sq_entries\":%u,\"cq_entries\":%u,",
		r->no_process ? "" : ",", p->sq_entries, p->cq_entries);
	print_flags("setup_flags", p->flags, "IORING_SETUP_", setup_names,
		    ARRAY_SIZE(setup_names));
	if (!r->busy)
		fprintf(truth, ",\"sq_head\":%u,\"sq_tail\":%u,"
			"\"cq_head\":%u,\"cq_tail\":%u,\"dropped\":%u,"
			"\"overflow\":%u", *r->sq_head, *r->sq_tail,
			*r->cq_head, *r->cq_tail, *r->sq_dropped,
			*r->cq_overflow);
	if (!r->gone)
		fprintf(truth, ",\"creator_uid\":%d", r->creator_uid);
	if (!r->gone && r->creator_pid)
		fprintf(truth, ",\"creator_pid\":%d", r->creator_pid);
	if (r->sq_tid) {
		fprintf(truth, ",\"sq_thread\":{\"pid\":%d,\"tid\":%d",
			r->sq_pid, r->sq_tid);
		for (int i = 0; r->serves[i]; i++)
			fprintf(truth, "%s%d", i ? "," : ",\"serves\":[",
				r->serves[i]);
		fprintf(truth, "%s}", r->serves[0] ? "]" : "");
	}
	fprintf(truth, ",\"owners\":[");
	for (int i = 0; i < r->nr_owners; i++)
		fprintf(truth, "%s{\"pid\":%d,%s,\"fd\":%d}", i ? "," : "",
			r->owners[i].pid, jkey("comm", r->owners[i].comm),
			r->owners[i].fd);
	fprintf(truth, "]");
	at = strstr(status, "Seccomp:\t");
	if (r->seccomp_mode) {
		fprintf(truth, ",\"seccomp\":{\"mode\":%d,\"filters\":%d%s}",
			r->seccomp_mode, r->seccomp_filters,
			r->seccomp_extra ?: "");
	} else if (at && !r->no_process) {
		const char *count = strstr(status, "Seccomp_filters:\t");

		fprintf(truth, ",\"seccomp\":{\"mode\":%d,\"filters\":%d}",
			atoi(at + 9), count ? atoi(count + 17) : 0);
	}
	fputs(r->extra ?: "", truth);
	if (!r->busy) {
		print_list(r, "pending", PENDING);
		print_list(r, "in_flight", IN_FLIGHT);
		print_list(r, "history", HISTORY);
	}
	if (!r->no_process)
		start = print_process();
	fprintf(truth, "},\"start_ticks\":%llu}\n", start);
	fflush(truth);
}
