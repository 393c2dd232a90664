/* Processes that never rest: material for images taken while all moves. */
#define _GNU_SOURCE
#include "workload.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Says what stays true of the ring, then goes on. */
static void announce(struct ring *r)
{
	r->busy = true;
	ring_truth(r);
	at_rest();
	if (nice(19) < 0)
		die("nice");
}

static void turn(struct ring *r, int op)
{
	r->nr_reqs = 0;
	if (op == OP_OPENAT)
		prep_openat(r, "/nonexistent", O_RDONLY, 0);
	else
		ring_sqe(r, op, -1);
	ring_one(r);
}

static void busy_nops(void)
{
	static struct ring r;

	if (!ring_setup(&r, "busy_nops", 64, 0))
		return;
	announce(&r);
	for (;;)
		turn(&r, OP_NOP);
}

static void busy_opens(void)
{
	static struct ring r;

	if (!ring_setup(&r, "busy_opens", 8, 0))
		return;
	announce(&r);
	for (;;)
		turn(&r, OP_OPENAT);
}

/* Rings and processes that come and go. */
static void busy_births(void)
{
	static struct ring r, brief;

	if (!ring_setup(&r, "busy_births", 4, 0))
		return;
	announce(&r);
	for (;;) {
		if (fork() == 0) {
			prctl(PR_SET_NAME, "brief");
			memset(&brief, 0, sizeof(brief));
			brief.params.flags = 0;
			if (ring_setup_params(&brief, "brief", 16))
				turn(&brief, OP_OPENAT);
			_exit(0);
		}
		wait(NULL);
	}
}

const struct scenario busy_scenarios[] = {
	{ "busy_nops", busy_nops },
	{ "busy_opens", busy_opens },
	{ "busy_births", busy_births },
	{ NULL, NULL },
};
