// SPDX-License-Identifier: MIT
/*
 * Memory images: maps an image file read-only and searches it for signatures.
 *
 * A handle is an index into `images`. Functions return it, a count or 0 on success, and a
 * negative errno on failure. memory.ts is the other half; bump IOURING_MEMORY_ABI when a
 * signature or a struct here changes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define IOURING_MEMORY_ABI 3
#define MAX_IMAGES 16
#define MAX_PATTERN 64
#define MAX_PATTERNS 64
/* All patterns are looked for in so much before the next: a processor's first cache holds it. */
#define CACHED (32ULL << 10)
/* How much of the file one step of a search maps in, and drops again where the file is large. */
#define WINDOW (32ULL << 20)
/* Files from this size on are dropped window by window, so that RSS stays bounded. */
#define LARGE_FILE (2ULL << 30)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

struct image_info {
	uint64_t addr;
	uint64_t size;
	/* Bytes that are kept for it: of a sparse file less than its size. */
	uint64_t stored;
	uint32_t mode; /* as st_mode */
	uint32_t reserved;
};

struct image {
	/* Written last on open, cleared first on close: the SIGBUS handler reads these. */
	_Atomic(uint8_t *) addr;
	uint64_t size;
	int fd;
	atomic_bool shrank;
	bool used;
};

static struct image images[MAX_IMAGES];
static struct sigaction previous_action;
static uint64_t page_size;

uint32_t iouring_memory_abi(void)
{
	return IOURING_MEMORY_ABI;
}

/* statx, because fstat as a symbol of its own needs glibc 2.33. */
static int stat_fd(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE | STATX_BLOCKS, st) ? -errno :
										  0;
}

static uint64_t round_up(uint64_t value, uint64_t step)
{
	return (value + step - 1) / step * step;
}

/* Hands a SIGBUS that is not ours to whoever handled it before us. */
static void chain(int sig, siginfo_t *info, void *context)
{
	if (previous_action.sa_flags & SA_SIGINFO) {
		previous_action.sa_sigaction(sig, info, context);
	} else if (previous_action.sa_handler == SIG_DFL) {
		signal(sig, SIG_DFL);
		/* A fault recurs by itself on return; a signal that was sent does not. */
		if (info->si_code <= 0)
			raise(sig);
	} else if (previous_action.sa_handler != SIG_IGN) {
		previous_action.sa_handler(sig);
	}
}

/*
 * A page of a mapping that its file no longer has (it was truncated, or the disk fails) raises
 * SIGBUS, and there is no way out of JavaScript's machine code. So put zeros there and go on:
 * everything behind the file's new end at once, or just the page where the file is long enough.
 * statx and mmap are plain system calls, safe in a handler.
 */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	uint64_t fault = (uint64_t)(uintptr_t)info->si_addr & ~(page_size - 1);

	for (int i = 0; info->si_code > 0 && i < MAX_IMAGES; i++) {
		uint64_t addr = (uint64_t)(uintptr_t)atomic_load(&images[i].addr);
		uint64_t from = fault, to = fault + page_size, end;
		struct statx st;

		if (!addr || fault < addr || fault >= addr + images[i].size)
			continue;
		end = addr + round_up(images[i].size, page_size);
		if (!stat_fd(images[i].fd, &st) && S_ISREG(st.stx_mode)) {
			uint64_t file_end = addr + round_up(st.stx_size, page_size);

			if (file_end <= fault) {
				from = file_end;
				to = end;
			}
		}
		if (mmap((void *)(uintptr_t)from, to - from, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
			 0) == MAP_FAILED)
			break;
		atomic_store(&images[i].shrank, true);
		errno = saved_errno;
		return;
	}
	chain(sig, info, context);
	errno = saved_errno;
}

static int install_handler(void)
{
	static bool installed;
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		/* V8's threads run on stacks of their own; use the signal stack where there is one. */
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	if (installed)
		return 0;
	page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, &previous_action))
		return -errno;
	installed = true;
	return 0;
}

/*
 * Opens `path`, or standard input where it is NULL, and maps all of it. `info` tells the file's
 * mode even where it cannot be mapped, so that the caller can say what the file is instead.
 */
