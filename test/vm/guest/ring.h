/*
 * Rings without liburing, and the truth about them.
 *
 * A ring keeps a note of every request it queued. Whether the request is
 * pending, in flight or done follows from the queue's own counters, so the
 * truth is what this process asked for and what the kernel answered.
 */
#ifndef RING_H
#define RING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* What the build machine's header may be too old for. */
#define SETUP_SUBMIT_ALL	(1U << 7)
#define SETUP_COOP_TASKRUN	(1U << 8)
#define SETUP_TASKRUN_FLAG	(1U << 9)
#define SETUP_SQE128		(1U << 10)
#define SETUP_CQE32		(1U << 11)
#define SETUP_SINGLE_ISSUER	(1U << 12)
#define SETUP_DEFER_TASKRUN	(1U << 13)
#define SETUP_NO_MMAP		(1U << 14)
#define SETUP_REGISTERED_FD_ONLY (1U << 15)
#define SETUP_NO_SQARRAY	(1U << 16)

enum {
	OP_NOP = 0, OP_READV = 1, OP_FSYNC = 3, OP_READ_FIXED = 4,
	OP_WRITE_FIXED = 5, OP_POLL_ADD = 6, OP_SENDMSG = 9, OP_RECVMSG = 10,
	OP_TIMEOUT = 11, OP_ACCEPT = 13, OP_LINK_TIMEOUT = 15, OP_CONNECT = 16,
	OP_FALLOCATE = 17, OP_OPENAT = 18, OP_CLOSE = 19, OP_STATX = 21,
	OP_READ = 22, OP_WRITE = 23, OP_FADVISE = 24, OP_SEND = 26,
	OP_RECV = 27, OP_OPENAT2 = 28, OP_SPLICE = 30, OP_SHUTDOWN = 34,
	OP_RENAMEAT = 35, OP_UNLINKAT = 36, OP_MKDIRAT = 37, OP_SYMLINKAT = 38,
	OP_LINKAT = 39, OP_MSG_RING = 40, OP_SETXATTR = 42, OP_GETXATTR = 44,
	OP_SOCKET = 45, OP_URING_CMD = 46, OP_SEND_ZC = 47, OP_SENDMSG_ZC = 48,
	OP_READ_MULTISHOT = 49, OP_WAITID = 50, OP_FUTEX_WAIT = 51,
	OP_FUTEX_WAITV = 53, OP_FIXED_FD_INSTALL = 54, OP_BIND = 56, OP_LISTEN = 57,
};

#define MAX_REQS 160

struct req {
	uint64_t user_data;
	unsigned int opcode;
	unsigned int sqe_flags;
	unsigned int personality;
	int fd;
	unsigned int seq;		/* position in the submission queue */
	bool done;
	int res;
	bool has_cqe;
	bool only_object;		/* its SQE and completion are wiped */
	bool overflowed;		/* its completion waits in the kernel */
	bool unslotted;			/* nothing is left but its completion */
	unsigned int cqe_seq;		/* position in the completion queue */
	char info[1024];		/* members of op_info, as JSON */
	char raw[512];			/* facts that have no agreed key */
};

struct owner {
	int pid;
	char comm[16];
	int fd;
};

struct ring {
	char name[32];
	int fd;
	bool fd_visible;
	int enter_fd;
	unsigned int enter_flags;
	struct io_uring_params params;
	double created;			/* CLOCK_REALTIME */
	int creator_uid;
	int creator_pid;		/* 0 once it is gone */
	unsigned int *sq_head, *sq_tail, *sq_mask, *sq_array, *sq_dropped;
	unsigned int *sq_flags;
	unsigned int *cq_head, *cq_tail, *cq_mask, *cq_overflow;
	char *sqes, *cqes;
	void *map, *sqe_map;
	size_t map_size, sqe_size;
	unsigned int tail;		/* not yet published */
	uint64_t next_user_data;
	int pid;
	bool no_process;		/* the submitter is not this process */
	bool wiped;			/* this process zeroed its queues */
	bool busy;			/* goes on after its truth is printed */
	bool gone;			/* ends after its truth is printed */
	bool scrubbed;			/* its queues contradict the kernel */
	const char *extra;		/* more members, as JSON: ,"key":value */
	const char *seccomp_extra;	/* of its seccomp member, alike */
	int seccomp_mode, seccomp_filters; /* set if not this thread's */
	int sq_pid, sq_tid;		/* of the SQPOLL thread */
	int serves[4];			/* processes it works for; ends with 0 */
	struct owner owners[8];
	int nr_owners;
	struct req reqs[MAX_REQS];
	int nr_reqs;
};

/* Makes and maps a ring; returns false (and says so) where it cannot. */
bool ring_setup(struct ring *r, const char *name, unsigned int entries,
		unsigned int flags);
bool ring_setup_params(struct ring *r, const char *name, unsigned int entries);
/* Maps the rings of r->fd, and takes the mapping away. */
void ring_map(struct ring *r);
void ring_unmap(struct ring *r);
int ring_register(struct ring *r, unsigned int op, const void *arg,
		  unsigned int nr);

/* Takes the next SQE; what it becomes is noted until ring_submit(). */
struct io_uring_sqe *ring_sqe(struct ring *r, unsigned int op, int fd);
struct req *ring_last(struct ring *r);
struct req *ring_find(struct ring *r, uint64_t user_data);
/* Adds members to the last request's op_info or raw facts. */
void ring_info(struct ring *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void ring_raw(struct ring *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Publishes what was queued without submitting it. */
void ring_publish(struct ring *r);
/* Publishes, submits nr and waits for that many completions. */
int ring_submit(struct ring *r, unsigned int nr, unsigned int wait);
int ring_enter(struct ring *r, unsigned int nr, unsigned int wait,
	       unsigned int flags);
/* Waits until nr completions are there that nobody has consumed. */
void ring_wait(struct ring *r, unsigned int nr);
/* Notes completions up to the tail; with consume, moves the head there. */
void ring_look(struct ring *r, bool consume);

/* The last SQE submitted, waited for and consumed; returns its result. */
int ring_one(struct ring *r);

void ring_owner(struct ring *r, int pid, const char *comm, int fd);
/* Prints the ring's line of truth. */
void ring_truth(struct ring *r);

/* One line of truth that is not a ring. */
void truth_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void truth_open(void);
/* JSON string of n bytes; U+FFFD for what is not UTF-8. Rotating buffers. */
const char *jbytes(const char *s, size_t n);
const char *js(const char *s);
/* `"key":"text"`, with `,"key_hex":"…"` where the text is not UTF-8. */
const char *jkey(const char *key, const char *s);
/*
 * Waits until a condition holds, however slow the machine; where it never does,
 * ends the scenario with the reason.
 */
#define wait_until(condition, ...) \
	do { \
		for (int looks = 0; !(condition); looks++) { \
			if (looks == MAX_LOOKS) \
				die(__VA_ARGS__); \
			usleep(10000); \
		} \
	} while (0)
/* A minute at least; between two looks everything else may run. */
#define MAX_LOOKS 6000

/* Prints the reason and ends the scenario. */
void die(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));

int sys_setup(unsigned int entries, struct io_uring_params *p);
int sys_enter(int fd, unsigned int submit, unsigned int wait,
	      unsigned int flags);
int sys_register(int fd, unsigned int op, const void *arg, unsigned int nr);

#endif
