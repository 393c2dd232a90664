/* SPDX-License-Identifier: MIT */
/*
 * The part of JSON that lines.c knows: ASCII, keys without escapes, integers, at most one blank where
 * some programs put one. What it takes is JSON; what it does not take may be.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

static bool is_text(const uint8_t *at, const uint8_t *end, const char *text)
{
	size_t length = strlen(text);

	return (size_t)(end - at) == length && !memcmp(at, text, length);
}

/* Whether nothing is in a line. */
static bool is_blank(const uint8_t *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\r')
		at++;
	return *at == '\n';
}

#endif
