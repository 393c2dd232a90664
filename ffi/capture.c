// SPDX-License-Identifier: MIT
/*
 * The live side: loads the BPF object, attaches it, and hands over what it recorded in batches.
 *
 * One capture per process. Functions return 0 or more, or a negative errno; nothing is printed
 * unless asked for. Nothing here blocks for longer than the timeout it is given.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/types.h>
#include "../bpf/iouring.h"

/* The longest record: its size is a __u16. */
#define MAX_RECORD 65536
/* How long poll() waits between two looks at the ring buffer, in ms: when it is busy, and when
 * nothing has come for a while. Nobody wakes us, so that a request costs no wake-up. */
#define WAIT_BUSY_MS 2
#define WAIT_IDLE_MS 20
#define KERNEL_BTF "/sys/kernel/btf/vmlinux"
/* BPF_LOG_STATS of the kernel's bpf_verifier.h: a line of counts and nothing else. */
#define VERIFIER_STATISTICS 4

/* choose_submit() names the first two. */
static const char *program_names[PROGRAMS] = {
	[PROGRAM_FAILED] = "failed",	   [PROGRAM_COMPLETE] = "complete",
	[PROGRAM_OVERFLOW] = "overflow",   [PROGRAM_REGISTER] = "registered",
	[PROGRAM_CREATE] = "created",	   [PROGRAM_ITERATE] = "rings_of_files",
};

#define ITERATORS 3
static const char *const iterators[ITERATORS] = {
	"modes_of_tasks",
	"rings_of_files",
	"rings_of_tasks",
};

static struct {
	struct bpf_object *object;
	struct btf *kernel;
	struct ring_buffer *ring;
	struct bpf_link *links[PROGRAMS];
	struct counters *counters;
	size_t counters_size;
	struct control *control;
	uint64_t *judgements;
	int info_fds[PROGRAMS]; /* /proc/self/fdinfo of the programs; 0 is none */
	uint32_t cpus;
	const char *submit_name;
	uint32_t forms[PROGRAMS]; /* see probe_forms() */
	/* The batch that poll() fills. */
	uint8_t *batch;
	uint32_t capacity;
	uint32_t used;
	bool full;
	uint32_t wait_ms;
	int canary_fd;
	struct io_uring_params canary_params;
	void *canary_sq, *canary_cq;
	struct io_uring_sqe *canary_sqes;
	bool verbose;
	char log[4096];
} capture = { .canary_fd = -1 };

