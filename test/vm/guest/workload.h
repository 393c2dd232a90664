/* What the scenarios share. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "ring.h"

#include <netinet/in.h>
#include <sys/un.h>

/* A scenario runs in a process of its own that has its name. */
struct scenario {
	const char *name;
	void (*run)(void);
};

extern const struct scenario request_scenarios[];
extern const struct scenario ring_scenarios[];
extern const struct scenario process_scenarios[];
extern const struct scenario verdict_scenarios[];
/* What is hidden; last, so that nothing uses freed memory again. */
extern const struct scenario hidden_scenarios[];
extern const struct scenario busy_scenarios[];

/* Tells the parent that the truth is out, and sleeps for good. */
void rest(void) __attribute__((noreturn));
/* The same in two steps, for a process whose last act is another. */
void at_rest(void);
/* Sleeps for good without a word. */
void sleep_on(void) __attribute__((noreturn));
/* A child that has this name and does nothing. */
int sleeper(const char *name);
/* Starts a thread; it ends with rest_thread(). */
void start_thread(void *(*run)(void *), void *arg);
/* Of a thread that has done what it was started for: sleeps for good. */
void rest_thread(void) __attribute__((noreturn));
/* Waits until so many threads are at rest. */
void await_threads(int nr);
/* Waits until the kernel has put a task to sleep, not only marked it so. */
void await_sleep(int tid);
/* Waits for a worker of this process's rings that sleeps amid its request. */
void await_worker(void);
/* Gives the kernel time to free what was closed. */
void settle(void);
/* Says that the kernel lacks what a scenario needs. */
void skip(const char *what, int error);
bool op_supported(unsigned int op);

/* Fill the next SQE and note what it means. */
struct io_uring_sqe *prep_openat(struct ring *r, const char *path, int flags,
				 int mode);
struct io_uring_sqe *prep_path(struct ring *r, int op, const char *path);
void prep_connect4(struct ring *r, int fd, const char *addr, int port);
void prep_connect_unix(struct ring *r, int fd, const char *path);
struct io_uring_sqe *prep_io(struct ring *r, int op, int fd,
			     const void *buffer, unsigned int len,
			     uint64_t off);
/* Notes what the request's fd is. */
void target_file(struct ring *r, const char *path);
void target_socket(struct ring *r, int fd);

struct sockaddr_in *ipv4(const char *addr, int port);
int connected_tcp(int port);
/* A process that accepts, answers what it receives and never ends. */
void echo_server(int port);
void *pages(size_t size);
/* The flags of a page: 1 present, 2 swapped, 0 neither. */
int page_state(const void *address);

#endif