int32_t iouring_image_open(const char *path, struct image_info *info)
{
	struct image *image = NULL;
	void *addr = MAP_FAILED;
	struct statx st;
	int fd, err;

	memset(info, 0, sizeof(*info));
	err = install_handler();
	if (err)
		return err;
	for (int i = 0; i < MAX_IMAGES && !image; i++) {
		if (!images[i].used)
			image = &images[i];
	}
	if (!image)
		return -EMFILE;

	/* O_NONBLOCK: a FIFO without a writer is to be reported, not waited for. */
	fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) :
		    fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	err = stat_fd(fd, &st);
	if (err)
		goto cleanup;
	info->mode = st.stx_mode;
	if (S_ISBLK(st.stx_mode)) {
		off_t end = lseek(fd, 0, SEEK_END);

		if (end < 0) {
			err = -errno;
			goto cleanup;
		}
		info->size = (uint64_t)end;
		info->stored = info->size;
	} else if (S_ISREG(st.stx_mode)) {
		info->size = st.stx_size;
		info->stored = st.stx_blocks * 512;
	} else {
		err = -EINVAL;
		goto cleanup;
	}
	if (!info->size) {
		err = -ENODATA;
		goto cleanup;
	}
	addr = mmap(NULL, info->size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (addr == MAP_FAILED) {
		err = -errno;
		/* A page tells what is too large from what no part of can be mapped: /proc/kcore. */
		if (err == -ENOMEM) {
			addr = mmap(NULL, page_size, PROT_READ, MAP_SHARED, fd, 0);
			if (addr == MAP_FAILED)
				err = -errno;
			else
				munmap(addr, page_size);
		}
		goto cleanup;
	}
	info->addr = (uint64_t)(uintptr_t)addr;
	image->used = true;
	image->fd = fd;
	image->size = info->size;
	atomic_store(&image->shrank, false);
	atomic_store(&image->addr, addr);
	return (int32_t)(image - images);

cleanup:
	close(fd);
	return err;
}

static struct image *image_get(int32_t handle)
{
	if (handle < 0 || handle >= MAX_IMAGES || !images[handle].used)
		return NULL;
	return &images[handle];
}

int32_t iouring_image_close(int32_t handle)
{
	struct image *image = image_get(handle);
	uint8_t *addr;

	if (!image)
		return -EBADF;
	addr = atomic_exchange(&image->addr, NULL);
	munmap(addr, image->size);
	close(image->fd);
	image->used = false;
	return 0;
}

/* 1 once a read of the mapping met bytes that the file no longer has. */
int32_t iouring_image_shrank(int32_t handle)
{
	struct image *image = image_get(handle);

	if (!image)
		return -EBADF;
	return atomic_load(&image->shrank);
}

/* A pattern as memory.ts passes it. Matches lie at offsets that are `phase` modulo `align`. */
struct search_pattern {
	uint8_t bytes[MAX_PATTERN];
	uint64_t len;
	uint64_t align;
	uint64_t phase;
};

struct pattern {
	const uint8_t *bytes;
	uint32_t len;
	/* The two bytes of the pattern that memory holds least of. */
	uint32_t rare[2];
	uint64_t align;
	uint64_t phase;
	/* Offsets of matches, how many there are, and how many there is room for. */
	uint64_t *out;
	uint32_t count;
	uint32_t limit;
};

/* Rough: how common a byte is in a memory image. Zeros, then -1 and pointers, then text. */
static int commonness(uint8_t byte)
{
	if (!byte)
		return 4;
	if (byte == 0xff)
		return 3;
	if (byte < 0x10 || byte == ' ' || byte == 0x80 || byte == 0x88 ||
	    (byte >= 'a' && byte <= 'z'))
		return 2;
	return 1;
}

