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

/* Splits `length` bytes, and leaves out every other process from then on. */
static void split_all(const uint8_t *bytes, uint32_t length, uint8_t *json)
{
	struct row *rows = malloc(ROWS * sizeof(*rows));
	struct split split;

	for (uint32_t at = 0; at < length; at = split.next) {
		if (iouring_lines_split(bytes, length, at, left_out, rows, ROWS, json, MAX_JSON,
					&split))
			abort();
		for (uint32_t i = 0; i < split.rows; i++) {
			if (rows[i].process >= 0 && rows[i].process % 2)
				left_out[rows[i].process] = 1;
		}
	}
	free(rows);
}

int main(int argc, char **argv)
{
	FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
	uint8_t *json = malloc(MAX_JSON);
	char *line = NULL, *lines = NULL;
	size_t room = 0, length = 0;
	ssize_t read;

	if (!file)
		return 2;
	for (int count = 1; (read = getline(&line, &room, file)) > 0; count++) {
		lines = realloc(lines, length + (size_t)read);
		memcpy(lines + length, line, (size_t)read);
		length += (size_t)read;
		if (count % LINES)
			continue;
		split_all((uint8_t *)lines, (uint32_t)length, json);
		free(lines);
		lines = NULL;
		length = 0;
	}
	fclose(file);
	free(lines);
	free(line);
	free(json);
	return 0;
}
