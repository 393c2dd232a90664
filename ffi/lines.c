// SPDX-License-Identifier: MIT
/*
 * Splits NDJSON into lines and finds, without reading it all, what need not be read: events of
 * processes that are left out, descriptions of processes that came before, and quiet events, which
 * hold nothing that a rule asks for. What other events say gets a number, by which one that says the
 * same is known. The other lines are put together as one array, as JSON is parsed faster so than line
 * by line.
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
	uint32_t kind; /* enum row_kind */
	/* Of a quiet event. */
	int32_t fd; /* from -1 on; NO_FD where it has none */
	/* The ring's address, 0 where it has none. */
	uint32_t ring_low;
	uint32_t ring_high;
	/* Of an event that is not quiet: the number of what it says, NO_REPEAT where it has none. */
	int32_t repeat;
};

/* What is known of a line. From QUIET on it is not in the array. */
enum row_kind {
	OTHER,
	EVENT, /* of a process that has a number, and with all of it */
	QUIET,
	QUIET_WITH_PATH,
	/* Who gets the row says so: */
	LEFT_OUT,
	REPEATED, /* says what an event before it said */
};
#define NO_REPEAT -1

/* What came of a call. */
struct split {
	uint32_t next; /* where the first line begins that was not looked at */
	uint32_t lines;
	uint32_t skipped;
	uint32_t rows;
	uint32_t generation; /* of the numbers of processes */
	uint32_t texts; /* bytes of the texts of the processes that are new */
	uint32_t repeat_generation; /* of the numbers of what events say */
};

/* What words are. Of the keys of a quiet event each says what its value has to be. */
enum word_kind {
	/* keys */
	KEY_ANY, /* anything */
	KEY_OBJECT, /* an object with such keys */
	KEY_NOTHING, /* 0, false, "" or []; what seccomp is for a process without filter */
	KEY_PATH, /* absolute and plain */
	KEY_TARGET, /* the kind of a file */
	KEY_OPCODE, /* a name that is among the words */
	KEY_OPCODE_NUMBER,
	KEY_FD,
	KEY_RING, /* an address */
	KEY_VARYING, /* anything, and another event may say the same with another value */
	/* values */
	OPCODE_NAME, /* of a request that may be quiet */
	PATH_HEAD, /* first component of a path that may be told of */
	TARGET_KIND, /* of a file that is not */
};

struct word {
	uint8_t kind;
	uint8_t length;
	uint8_t number; /* the opcode of its name; of a head the first of its beginnings */
	uint8_t count; /* of its beginnings; 0 where every path with it is told of */
	char text[28];
	uint8_t opcodes[32]; /* of a head: a bit for each opcode that a path is told of */
};

/* What a path begins with, and has somewhere behind that, which is told of. */
struct beginning {
	uint8_t length;
	uint8_t within_length;
	char text[46];
	char within[16];
	uint8_t opcodes[32];
};

#define MAX_WORDS 255u
#define MAX_BEGINNINGS 255u
#define WORD_SLOTS 1024u
#define NO_OPCODE -1
#define MAX_FD 254
#define MAX_CUTS 8u
#define NO_FD -2
/* The longest path that is compared, in bytes: PATH_MAX. */
#define MAX_PATH 4096

struct slot {
	uint64_t hash;
	uint32_t start; /* in texts */
	uint32_t length; /* 0: free */
	int32_t process;
};

static struct {
	struct word all[MAX_WORDS];
	uint8_t slots[WORD_SLOTS]; /* 1 and the place in `all`, or 0 */
	struct beginning beginnings[MAX_BEGINNINGS];
	bool is_known; /* whether there are any words */
} vocabulary;

static struct {
	struct slot slots[SLOTS];
	uint8_t texts[MAX_TEXTS]; /* in the order of their numbers, a comma behind each */
	uint32_t used;
	uint32_t count;
	/* How often they were all forgotten, and numbers started with 0 again. */
	uint32_t generation;
} known;

