// SPDX-License-Identifier: MIT
/*
 * The front of the single file. Behind this program lie the Deno runtime, the bundled programs
 * and its shared libraries. parts.ts puts them together:
 *
 *	launcher | blob … | struct entry … | struct trailer
 *
 * All numbers are little-endian. The first entry is the launcher itself, so that the checksums
 * cover every byte of the file. They find damage, not forgery.
 *
 * Nothing is written to disk. The runtime is not copied either: the launcher maps its segments
 * and its dynamic linker out of this file, as execve would, and jumps to it. So the pages are
 * shared by all that run this file, starting costs no 95 MB copy, and the process keeps its name
 * and command line. The bundle and the libraries, which are small, go to memory files.
 *
 * The runtime gets the libraries as one argument before the user's, "memory=5": the descriptor
 * by the name of the library.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef __SSE2__
#include <cpuid.h>
#include <nmmintrin.h>
#endif

#define MAGIC "IOURING1"
#define MAX_ENTRIES 32
#define MAX_SEGMENTS 32

#ifndef MFD_EXEC
#define MFD_EXEC 0x10
#endif

struct entry {
	/* "launcher", "runtime", "program", "program." and a command, else a library's name */
	char name[24];
	uint64_t offset;
	uint64_t size;
	uint32_t checksum;
	uint32_t reserved;
	uint8_t sha256[32]; /* read by verify.ts */
};

struct trailer {
	char magic[8];
	uint64_t file_size;
	uint64_t index_offset;
	uint32_t entries;
	uint32_t index_checksum;
};

_Static_assert(sizeof(struct entry) == 80 && sizeof(struct trailer) == 32,
	       "parts.ts writes these, verify.ts reads them");

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "Cannot start: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static _Noreturn void die_damaged(const char *what)
{
	fprintf(stderr, "Cannot start: this file is damaged (%s), copy it again\n", what);
	exit(EXIT_FAILURE);
}

/*
 * The checksum of an entry is the CRC32C of the CRC32Cs of its quarters. Each but the last is a
 * multiple of eight bytes long. A processor works on two side by side, and a second one, where there
 * is one, on the other two.
 */
#define QUARTERS 4
/* Entries that are shorter are summed before another thread has started. */
#define LONG_BYTES (1 << 20)

struct half {
	const uint8_t *bytes;
	size_t quarter;
	uint32_t crc[QUARTERS / 2];
};

static uint32_t crc_table[256];

static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	crc = ~crc;
	while (len--)
		crc = crc >> 8 ^ crc_table[(crc ^ *bytes++) & 0xff];
	return ~crc;
}

static void sum_portable(struct half *half)
{
	for (int i = 0; i < QUARTERS / 2; i++)
		half->crc[i] = crc32c(0, half->bytes + i * half->quarter, half->quarter);
}

#ifdef __SSE2__
__attribute__((target("sse4.2"))) static void sum_sse42(struct half *half)
{
	const uint8_t *first = half->bytes, *second = first + half->quarter;
	uint64_t crc[QUARTERS / 2] = { ~0u, ~0u }, word[QUARTERS / 2];

	for (size_t at = 0; at < half->quarter; at += 8) {
		memcpy(&word[0], first + at, 8);
		memcpy(&word[1], second + at, 8);
		crc[0] = _mm_crc32_u64(crc[0], word[0]);
		crc[1] = _mm_crc32_u64(crc[1], word[1]);
	}
	half->crc[0] = ~(uint32_t)crc[0];
	half->crc[1] = ~(uint32_t)crc[1];
}
#endif

static void (*sum_half)(struct half *) = sum_portable;

static void *sum_half_thread(void *half)
{
	sum_half(half);
	return NULL;
}

static void checksum_init(void)
{
#ifdef __SSE2__
	unsigned int a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_2)
		sum_half = sum_sse42;
#endif
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
		crc_table[i] = crc;
	}
}

