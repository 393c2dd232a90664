// SPDX-License-Identifier: MIT
/*
 * Splits NDJSON into lines and finds, without reading it all, what need not be read: events of
 * processes that are left out, descriptions of processes that came before, and quiet events, which
 * hold nothing that a rule asks for. What other events say gets a number, by which one that says the
 * same is known. The other lines are put together as one array, as JSON is parsed faster so than line
 * by line.
 *
 * What json.h does not know is handed over as it is. Input comes from anyone: every line ends with a
 * newline, which ends every scan, and nothing is read or written outside of the buffers that are
 * given.
 *
 * One stream per process.
 */
#include "quiet.h"

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
/* Varying values of an event that are cut out of what it says. */
#define MAX_CUTS 8u

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

struct slot {
	uint64_t hash;
	uint32_t start; /* in texts */
	uint32_t length; /* 0: free */
	int32_t number;
};

/* Texts that have numbers, from 0. */
struct numbered {
	struct slot slots[SLOTS];
	uint8_t texts[MAX_TEXTS];
	uint32_t used;
	uint32_t count;
	/* How often they were all forgotten, and numbers started with 0 again. */
	uint32_t generation;
};

/* Processes, in the order of their numbers, a comma behind each. */
static struct numbered known;
/* What events say that are not quiet: all but their varying values. */
static struct numbered said;

static void forget(struct numbered *all)
{
	if (all->count)
		memset(all->slots, 0, sizeof(all->slots));
	all->used = 0;
	all->count = 0;
	all->generation++;
}

/* Makes room for processes where there may be none for the next. */
static void make_room(uint8_t *left_out)
{
	if (said.count == MAX_PROCESSES || said.used > MAX_TEXTS - MAX_TEXT)
		forget(&said);
	if (known.count < MAX_PROCESSES && known.used < MAX_TEXTS - MAX_TEXT)
		return;
	forget(&known);
	forget(&said);
	memset(left_out, 0, MAX_PROCESSES);
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
				*process = slot->number;
				return at + slot->length;
			}
			slot = NULL;
		}
	}
	text_end = learn(at, end, hash, slot);
	if (text_end && slot && slot->length)
		*process = slot->number;
	return text_end;
}

/* What is found in a line. */
struct line {
	/* By the number of a process, whether its events are left out. */
	const uint8_t *left_out;
	bool has_type, is_event;
	bool has_missing;
	bool has_process, is_left_out;
	int32_t process;
	const uint8_t *text, *text_end;
	struct quiet quiet;
	/* Its varying values; one more than fit where there are more. */
	uint32_t cuts;
	struct {
		const uint8_t *start, *end;
	} cut[MAX_CUTS];
};

static const uint8_t *skip_members(const uint8_t *at, const uint8_t *end, int depth,
				   struct line *line);

/* The value of a key that may be anything to the splitter itself. */
static const uint8_t *skip_asked(const uint8_t *key, const uint8_t *key_end, const uint8_t *value,
				 const uint8_t *end, int depth, struct line *line)
{
	const struct word *word = line->is_left_out ? NULL : find_word(KEY_ANY, key, key_end);
	struct quiet *quiet = &line->quiet;
	const uint8_t *after;

	if (word && word->kind == KEY_OBJECT && *value == '{' && value[1] != '}' && depth)
		return skip_members(value, end, depth - 1, line);
	after = skip_value(value, end, depth);
	if (!word || !after) {
		quiet->is_quiet = false;
	} else if (word->kind != KEY_VARYING) {
		quiet->is_quiet = quiet->is_quiet && is_quiet_value(word->kind, value, after, quiet);
	} else if (line->cuts < MAX_CUTS) {
		line->cut[line->cuts].start = value;
		line->cut[line->cuts++].end = after;
	} else {
		line->cuts = MAX_CUTS + 1;
	}
	return after;
}

/* The value of a key of the record itself. Of a key that comes twice the last counts. */
static const uint8_t *skip_own(const uint8_t *key, const uint8_t *key_end, const uint8_t *value,
			       const uint8_t *end, struct line *line)
{
	const uint8_t *after;

	if (is_text(key, key_end, "process")) {
		if (line->has_process)
			return NULL;
		line->has_process = true;
		line->text = value;
		line->text_end = after = skip_process(value, end, &line->process);
		line->is_left_out = line->process >= 0 && line->left_out[line->process];
		return after;
	}
	if (is_text(key, key_end, "type")) {
		after = skip_value(value, end, MAX_DEPTH);
		if (!after || line->has_type)
			return NULL;
		line->has_type = true;
		line->is_event = is_text(value, after, "\"IOUringEvent\"");
		return after;
	}
	if (is_text(key, key_end, "missing"))
		line->has_missing = true;
	return skip_asked(key, key_end, value, end, MAX_DEPTH, line);
}

/* The members of an object: the record where the depth is the greatest, else of one in it. */
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
		at = depth == MAX_DEPTH ? skip_own(key, key_end, value, end, line) :
					  skip_asked(key, key_end, value, end, depth, line);
		if (!at)
			return NULL;
	} while (*at == ',');
	return *at == '}' ? at + 1 : NULL;
}

/* Looks at the line from `at` to `end`, behind its newline: whether it is an object that is known. */
static bool look_at(const uint8_t *at, const uint8_t *end, const uint8_t *left_out,
		    struct line *line)
{
	memset(line, 0, offsetof(struct line, cut));
	line->left_out = left_out;
	line->process = NO_PROCESS;
	line->quiet.is_quiet = true;
	line->quiet.opcode = NO_OPCODE;
	line->quiet.opcode_number = NO_OPCODE;
	line->quiet.fd = NO_FD;
	if (*at != '{')
		return false;
	at = skip_members(at, end, MAX_DEPTH, line);
	if (!at)
		return false;
	if (*at == '\r')
		at++;
	return at + 1 == end;
}

static enum row_kind kind_of(const struct line *line)
{
	const struct quiet *quiet = &line->quiet;

	if (!line->is_event || line->has_missing || line->process < 0)
		return OTHER;
	if (!quiet->is_quiet || quiet->opcode < 0 ||
	    (quiet->opcode_number != NO_OPCODE && quiet->opcode_number != quiet->opcode) ||
	    (quiet->told[quiet->opcode / 64] >> quiet->opcode % 64 & 1))
		return EVENT;
	return quiet->has_path ? QUIET_WITH_PATH : QUIET;
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
			return slot->number;
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
	forget(&known);
	known.generation = 0;
	forget(&said);
	said.generation = 0;
	return begin_vocabulary(all, count, beginnings, beginnings_count);
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
		is_taken = size <= MAX_LINE && look_at(start, end, left_out, &line);
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
		row->fd = line.quiet.fd;
		row->ring_low = (uint32_t)line.quiet.ring;
		row->ring_high = (uint32_t)(line.quiet.ring >> 32);
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