static int pattern_init(struct pattern *pattern, const struct search_pattern *from)
{
	uint32_t first = 0, second, len = (uint32_t)from->len;
	const uint8_t *bytes = from->bytes;
	bool zeros = true;

	if (from->len > MAX_PATTERN || !from->align || from->phase >= from->align)
		return -EINVAL;
	for (uint32_t i = 0; i < len && zeros; i++)
		zeros = !bytes[i];
	if (zeros)
		return -EINVAL;
	for (uint32_t i = 1; i < len; i++) {
		if (commonness(bytes[i]) < commonness(bytes[first]))
			first = i;
	}
	second = first ? 0 : len - 1;
	for (uint32_t i = 0; i < len; i++) {
		if (i != first && commonness(bytes[i]) < commonness(bytes[second]))
			second = i;
	}
	pattern->bytes = bytes;
	pattern->len = len;
	pattern->rare[0] = first;
	pattern->rare[1] = second;
	pattern->align = from->align;
	pattern->phase = from->phase;
	return 0;
}

/*
 * The first start of the pattern in [from, to), or `to`. The caller guarantees that
 * [from, to + len - 1) is readable.
 */
static const uint8_t *find(const struct pattern *pattern, const uint8_t *from, const uint8_t *to)
{
#ifdef __x86_64__
	uint32_t a = pattern->rare[0], b = pattern->rare[1];
	__m128i want_a = _mm_set1_epi8((char)pattern->bytes[a]);
	__m128i want_b = _mm_set1_epi8((char)pattern->bytes[b]);

	for (; to - from >= 16; from += 16) {
		__m128i have_a = _mm_loadu_si128((const __m128i *)(from + a));
		__m128i have_b = _mm_loadu_si128((const __m128i *)(from + b));
		__m128i both = _mm_and_si128(_mm_cmpeq_epi8(have_a, want_a),
					     _mm_cmpeq_epi8(have_b, want_b));
		uint32_t mask = (uint32_t)_mm_movemask_epi8(both);

		for (; mask; mask &= mask - 1) {
			const uint8_t *at = from + __builtin_ctz(mask);

			if (!memcmp(at, pattern->bytes, pattern->len))
				return at;
		}
	}
#endif
	if (from < to) {
		const uint8_t *at = memmem(from, (size_t)(to - from) + pattern->len - 1,
					   pattern->bytes, pattern->len);

		if (at)
			return at;
	}
	return to;
}

#ifdef __x86_64__
/* The same, twice as fast with several patterns, on processors since 2013 or so. */
__attribute__((target("avx2"))) static const uint8_t *
find_avx2(const struct pattern *pattern, const uint8_t *from, const uint8_t *to)
{
	uint32_t a = pattern->rare[0], b = pattern->rare[1];
	__m256i want_a = _mm256_set1_epi8((char)pattern->bytes[a]);
	__m256i want_b = _mm256_set1_epi8((char)pattern->bytes[b]);

	for (; to - from >= 64; from += 64) {
		__m256i both[2], either;
		uint64_t mask;

		for (int i = 0; i < 2; i++) {
			const uint8_t *at = from + 32 * i;
			__m256i have_a = _mm256_loadu_si256((const __m256i *)(at + a));
			__m256i have_b = _mm256_loadu_si256((const __m256i *)(at + b));

			both[i] = _mm256_and_si256(_mm256_cmpeq_epi8(have_a, want_a),
						   _mm256_cmpeq_epi8(have_b, want_b));
		}
		either = _mm256_or_si256(both[0], both[1]);
		if (_mm256_testz_si256(either, either))
			continue;
		mask = (uint32_t)_mm256_movemask_epi8(both[0]) |
		       (uint64_t)(uint32_t)_mm256_movemask_epi8(both[1]) << 32;
		for (; mask; mask &= mask - 1) {
			const uint8_t *at = from + __builtin_ctzll(mask);

			if (!memcmp(at, pattern->bytes, pattern->len))
				return at;
		}
	}
	return find(pattern, from, to);
}
#endif

/* Notes the pattern's starts in [from, to); bytes up to to + len - 1 may be read. */
static void search_part(const uint8_t *base, struct pattern *pattern, uint64_t from, uint64_t to)
{
	const uint8_t *(*next)(const struct pattern *, const uint8_t *, const uint8_t *) = find;

	if (pattern->align > MAX_PATTERN) {
		/* So far apart that looking at each place beats looking at each byte. */
		uint64_t phase = from % pattern->align;
		uint64_t at = from - phase + pattern->phase;

		if (at < from)
			at += pattern->align;
		for (; at < to && pattern->count < pattern->limit; at += pattern->align) {
			if (!memcmp(base + at, pattern->bytes, pattern->len))
				pattern->out[pattern->count++] = at;
		}
		return;
	}
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		next = find_avx2;
#endif
	while (from < to && pattern->count < pattern->limit) {
		uint64_t at = (uint64_t)(next(pattern, base + from, base + to) - base);

		if (at < to && at % pattern->align == pattern->phase)
			pattern->out[pattern->count++] = at;
		from = at + 1;
	}
}