static uint32_t checksum(const uint8_t *bytes, size_t len)
{
	size_t quarter = len / QUARTERS & ~(size_t)7;
	struct half front = { .bytes = bytes, .quarter = quarter };
	struct half back = { .bytes = bytes + 2 * quarter, .quarter = quarter };
	uint32_t crc[QUARTERS];
	pthread_t thread;
	bool is_shared = len >= LONG_BYTES &&
			 !pthread_create(&thread, NULL, sum_half_thread, &back);

	sum_half(&front);
	if (is_shared)
		pthread_join(thread, NULL);
	else
		sum_half(&back);
	memcpy(crc, front.crc, sizeof(front.crc));
	memcpy(crc + 2, back.crc, sizeof(back.crc));
	/* The last goes on to the end. */
	crc[QUARTERS - 1] = crc32c(crc[QUARTERS - 1], bytes + QUARTERS * quarter,
				   len - QUARTERS * quarter);
	return crc32c(0, (const uint8_t *)crc, sizeof(crc));
}

static void check(const uint8_t *file, const struct entry *entry)
{
	if (checksum(file + entry->offset, entry->size) != entry->checksum)
		die_damaged(entry->name);
}

/* An empty memory file; it stays open for the runtime. */
static int empty_memory_file(const char *name)
{
	/* Since Linux 6.3 a sysctl may demand that executability is stated. */
	int fd = memfd_create(name, MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, 0);
	if (fd < 0)
		die("memory files are needed (memfd_create)");
	return fd;
}

/* A memory file with an entry's bytes. */
static int memory_file(const uint8_t *file, const struct entry *entry)
{
	int fd = empty_memory_file(entry->name);

	for (uint64_t done = 0; done < entry->size;) {
		ssize_t count = write(fd, file + entry->offset + done, entry->size - done);

		if (count < 0 && errno != EINTR)
			die("copying to memory");
		if (count > 0)
			done += (uint64_t)count;
	}
	return fd;
}

/*
 * A module that runs the program, which is a script. The runtime looks through the whole text of a
 * module for what it imports, which takes longer than to start the rest, and would be remembered
 * only in the caches that it is not given.
 */
static int module_file(int program)
{
	int fd = empty_memory_file("module");

	if (dprintf(fd, "(0, eval)(Deno.readTextFileSync('/proc/self/fd/%d'));\n", program) < 0)
		die("copying to memory");
	return fd;
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
		/* On a terminal it would complain that there is no folder for its caches. */
		"DENO_LOG=off",
	};
	size_t count = 0, kept = 0;
	char **clean;

	while (envp[count])
		count++;
	clean = calloc(count + sizeof(ours) / sizeof(ours[0]) + 1, sizeof(*clean));
	if (!clean)
		die("allocating memory");
	for (size_t i = 0; i < count; i++) {
		if (!is_unwanted(envp[i]))
			clean[kept++] = envp[i];
	}
	memcpy(clean + kept, ours, sizeof(ours));
	return clean;
}

/* A program or a dynamic linker that lies in memory as execve would lay it. */
struct loaded {
	uint64_t headers; /* address of the program headers */
	uint64_t header_count;
	uint64_t base;
	uint64_t entry;
	char interpreter[256];
};

static void read_at(int fd, void *buffer, size_t size, uint64_t offset, const char *name)
{
	ssize_t count = pread(fd, buffer, size, (off_t)offset);

	if (count < 0)
		die(name);
	if ((size_t)count != size) {
		errno = ENOEXEC;
		die(name);
	}
}

