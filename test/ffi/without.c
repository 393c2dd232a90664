// SPDX-License-Identifier: MIT
/*
 * Runs a command where some system calls fail, as they do on an older kernel:
 *
 *	without NUMBER[+]=ERRNO... -- COMMAND [ARG...]
 *
 * A number with a plus stands for itself and every later one.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter code[64] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0) };
	struct sock_fprog program = { .len = 1, .filter = code };
	int at = 1;

	for (; at < argc && strcmp(argv[at], "--") && program.len < 60; at++) {
		char *end;
		unsigned int number = strtoul(argv[at], &end, 10);
		int compare = *end == '+' ? BPF_JGE : BPF_JEQ;
		unsigned int error = strtoul(strchr(end, '=') + 1, NULL, 10);

		code[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | compare | BPF_K, number, 0, 1);
		code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
	}
	code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("seccomp");
		return 1;
	}
	execvp(argv[at + 1], argv + at + 1);
	perror(argv[at + 1]);
	return 1;
}
