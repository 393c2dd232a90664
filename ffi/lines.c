// SPDX-License-Identifier: MIT
/*
 * Splits NDJSON into lines and finds, without reading it all, what need not be read: events of
 * processes that are left out, and descriptions of processes that came before. The other lines are
 * put together as one array, as JSON is parsed faster so than line by line.
 *
 * It knows a part of JSON: ASCII, keys without escapes, integers, at most one blank where some
 * programs put one. What it takes is JSON; what it does not take may be, and is handed over as it
 * is. Input comes from anyone: every line ends with a newline, which ends every scan, and nothing
 * is read or written outside of the buffers that are given.
 *
 * One stream per process.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* How many objects and lists may lie in one another. */
#define MAX_DEPTH 8
/* The longest line that is looked at, in bytes. */
#define MAX_LINE (1u << 20)
/* Processes that are known at a time, and the bytes of all their texts. */
#define MAX_PROCESSES (1u << 14)
#define MAX_TEXTS (4u << 20)
#define MAX_TEXT 4096u
/* How much of a text is hashed; one that is shorter is never found. */
#define HASHED 128u
/* Twice as many as processes, and how many are looked at for one. */
#define SLOTS (2 * MAX_PROCESSES)
#define MAX_PROBES 8u

/* What stands for a process in a row. */
#define NO_PROCESS -1 /* the line is in the array, whole */
#define NOT_TAKEN -2  /* the line is not in the array */

/* A line that has to be read. Offsets are those of the input. */
struct row {
	uint32_t start;
	uint32_t end; /* behind its newline */
	uint32_t line; /* its number in the input, from 0 */
	int32_t process;
	/* Where the text of the process is, in place of which the array has a 0. */
	uint32_t text_start;
	uint32_t text_end;
};

/* What came of a call. */
struct split {
	uint32_t next; /* where the first line begins that was not looked at */
	uint32_t lines;
	uint32_t skipped;
	uint32_t rows;
	uint32_t json; /* bytes of the array */
	uint32_t generation; /* of the numbers of processes */
};

struct slot {
	uint64_t hash;
	uint32_t start; /* in texts */
	uint32_t length; /* 0: free */
	int32_t process;
};

static struct {
	struct slot slots[SLOTS];
	uint8_t texts[MAX_TEXTS];
	uint32_t used;
	uint32_t count;
	/* How often they were all forgotten, and numbers started with 0 again. */
	uint32_t generation;
} known;

/* Makes room for processes where there may be none for the next. */
static void make_room(uint8_t *left_out)
{
	if (known.count < MAX_PROCESSES && known.used <= MAX_TEXTS - MAX_TEXT)
		return;
	memset(known.slots, 0, sizeof(known.slots));
	memset(left_out, 0, MAX_PROCESSES);
	known.used = 0;
	known.count = 0;
	known.generation++;
}

/* Printable ASCII but `"` and `\`. */
static bool is_ordinary(uint8_t byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

/* The first byte from `at` on that is not ordinary; a newline is not. */
static const uint8_t *ordinary_end(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
	const __m128i below = _mm_set1_epi8(0x1f), quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\'), delete = _mm_set1_epi8(0x7f);

	for (; end - at >= 16; at += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)at);
		/* Signed, so that what is not ASCII is below, too. */
		__m128i ordinary = _mm_cmpgt_epi8(bytes, below);
		__m128i other = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote),
					     _mm_or_si128(_mm_cmpeq_epi8(bytes, backslash),
							  _mm_cmpeq_epi8(bytes, delete)));
		unsigned int mask = (unsigned int)_mm_movemask_epi8(_mm_andnot_si128(other, ordinary));

		if (mask != 0xffff)
			return at + __builtin_ctz(~mask);
	}
#endif
	while (at < end && is_ordinary(*at))
		at++;
	return at;
}

static bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_hex(uint8_t byte)
{
	return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/*
 * Each of these gets where something begins, before the newline that `end` points behind, and
 * gives what follows it, or NULL where it is nothing known.
 */

static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end)
{
	for (at++;;) {
		at = ordinary_end(at, end);
		if (*at == '"')
			return at + 1;
		if (*at != '\\')
			return NULL;
		at++;
		if (*at == 'u') {
			at++;
			for (int digit = 0; digit < 4; digit++) {
				if (!is_hex(*at))
					return NULL;
				at++;
			}
		} else {
			if (!*at || !strchr("\"\\/bfnrt", *at))
				return NULL;
			at++;
		}
	}
}