/* Whether there is a pattern of which not all matches that were asked for have been found. */
static bool any_wanted(const struct pattern *patterns, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (patterns[i].count < patterns[i].limit)
			return true;
	}
	return false;
}

/*
 * Notes where the patterns start within [from, to) and end by `end`. All of them are looked for in
 * a part that the processor's cache holds, before the next part.
 */
static void search_window(const uint8_t *base, struct pattern *patterns, uint32_t count,
			  uint64_t from, uint64_t to, uint64_t end)
{
	while (from < to) {
		uint64_t part_end = to - from > CACHED ? from + CACHED : to;

		for (uint32_t i = 0; i < count; i++) {
			uint64_t last = end < patterns[i].len ? 0 : end - patterns[i].len + 1;

			search_part(base, &patterns[i], from, part_end < last ? part_end : last);
		}
		from = part_end;
	}
}

/*
 * Looks for `count` patterns in [start, end). Writes the offsets at which pattern i starts to
 * out + i * limit, ascending, at most `limit` of them, and their number to counts[i]. Holes of a
 * sparse file are not read: a pattern may reach into one, but, not being all zeros, not lie in one.
 */
int32_t iouring_image_search(int32_t handle, const struct search_pattern *wanted, uint32_t count,
			     uint64_t start, uint64_t end, uint32_t limit, uint64_t *out,
			     uint32_t *counts)
{
	struct image *image = image_get(handle);
	struct pattern patterns[MAX_PATTERNS];
	uint64_t next = start, data_end = 0, longest = 0;
	uint8_t *base;

	if (!image)
		return -EBADF;
	if (count > MAX_PATTERNS)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		int err = pattern_init(&patterns[i], &wanted[i]);

		if (err)
			return err;
		patterns[i].out = out + (uint64_t)i * limit;
		patterns[i].count = 0;
		patterns[i].limit = limit;
		if (patterns[i].len > longest)
			longest = patterns[i].len;
	}
	if (end > image->size)
		end = image->size;

	base = atomic_load(&image->addr);
	madvise(base, image->size, MADV_SEQUENTIAL);
	while (next < end && any_wanted(patterns, count)) {
		uint64_t to, first_page, behind;

		if (next >= data_end) {
			/* Where a match starts, a byte that is not zero follows within its length. */
			off_t data = lseek(image->fd, (off_t)next, SEEK_DATA);
			off_t hole = -1;

			if (data < 0 && errno == ENXIO)
				break;
			if (data >= 0)
				hole = lseek(image->fd, data, SEEK_HOLE);
			/* A file system or device that cannot tell: all of it is data. */
			if (hole < 0 || (uint64_t)hole <= next)
				hole = (off_t)image->size;
			data_end = (uint64_t)hole;
			if (data >= 0 && (uint64_t)data > next + longest - 1)
				next = (uint64_t)data - (longest - 1);
			if (next >= end)
				break;
		}
		to = (next / WINDOW + 1) * WINDOW;
		if (to > data_end)
			to = data_end;
		if (to > end)
			to = end;
		first_page = next & ~(page_size - 1);
		behind = to & ~(page_size - 1);
		/* Since Linux 5.14; without it each page faults in by itself. */
		madvise(base + first_page, to - first_page, MADV_POPULATE_READ);
		search_window(base, patterns, count, next, to, end);
		if (image->size >= LARGE_FILE && behind > first_page)
			madvise(base + first_page, behind - first_page, MADV_DONTNEED);
		next = to;
	}
	madvise(base, image->size, MADV_NORMAL);
	for (uint32_t i = 0; i < count; i++)
		counts[i] = patterns[i].count;
	return 0;
}