/* Maps the position-independent ELF that starts `offset` bytes, a page's multiple, into `fd`. */
static void load(int fd, uint64_t offset, const char *name, struct loaded *loaded)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	Elf64_Phdr segments[MAX_SEGMENTS];
	Elf64_Ehdr header;
	uint64_t span = 0;
	uint8_t *base;

	read_at(fd, &header, sizeof(header), offset, name);
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_type != ET_DYN ||
	    header.e_phentsize != sizeof(*segments) || header.e_phnum > MAX_SEGMENTS) {
		errno = ENOEXEC;
		die(name);
	}
	read_at(fd, segments, header.e_phnum * sizeof(*segments), offset + header.e_phoff, name);

	memset(loaded, 0, sizeof(*loaded));
	for (int i = 0; i < header.e_phnum; i++) {
		const Elf64_Phdr *segment = &segments[i];

		if (segment->p_type == PT_LOAD && segment->p_vaddr + segment->p_memsz > span)
			span = segment->p_vaddr + segment->p_memsz;
		if (segment->p_type == PT_INTERP &&
		    segment->p_filesz <= sizeof(loaded->interpreter))
			read_at(fd, loaded->interpreter, segment->p_filesz,
				offset + segment->p_offset, name);
	}
	/* Reserve all of it first, so that the segments keep their distances. */
	base = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		die(name);

	for (int i = 0; i < header.e_phnum; i++) {
		const Elf64_Phdr *segment = &segments[i];
		uint64_t start = segment->p_vaddr & ~(page - 1);
		uint64_t lead = segment->p_vaddr - start;
		uint64_t file_end = segment->p_vaddr + segment->p_filesz;
		uint64_t page_end = (file_end + page - 1) & ~(page - 1);
		uint64_t end = segment->p_vaddr + segment->p_memsz;
		int prot = (segment->p_flags & PF_R ? PROT_READ : 0) |
			   (segment->p_flags & PF_W ? PROT_WRITE : 0) |
			   (segment->p_flags & PF_X ? PROT_EXEC : 0);

		if (segment->p_type != PT_LOAD)
			continue;
		if (mmap(base + start, lead + segment->p_filesz, prot, MAP_PRIVATE | MAP_FIXED, fd,
			 (off_t)(offset + segment->p_offset - lead)) == MAP_FAILED)
			die(name);
		if (end == file_end)
			continue;
		/* The rest is zeros: first of the last page of the file, then whole pages. */
		memset(base + file_end, 0, page_end - file_end);
		if (end > page_end && mmap(base + page_end, end - page_end, prot,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
					   0) == MAP_FAILED)
			die(name);
	}
	loaded->base = (uint64_t)(uintptr_t)base;
	loaded->headers = loaded->base + header.e_phoff;
	loaded->header_count = header.e_phnum;
	loaded->entry = loaded->base + header.e_entry;
}

/* Starts the runtime on a stack that says what execve's would. */
static _Noreturn void start(int fd, uint64_t offset, char **args, char **envp,
			    const Elf64_auxv_t *auxv)
{
	struct loaded program, linker;
	size_t arg_count = 0, env_count = 0, aux_count = 0, words;
	uint64_t *stack, *at;
	int linker_fd;

	load(fd, offset, "mapping the runtime", &program);
	linker_fd = open(program.interpreter, O_RDONLY | O_CLOEXEC);
	if (linker_fd < 0)
		die(program.interpreter);
	load(linker_fd, 0, program.interpreter, &linker);
	close(linker_fd);
	close(fd);

	while (args[arg_count])
		arg_count++;
	while (envp[env_count])
		env_count++;
	while (auxv[aux_count++].a_type != AT_NULL)
		;
	words = 1 + arg_count + 1 + env_count + 1 + 2 * aux_count;
	/* On the stack, where it has to be; the linker wants it aligned to 16 bytes. */
	stack = __builtin_alloca_with_align(words * sizeof(*stack), 128);
	at = stack;
	*at++ = arg_count;
	for (size_t i = 0; i <= arg_count; i++)
		*at++ = (uint64_t)(uintptr_t)args[i];
	for (size_t i = 0; i <= env_count; i++)
		*at++ = (uint64_t)(uintptr_t)envp[i];
	for (size_t i = 0; i < aux_count; i++) {
		uint64_t value = auxv[i].a_un.a_val;

		switch (auxv[i].a_type) {
		case AT_PHDR:
			value = program.headers;
			break;
		case AT_PHNUM:
			value = program.header_count;
			break;
		case AT_BASE:
			value = linker.base;
			break;
		case AT_ENTRY:
			value = program.entry;
			break;
		}
		*at++ = auxv[i].a_type;
		*at++ = value;
	}
#ifdef __x86_64__
	/* rdx: no function to register with atexit. */
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "xor %%edx, %%edx\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "jmp *%1"
			 :
			 : "S"(stack), "D"(linker.entry)
			 : "rdx", "memory");