/* Of a number with a fraction, what comes before it: neither a member nor an item ends there. */
static const uint8_t *skip_integer(const uint8_t *at)
{
	if (*at == '-')
		at++;
	if (*at == '0')
		return at + 1;
	if (!is_digit(*at))
		return NULL;
	while (is_digit(*at))
		at++;
	return at;
}

static const uint8_t *skip_literal(const uint8_t *at, const uint8_t *end)
{
	static const char *const literals[] = { "true", "false", "null" };

	for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
		size_t length = strlen(literals[i]);

		if ((size_t)(end - at) > length && !memcmp(at, literals[i], length))
			return at + length;
	}
	return NULL;
}

static const uint8_t *skip_blank(const uint8_t *at)
{
	return *at == ' ' ? at + 1 : at;
}

/* A key and its colon; where its text ends goes to `key_end`. */
static const uint8_t *skip_key(const uint8_t *at, const uint8_t *end, const uint8_t **key_end)
{
	if (*at != '"')
		return NULL;
	at = ordinary_end(at + 1, end);
	*key_end = at;
	if (*at != '"' || at[1] != ':')
		return NULL;
	return skip_blank(at + 2);
}

static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end, int depth)
{
	const uint8_t *key_end;
	uint8_t first = *at;
	uint8_t last = first == '{' ? '}' : ']';

	if (first == '"')
		return skip_string(at, end);
	if (is_digit(first) || first == '-')
		return skip_integer(at);
	if (first != '{' && first != '[')
		return skip_literal(at, end);
	if (!depth)
		return NULL;
	if (at[1] == last)
		return at + 2;
	do {
		at = skip_blank(at + 1);
		if (first == '{') {
			at = skip_key(at, end, &key_end);
			if (!at)
				return NULL;
		}
		at = skip_value(at, end, depth - 1);
		if (!at)
			return NULL;
	} while (*at == ',');
	return *at == last ? at + 1 : NULL;
}

static uint64_t hash_of(const uint8_t *text)
{
	uint64_t hash = 0;

	for (uint32_t i = 0; i < HASHED; i += 16) {
		uint64_t words[2];

		memcpy(words, text + i, sizeof(words));
		hash = (hash ^ words[0]) * 0x9e3779b97f4a7c15 ^ words[1] * 0xc2b2ae3d27d4eb4f;
		hash ^= hash >> 29;
	}
	return hash;
}

/* Remembers a process that was not seen before in `slot`, if there is one. */
static const uint8_t *learn(const uint8_t *at, const uint8_t *end, uint64_t hash, struct slot *slot)
{
	const uint8_t *text_end = skip_value(at, end, 1);
	size_t length;

	if (!text_end || !slot)
		return text_end;
	length = (size_t)(text_end - at);
	if (length < HASHED || length > MAX_TEXT || length > MAX_TEXTS - known.used ||
	    known.count == MAX_PROCESSES)
		return text_end;
	memcpy(known.texts + known.used, at, length);
	*slot = (struct slot){ hash, known.used, (uint32_t)length, (int32_t)known.count++ };
	known.used += (uint32_t)length;
	return text_end;
}

/* A process, an object without others in it; its number or NO_PROCESS goes to `process`. */
static const uint8_t *skip_process(const uint8_t *at, const uint8_t *end, int32_t *process)
{
	struct slot *slot = NULL;
	const uint8_t *text_end;
	uint64_t hash = 0;

	*process = NO_PROCESS;
	if (*at != '{')
		return NULL;
	if ((size_t)(end - at) > HASHED) {
		hash = hash_of(at);
		for (uint32_t probe = 0; probe < MAX_PROBES; probe++) {
			slot = &known.slots[((hash >> 32) + probe) % SLOTS];
			if (!slot->length)
				break;
			if (slot->hash == hash && slot->length < (size_t)(end - at) &&
			    !memcmp(at, known.texts + slot->start, slot->length)) {
				*process = slot->process;
				return at + slot->length;
			}
			slot = NULL;
		}
	}
	text_end = learn(at, end, hash, slot);
	if (text_end && slot && slot->length)
		*process = slot->process;
	return text_end;
}

/* Whether nothing is in a line. */
static bool is_blank(const uint8_t *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\r')
		at++;
	return *at == '\n';
}

