// SPDX-License-Identifier: MIT
/*
 * SIGINT, SIGTERM and SIGHUP ask the program to end, and leave it the time to do so in order.
 *
 * A write that waits for a reader returns at once when a signal comes, with EINTR. It would wait
 * again, so from then on an alarm interrupts it every second: the one who writes sees that nothing
 * moves, and gives it up. Once would not do, since the signal can come just before the wait.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define TICK_SECONDS 1

static volatile sig_atomic_t stop_signal, ending;
/* Of the runtime, where it listens too. */
static struct sigaction before[NSIG];

static void on_alarm(int number)
{
	(void)number;
	ending = true;
	alarm(TICK_SECONDS);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	const struct sigaction *previous = &before[number];

	if (stop_signal)
		_exit(128 + number);
	stop_signal = number;
	on_alarm(number);
	if (previous->sa_flags & SA_SIGINFO)
		previous->sa_sigaction(number, info, context);
	else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN)
		previous->sa_handler(number);
}

/*
 * From here on the first of these signals only asks; the second ends the program. SIGHUP is left
 * alone without takes_hangup.
 */
void iouring_signals_take(int32_t takes_hangup)
{
	/* No SA_RESTART: a write that waits returns. */
	struct sigaction stop = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	struct sigaction tick = { .sa_handler = on_alarm };

	sigaction(SIGINT, &stop, &before[SIGINT]);
	sigaction(SIGTERM, &stop, &before[SIGTERM]);
	if (takes_hangup)
		sigaction(SIGHUP, &stop, &before[SIGHUP]);
	sigaction(SIGALRM, &tick, NULL);
}

/* The signal that asked us to stop, or 0. */
int32_t iouring_signals_stop(void)
{
	return stop_signal;
}

/* Whether the program is to end: it was asked to, or its time is over. */
int32_t iouring_signals_ending(void)
{
	return ending;
}

/* Its time is over in so many seconds. */
void iouring_signals_end_in(uint32_t seconds)
{
	if (!ending)
		alarm(seconds);
}

/* write(2); bytes written, or a negative errno. */
int64_t iouring_signals_write(int32_t fd, const uint8_t *bytes, uint64_t length)
{
	ssize_t written = write(fd, bytes, length);

	return written < 0 ? -errno : written;
}