#else
#error "The launcher knows x86-64 only"
#endif
	__builtin_unreachable();
}

/*
 * This program's C library has told the kernel where it keeps restartable sequences. The runtime's
 * wants to say so too, and a thread has one such place.
 */
static void unregister_rseq(void)
{
	/* The kernel was told at least 32 bytes, of which not all may be in use. */
	uint32_t size = __rseq_size > 32 ? __rseq_size : 32;

	if (__rseq_size)
		syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, size,
			RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

int main(int argc, char **argv, char **envp)
{
	static char *const options[] = {
		"iouring",     "run",	      "--quiet",	 "--allow-all", "--no-prompt",
		"--no-config", "--no-lock",   "--no-remote",	 "--no-npm",	"--no-check",
		"--ext=js",    "--no-code-cache",
	};
	const size_t option_count = sizeof(options) / sizeof(options[0]);
	char command[64], module[32] = "", libraries[MAX_ENTRIES * 40] = "";
	struct entry index[MAX_ENTRIES];
	const struct entry *program = NULL;
	struct trailer trailer;
	const uint8_t *file;
	struct stat st;
	char **args, **env_end = envp;
	uint64_t runtime_offset = 0;
	size_t length;
	int exe;

	exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (exe < 0)
		die("/proc is needed");
	if (fstat(exe, &st))
		die("fstat");
	length = (size_t)st.st_size;
	file = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, exe, 0);
	if (file == MAP_FAILED)
		die("mmap");
	if (length < sizeof(trailer))
		die_damaged("truncated");
	memcpy(&trailer, file + length - sizeof(trailer), sizeof(trailer));
	if (memcmp(trailer.magic, MAGIC, sizeof(trailer.magic)) || trailer.file_size != length)
		die_damaged("truncated");
	if (trailer.entries > MAX_ENTRIES || trailer.index_offset > length ||
	    trailer.index_offset + trailer.entries * sizeof(*index) + sizeof(trailer) != length)
		die_damaged("index");

	checksum_init();
	memcpy(index, file + trailer.index_offset, trailer.entries * sizeof(*index));
	if (checksum((const uint8_t *)index, trailer.entries * sizeof(*index)) !=
	    trailer.index_checksum)
		die_damaged("index");

	/* A long command has a program of its own, so that the runtime need not parse the others. */
	snprintf(command, sizeof(command), "program.%s", argc > 1 ? argv[1] : "");
	for (uint32_t i = 0; i < trailer.entries; i++) {
		const struct entry *entry = &index[i];

		/* The index is intact, so this holds unless parts.ts is wrong. */
		if (entry->offset > length || entry->size > length - entry->offset)
			die_damaged("index");
		check(file, entry);
		if (!strcmp(entry->name, "launcher"))
			continue;
		if (!strcmp(entry->name, "runtime"))
			runtime_offset = entry->offset;
		else if (!strcmp(entry->name, command) ||
			 (!strcmp(entry->name, "program") && !program))
			program = entry;
		else if (strncmp(entry->name, "program.", strlen("program.")))
			snprintf(libraries + strlen(libraries),
				 sizeof(libraries) - strlen(libraries), "%s%.23s=%d",
				 *libraries ? "," : "", entry->name, memory_file(file, entry));
	}
	if (!runtime_offset || !program)
		die_damaged("index");
	snprintf(module, sizeof(module), "/proc/self/fd/%d",
		 module_file(memory_file(file, program)));

	args = calloc(option_count + 2 + (size_t)argc + 1, sizeof(*args));
	if (!args)
		die("allocating memory");
	memcpy(args, options, sizeof(options));
	args[option_count] = module;
	args[option_count + 1] = libraries;
	for (int i = 1; i < argc; i++)
		args[option_count + 1 + (size_t)i] = argv[i];
	/* The auxiliary vector follows the environment. */
	while (*env_end++)
		;
	munmap((void *)(uintptr_t)file, length);
	/* For all threads to come: nothing that this program might start gains a privilege. */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	unregister_rseq();
	start(exe, runtime_offset, args, clean_environment(envp), (const Elf64_auxv_t *)env_end);
}
