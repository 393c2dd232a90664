// SPDX-License-Identifier: MIT
/*
 * Gives up root and capabilities, in every thread of the process.
 *
 * User and group ids are per thread for the kernel; glibc's setresuid and its siblings change
 * them in all threads, and a thread that goes from user 0 to another loses its capabilities.
 * capset has no such help: each thread has to call it, so a signal makes it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Threads answer at once; half a minute is for a machine that is busy. */
#define MAX_ROUNDS 30000
#define ROUND_US 1000

static int clear_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = {};

	/* What is neither permitted nor inheritable cannot be ambient either. */
	return (int)syscall(SYS_capset, &header, none);
}

static void on_signal(int sig)
{
	int saved_errno = errno;

	(void)sig;
	clear_capabilities();
	errno = saved_errno;
}

/* Whether a thread has any capability; false for one that has ended. */
static bool has_capabilities(pid_t tid)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
		.pid = tid,
	};
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capget, &header, data))
		return errno != ESRCH;
	for (int i = 0; i < 2; i++) {
		if (data[i].effective || data[i].permitted || data[i].inheritable)
			return true;
	}
	return false;
}

/* 1 when this thread is root or has a capability, else 0. */
int32_t iouring_is_privileged(void)
{
	uid_t real, effective, saved;

	if (getresuid(&real, &effective, &saved))
		return 1;
	return !real || !effective || !saved || has_capabilities(0);
}

/* Makes every thread clear its capabilities. A new thread has those of the one that made it. */
static int clear_in_all_threads(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction previous;
	const int sig = SIGRTMAX;
	int left = 1;

	sigemptyset(&action.sa_mask);
	if (sigaction(sig, &action, &previous))
		return -errno;
	for (int round = 0; left && round < MAX_ROUNDS; round++) {
		DIR *threads = opendir("/proc/self/task");
		struct dirent *thread;

		if (!threads) {
			left = -errno;
			break;
		}
		left = 0;
		while ((thread = readdir(threads))) {
			pid_t tid = (pid_t)strtol(thread->d_name, NULL, 10);

			if (tid <= 0 || !has_capabilities(tid))
				continue;
			syscall(SYS_tgkill, getpid(), tid, sig);
			left++;
		}
		closedir(threads);
		if (left)
			usleep(ROUND_US);
	}
	sigaction(sig, &previous, NULL);
	return left > 0 ? -ETIMEDOUT : left;
}

/*
 * Becomes user and group `id`, where this process is root, in no other group, and without a
 * capability. 0, or a negative errno: then some of it may still be there.
 */
int32_t iouring_drop_privileges(uint32_t id)
{
	uid_t real, effective, saved;

	if (getresuid(&real, &effective, &saved))
		return -errno;
	if (!real || !effective || !saved) {
		if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
			return -errno;
	}
	return clear_in_all_threads();
}