/* What events say that are not quiet: all but their varying values. */
static struct {
	struct slot slots[SLOTS];
	uint8_t texts[MAX_TEXTS];
	uint32_t used;
	uint32_t count;
	uint32_t generation;
} said;

static void forget_said(void)
{
	if (said.count)
		memset(said.slots, 0, sizeof(said.slots));
	said.used = 0;
	said.count = 0;
	said.generation++;
}

static void forget_processes(void)
{
	if (known.count)
		memset(known.slots, 0, sizeof(known.slots));
	known.used = 0;
	known.count = 0;
}

/* Makes room for processes where there may be none for the next. */
static void make_room(uint8_t *left_out)
{
	if (said.count == MAX_PROCESSES || said.used > MAX_TEXTS - MAX_TEXT)
		forget_said();
	if (known.count < MAX_PROCESSES && known.used < MAX_TEXTS - MAX_TEXT)
		return;
	forget_processes();
	forget_said();
	memset(left_out, 0, MAX_PROCESSES);
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
	if (length < HASHED || length > MAX_TEXT || length >= MAX_TEXTS - known.used ||
	    known.count == MAX_PROCESSES)
		return text_end;
	memcpy(known.texts + known.used, at, length);
	*slot = (struct slot){ hash, known.used, (uint32_t)length, (int32_t)known.count++ };
	known.used += (uint32_t)length;
	known.texts[known.used++] = ',';
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

static bool is_text(const uint8_t *at, const uint8_t *end, const char *text)
{
	size_t length = strlen(text);

	return (size_t)(end - at) == length && !memcmp(at, text, length);
}

static bool is_key_kind(uint8_t kind)
{
	return kind < OPCODE_NAME;
}

/* Where a word of a kind is looked for first; keys are of one kind here. */
static uint32_t word_slot(uint8_t kind, const uint8_t *text, size_t length)
{
	uint64_t hash = is_key_kind(kind) ? 0 : kind;
	uint64_t first = 0, last = 0;

	if (length >= 8) {
		memcpy(&first, text, 8);
		memcpy(&last, text + length - 8, 8);
	} else if (length >= 4) {
		memcpy(&first, text, 4);
		memcpy(&last, text + length - 4, 4);
	} else if (length) {
		first = text[0];
		last = (uint64_t)text[length / 2] << 8 | text[length - 1];
	}
	hash = (hash ^ first ^ (uint64_t)length << 56) * 0x9e3779b97f4a7c15;
	hash = (hash ^ last) * 0xc2b2ae3d27d4eb4f;
	return (uint32_t)(hash >> 32) % WORD_SLOTS;
}

static const struct word *find_word(uint8_t kind, const uint8_t *text, const uint8_t *end)
{
	size_t length = (size_t)(end - text);

	for (uint32_t slot = word_slot(kind, text, length); vocabulary.slots[slot];
	     slot = (slot + 1) % WORD_SLOTS) {
		const struct word *word = &vocabulary.all[vocabulary.slots[slot] - 1];

		if (word->length == length && !memcmp(word->text, text, length) &&
		    (word->kind == kind || (is_key_kind(word->kind) && is_key_kind(kind))))
			return word;
	}
	return NULL;
}

/* Whether nothing is in a line. */
static bool is_blank(const uint8_t *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\r')
		at++;
	return *at == '\n';
}

/* What is found in a line. */
struct line {
	bool is_event;
	bool has_missing;
	int32_t process;
	const uint8_t *text, *text_end;
	bool is_left_out;
	/* Nothing was found yet that a rule may ask for. */
	bool is_quiet;
	bool has_path;
	/* By its name and by its number. */
	int32_t opcode, opcode_number;
	int32_t fd;
	uint64_t ring;
	/* Opcodes that one of the paths is told of. */
	uint64_t told[4];
	/* Its varying values; one more than fit where there are more. */
	uint32_t cuts;
	struct {
		const uint8_t *start, *end;
	} cut[MAX_CUTS];
};

/*
 * Each of these takes a value and what follows it, and says whether an event may be quiet with it.
 * What comes twice has to be the same.
 */

static bool contains(const uint8_t *at, const uint8_t *end, const char *text, size_t length)
{
	if (!length)
		return true;
	for (; (size_t)(end - at) >= length; at++) {
		at = memchr(at, text[0], (size_t)(end - at) - length + 1);
		if (!at)
			return false;
		if (!memcmp(at, text, length))
			return true;
	}
	return false;
}

/* A path is told of, in requests of these opcodes. */
static void tell(const uint8_t *opcodes, struct line *line)
{
	for (int i = 0; i < 4; i++) {
		uint64_t some;

		memcpy(&some, opcodes + 8 * i, sizeof(some));
		line->told[i] |= some;
	}
}

static bool is_quiet_path(const uint8_t *at, const uint8_t *after, struct line *line)
{
	const uint8_t *start = at + 1, *end = after - 1, *head_end = NULL;
	const struct word *head;

	if (*at != '"' || end - start < 2 || end - start > MAX_PATH || *start != '/' ||
	    end[-1] == '/')
		return false;
	for (at = start; at < end; at++) {
		if (*at == '\\' || (*at == '/' && (at[1] == '/' || at[1] == '.')))
			return false;
		if (*at == '/' && at > start && !head_end)
			head_end = at;
	}
	if (!head_end)
		head_end = end;
	if ((size_t)(head_end - start) > sizeof(head->text))
		head_end = start + sizeof(head->text);
	head = find_word(PATH_HEAD, start, head_end);
	if (head && !head->count)
		tell(head->opcodes, line);
	for (uint32_t i = 0; head && i < head->count; i++) {
		const struct beginning *it = &vocabulary.beginnings[head->number + i];

		if ((size_t)(end - start) >= it->length && !memcmp(start, it->text, it->length) &&
		    contains(start + it->length, end, it->within, it->within_length))
			tell(it->opcodes, line);
	}
	line->has_path = true;
	return true;
}

static bool is_quiet_opcode(int32_t opcode, int32_t *before)
{
	if (opcode < 0 || (*before != NO_OPCODE && *before != opcode))
		return false;
	*before = opcode;
	return true;
}

/* A number from -1 to MAX_FD, or NO_FD. */
static int32_t small_number(const uint8_t *at, const uint8_t *after)
{
	int32_t number = 0;

	if (is_text(at, after, "-1"))
		return -1;
	if (after - at > 3)
		return NO_FD;
	for (; at < after; at++) {
		if (!is_digit(*at))
			return NO_FD;
		number = number * 10 + *at - '0';
	}
	return number <= MAX_FD ? number : NO_FD;
}

static bool is_quiet_fd(const uint8_t *at, const uint8_t *after, struct line *line)
{
	int32_t fd = small_number(at, after);

	if (fd == NO_FD || (line->fd != NO_FD && line->fd != fd))
		return false;
	line->fd = fd;
	return true;
}

static bool is_quiet_ring(const uint8_t *at, const uint8_t *after, struct line *line)
{
	const uint8_t *end = after - 1;
	uint64_t ring = 0;

	/* Without leading zeros, so that there is one text for each. */
	if (after - at < 5 || after - at > 20 || memcmp(at, "\"0x", 3) || at[3] == '0')
		return false;
	for (at += 3; at < end; at++) {
		if (!is_digit(*at) && !(*at >= 'a' && *at <= 'f'))
			return false;
		ring = ring << 4 | (uint64_t)(is_digit(*at) ? *at - '0' : *at - 'a' + 10);
	}
	if (line->ring && line->ring != ring)
		return false;
	line->ring = ring;
	return true;
}

static bool is_quiet_value(uint8_t kind, const uint8_t *at, const uint8_t *after, struct line *line)
{
	const struct word *word;

	switch (kind) {
	case KEY_ANY:
		return true;
	case KEY_OBJECT:
		return is_text(at, after, "{}");
	case KEY_NOTHING:
		return is_text(at, after, "0") || is_text(at, after, "false") ||
		       is_text(at, after, "\"\"") || is_text(at, after, "[]") ||
		       is_text(at, after, "{\"mode\":0,\"filters\":0}");
	case KEY_PATH:
		return is_quiet_path(at, after, line);
	case KEY_TARGET:
		return *at == '"' && !memchr(at, '\\', (size_t)(after - at)) &&
		       !find_word(TARGET_KIND, at + 1, after - 1);
	case KEY_OPCODE:
		word = *at == '"' ? find_word(OPCODE_NAME, at + 1, after - 1) : NULL;
		return word && is_quiet_opcode(word->number, &line->opcode);
	case KEY_OPCODE_NUMBER:
		return is_quiet_opcode(small_number(at, after), &line->opcode_number);
	case KEY_FD:
		return is_quiet_fd(at, after, line);
	case KEY_RING:
		return is_quiet_ring(at, after, line);
	default:
		return false;
	}
}

static const uint8_t *skip_members(const uint8_t *at, const uint8_t *end, int depth,
				   struct line *line);

/* The value of a key of an event, or of an object in one. */
static const uint8_t *skip_member(const uint8_t *key, const uint8_t *key_end, const uint8_t *value,
				  const uint8_t *end, int depth, struct line *line)
{
	const struct word *word = line->is_left_out ? NULL : find_word(KEY_ANY, key, key_end);
	const uint8_t *after;

	if (word && word->kind == KEY_OBJECT && *value == '{' && value[1] != '}' && depth)
		return skip_members(value, end, depth - 1, line);
	after = skip_value(value, end, depth);
	if (!word || !after) {
		line->is_quiet = false;
	} else if (word->kind != KEY_VARYING) {
		line->is_quiet = line->is_quiet && is_quiet_value(word->kind, value, after, line);
	} else if (line->cuts < MAX_CUTS) {
		line->cut[line->cuts].start = value;
		line->cut[line->cuts++].end = after;
	} else {
		line->cuts = MAX_CUTS + 1;
	}
	return after;
}

static const uint8_t *skip_members(const uint8_t *at, const uint8_t *end, int depth,
				   struct line *line)
{
	do {
		const uint8_t *key, *key_end, *value;

		at = skip_blank(at + 1);
		key = at + 1;
		value = skip_key(at, end, &key_end);
		if (!value)
			return NULL;
		at = skip_member(key, key_end, value, end, depth, line);
		if (!at)
			return NULL;
	} while (*at == ',');
	return *at == '}' ? at + 1 : NULL;
}

static enum row_kind kind_of(const struct line *line)
{
	if (!line->is_event || line->has_missing || line->process < 0)
		return OTHER;
	if (!line->is_quiet || line->opcode < 0 ||
	    (line->opcode_number != NO_OPCODE && line->opcode_number != line->opcode) ||
	    (line->told[line->opcode / 64] >> line->opcode % 64 & 1))
		return EVENT;
	return line->has_path ? QUIET_WITH_PATH : QUIET;
}

/* Walks the members of the object at `at`, in a line that `end` points behind. */
static bool walk(const uint8_t *at, const uint8_t *end, const uint8_t *left_out, struct line *line)
{
	bool has_type = false, has_process = false;

	memset(line, 0, offsetof(struct line, cut));
	line->process = NO_PROCESS;
	line->is_quiet = true;
	line->opcode = NO_OPCODE;
	line->opcode_number = NO_OPCODE;
	line->fd = NO_FD;
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
		if (is_text(key, key_end, "process")) {
			if (has_process)
				return false;
			has_process = true;
			line->text = value;
			at = skip_process(value, end, &line->process);
			if (!at)
				return false;
			line->text_end = at;
			line->is_left_out = line->process >= 0 && left_out[line->process];
		} else if (is_text(key, key_end, "type")) {
			at = skip_value(value, end, MAX_DEPTH);
			if (!at || has_type)
				return false;
			has_type = true;
			line->is_event = is_text(value, at, "\"IOUringEvent\"");
		} else {
			if (is_text(key, key_end, "missing"))
				line->has_missing = true;
			at = skip_member(key, key_end, value, end, MAX_DEPTH, line);
			if (!at)
				return false;
		}
	} while (*at == ',');
	if (*at++ != '}')
		return false;
	if (*at == '\r')
		at++;
	return at + 1 == end;
}

