// SPDX-License-Identifier: MIT
/*
 * The front of the single file. Behind this program lie the Deno runtime, the bundled program
 * and its shared libraries; it copies each to a memory file and executes the runtime on them, so
 * that nothing is written to disk and nothing is loaded from it. build.ts appends them:
 *
 *	launcher | blob … | struct entry … | struct trailer
 *
 * All numbers are little-endian. The first entry is the launcher itself, so that the checksums
 * cover every byte of the file. They find damage, not forgery.
 *
 * The runtime gets the libraries as one argument before the user's, "memory=5": the descriptor
 * by the name of the library.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef __SSE2__
#include <cpuid.h>
#include <nmmintrin.h>
#endif

#define MAGIC "IOURING1"
#define MAX_ENTRIES 32
/* Small enough that what was checked is still in the cache when it is copied. */
#define CHUNK (128u << 10)

#ifndef MFD_EXEC
#define MFD_EXEC 0x10
#endif

struct entry {
	char name[24]; /* "launcher", "runtime", "program", else a library's name */
	uint64_t offset;
	uint64_t size;
	uint32_t crc; /* CRC32C */
	uint32_t reserved;
};

struct trailer {
	char magic[8];
	uint64_t file_size;
	uint64_t index_offset;
	uint32_t entries;
	uint32_t index_crc;
};

_Static_assert(sizeof(struct entry) == 48 && sizeof(struct trailer) == 32,
	       "build.ts writes these");

static _Noreturn void die(const char *action, const char *state)
{
	fprintf(stderr, "Cannot start: %s%s%s\n", action, state ? ": " : "", state ? state : "");
	exit(EXIT_FAILURE);
}

static _Noreturn void die_damaged(const char *what)
{
	fprintf(stderr, "Cannot start: this file is damaged (%s), copy it again\n", what);
	exit(EXIT_FAILURE);
}

static uint32_t crc_table[256];

static uint32_t crc32c_portable(uint32_t crc, const uint8_t *bytes, size_t len)
{
	while (len--)
		crc = crc >> 8 ^ crc_table[(crc ^ *bytes++) & 0xff];
	return crc;
}

#ifdef __SSE2__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *bytes,
							       size_t len)
{
	uint64_t wide = crc;

	for (; len >= 8; bytes += 8, len -= 8) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		wide = _mm_crc32_u64(wide, word);
	}
	crc = (uint32_t)wide;
	while (len--)
		crc = _mm_crc32_u8(crc, *bytes++);
	return crc;
}
#endif

static uint32_t (*crc32c)(uint32_t, const uint8_t *, size_t) = crc32c_portable;

static void crc32c_init(void)
{
#ifdef __SSE2__
	unsigned int a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_2) {
		crc32c = crc32c_sse42;
		return;
	}
#endif
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
		crc_table[i] = crc;
	}
}

static int memory_file(const char *name, unsigned int flags)
{
	/* Since Linux 6.3 a sysctl may demand that executability is stated. */
	int fd = memfd_create(name, flags | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	if (fd < 0)
		die("memfd_create", strerror(errno));
	return fd;
}

/* Checks an entry's bytes and, unless `fd` is -1, copies them there. */
static void unpack(const uint8_t *file, const struct entry *entry, int fd)
{
	const uint8_t *bytes = file + entry->offset;
	uint32_t crc = ~0u;

	for (uint64_t done = 0; done < entry->size;) {
		uint64_t len = entry->size - done;

		if (len > CHUNK)
			len = CHUNK;
		crc = crc32c(crc, bytes + done, len);
		for (uint64_t end = done + len; done < end;) {
			ssize_t count = fd < 0 ? (ssize_t)(end - done) :
						 write(fd, bytes + done, end - done);

			if (count < 0 && errno == EINTR)
				continue;
			if (count <= 0)
				die("copying to memory", strerror(errno));
			done += (uint64_t)count;
		}
	}
	if (~crc != entry->crc)
		die_damaged(entry->name);
}

/* What could make the dynamic linker, the C library or the runtime load or do something else. */
static bool is_unwanted(const char *variable)
{
	static const char *const prefixes[] = {
		"LD_", "DENO_", "NODE_", "NPM_", "npm_", "RUST_", "V8_", "MALLOC_", "OPENSSL_", "SSL",
		"TMPDIR=", "GLIBC_TUNABLES=", "GCONV_PATH=", "LOCPATH=", "NLSPATH=", "HOME=", "PATH=",
	};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (!strncmp(variable, prefixes[i], strlen(prefixes[i])))
			return true;
	}
	return false;
}

