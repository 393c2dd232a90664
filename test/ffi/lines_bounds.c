// SPDX-License-Identifier: MIT
/*
 * Splits the file that is named, a few lines at a time, in buffers that are just as large as they must be.
 * Compiled with the address sanitizer it ends where lines.c reads or writes outside of them.
 */
#include "../../ffi/lines.c"

#include <stdio.h>
#include <stdlib.h>

#define LINES 3
#define ROWS 2
#define MAX_JSON (MAX_LINE + 2)

static uint8_t left_out[MAX_PROCESSES];

static const struct word all[] = {
	{ KEY_OBJECT, 7, 0, 0, "op_info", { 0 } },
	{ KEY_OBJECT, 6, 0, 0, "target", { 0 } },
	{ KEY_OBJECT, 8, 0, 0, "io_uring", { 0 } },
	{ KEY_VARYING, 9, 0, 0, "timestamp", { 0 } },
	{ KEY_ANY, 3, 0, 0, "len", { 0 } },
	{ KEY_ANY, 1, 0, 0, "x", { 0 } },
	{ KEY_NOTHING, 9, 0, 0, "sqe_flags", { 0 } },
	{ KEY_PATH, 4, 0, 0, "path", { 0 } },
	{ KEY_TARGET, 4, 0, 0, "kind", { 0 } },
	{ KEY_OPCODE, 6, 0, 0, "opcode", { 0 } },
	{ KEY_OPCODE_NUMBER, 13, 0, 0, "opcode_number", { 0 } },
	{ KEY_FD, 2, 0, 0, "fd", { 0 } },
	{ KEY_RING, 3, 0, 0, "ctx", { 0 } },
	{ OPCODE_NAME, 1, 255, 0, "N", { 0 } },
	{ OPCODE_NAME, 14, 22, 0, "IORING_OP_READ", { 0 } },
	{ PATH_HEAD, 2, 0, 0, "/b", { 255, 255, 255, 255 } },
	{ PATH_HEAD, 2, 0, 2, "/a", { 0 } },
	{ TARGET_KIND, 6, 0, 0, "socket", { 0 } },
};

static const struct beginning beginnings[] = {
	{ 2, 0, "/a", "", { 1 } },
	{ 3, 3, "/a/", "b/c", { 255, 255, 255, 255 } },
};

/* Splits `length` bytes, and leaves out every other process from then on. */
static void split_all(const uint8_t *bytes, uint32_t length)
{
	struct row *rows = malloc(ROWS * sizeof(*rows));
	struct split split;

	for (uint32_t at = 0; at < length; at = split.next) {
		uint8_t *json = malloc(MAX_JSON);

		if (iouring_lines_split(bytes, length, at, left_out, rows, ROWS, MAX_JSON, true,
					&split))
			abort();
		iouring_lines_processes(split.texts, json);
		for (uint32_t i = 0; i < split.rows; i++) {
			if (rows[i].process >= 0 && rows[i].process % 2)
				left_out[rows[i].process] = 1;
			if (rows[i].line % 2)
				rows[i].kind = EVENT;
		}
		iouring_lines_join(bytes, rows, split.rows, json);
		free(json);
	}
	free(rows);
}

int main(int argc, char **argv)
{
	FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
	char *line = NULL, *lines = NULL;
	size_t room = 0, length = 0;
	ssize_t read;

	if (!file || iouring_lines_begin(all, sizeof(all) / sizeof(all[0]), beginnings, 2))
		return 2;
	for (int count = 1; (read = getline(&line, &room, file)) > 0; count++) {
		lines = realloc(lines, length + (size_t)read);
		memcpy(lines + length, line, (size_t)read);
		length += (size_t)read;
		if (count % LINES)
			continue;
		split_all((uint8_t *)lines, (uint32_t)length);
		free(lines);
		lines = NULL;
		length = 0;
	}
	fclose(file);
	free(lines);
	free(line);
	return 0;
}
