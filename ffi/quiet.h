/* SPDX-License-Identifier: MIT */
/*
 * Quiet events: those that hold nothing that a rule asks for. The words that they are known by come
 * from the rules.
 */
#ifndef QUIET_H
#define QUIET_H

#include <errno.h>

#include "json.h"

#define MAX_WORDS 2048u
#define MAX_BEGINNINGS 2048u
#define WORD_SLOTS (4 * MAX_WORDS)
#define NO_OPCODE -1
#define MAX_FD 254
#define NO_FD -2
/* The longest path that is compared, in bytes: PATH_MAX. */
#define MAX_PATH 4096

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
	uint16_t number; /* the opcode of its name; of a head the first of its beginnings */
	uint16_t count; /* of its beginnings; 0 where every path with it is told of */
	char text[26];
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

static struct {
	struct word all[MAX_WORDS];
	uint16_t slots[WORD_SLOTS]; /* 1 and the place in `all`, or 0 */
	struct beginning beginnings[MAX_BEGINNINGS];
	bool is_known; /* whether there are any words */
} vocabulary;

/* What is found in an event. */
struct quiet {
	/* Nothing was found yet that a rule may ask for. */
	bool is_quiet;
	bool has_path;
	/* By its name and by its number. */
	int32_t opcode, opcode_number;
	int32_t fd;
	uint64_t ring;
	/* Opcodes that one of the paths is told of. */
	uint64_t told[4];
};

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

/* Takes the words, and the beginnings that heads of paths refer to; 0, or -EINVAL. */
static int32_t begin_vocabulary(const struct word *all, uint32_t count,
				const struct beginning *beginnings, uint32_t beginnings_count)
{
	if (count > MAX_WORDS || beginnings_count > MAX_BEGINNINGS)
		return -EINVAL;
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
		vocabulary.slots[slot] = (uint16_t)(i + 1);
	}
	return 0;
}

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
static void tell(const uint8_t *opcodes, struct quiet *quiet)
{
	for (int i = 0; i < 4; i++) {
		uint64_t some;

		memcpy(&some, opcodes + 8 * i, sizeof(some));
		quiet->told[i] |= some;
	}
}

static bool is_quiet_path(const uint8_t *at, const uint8_t *after, struct quiet *quiet)
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
		tell(head->opcodes, quiet);
	for (uint32_t i = 0; head && i < head->count; i++) {
		const struct beginning *it = &vocabulary.beginnings[head->number + i];

		if ((size_t)(end - start) >= it->length && !memcmp(start, it->text, it->length) &&
		    contains(start + it->length, end, it->within, it->within_length))
			tell(it->opcodes, quiet);
	}
	quiet->has_path = true;
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

static bool is_quiet_fd(const uint8_t *at, const uint8_t *after, struct quiet *quiet)
{
	int32_t fd = small_number(at, after);

	if (fd == NO_FD || (quiet->fd != NO_FD && quiet->fd != fd))
		return false;
	quiet->fd = fd;
	return true;
}

static bool is_quiet_ring(const uint8_t *at, const uint8_t *after, struct quiet *quiet)
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
	if (quiet->ring && quiet->ring != ring)
		return false;
	quiet->ring = ring;
	return true;
}

static bool is_quiet_value(uint8_t kind, const uint8_t *at, const uint8_t *after, struct quiet *quiet)
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
		return is_quiet_path(at, after, quiet);
	case KEY_TARGET:
		return *at == '"' && !memchr(at, '\\', (size_t)(after - at)) &&
		       !find_word(TARGET_KIND, at + 1, after - 1);
	case KEY_OPCODE:
		word = *at == '"' ? find_word(OPCODE_NAME, at + 1, after - 1) : NULL;
		return word && is_quiet_opcode(word->number, &quiet->opcode);
	case KEY_OPCODE_NUMBER:
		return is_quiet_opcode(small_number(at, after), &quiet->opcode_number);
	case KEY_FD:
		return is_quiet_fd(at, after, quiet);
	case KEY_RING:
		return is_quiet_ring(at, after, quiet);
	default:
		return false;
	}
}

#endif