static char **clean_environment(char **envp)
{
	static char *const ours[] = {
		/* A folder that cannot exist: the runtime then keeps its caches in memory. */
		"DENO_DIR=/proc/self/mem/none",
		/* One without an .npmrc, which the runtime reads, and stops at if it is bad. */
		"HOME=/proc/self/fdinfo",
		"DENO_NO_UPDATE_CHECK=1",
		"DENO_NO_PACKAGE_JSON=1",
	};
	size_t count = 0, kept = 0;
	char **clean;

	while (envp[count])
		count++;
	clean = calloc(count + sizeof(ours) / sizeof(ours[0]) + 1, sizeof(*clean));
	if (!clean)
		die("out of memory", NULL);
	for (size_t i = 0; i < count; i++) {
		if (!is_unwanted(envp[i]))
			clean[kept++] = envp[i];
	}
	memcpy(clean + kept, ours, sizeof(ours));
	return clean;
}

int main(int argc, char **argv, char **envp)
{
	static char *const options[] = {
		"iouring",     "run",	      "--quiet",	 "--allow-all", "--no-prompt",
		"--no-config", "--no-lock",   "--no-remote",	 "--no-npm",	"--no-check",
		"--ext=js",    "--no-code-cache",
	};
	const size_t option_count = sizeof(options) / sizeof(options[0]);
	char program[32] = "", libraries[MAX_ENTRIES * 40] = "";
	int fd, runtime = -1;
	const uint8_t *file;
	const struct entry *index;
	struct trailer trailer;
	struct stat st;
	char **args;
	size_t length;

	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("/proc is needed and cannot be read", strerror(errno));
	if (fstat(fd, &st))
		die("fstat", strerror(errno));
	length = (size_t)st.st_size;
	file = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (file == MAP_FAILED)
		die("mmap", strerror(errno));
	if (length < sizeof(trailer))
		die_damaged("truncated");
	memcpy(&trailer, file + length - sizeof(trailer), sizeof(trailer));
	if (memcmp(trailer.magic, MAGIC, sizeof(trailer.magic)) || trailer.file_size != length)
		die_damaged("truncated");
	if (trailer.entries > MAX_ENTRIES || trailer.index_offset > length ||
	    trailer.index_offset + trailer.entries * sizeof(*index) + sizeof(trailer) != length)
		die_damaged("index");

	crc32c_init();
	index = (const struct entry *)(file + trailer.index_offset);
	if (~crc32c(~0u, (const uint8_t *)index, trailer.entries * sizeof(*index)) !=
	    trailer.index_crc)
		die_damaged("index");

	for (uint32_t i = 0; i < trailer.entries; i++) {
		const struct entry *entry = &index[i];

		/* The index is intact, so these hold unless build.ts is wrong. */
		if (entry->offset > length || entry->size > length - entry->offset)
			die_damaged("index");
		if (!strcmp(entry->name, "launcher")) {
			unpack(file, entry, -1);
			continue;
		}
		if (!strcmp(entry->name, "runtime")) {
			runtime = memory_file("iouring", MFD_CLOEXEC);
			unpack(file, entry, runtime);
			continue;
		}
		fd = memory_file(entry->name, 0);
		unpack(file, entry, fd);
		if (!strcmp(entry->name, "program"))
			snprintf(program, sizeof(program), "/proc/self/fd/%d", fd);
		else
			snprintf(libraries + strlen(libraries),
				 sizeof(libraries) - strlen(libraries), "%s%s=%d",
				 *libraries ? "," : "", entry->name, fd);
	}
	if (runtime < 0 || !*program)
		die_damaged("index");

	args = calloc(option_count + 2 + (size_t)argc + 1, sizeof(*args));
	if (!args)
		die("out of memory", NULL);
	memcpy(args, options, sizeof(options));
	args[option_count] = program;
	args[option_count + 1] = libraries;
	for (int i = 1; i < argc; i++)
		args[option_count + 1 + (size_t)i] = argv[i];
	syscall(SYS_execveat, runtime, "", args, clean_environment(envp), AT_EMPTY_PATH);
	die("executing from memory", strerror(errno));
}
