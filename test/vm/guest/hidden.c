/* Rings that are gone, or that nothing leads to but memory itself. */
#define _GNU_SOURCE
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Opens and connects; of both only what the queues say will be left. */
static void use(struct ring *r)
{
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	prep_openat(r, "/etc/gone", O_RDONLY, 0);
	ring_one(r);
	prep_connect_unix(r, sock, "/run/nobody");
	ring_one(r);
	ring_sqe(r, OP_NOP, -1);
	ring_one(r);
	close(sock);
}

static void forget(struct ring *r)
{
	for (int i = 0; i < r->nr_reqs; i++)
		r->reqs[i].unslotted = true;
	r->gone = true;
	r->no_process = true;
	r->fd_visible = false;
	r->nr_owners = 0;
	ring_truth(r);
}

#define RINGS 12

/*
 * Makes, uses and leaves some rings. What the kernel allocates next is likely
 * to lie where the last of them did; large ones stay for longer.
 */
static void leave(const char *name)
{
	static struct ring rings[RINGS];
	char each[32];

	for (int i = 0; i < RINGS; i++) {
		snprintf(each, sizeof(each), "%s-%d", name, i);
		if (!ring_setup(&rings[i], each, i % 2 ? 1024 : 8, 0))
			die("ring %s", each);
		use(&rings[i]);
		forget(&rings[i]);
	}
	for (int i = 0; i < RINGS; i++) {
		ring_unmap(&rings[i]);
		close(rings[i].fd);
	}
	settle();
}

/*
 * The kernel allocates objects for requests by the batch, in memory that an
 * earlier ring's were in: what those were is not this ring's history.
 */
static void reused(void)
{
	static struct ring old, r;

	if (!ring_setup(&old, "reused-old", 32, 0))
		return;
	for (int i = 0; i < 24; i++)
		prep_openat(&old, "/etc/reused", O_RDONLY, 0);
	ring_submit(&old, 24, 24);
	ring_look(&old, true);
	forget(&old);
	ring_unmap(&old);
	close(old.fd);
	settle();
	if (!ring_setup(&r, "reused", 4, 0))
		return;
	ring_sqe(&r, OP_NOP, -1);
	ring_one(&r);
	ring_truth(&r);
}

/* The process lives on, its rings do not. */
static void closed(void)
{
	leave("closed");
}

/* The process has ended with its rings. */
static void exited(void)
{
	leave("exited");
	at_rest();
	_exit(0);
}

/* A descriptor that waits in the queue of a unix socket, and nowhere else. */
static void parked(void)
{
	static struct ring r;
	char control[CMSG_SPACE(sizeof(int))] = "", c = 0;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    !ring_setup(&r, "parked", 4, 0))
		return;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &r.fd, sizeof(int));
	if (sendmsg(pair[0], &msg, 0) != 1) {
		int file = open("/etc/passwd", O_RDONLY);

		skip("a ring parked in a socket", errno);
		ring_unmap(&r);
		close(r.fd);
		settle();
		/* Another file waits in its place. */
		memcpy(CMSG_DATA(cmsg), &file, sizeof(int));
		if (sendmsg(pair[0], &msg, 0) != 1)
			die("a file parked in a socket");
		close(file);
		return;
	}
	r.owners[0].fd = -1;
	r.fd_visible = false;
	ring_truth(&r);
	ring_unmap(&r);
	close(r.fd);
}

const struct scenario hidden_scenarios[] = {
	{ "parked", parked },
	{ "reused", reused },
	{ "closed", closed },
	{ "exited", exited },
	{ NULL, NULL },
};