static bool is_key(const uint8_t *key, const uint8_t *key_end, const char *name)
{
	size_t length = strlen(name);

	return (size_t)(key_end - key) == length && !memcmp(key, name, length);
}

/* What is found in a line. */
struct line {
	const uint8_t *end; /* behind its last brace */
	bool is_event;
	bool has_missing;
	int32_t process;
	const uint8_t *text, *text_end;
};

/* Walks the members of the object at `at`, in a line that `end` points behind. */
static bool walk(const uint8_t *at, const uint8_t *end, struct line *line)
{
	static const char event[] = "\"IOUringEvent\"";
	bool has_type = false, has_process = false;

	*line = (struct line){ .process = NO_PROCESS };
	if (*at != '{')
		return false;
	do {
		const uint8_t *key, *key_end, *value;

		at = skip_blank(at + 1);
		key = at + 1;
		value = skip_key(at, end, &key_end);
		if (!value)
			return false;
		/* Of a key that comes twice the last counts. */
		if (is_key(key, key_end, "process")) {
			if (has_process)
				return false;
			has_process = true;
			line->text = value;
			at = skip_process(value, end, &line->process);
			if (!at)
				return false;
			line->text_end = at;
			continue;
		}
		at = skip_value(value, end, MAX_DEPTH);
		if (!at)
			return false;
		if (is_key(key, key_end, "type")) {
			if (has_type)
				return false;
			has_type = true;
			line->is_event = is_key(value, at, event);
		} else if (is_key(key, key_end, "missing")) {
			line->has_missing = true;
		}
	} while (*at == ',');
	if (*at++ != '}')
		return false;
	line->end = at;
	if (*at == '\r')
		at++;
	return at + 1 == end;
}

static uint8_t *append(uint8_t *out, const uint8_t *start, const uint8_t *end)
{
	memcpy(out, start, (size_t)(end - start));
	return out + (end - start);
}

/*
 * Splits `bytes` from `at` on, until there is no more room for what is found.
 *
 * bytes:    `length` of them: whole lines, each with its newline.
 * left_out: by the number of a process, whether events of it are left out; MAX_PROCESSES of them.
 *           All are cleared when another generation begins.
 * rows:     `max_rows` of them.
 * json:     the array, of at most `max_json` bytes; at least 1 MiB and 2.
 * Returns 0, or -EINVAL.
 */
int32_t iouring_lines_split(const uint8_t *bytes, uint32_t length, uint32_t at, uint8_t *left_out,
			    struct row *rows, uint32_t max_rows, uint8_t *json, uint32_t max_json,
			    struct split *split)
{
	const uint8_t *const all_end = bytes + length;
	uint8_t *out = json;

	*split = (struct split){ .next = at };
	if (at >= length || all_end[-1] != '\n' || max_json < MAX_LINE + 2)
		return -EINVAL;
	make_room(left_out);
	split->generation = known.generation;
	while (split->next < length && split->rows < max_rows) {
		const uint8_t *start = bytes + split->next;
		const uint8_t *end = (const uint8_t *)memchr(start, '\n', (size_t)(all_end - start)) + 1;
		size_t size = (size_t)(end - start);
		struct line line;
		struct row *row;
		bool is_taken;

		/* An array is a byte longer than its items and their commas. */
		if ((size_t)(out - json) + size + 2 > max_json && out != json)
			break;
		split->next += (uint32_t)size;
		if (is_blank(start)) {
			split->lines++;
			continue;
		}
		is_taken = size <= MAX_LINE && walk(start, end, &line);
		if (is_taken && line.is_event && !line.has_missing && line.process >= 0 &&
		    left_out[line.process]) {
			split->skipped++;
			split->lines++;
			continue;
		}
		row = &rows[split->rows++];
		*row = (struct row){
			.start = (uint32_t)(start - bytes),
			.end = split->next,
			.line = split->lines++,
			.process = NOT_TAKEN,
		};
		if (!is_taken)
			continue;
		*out = out == json ? '[' : ',';
		out++;
		row->process = line.process;
		if (line.process == NO_PROCESS) {
			out = append(out, start, line.end);
			continue;
		}
		row->text_start = (uint32_t)(line.text - bytes);
		row->text_end = (uint32_t)(line.text_end - bytes);
		out = append(out, start, line.text);
		*out++ = '0';
		out = append(out, line.text_end, line.end);
	}
	if (out != json)
		*out++ = ']';
	split->json = (uint32_t)(out - json);
	return 0;
}