/* What the other side must agree on, as "name offset size" lines. */
#define FIELD(type, field) \
	{ #type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field) }
#define HEAD(field) \
	{ "record." #field, offsetof(struct record, field), sizeof(((struct record *)0)->field) }
#define SIZE(type) { #type, 0, sizeof(struct type) }
#define VALUE(name) { #name, name, 0 }

static const struct {
	const char *name;
	uint32_t value;
	uint32_t size;
} layout[] = {
	VALUE(RING_QUEUES), VALUE(RING_CREATOR), VALUE(RING_PENDING), VALUE(RING_SECCOMP),
	VALUE(RING_SQ_THREAD), VALUE(SECTION_PENDING),
	VALUE(WIRE_ABI), VALUE(PROGRAMS), VALUE(OPCODES), VALUE(LOST_PIDS),
	VALUE(PROGRAM_SUBMIT), VALUE(PROGRAM_SUBMIT_AGAIN), VALUE(PROGRAM_FAILED),
	VALUE(PROGRAM_COMPLETE), VALUE(PROGRAM_OVERFLOW), VALUE(PROGRAM_REGISTER),
	VALUE(PROGRAM_CREATE),
	VALUE(RECORD_PROCESS), VALUE(RECORD_FILE), VALUE(RECORD_REQUEST), VALUE(RECORD_RESULT),
	VALUE(RECORD_REGISTER), VALUE(RECORD_RING),
	VALUE(BIT_SQ_THREAD), VALUE(BIT_REJECTED), VALUE(BIT_AGAIN), VALUE(BIT_NO_REQUEST),
	VALUE(BIT_ENTRY_FD), VALUE(BIT_NO_FD), VALUE(BIT_POSTED),
	VALUE(SECURE_SETUID), VALUE(SECURE_SETGID), VALUE(SECURE_FILE_CAPS),
	VALUE(SECURE_FILELESS),
	VALUE(VALID_START), VALUE(VALID_CRED), VALUE(VALID_AUID), VALUE(VALID_PPID),
	VALUE(VALID_SECURE), VALUE(EXE_DELETED), VALUE(EXE_NONE),
	VALUE(FOUND_BY_FD), VALUE(FOUND_BY_CREATE), VALUE(FOUND_BY_REGISTERED),
	VALUE(FOUND_BY_TCTX),
	VALUE(SECTION_COMMAND), VALUE(SECTION_PATH), VALUE(SECTION_PATH2), VALUE(SECTION_NAME),
	VALUE(SECTION_SOCKADDR), VALUE(SECTION_TIMESPEC), VALUE(SECTION_BYTES),
	VALUE(SECTION_SQE), VALUE(SECTION_CRED), VALUE(SECTION_FILE), VALUE(SECTION_SOCKET),
	VALUE(SECTION_PEER), VALUE(SECTION_USER), VALUE(SECTION_RESULT), VALUE(SECTION_EXE),
	VALUE(SECTION_CWD), VALUE(SECTION_FILE_PATH), VALUE(SECTION_CGROUP),
	VALUE(SECTION_ARGS), VALUE(SECTION_UNIX_LOCAL), VALUE(SECTION_UNIX_PEER),
	VALUE(SECTION_FAULT), VALUE(SECTION_DIRECTORY), VALUE(SECTION_INPUT),
	VALUE(SECTION_INPUT_SOCKET),
	VALUE(VERDICT_PASS), VALUE(VERDICT_DROP),
	SIZE(record), HEAD(size), HEAD(kind), HEAD(opcode), HEAD(cpu), HEAD(bits),
	HEAD(seccomp_mode), HEAD(time), HEAD(process), HEAD(ring),
	SIZE(request_record), FIELD(request_record, user_data), FIELD(request_record, request),
	FIELD(request_record, seq), FIELD(request_record, tid), FIELD(request_record, pid),
	FIELD(request_record, flags), FIELD(request_record, fd),
	FIELD(request_record, buf_index), FIELD(request_record, seccomp_filters),
	SIZE(result_record), FIELD(result_record, user_data), FIELD(result_record, request),
	FIELD(result_record, res), FIELD(result_record, cqe_flags),
	SIZE(register_record), FIELD(register_record, result), FIELD(register_record, operation),
	FIELD(register_record, files), FIELD(register_record, buffers),
	FIELD(register_record, tid), FIELD(register_record, pid),
	SIZE(ring_record), FIELD(ring_record, pid), FIELD(ring_record, tid),
	FIELD(ring_record, fd), FIELD(ring_record, found_by), FIELD(ring_record, flags),
	FIELD(ring_record, sq_entries), FIELD(ring_record, cq_entries),
	FIELD(ring_record, sq_head), FIELD(ring_record, sq_tail), FIELD(ring_record, cq_head),
	FIELD(ring_record, cq_tail), FIELD(ring_record, dropped), FIELD(ring_record, overflow),
	FIELD(ring_record, sq_pid), FIELD(ring_record, sq_tid), FIELD(ring_record, sq_cpu),
	FIELD(ring_record, creator_uid), FIELD(ring_record, seccomp_filters),
	FIELD(ring_record, valid),
	SIZE(process_record), FIELD(process_record, image), FIELD(process_record, start), FIELD(process_record, exec_count),
	FIELD(process_record, cap_inheritable), FIELD(process_record, cap_permitted),
	FIELD(process_record, cap_effective), FIELD(process_record, pid),
	FIELD(process_record, ppid), FIELD(process_record, uid), FIELD(process_record, gid),
	FIELD(process_record, euid), FIELD(process_record, egid), FIELD(process_record, auid),
	FIELD(process_record, secureexec), FIELD(process_record, comm),
	FIELD(process_record, valid),
	SIZE(file_record), FIELD(file_record, file), FIELD(file_record, inode), FIELD(file_record, mode),
	FIELD(file_record, magic),
	FIELD(file_record, deleted),
	SIZE(section), FIELD(section, kind), FIELD(section, length), FIELD(section, extra),
	SIZE(socket_info), FIELD(socket_info, family), FIELD(socket_info, type),
	FIELD(socket_info, local_port), FIELD(socket_info, port),
	FIELD(socket_info, local_addr), FIELD(socket_info, addr),
	FIELD(socket_info, valid),
	SIZE(counters), FIELD(counters, seq), FIELD(counters, seen), FIELD(counters, filtered),
	FIELD(counters, lost), FIELD(counters, lost_other),
	FIELD(counters, lost_by_pid),
};

static int print(enum libbpf_print_level level, const char *format, va_list args)
{
	/* The first warning is the cause, the rest are its consequences; but from 5.11 on the limit
	 * that libbpf may fail to raise is the cause of nothing. */
	if (level == LIBBPF_WARN && !*capture.log && !strstr(format, "RLIMIT_MEMLOCK")) {
		va_list again;

		va_copy(again, args);
		vsnprintf(capture.log, sizeof(capture.log), format, again);
		va_end(again);
	}
	if (capture.verbose && level != LIBBPF_DEBUG)
		return vfprintf(stderr, format, args);
	return 0;
}

/* Writes the layout as text; the bytes needed, of which at most `capacity` were written. */
int32_t iouring_capture_layout(char *out, uint32_t capacity_bytes)
{
	size_t used = 0;

	for (size_t i = 0; i < sizeof(layout) / sizeof(layout[0]); i++) {
		int written = snprintf(used < capacity_bytes ? out + used : NULL,
				       used < capacity_bytes ? capacity_bytes - used : 0,
				       "%s %u %u\n", layout[i].name, layout[i].value,
				       layout[i].size);

		used += written;
	}
	return used;
}

/* The cause of the last failure in libbpf's words. */
int32_t iouring_capture_log(char *out, uint32_t capacity_bytes)
{
	if (!capacity_bytes)
		return 0;
	return snprintf(out, capacity_bytes, "%s", capture.log);
}

static void close_canary(void)
{
	if (capture.canary_fd >= 0)
		close(capture.canary_fd);
	capture.canary_fd = -1;
}

/* Nothing is recorded from here on; what is in the ring buffer can still be polled. */
int32_t iouring_capture_detach(void)
{
	for (int i = 0; i < PROGRAMS; i++) {
		bpf_link__destroy(capture.links[i]);
		capture.links[i] = NULL;
	}
	return 0;
}

int32_t iouring_capture_close(void)
{
	iouring_capture_detach();
	ring_buffer__free(capture.ring);
	capture.ring = NULL;
	if (capture.counters)
		munmap(capture.counters, capture.counters_size);
	capture.counters = NULL;
	if (capture.control)
		munmap(capture.control, sizeof(*capture.control));
	capture.control = NULL;
	if (capture.judgements)
		munmap(capture.judgements, JUDGEMENTS * sizeof(*capture.judgements));
	capture.judgements = NULL;
	for (int i = 0; i < PROGRAMS; i++) {
		if (capture.info_fds[i] > 0)
			close(capture.info_fds[i]);
		capture.info_fds[i] = 0;
	}
	bpf_object__close(capture.object);
	capture.object = NULL;
	btf__free(capture.kernel);
	capture.kernel = NULL;
	close_canary();
	return 0;
}

static void init_libbpf(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	libbpf_set_print(print);
	/* Before 5.11 programs and maps count against it. */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

/*
 * Tries to load a program that does nothing but read the kernel's memory: 0, or a negative errno.
 * Its helper is what lockdown takes away.
 */
int32_t iouring_capture_try(void)
{
	static const struct bpf_insn code[] = {
		/* r1 = fp - 8, r2 = 8, r3 = 0, bpf_probe_read_kernel(), r0 = 0 */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd;

	init_libbpf();
	fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "iouring_try", "GPL", code,
			   sizeof(code) / sizeof(code[0]), NULL);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void leave_out(const char *program)
{
	bpf_program__set_autoload(bpf_object__find_program_by_name(capture.object, program), false);
}

/* Opens the object. `btf` is the path of the kernel's types, or empty for the kernel's own. */
int32_t iouring_capture_open(const uint8_t *object, uint64_t size, const char *btf,
				    uint32_t verbose)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "iouring");
	long error;
	int cpus;

	if (capture.object)
		return -EBUSY;
	cpus = libbpf_num_possible_cpus();
	if (cpus < 0)
		return cpus;
	capture.cpus = cpus;
	capture.verbose = verbose;
	*capture.log = '\0';
	capture.wait_ms = WAIT_BUSY_MS;
	init_libbpf();
	capture.kernel = *btf ? btf__parse(btf, NULL) : btf__load_vmlinux_btf();
	error = libbpf_get_error(capture.kernel);
	if (error) {
		capture.kernel = NULL;
		return error;
	}
	/*
	 * Named even where it is the kernel's own: else libbpf looks for older forms of our types in
	 * the modules too, which takes CAP_SYS_ADMIN. io_uring is not a module.
	 */
	if (*btf)
		options.btf_custom_path = btf;
	else if (!access(KERNEL_BTF, R_OK))
		options.btf_custom_path = KERNEL_BTF;
	capture.object = bpf_object__open_mem(object, size, &options);
	error = libbpf_get_error(capture.object);
	if (error) {
		capture.object = NULL;
		iouring_capture_close();
		return error;
	}
	/* The kernel finds what an iterator hangs on by its own types alone. */
	for (int i = 0; access(KERNEL_BTF, R_OK) && i < ITERATORS; i++)
		leave_out(iterators[i]);
	return 0;
}

/* The object's constant of a name: its place in the .rodata map's initial value. */
static void *constant(const char *name, uint32_t size)
{
	struct btf *btf = bpf_object__btf(capture.object);
	int32_t id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *section = btf__type_by_id(btf, id);
	const struct btf_var_secinfo *variable;
	struct bpf_map *map;
	void *values = NULL;
	size_t bytes;

	if (id < 0)
		return NULL;
	bpf_object__for_each_map(map, capture.object) {
		if (strstr(bpf_map__name(map), ".rodata")) {
			values = (void *)bpf_map__initial_value(map, &bytes);
			break;
		}
	}
	if (!values)
		return NULL;
	variable = btf_var_secinfos(section);
	for (int i = 0; i < btf_vlen(section); i++, variable++) {
		const struct btf_type *type = btf__type_by_id(btf, variable->type);

		if (strcmp(btf__name_by_offset(btf, type->name_off), name))
			continue;
		if (variable->size != size || variable->offset + size > bytes)
			return NULL;
		return (char *)values + variable->offset;
	}
	return NULL;
}

/* Sets a constant of the object; only before it is loaded. */
int32_t iouring_capture_set(const char *name, const uint8_t *value, uint32_t size)
{
	void *place = capture.object ? constant(name, size) : NULL;

	if (!place)
		return -ENOENT;
	memcpy(place, value, size);
	return 0;
}

/* Gives a map of the object room for so many entries; only before it is loaded. */
int32_t iouring_capture_room(const char *name, uint32_t entries)
{
	struct bpf_map *map = capture.object ?
		bpf_object__find_map_by_name(capture.object, name) : NULL;

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

/* The parameters of a tracepoint, without the first, which is the tracer's own; NULL if none. */
static const struct btf_param *tracepoint(const char *name, int *count)
{
	char typedef_name[64];
	const struct btf_type *type;
	int32_t id;

	snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", name);
	id = btf__find_by_name_kind(capture.kernel, typedef_name, BTF_KIND_TYPEDEF);
	if (id < 0)
		return NULL;
	type = btf__type_by_id(capture.kernel, id);
	type = btf__type_by_id(capture.kernel, type->type);
	if (!type || !btf_is_ptr(type))
		return NULL;
	type = btf__type_by_id(capture.kernel, type->type);
	if (!type || !btf_is_func_proto(type) || btf_vlen(type) < 2)
		return NULL;
	*count = btf_vlen(type) - 1;
	return btf_params(type) + 1;
}

/* A type of the kernel behind its qualifiers and names. */
static const struct btf_type *resolve(uint32_t id)
{
	const struct btf_type *type = btf__type_by_id(capture.kernel, id);

	while (type && (btf_is_mod(type) || btf_is_typedef(type)))
		type = btf__type_by_id(capture.kernel, type->type);
	return type;
}

static bool is_pointer(const struct btf_param *parameter)
{
	const struct btf_type *type = resolve(parameter->type);

	return type && btf_is_ptr(type);
}

static bool is_pointer_to_struct(const struct btf_param *parameter)
{
	const struct btf_type *type = is_pointer(parameter) ?
		resolve(resolve(parameter->type)->type) : NULL;

	return type && btf_is_struct(type);
}

/*
 * Of the two forms of the submit programs, chooses the one that follows pointers by itself where it
 * may: since 6.0 the request comes with its type.
 */
static int choose_submit(const struct btf_param *request, bool may_be_typed)
{
	static const char *const forms[2][2] = {
		{ "submit", "submit_again" },
		{ "submit_typed", "submit_again_typed" },
	};
	const bool *again = constant("want_again", sizeof(*again));
	bool typed = may_be_typed && is_pointer_to_struct(request);

	for (int i = 0; i < 2; i++) {
		struct bpf_program *program;
		int error;

		leave_out(forms[!typed][i]);
		program_names[PROGRAM_SUBMIT + i] = forms[typed][i];
		program = bpf_object__find_program_by_name(capture.object, forms[typed][i]);
		error = typed ? bpf_program__set_attach_target(program, 0, capture.submit_name) : 0;
		if (error)
			return error;
	}
	if (!again || !*again)
		leave_out(forms[typed][1]);
	return 0;
}

#define MAX_NESTING 8

static bool has_member(uint32_t id, const char *name, int depth)
{
	const struct btf_type *type = resolve(id);
	const struct btf_member *member;

	if (!type || !btf_is_composite(type) || depth > MAX_NESTING)
		return false;
	member = btf_members(type);
	for (int i = 0; i < btf_vlen(type); i++, member++) {
		const char *own = btf__name_by_offset(capture.kernel, member->name_off);

		if (!strcmp(own, name) || (!*own && has_member(member->type, name, depth + 1)))
			return true;
	}
	return false;
}

/* A value that an enum of the kernel gives a name, or -1. Those without a name only a search finds. */
static int enumerator(const char *name)
{
	uint32_t count = btf__type_cnt(capture.kernel);

	for (uint32_t id = 1; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(capture.kernel, id);
		const struct btf_enum *value = btf_enum(type);

		if (!btf_is_enum(type))
			continue;
		for (int i = 0; i < btf_vlen(type); i++, value++) {
			if (!strcmp(btf__name_by_offset(capture.kernel, value->name_off), name))
				return value->val;
		}
	}
	return -1;
}

static int set_form(uint32_t program, const char *name, uint32_t form)
{
	capture.forms[program] = form;
	return iouring_capture_set(name, (uint8_t *)&form, sizeof(form));
}

/* Learns from BTF how this kernel's tracepoints pass what they pass. */
static int probe_forms(bool may_be_typed)
{
	const struct btf_param *parameters;
	int count, error, bit;
	uint32_t flag;

	capture.submit_name = "io_uring_submit_req";
	parameters = tracepoint(capture.submit_name, &count);
	if (!parameters) {
		capture.submit_name = "io_uring_submit_sqe";
		parameters = tracepoint(capture.submit_name, &count);
	}
	if (!parameters)
		return -ENOENT;
	error = set_form(PROGRAM_SUBMIT, "submit_form",
			 count <= 2 ? 1 : is_pointer(&parameters[1]) ? 2 : 3);
	if (!error)
		error = choose_submit(parameters, may_be_typed && count <= 2);
	if (error)
		return error;

	parameters = tracepoint("io_uring_complete", &count);
	if (!parameters)
		leave_out("complete");
	else
		error = set_form(PROGRAM_COMPLETE, "complete_form",
				 count == 3 ? 1 : is_pointer(&parameters[1]) ? 2 : 3);
	if (error)
		return error;

	parameters = tracepoint("io_uring_req_failed", &count);
	if (!parameters)
		leave_out("failed");
	error = set_form(PROGRAM_FAILED, "failed_form",
			 !parameters ? 0 : count == 3 ? 1 : count == 4 ? 2 : 3);
	if (error)
		return error;

	parameters = tracepoint("io_uring_register", &count);
	if (parameters)
		error = set_form(PROGRAM_REGISTER, "register_form", count == 5 ? 1 : 2);
	if (!tracepoint("io_uring_cqe_overflow", &count))
		leave_out("overflow");
	bit = enumerator("REQ_F_CREDS_BIT");
	if (!error && bit >= 0 && bit < 32) {
		flag = 1U << bit;
		error = iouring_capture_set("creds_flag", (uint8_t *)&flag, sizeof(flag));
	}
	return error;
}

/* How this kernel passes what a program looks at: a *_form of the object; 0 is not known. */
int32_t iouring_capture_form(uint32_t index)
{
	return index < PROGRAMS ? capture.forms[index] : 0;
}

/* 1 when a struct of this kernel has a member, at whatever depth of unnamed members. */
int32_t iouring_capture_has(const char *name, const char *member)
{
	int32_t id = btf__find_by_name_kind(capture.kernel, name, BTF_KIND_STRUCT);

	return id >= 0 && has_member(id, member, 0);
}

/* A batch is full when it could not take the longest record: then the walk stops, with this
 * record stored, since libbpf has taken it from the ring buffer either way. */
static int on_record(void *context, void *data, size_t size)
{
	(void)context;
	memcpy(capture.batch + capture.used, data, size);
	capture.used += (size + 7) & ~7u;
	if (capture.capacity - capture.used < MAX_RECORD) {
		capture.full = true;
		return -ENOSPC;
	}
	return 0;
}

static void *map_memory(const char *name, size_t size, int protection)
{
	int fd = bpf_object__find_map_fd_by_name(capture.object, name);
	void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Opens a ring of our own for the canary: its descriptor, or a negative errno. */
static int open_canary(void)
{
	struct io_uring_params *params = &capture.canary_params;
	size_t sq_size, cq_size;
	int fd;

	memset(params, 0, sizeof(*params));
	fd = syscall(SYS_io_uring_setup, 2, params);
	if (fd < 0)
		return -errno;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	sq_size = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
	cq_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
	capture.canary_sq = mmap(NULL, sq_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				 IORING_OFF_SQ_RING);
	capture.canary_cq = mmap(NULL, cq_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				 IORING_OFF_CQ_RING);
	capture.canary_sqes = mmap(NULL, params->sq_entries * sizeof(struct io_uring_sqe),
				   PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	if (capture.canary_sq == MAP_FAILED || capture.canary_cq == MAP_FAILED ||
	    capture.canary_sqes == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

/* What the verifier says of a program that it has accepted: how many instructions it followed. */
static void print_instructions(void)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, capture.object) {
		size_t size;
		const char *log = bpf_program__log_buf(program, &size);
		const char *processed = log ? strstr(log, "processed ") : NULL;
		unsigned int count;
		int whole = 0;

		/* Some kernels say first which part each function has in it: a sum, not a number. */
		for (; processed; processed = strstr(processed + 1, "processed ")) {
			if (sscanf(processed, "processed %u insns%n", &count, &whole) == 1 && whole)
				break;
		}
		if (processed)
			fprintf(stderr, "verifier: %s: processed %u insns\n",
				bpf_program__name(program), count);
	}
}

/*
 * Verifies and loads the programs. `may_be_typed` lets them follow pointers of the kernel's types by
 * themselves, where the kernel offers that.
 */
int32_t iouring_capture_load(uint32_t ring_bytes, uint32_t may_be_typed)
{
	static char logs[16][4096];
	struct bpf_program *program;
	struct bpf_map *map;
	sigset_t ticks, before;
	size_t count = 0;
	const uint32_t *abi;
	long error;

	if (!capture.object)
		return -EINVAL;
	abi = constant("wire_abi", sizeof(*abi));
	if (!abi || *abi != WIRE_ABI)
		return -EPROTO;
	error = probe_forms(may_be_typed);
	if (error)
		return error;
	/* In a second attempt it is to say instead why it refuses. */
	if (capture.verbose && may_be_typed) {
		bpf_object__for_each_program(program, capture.object) {
			if (count == sizeof(logs) / sizeof(logs[0]))
				break;
			bpf_program__set_log_level(program, VERIFIER_STATISTICS);
			bpf_program__set_log_buf(program, logs[count++], sizeof(logs[0]));
		}
	}
	bpf_object__for_each_map(map, capture.object) {
		if (!strcmp(bpf_map__name(map), "records"))
			bpf_map__set_max_entries(map, ring_bytes);
		else if (!strcmp(bpf_map__name(map), "counts"))
			bpf_map__set_max_entries(map, capture.cpus * PROGRAMS);
	}
	/* A signal ends the verifier, and the alarm of signals.c comes again and again. */
	sigemptyset(&ticks);
	sigaddset(&ticks, SIGALRM);
	sigprocmask(SIG_BLOCK, &ticks, &before);
	error = bpf_object__load(capture.object);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (error)
		return error;
	if (capture.verbose)
		print_instructions();

	capture.counters_size = (size_t)capture.cpus * PROGRAMS * sizeof(struct counters);
	capture.counters_size = (capture.counters_size + 4095) & ~4095ul;
	capture.counters = map_memory("counts", capture.counters_size, PROT_READ);
	capture.control = map_memory("controls", 4096, PROT_READ | PROT_WRITE);
	capture.judgements = map_memory("judgements", JUDGEMENTS * sizeof(*capture.judgements),
					PROT_READ | PROT_WRITE);
	if (!capture.counters || !capture.control || !capture.judgements)
		return -ENOMEM;
	capture.ring = ring_buffer__new(
		bpf_object__find_map_fd_by_name(capture.object, "records"), on_record, NULL, NULL);
	error = libbpf_get_error(capture.ring);
	if (error) {
		capture.ring = NULL;
		return error;
	}
	/* Before anything is attached, so that it is one of the rings that were there already. */
	capture.canary_fd = open_canary();
	return 0;
}

/*
 * Attaches one program. -ENOENT where this kernel lacks what it hangs on.
 */
int32_t iouring_capture_attach(uint32_t index)
{
	static const char *const hooks[PROGRAMS] = {
		[PROGRAM_FAILED] = "io_uring_req_failed",
		[PROGRAM_COMPLETE] = "io_uring_complete",
		[PROGRAM_OVERFLOW] = "io_uring_cqe_overflow",
		[PROGRAM_REGISTER] = "io_uring_register",
		[PROGRAM_CREATE] = "io_uring_create",
	};
	struct bpf_program *program;
	const char *hook;
	char path[64];
	long error;

	if (index >= PROGRAM_ITERATE || !capture.object)
		return -EINVAL;
	program = bpf_object__find_program_by_name(capture.object, program_names[index]);
	if (!program || bpf_program__fd(program) < 0)
		return -ENOENT;
	hook = hooks[index] ? hooks[index] : capture.submit_name;
	if (bpf_program__type(program) == BPF_PROG_TYPE_TRACING)
		capture.links[index] = bpf_program__attach_trace(program);
	else
		capture.links[index] = bpf_program__attach_raw_tracepoint(program, hook);
	error = libbpf_get_error(capture.links[index]);
	if (error) {
		capture.links[index] = NULL;
		return error;
	}
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_program__fd(program));
	capture.info_fds[index] = open(path, O_RDONLY | O_CLOEXEC);
	if (capture.info_fds[index] < 0) {
		error = -errno;
		bpf_link__destroy(capture.links[index]);
		capture.links[index] = NULL;
		return error;
	}
	return 0;
}

/* 1 when the submit tracepoint has the name that it got in 6.4, 0 for the older one. */
int32_t iouring_capture_new_name(void)
{
	return !strcmp(capture.submit_name, "io_uring_submit_req");
}

/* Adds a process id to those that pass. */
int32_t iouring_capture_add_pid(uint32_t pid)
{
	uint32_t one = 1;
	int fd = bpf_object__find_map_fd_by_name(capture.object, "pids");

	return bpf_map_update_elem(fd, &pid, &one, BPF_ANY) ? -errno : 0;
}

/* Adds an id of the filter: kind 0 uid, 1 euid, 2 auid. */
int32_t iouring_capture_add_id(uint32_t kind, uint32_t id)
{
	uint64_t key = (uint64_t)kind << 32 | id;
	uint32_t one = 1;
	int fd = bpf_object__find_map_fd_by_name(capture.object, "ids");

	return bpf_map_update_elem(fd, &key, &one, BPF_ANY) ? -errno : 0;
}

/* Tells the programs whether the filter lists what a process runs, by process_record.image. */
int32_t iouring_capture_judge(uint64_t image, uint32_t verdict)
{
	if (!capture.judgements)
		return -EINVAL;
	__atomic_store_n(&capture.judgements[JUDGEMENT_SLOT(image)], JUDGEMENT(image, verdict),
			 __ATOMIC_RELAXED);
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Moves records from the ring buffer to `batch`, waiting up to `timeout_ms` for the first.
 *
 * Returns the bytes written, a multiple of 8; 0 when none came in time.
 */
int32_t iouring_capture_poll(uint8_t *batch, uint32_t capacity_bytes, uint32_t timeout_ms)
{
	uint64_t deadline = now_ms() + timeout_ms;

	if (!capture.ring || capacity_bytes < 2 * MAX_RECORD)
		return -EINVAL;
	capture.batch = batch;
	capture.capacity = capacity_bytes;
	for (;;) {
		struct timespec pause = { 0, (long)capture.wait_ms * 1000000 };
		bool was_full = capture.full;
		int taken;

		/* Let a batch gather, unless the last one left some behind. */
		if (!was_full && timeout_ms)
			nanosleep(&pause, NULL);
		capture.used = 0;
		capture.full = false;
		taken = ring_buffer__consume(capture.ring);
		if (taken < 0 && taken != -ENOSPC)
			return taken;
		if (capture.used) {
			capture.wait_ms = WAIT_BUSY_MS;
			return capture.used;
		}
		if (capture.wait_ms < WAIT_IDLE_MS)
			capture.wait_ms++;
		if (now_ms() >= deadline)
			return 0;
	}
}

/* Address and size of the counters, one row for each CPU and program. */
int32_t iouring_capture_counters(uint64_t *out)
{
	if (!capture.counters)
		return -EINVAL;
	out[0] = (uintptr_t)capture.counters;
	out[1] = capture.counters_size;
	out[2] = capture.cpus;
	return 0;
}

/*
 * How often the kernel did not run a program because it was active on the CPU already; 0 for one
 * that is not attached. From the file that attach() opened: this process may not be allowed to call bpf(2) any more.
 */
int64_t iouring_capture_misses(uint32_t index)
{
	static const char key[] = "recursion_misses:";
	char text[1024];
	ssize_t count;
	char *found;

	if (index >= PROGRAMS)
		return -EINVAL;
	if (capture.info_fds[index] <= 0)
		return 0;
	count = pread(capture.info_fds[index], text, sizeof(text) - 1, 0);
	if (count < 0)
		return -errno;
	text[count] = 0;
	/* Kernels before 5.12 do not say. */
	found = strstr(text, key);
	return found ? strtoll(found + sizeof(key) - 1, NULL, 10) : 0;
}

/* Submits one request on the ring of our own; it completes at once. */
static int submit_own(const struct io_uring_sqe *sqe)
{
	char *sq = capture.canary_sq, *cq = capture.canary_cq;
	const struct io_sqring_offsets *sq_off = &capture.canary_params.sq_off;
	const struct io_cqring_offsets *cq_off = &capture.canary_params.cq_off;
	uint32_t *tail = (uint32_t *)(sq + sq_off->tail);
	uint32_t index = *tail & *(uint32_t *)(sq + sq_off->ring_mask);
	int error = 0;

	capture.canary_sqes[index] = *sqe;
	((uint32_t *)(sq + sq_off->array))[index] = index;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, capture.canary_fd, 1, 0, 0, NULL, 0) < 0)
		error = -errno;
	/* Nobody asks for the completion; make room for the next. */
	__atomic_store_n((uint32_t *)(cq + cq_off->head), *(uint32_t *)(cq + cq_off->tail),
			 __ATOMIC_RELEASE);
	return error;
}

/* Submits a NOP of our own, which the programs know by its user_data. */
int32_t iouring_capture_canary(uint64_t user_data)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_NOP, .fd = -1, .user_data = user_data };

	if (!capture.control)
		return -EINVAL;
	if (capture.canary_fd < 0)
		return capture.canary_fd;
	capture.control->canary = user_data;
	if (!capture.control->probe) {
		struct sockaddr_in nobody = { .sin_family = AF_INET,
					      .sin_port = htons(user_data | 1),
					      .sin_addr.s_addr = htonl(user_data >> 32 | 1) };
		/* On no file at all: it is prepared, seen and refused. */
		struct io_uring_sqe connect = { .opcode = IORING_OP_CONNECT, .fd = -1,
						.addr = (uintptr_t)&nobody, .off = sizeof(nobody),
						.user_data = user_data };

		memcpy(&capture.control->probe, &nobody, sizeof(capture.control->probe));
		submit_own(&connect);
	}
	return submit_own(&sqe);
}

/* Runs an iterator to its end; what it finds comes through the ring buffer. */
int32_t iouring_capture_iterate(const char *name)
{
	struct bpf_program *program;
	struct bpf_link *link;
	char sink[4096];
	ssize_t count;
	long error;
	int fd;

	program = bpf_object__find_program_by_name(capture.object, name);
	if (!program || bpf_program__fd(program) < 0)
		return -ENOENT;
	link = bpf_program__attach_iter(program, NULL);
	error = libbpf_get_error(link);
	if (error)
		return error;
	fd = bpf_iter_create(bpf_link__fd(link));
	error = fd < 0 ? -errno : 0;
	if (fd >= 0) {
		do {
			count = read(fd, sink, sizeof(sink));
		} while (count > 0 || (count < 0 && errno == EAGAIN));
		if (count < 0)
			error = -errno;
		close(fd);
	}
	bpf_link__destroy(link);
	return error;
}

/* Nanoseconds since boot (suspend included) and since 1970, read as close together as can be. */
int32_t iouring_capture_clocks(uint64_t *out)
{
	struct timespec boot, real;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &real);
	out[0] = (uint64_t)boot.tv_sec * 1000000000 + boot.tv_nsec;
	out[1] = (uint64_t)real.tv_sec * 1000000000 + real.tv_nsec;
	return 0;
}