static uint64_t hash_bytes(const uint8_t *bytes, size_t length)
{
	uint64_t hash = length;

	for (size_t i = 0; i < length; i += 8) {
		uint64_t word = 0;

		memcpy(&word, bytes + i, length - i < 8 ? length - i : 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 29;
	}
	return hash;
}

/* The number of what an event says, whose line begins at `at`; the same for the same process only. */
static int32_t number_of_said(const uint8_t *at, const uint8_t *end, const struct line *line)
{
	uint8_t text[MAX_TEXT];
	size_t length = sizeof(line->process);
	bool is_process_next = true;
	uint32_t cut = 0;
	uint64_t hash;

	if (line->cuts > MAX_CUTS || said.count == MAX_PROCESSES)
		return NO_REPEAT;
	memcpy(text, &line->process, length);
	/* What is cut out comes in the order of the line. */
	while (at < end) {
		const uint8_t *next = end, *after = end;

		if (is_process_next) {
			next = line->text;
			after = line->text_end;
		}
		if (cut < line->cuts && line->cut[cut].start < next) {
			next = line->cut[cut].start;
			after = line->cut[cut++].end;
		} else {
			is_process_next = false;
		}
		if ((size_t)(next - at) > sizeof(text) - length)
			return NO_REPEAT;
		memcpy(text + length, at, (size_t)(next - at));
		length += (size_t)(next - at);
		at = after;
	}
	if (length > MAX_TEXTS - said.used)
		return NO_REPEAT;
	hash = hash_bytes(text, length);
	for (uint32_t probe = 0; probe < MAX_PROBES; probe++) {
		struct slot *slot = &said.slots[((hash >> 32) + probe) % SLOTS];

		if (!slot->length) {
			memcpy(said.texts + said.used, text, length);
			*slot = (struct slot){ hash, said.used, (uint32_t)length, (int32_t)said.count };
			said.used += (uint32_t)length;
			return (int32_t)said.count++;
		}
		if (slot->hash == hash && slot->length == length &&
		    !memcmp(said.texts + slot->start, text, length))
			return slot->process;
	}
	return NO_REPEAT;
}

static uint8_t *append(uint8_t *out, const uint8_t *start, const uint8_t *end)
{
	memcpy(out, start, (size_t)(end - start));
	return out + (end - start);
}

/*
 * Begins a stream, with the words by which quiet events are known, and the beginnings that heads of
 * paths refer to. Without any there are no such events.
 *
 * Returns 0, or -EINVAL.
 */
int32_t iouring_lines_begin(const struct word *all, uint32_t count,
			    const struct beginning *beginnings, uint32_t beginnings_count)
{
	if (count > MAX_WORDS || beginnings_count > MAX_BEGINNINGS)
		return -EINVAL;
	forget_processes();
	known.generation = 0;
	forget_said();
	said.generation = 0;
	memset(&vocabulary, 0, sizeof(vocabulary));
	vocabulary.is_known = count > 0;
	for (uint32_t i = 0; i < beginnings_count; i++) {
		const struct beginning *it = &beginnings[i];

		if (it->length > sizeof(it->text) || it->within_length > sizeof(it->within))
			return -EINVAL;
		vocabulary.beginnings[i] = *it;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct word *word = &all[i];
		uint32_t slot;

		if (word->length > sizeof(word->text) ||
		    (word->kind == PATH_HEAD && word->number + word->count > beginnings_count))
			return -EINVAL;
		vocabulary.all[i] = *word;
		slot = word_slot(word->kind, (const uint8_t *)word->text, word->length);
		while (vocabulary.slots[slot])
			slot = (slot + 1) % WORD_SLOTS;
		vocabulary.slots[slot] = (uint8_t)(i + 1);
	}
	return 0;
}

/*
 * Splits `bytes` from `at` on, until there is no more room for what is found.
 *
 * bytes:    `length` of them: whole lines, each with its newline.
 * left_out: by the number of a process, whether events of it are left out; MAX_PROCESSES of them.
 *           All are cleared when another generation begins.
 * rows:     `max_rows` of them.
 * max_json: the room that iouring_lines_join() will have for them; at least 1 MiB and 2.
 * names:    whether what quiet events say that name a path is given a number, too.
 * Returns 0, or -EINVAL.
 */
int32_t iouring_lines_split(const uint8_t *bytes, uint32_t length, uint32_t at, uint8_t *left_out,
			    struct row *rows, uint32_t max_rows, uint32_t max_json, bool names,
			    struct split *split)
{
	const uint8_t *const all_end = bytes + length;
	uint32_t used;
	size_t json = 0;

	*split = (struct split){ .next = at };
	if (at >= length || all_end[-1] != '\n' || max_json < MAX_LINE + 2)
		return -EINVAL;
	make_room(left_out);
	split->generation = known.generation;
	split->repeat_generation = said.generation;
	used = known.used;
	while (split->next < length && split->rows < max_rows) {
		const uint8_t *start = bytes + split->next;
		const uint8_t *end = (const uint8_t *)memchr(start, '\n', (size_t)(all_end - start)) + 1;
		size_t size = (size_t)(end - start);
		struct line line;
		enum row_kind kind;
		struct row *row;
		bool is_taken;

		/* An array is a byte longer than its items and their commas. */
		if (json + size + 2 > max_json && json)
			break;
		split->next += (uint32_t)size;
		if (is_blank(start)) {
			split->lines++;
			continue;
		}
		is_taken = size <= MAX_LINE && walk(start, end, left_out, &line);
		kind = is_taken ? kind_of(&line) : OTHER;
		if (kind != OTHER && left_out[line.process]) {
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
			.repeat = NO_REPEAT,
		};
		if (!is_taken)
			continue;
		json += size;
		row->process = line.process;
		if (line.process == NO_PROCESS)
			continue;
		row->text_start = (uint32_t)(line.text - bytes);
		row->text_end = (uint32_t)(line.text_end - bytes);
		row->kind = kind;
		row->fd = line.fd;
		row->ring_low = (uint32_t)line.ring;
		row->ring_high = (uint32_t)(line.ring >> 32);
		if (vocabulary.is_known && (kind == EVENT || (names && kind == QUIET_WITH_PATH)))
			row->repeat = number_of_said(start, end, &line);
	}
	split->texts = known.used - used;
	return 0;
}

/*
 * Makes an array of the last `texts` bytes of the processes, those that the last split told of.
 *
 * json: room for as much as was told there.
 * Returns the bytes of the array.
 */
uint32_t iouring_lines_processes(uint32_t texts, uint8_t *json)
{
	uint8_t *out = json;

	if (!texts || texts > known.used)
		return 0;
	*out++ = '[';
	out = append(out, known.texts + known.used - texts, known.texts + known.used - 1);
	*out++ = ']';
	return (uint32_t)(out - json);
}

/*
 * Puts the objects of some rows together as an array.
 *
 * bytes: what was split.
 * rows:  `count` of them, as iouring_lines_split() gave them, but for their kinds.
 * json:  room for as much as was told there.
 * Returns the bytes of the array: 0 where it would be empty.
 */
uint32_t iouring_lines_join(const uint8_t *bytes, const struct row *rows, uint32_t count,
			    uint8_t *json)
{
	uint8_t *out = json;

	for (const struct row *row = rows; row < rows + count; row++) {
		const uint8_t *end = bytes + row->end - 1;

		if (row->kind >= QUIET || row->process == NOT_TAKEN)
			continue;
		*out = out == json ? '[' : ',';
		out++;
		if (row->process == NO_PROCESS) {
			out = append(out, bytes + row->start, end);
			continue;
		}
		out = append(out, bytes + row->start, bytes + row->text_start);
		*out++ = '0';
		out = append(out, bytes + row->text_end, end);
	}
	if (out != json)
		*out++ = ']';
	return (uint32_t)(out - json);
}
