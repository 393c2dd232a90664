import type { KernelObject } from "../kernel/program.ts";
import type { ArgumentName } from "../uapi/argument.ts";
import {
  CANCEL_FD,
  CANCEL_OP,
  EPOLL_CTL_DEL,
  POLL_INTERNAL_EVENTS,
  POLL_UPDATE_EVENTS,
  POLL_UPDATE_USER_DATA,
  RECVSEND_FIXED_BUF,
  TIMEOUT_IMMEDIATE_ARG,
  TIMEOUT_UPDATE_MASK,
} from "../uapi/op_flags.ts";
import { readSqe, SQE_SIZE } from "../uapi/sqe.ts";
import {
  type CommandReader,
  integerOf,
  type Member,
  type SlotName,
  taskOf,
} from "./command_reader.ts";
import { readable } from "./diagnostics.ts";
import { fdOfFile, fileOfFd } from "./file_target.ts";
import { fixedFile } from "./fixed_files.ts";

/** Where an opcode's `io_*_prep()` function puts what the SQE holds. */
interface CommandLayout {
  /** The struct that overlays the request; its earlier names follow. */
  readonly command: readonly string[];
  /** It works on the file of `sqe->fd`: `needs_file` in `io_uring/opdef.c`. */
  readonly file?: true;
  /** Slots by the member that keeps them, and that stays as it is when the request runs. */
  readonly slots?: { readonly [slot in SlotName]?: Member };
  /** Slots that are good while it is in flight: user pointers, and positions that move. */
  readonly passing?: { readonly [slot in SlotName]?: Member };
  /** Names of files by the member that keeps them. */
  readonly paths?: { readonly [name in ArgumentName]?: string };
  /** What takes more than to copy a member. */
  readonly more?: (reader: CommandReader) => void;
}

/** Fills the slots, and the kernel's copies, of the reader's opcode; none of an unknown one. */
export function readCommand(reader: CommandReader): void {
  const layout = LAYOUTS[reader.opcode];
  if (layout === undefined) return;
  if (layout.file === true) fileDescriptor(reader);
  if (!reader.overlay(layout.command)) return;
  if (layout.slots !== undefined) reader.putMembers(layout.slots);
  if (reader.inFlight) {
    if (layout.passing !== undefined) reader.putMembers(layout.passing);
    for (const [name, member] of Object.entries(layout.paths ?? {})) {
      path(reader, name as ArgumentName, member);
    }
  }
  layout.more?.(reader);
}

const POLL_ADD = 6;

/** Work left for the task that does not mean the request has its result. */
const UNFINISHED_WORK: readonly string[] = [
  "io_poll_task_func",
  "io_req_task_submit",
  "io_uring_cmd_work",
];

/**
 * The file that a request works on. Since Linux 5.18 (6bf9c47a3989) its number is kept, in
 * `io_kiocb.fd` or since 5.19 (cef216fc32d7) in `io_kiocb.cqe.fd`, which is also the place of the
 * completion's flags: a result overwrites it, and so does each wake-up of a poll, with 0.
 */
function fileDescriptor(reader: CommandReader): void {
  if (reader.inFlight) reader.put("fd", keptDescriptor(reader) ?? openDescriptor(reader));
}

function keptDescriptor(reader: CommandReader): bigint | undefined {
  const { kiocb, program, context } = reader;
  if (reader.hasFlag("FAIL")) return undefined;
  const fd = integerOf(kiocb, ["cqe.fd", "fd"]);
  const result = integerOf(kiocb, ["cqe.res", "result"]);
  if (fd === undefined || result === undefined || BigInt.asIntN(32, result) < 0n) return undefined;
  if (context.taskWork === true) {
    const work = integerOf(kiocb, "io_task_work.func");
    if (work === undefined || work === 0n) return undefined;
    if (!UNFINISHED_WORK.some((name) => program.symbols.lookup(name) === work)) return undefined;
  }
  const polled = reader.opcode === POLL_ADD || reader.hasFlag("POLLED");
  return fd === 0n && polled && !isFirstFile(reader) ? undefined : fd;
}

/** The descriptor under which the request's file is open, where there is but one. */
function openDescriptor(reader: CommandReader): number | undefined {
  if (reader.hasFlag("FIXED_FILE")) return undefined;
  return readable(() => {
    const file = reader.kiocb.pointer("file");
    const task = file === 0n ? undefined : taskOf(reader.kiocb);
    return task && fdOfFile(task, file);
  });
}

/** Whether the request's file is number 0 of its process, or of its ring's table. */
function isFirstFile(reader: CommandReader): boolean {
  const { kiocb } = reader;
  const file = readable(() => kiocb.pointer("file"));
  if (file === undefined || file === 0n) return false;
  const first = readable(() => {
    if (reader.hasFlag("FIXED_FILE")) return fixedFile(kiocb.deref("ctx"), 0);
    const task = taskOf(kiocb);
    return task && fileOfFd(task, 0);
  });
  return first?.address === file;
}

/**
 * A `struct filename`. REQ_F_NEED_CLEANUP says that the request still owns it: once used, it is
 * freed.
 *
 * - a `struct delayed_filename` that holds the pointer: since Linux 7.0
 * - a pointer to it
 * - STATX before Linux 5.18 (1b6fe6e0dfec): the user's pointer itself
 */
function path(reader: CommandReader, name: ArgumentName, member: string): void {
  const delayed = `${member}.__incomplete_filename`;
  const held = reader.has(delayed) ? delayed : member;
  if (!reader.has(held)) return;
  if (!reader.pointsToStruct(held)) return reader.putMembers({ addr: held });
  const filename = reader.hasFlag("NEED_CLEANUP") ? reader.target(held) : undefined;
  const used = filename ?? (name === "path" && held === delayed ? lookedUp(reader) : undefined);
  if (used !== undefined) reader.knowString(name, () => used.pointer("name"));
}

/**
 * The `struct filename` that the request's worker is looking up: since Linux 7.0 it is taken out of
 * the request while it runs.
 */
function lookedUp({ context: { worker } }: CommandReader): KernelObject | undefined {
  return worker && readable(() => worker.tryDeref("nameidata")?.tryDeref("name"));
}

/** A request may not take its buffer before it runs; then its length and group give way to it. */
function takesBuffer(reader: CommandReader): boolean {
  return reader.hasFlag("BUFFER_SELECT") && reader.knowsFlag("BUFFER_RING");
}

/**
 * `buf_index` or `buf_group`: `io_kiocb.buf_index`, which since Linux 5.19 (c7fb19428d67) names the
 * buffer itself once one is taken.
 */
function bufferIndex(reader: CommandReader): void {
  const taken = reader.knowsFlag("BUFFER_RING") &&
    (reader.hasFlag("BUFFER_SELECTED") || reader.hasFlag("BUFFER_RING"));
  if (!taken || !reader.inFlight) reader.put("bufIndex", integerOf(reader.kiocb, "buf_index"));
}

// io_uring/rw.c

const READ_FIXED = 4;
const WRITE_FIXED = 5;
const VECTORS: ReadonlySet<number> = new Set([1, 2]);
const REGISTERED: ReadonlySet<number> = new Set([READ_FIXED, WRITE_FIXED, 60, 61]);

function readWrite(reader: CommandReader): void {
  const selects = reader.hasFlag("BUFFER_SELECT");
  if (!takesBuffer(reader)) reader.put("len", reader.member("len"));
  if (REGISTERED.has(reader.opcode)) reader.put("bufIndex", integerOf(reader.kiocb, "buf_index"));
  else if (selects && reader.inFlight) bufferIndex(reader);
  if (!reader.inFlight) return;
  if (!selects) reader.put("addr", reader.member("addr"));

  const data = reader.asyncData("io_async_rw");
  if (selects && data !== undefined) {
    // Kept beside the request since Linux 6.16.
    reader.put("bufIndex", integerOf(data, "buf_group"));
  }
  const done = data === undefined ? 0n : integerOf(data, "bytes_done");
  if (done !== undefined) position(reader, done);
  if (VECTORS.has(reader.opcode) && !selects && data !== undefined && done !== undefined) {
    // In a struct of its own from Linux 5.16 (538941e2681c) to 6.9.
    const left = integerOf(data, ["iter.count", "s.iter.count"]);
    if (left !== undefined) reader.put("byteLength", left + done);
  }
}

const FMODE_STREAM = 1n << 21n;
const CURRENT_POSITION = 0xffff_ffff_ffff_ffffn;

/** The offset asked for, where `done` bytes have moved the position since. */
function position(reader: CommandReader, done: bigint): void {
  // The kernel puts the file's own position in place of -1.
  if (reader.hasFlag("CUR_POS")) return reader.put("off", CURRENT_POSITION);
  const at = reader.member("kiocb.ki_pos");
  if (at === undefined) return;
  const file = readable(() => reader.kiocb.tryDeref("file"));
  const mode = file && integerOf(file, "f_mode");
  if (mode !== undefined && (mode & FMODE_STREAM) !== 0n && at === 0n) {
    // A stream has no position: the kernel puts 0 in place of -1.
    return reader.put("off", reader.sqe?.off === 0n ? 0n : CURRENT_POSITION);
  }
  const start = BigInt.asIntN(64, at) - done;
  if (start >= -1n) reader.put("off", start);
}

// io_uring/net.c

const MSG_CMSG_COMPAT = 0x80000000;
const RECV_MULTISHOT = 1 << 1;
const SEND_VECTORIZED = 1 << 5;
const ACCEPT_MULTISHOT = 1 << 0;
/** `sizeof(struct sockaddr_storage)` */
const MAX_ADDRESS = 128;

function send(reader: CommandReader): void {
  message(reader);
  sendLength(reader);
  if (!reader.inFlight) return;
  if (!reader.hasFlag("BUFFER_SELECT")) reader.put("addr", userBuffer(reader));
  const data = reader.asyncData("io_async_msghdr");
  if (((reader.slot("ioprio") ?? 0) & SEND_VECTORIZED) !== 0) messageLength(reader, data);
  if (reader.has("addr")) {
    // Linux 6.0 to 6.13; the copy beside it is there once it could not be sent.
    const length = reader.member("addr_len");
    if (reader.member("addr") === 0n) return noAddress(reader);
    if (data !== undefined && length !== undefined) {
      return addressAt(reader, readable(() => data.addressOf("addr")), length);
    }
    reader.putMembers({ off: "addr", fileIndex: "addr_len" });
  } else if (reader.has("notif")) {
    // Linux 6.14 has only its copy.
    messageAddress(reader, data);
  } else if (reader.has("msg_flags")) {
    noAddress(reader);
  }
}

function sendMessage(reader: CommandReader): void {
  message(reader);
  if (!reader.inFlight) return;
  reader.put("addr", reader.member("umsg"));
  const data = reader.asyncData("io_async_msghdr");
  messageAddress(reader, data);
  messageLength(reader, data);
}

function receive(reader: CommandReader): void {
  message(reader);
  sendLength(reader);
  if (!reader.inFlight) return;
  receiveGroup(reader);
  if (!reader.hasFlag("BUFFER_SELECT")) reader.put("addr", userBuffer(reader));
}

function receiveMessage(reader: CommandReader): void {
  message(reader);
  if (!reader.inFlight) return;
  receiveGroup(reader);
  // A multishot request keeps its buffer in the header's place.
  if (((reader.slot("ioprio") ?? 0) & RECV_MULTISHOT) !== 0) return;
  reader.put("addr", reader.member("umsg"));
  messageLength(reader, reader.asyncData("io_async_msghdr"));
}

/** What all messages keep. `flags` is since Linux 5.19 (0455d4ccec54). */
function message(reader: CommandReader): void {
  reader.putMembers({ opFlags: "msg_flags", ioprio: "flags" });
  // The kernel marks those of a 32-bit process.
  const ctx = reader.inFlight ? readable(() => reader.kiocb.tryDeref("ctx")) : undefined;
  const flags = reader.slot("opFlags");
  if (ctx !== undefined && flags !== undefined && (integerOf(ctx, "compat") ?? 0n) !== 0n) {
    reader.put("compat", 1n);
    reader.put("opFlags", flags & ~MSG_CMSG_COMPAT);
  }
  const group = reader.hasFlag("BUFFER_SELECT");
  // With `imu`, until Linux 6.12, a send from a registered buffer did not keep its index.
  const registered = ((reader.slot("ioprio") ?? 0) & RECVSEND_FIXED_BUF) !== 0 &&
    !reader.kiocb.has("imu");
  if (reader.inFlight && (group || registered)) bufferIndex(reader);
}

/** What was sent or received has been taken off the length, since Linux 5.19. */
function sendLength(reader: CommandReader): void {
  const length = reader.member("len");
  const done = reader.has("done_io") ? reader.member("done_io") : 0n;
  if (takesBuffer(reader) || length === undefined || done === undefined) return;
  reader.put("len", length + done);
}

/** … and added to the address. */
function userBuffer(reader: CommandReader): bigint | undefined {
  const address = reader.member("buf");
  const done = reader.has("done_io") ? reader.member("done_io") : 0n;
  if (address === undefined || done === undefined || address < done) return undefined;
  return address - done;
}

/** The group stays known where it is needed again: multishot since Linux 6.0 (b3fdea6ecb55). */
function receiveGroup(reader: CommandReader): void {
  if (!reader.hasFlag("BUFFER_SELECT")) return;
  if (reader.has("bgid")) reader.put("bufIndex", reader.member("bgid")); // until 5.18
  else if (((reader.slot("ioprio") ?? 0) & RECV_MULTISHOT) !== 0) {
    reader.put("bufIndex", reader.member("buf_group"));
  }
}

/** The address in a copied `struct msghdr`: from the start since Linux 6.10, else once it waits. */
function messageAddress(reader: CommandReader, data: KernelObject | undefined): void {
  if (data === undefined) return;
  const name = integerOf(data, "msg.msg_name");
  const length = integerOf(data, "msg.msg_namelen");
  const at = readable(() => data.addressOf("addr"));
  if (name === 0n) noAddress(reader);
  else if (name !== undefined && name === at && length !== undefined) {
    addressAt(reader, at, length);
  }
}

/** Bytes of all buffers, where the kernel has copied their list. */
function messageLength(reader: CommandReader, data: KernelObject | undefined): void {
  const fixed = ((reader.slot("ioprio") ?? 0) & RECVSEND_FIXED_BUF) !== 0;
  if (data === undefined || fixed || reader.hasFlag("BUFFER_SELECT")) return;
  const left = integerOf(data, "msg.msg_iter.count");
  const done = reader.has("done_io") ? reader.member("done_io") : 0n;
  if (left !== undefined && done !== undefined) reader.put("byteLength", left + done);
}

function addressAt(reader: CommandReader, at: bigint | undefined, length: bigint): void {
  const size = Number(BigInt.asIntN(32, length));
  if (at === undefined || size <= 0 || size > MAX_ADDRESS) return;
  reader.know("sockaddr", () => reader.program.memory.read(at, size));
}

/** The message goes to the peer; nobody is named. */
function noAddress(reader: CommandReader): void {
  reader.know("sockaddr", () => new Uint8Array());
}

/** CONNECT and BIND, which keep a copy of the address beside them. */
function connectOrBind(reader: CommandReader): void {
  reader.putMembers({ off: "addr_len" });
  if (!reader.inFlight) return;
  reader.putMembers({ addr: "addr" });
  const data = reader.asyncAddress();
  const offset = addressOffset(reader);
  const length = reader.member("addr_len");
  if (data === undefined || offset === undefined || length === undefined) return;
  addressAt(reader, data + BigInt(offset), length);
}

/**
 * Where the copy of a socket address lies in the data beside a request. The types say nothing, but
 * the size that the opcode's table gives does:
 *
 * - `struct sockaddr_storage` itself: newest, and in stable kernels of older series
 * - `struct io_async_msghdr` from Linux 6.10
 * - `struct io_async_connect` before, which begins with it
 */
function addressOffset(reader: CommandReader): number | undefined {
  const { program } = reader;
  const size = reader.asyncSize();
  if (size === undefined) {
    return program.types.struct("io_async_connect") === undefined ? undefined : 0;
  }
  if (size === MAX_ADDRESS) return 0;
  const whole = program.types.struct("io_async_msghdr");
  if (whole?.size !== size || !program.has("io_async_msghdr", "addr")) return undefined;
  return program.offsetOf("io_async_msghdr", "addr");
}

/** Before Linux 6.10, which keeps the flags, MULTISHOT was all there was, since 5.19. */
function accept(reader: CommandReader): void {
  if (reader.has("iou_flags") || !reader.knowsFlag("APOLL_MULTISHOT")) return;
  reader.put("ioprio", reader.hasFlag("APOLL_MULTISHOT") ? ACCEPT_MULTISHOT : 0);
}

// io_uring/openclose.c

const OPENAT = 18;
/** `OPEN_HOW_SIZE_VER0` */
const OPEN_HOW_SIZE = 24;

/** The kernel has made both opcodes' flags one `struct open_how`. */
function openHow(reader: CommandReader): void {
  const how = reader.embedded("how");
  if (how === undefined) return;
  reader.know("open_how", () => reader.program.memory.read(how.address, OPEN_HOW_SIZE));
  // OPENAT has slots for what it says.
  if (reader.opcode !== OPENAT) return;
  reader.put("opFlags", integerOf(how, "flags"));
  reader.put("len", integerOf(how, "mode"));
}

// io_uring/poll.c

const EPOLLONESHOT = 1n << 30n;
const EPOLLET = 1n << 31n;
/** EPOLLERR, EPOLLHUP, EPOLLNVAL and EPOLLRDHUP: what the kernel adds to every poll it arms. */
const POLL_ALWAYS = 0x8 | 0x10 | 0x20 | 0x2000;
const POLL_ADD_MULTI = 1 << 0;
const POLL_ADD_LEVEL = 1 << 3;

function pollAdd(reader: CommandReader): void {
  const events = reader.member("events");
  if (events === undefined) return;
  // Multishot came with POLL_REMOVE's update, level triggering with the struct's present name.
  const updates = reader.program.types.struct("io_poll_update") !== undefined ||
    reader.has("update_events");
  const level = reader.program.types.struct("io_poll") !== undefined;
  if (updates) {
    reader.put(
      "len",
      ((events & EPOLLONESHOT) === 0n ? POLL_ADD_MULTI : 0) |
        (level && (events & EPOLLET) === 0n ? POLL_ADD_LEVEL : 0),
    );
  }
  const asked = Number(events) & ~POLL_INTERNAL_EVENTS;
  reader.put("opFlags", askedEvents(reader, asked));
}

/** Events without what the kernel has added, unless the SQE has that too. */
function askedEvents(reader: CommandReader, events: number): number {
  if ((events & POLL_ALWAYS) !== POLL_ALWAYS) return events; // Not armed yet.
  const asked = (reader.sqe?.opFlags ?? 0) & ~POLL_INTERNAL_EVENTS;
  return (asked | POLL_ALWAYS) === events ? asked : events & ~POLL_ALWAYS;
}

function pollRemove(reader: CommandReader): void {
  // io_poll_update since Linux 5.13, io_poll_remove since 5.11, io_poll_iocb before.
  reader.putMembers({ addr: ["old_user_data", "addr"] });
  const updatesEvents = reader.member("update_events");
  const updatesData = reader.member("update_user_data");
  if (updatesEvents === undefined || updatesData === undefined) return;
  let flags = 0;
  if (updatesData !== 0n) {
    flags |= POLL_UPDATE_USER_DATA;
    reader.putMembers({ off: "new_user_data" });
  }
  const events = updatesEvents === 0n ? undefined : reader.member("events");
  if (events !== undefined) {
    flags |= POLL_UPDATE_EVENTS | ((events & EPOLLONESHOT) === 0n ? POLL_ADD_MULTI : 0);
    reader.put("opFlags", Number(events) & ~POLL_INTERNAL_EVENTS);
  }
  reader.put("len", flags);
}

// io_uring/timeout.c

const TIMEOUT_ABS = 1 << 0;
const HRTIMER_MODE_ABS = 0n;

function timeout(reader: CommandReader): void {
  const data = reader.asyncData("io_timeout_data");
  if (data === undefined) return;
  const mode = integerOf(data, "mode");
  if (data.has("flags")) reader.put("opFlags", integerOf(data, "flags"));
  // Before Linux 5.15 (50c1df2b56e0) ABS was all there was.
  else if (mode !== undefined) reader.put("opFlags", mode === HRTIMER_MODE_ABS ? TIMEOUT_ABS : 0);
  time(reader, data, "addr");
}

function timeoutRemove(reader: CommandReader): void {
  const flags = reader.slot("opFlags") ?? 0;
  if ((flags & TIMEOUT_UPDATE_MASK) === 0) return;
  time(reader, reader.kiocb.as("io_timeout_rem"), "off");
}

/**
 * The time of a timeout: nanoseconds in `time` since Linux 7.1, a `struct timespec64` in `ts`
 * before. Where the SQE itself held it, it goes into its slot.
 */
function time(reader: CommandReader, object: KernelObject, slot: "addr" | "off"): void {
  const inSqe = ((reader.slot("opFlags") ?? 0) & TIMEOUT_IMMEDIATE_ARG) !== 0;
  const seconds = integerOf(object, "ts.tv_sec");
  const nanoseconds = integerOf(object, ["time", "ts.tv_nsec"]);
  if (nanoseconds === undefined) return;
  const total = (seconds ?? 0n) * 1_000_000_000n + nanoseconds;
  if (inSqe) return reader.put(slot, total);
  const view = new DataView(new ArrayBuffer(16));
  view.setBigInt64(0, seconds ?? total / 1_000_000_000n, true);
  view.setBigInt64(8, seconds === undefined ? total % 1_000_000_000n : nanoseconds, true);
  reader.know("timespec", () => new Uint8Array(view.buffer));
}

// The rest.

const NOP_INJECT_RESULT = 1 << 0;
const NOP_FILE = 1 << 1;
const NOP_FIXED_BUFFER = 1 << 3;

/** `io_uring/nop.c`: what its flags do not ask for is not taken from the SQE. */
function nop(reader: CommandReader): void {
  const flags = reader.slot("opFlags") ?? 0;
  if ((flags & NOP_INJECT_RESULT) !== 0) reader.putMembers({ len: "result" });
  if ((flags & NOP_FILE) !== 0) reader.putMembers({ fd: "fd" });
  if ((flags & NOP_FIXED_BUFFER) !== 0) bufferIndex(reader);
}

/** `io_uring/cancel.c`: what its flags do not ask for is not taken from the SQE. */
function asyncCancel(reader: CommandReader): void {
  const flags = reader.slot("opFlags") ?? 0;
  if ((flags & CANCEL_FD) !== 0) reader.putMembers({ fd: "fd" });
  if ((flags & CANCEL_OP) !== 0) reader.putMembers({ len: "opcode" });
}

/** `io_uring/epoll.c`: EPOLL_CTL_DEL has no event. */
function epollControl(reader: CommandReader): void {
  const event = reader.embedded("event");
  if (event === undefined || reader.slot("len") === EPOLL_CTL_DEL) return;
  const events = integerOf(event, "events");
  const data = integerOf(event, "data");
  if (events === undefined || data === undefined) return;
  const view = new DataView(new ArrayBuffer(12));
  view.setUint32(0, Number(events), true);
  view.setBigUint64(4, data, true);
  reader.know("epoll_event", () => new Uint8Array(view.buffer));
}

/** `io_uring/xattr.c` */
function attributeName(reader: CommandReader): void {
  if (!reader.inFlight || !reader.hasFlag("NEED_CLEANUP")) return;
  const name = reader.target("ctx.kname");
  if (name !== undefined) reader.know("name", () => name.text("name"));
}

/**
 * `io_uring/uring_cmd.c`: since Linux 6.5 (fd9b8547bc5c) it keeps the SQE. Only a copy counts: else
 * the pointer leads into the ring, which the process can write, and where another may lie by now.
 */
function uringCommand(reader: CommandReader): void {
  if (((reader.slot("opFlags") ?? 0) & 1 << 0) !== 0) bufferIndex(reader);
  const data = reader.asyncAddress();
  const size = reader.asyncSize();
  const at = reader.has("sqe") ? reader.member("sqe") : undefined;
  if (data === undefined || size === undefined || at === undefined) return;
  if (at < data || at + BigInt(SQE_SIZE) > data + BigInt(size)) return;
  const sqe = readable(() => readSqe(reader.program.memory.read(at, SQE_SIZE), 0));
  if (sqe?.opcode !== reader.opcode) return;
  reader.put("addr", sqe.addr);
  reader.put("fileIndex", sqe.fileIndex);
  reader.put("addr3", sqe.addr3);
}

const FLAGS_SHARED = 0x10;
const FLAGS_NUMA = 0x80;
const FLAGS_MPOL = 0x200;

/** `io_uring/futex.c`: `futex2_to_flags()` of `kernel/futex/futex.h`, back again. */
function futexFlags(reader: CommandReader): void {
  const flags = reader.member("futex_flags");
  if (flags === undefined) return;
  const bits = Number(flags);
  reader.put(
    "fd",
    bits & 0x3 | ((bits & FLAGS_SHARED) === 0 ? 0x80 : 0) | ((bits & FLAGS_NUMA) === 0 ? 0 : 0x4) |
      ((bits & FLAGS_MPOL) === 0 ? 0 : 0x8),
  );
}

const O_CLOEXEC = 0o2000000n;

/** `io_uring/openclose.c`: IORING_FIXED_FD_NO_CLOEXEC has become an open flag. */
function fixedInstall(reader: CommandReader): void {
  const flags = reader.member("o_flags");
  if (flags !== undefined) reader.put("opFlags", (flags & O_CLOEXEC) === 0n ? 1 : 0);
}

const NOP: CommandLayout = {
  command: ["io_nop"], // Linux 6.10
  slots: { opFlags: "flags" },
  more: nop,
};
const READ_WRITE: CommandLayout = {
  command: ["io_rw"],
  file: true,
  slots: { opFlags: "flags" }, // Linux 5.19; before, merged into ki_flags
  more: readWrite,
};
const SYNC: CommandLayout = {
  command: ["io_sync"],
  file: true,
  slots: { off: "off", len: "len", opFlags: "flags" },
};
const SEND: CommandLayout = { command: ["io_sr_msg"], file: true, more: send };
const SEND_MESSAGE: CommandLayout = { command: ["io_sr_msg"], file: true, more: sendMessage };
const TIMEOUT: CommandLayout = { command: ["io_timeout"], slots: { off: "off" }, more: timeout };
const CONNECT: CommandLayout = { command: ["io_connect"], file: true, more: connectOrBind };
const OPEN: CommandLayout = {
  command: ["io_open"],
  slots: { fd: "dfd", fileIndex: "file_slot" }, // file_slot: Linux 5.15
  paths: { path: "filename" },
  more: openHow,
};
const FD_ATTRIBUTE: CommandLayout = {
  command: ["io_xattr"],
  file: true,
  slots: { len: "ctx.size", opFlags: "ctx.flags" },
  more: attributeName,
};
const PATH_ATTRIBUTE: CommandLayout = {
  command: ["io_xattr"],
  slots: { len: "ctx.size", opFlags: "ctx.flags" },
  paths: { path: "filename" },
  more: attributeName,
};
const URING_COMMAND: CommandLayout = {
  command: ["io_uring_cmd"],
  file: true,
  slots: { off: "cmd_op", opFlags: "flags" }, // flags: Linux 6.1
  more: uringCommand,
};
const FUTEX: CommandLayout = {
  command: ["io_futex"],
  slots: { addr: "uaddr", off: "futex_val", addr3: "futex_mask" },
  more: futexFlags,
};

/** At the index of the opcode. */
const LAYOUTS: readonly CommandLayout[] = [
  NOP,
  READ_WRITE, // 1 READV
  READ_WRITE, // 2 WRITEV
  SYNC, // 3 FSYNC
  READ_WRITE, // 4 READ_FIXED
  READ_WRITE, // 5 WRITE_FIXED
  { // 6 POLL_ADD
    command: ["io_poll", "io_poll_iocb"], // Linux 6.0
    file: true,
    more: pollAdd,
  },
  { // 7 POLL_REMOVE
    command: ["io_poll_update", "io_poll_remove", "io_poll_iocb"], // Linux 5.13, 5.11
    more: pollRemove,
  },
  SYNC, // 8 SYNC_FILE_RANGE
  SEND_MESSAGE, // 9 SENDMSG
  { command: ["io_sr_msg"], file: true, more: receiveMessage }, // 10 RECVMSG
  TIMEOUT, // 11 TIMEOUT
  { // 12 TIMEOUT_REMOVE
    command: ["io_timeout_rem"],
    slots: { addr: "addr", opFlags: "flags" }, // flags: Linux 5.11
    more: timeoutRemove,
  },
  { // 13 ACCEPT
    command: ["io_accept"],
    file: true,
    slots: { opFlags: "flags", fileIndex: "file_slot", ioprio: "iou_flags" },
    passing: { addr: "addr", off: "addr_len" },
    more: accept,
  },
  { // 14 ASYNC_CANCEL
    command: ["io_cancel"],
    slots: { addr: "addr", opFlags: "flags" }, // flags: Linux 5.19
    more: asyncCancel,
  },
  TIMEOUT, // 15 LINK_TIMEOUT
  CONNECT, // 16 CONNECT
  { // 17 FALLOCATE
    command: ["io_sync"],
    file: true,
    slots: { off: "off", addr: "len", len: "mode" },
  },
  OPEN, // 18 OPENAT
  { // 19 CLOSE
    command: ["io_close"],
    slots: { fd: "fd", fileIndex: "file_slot" }, // file_slot: Linux 5.15
  },
  { // 20 FILES_UPDATE
    command: ["io_rsrc_update", "io_files_update"], // Linux 5.12
    slots: { off: "offset", len: "nr_args" },
    passing: { addr: "arg" },
  },
  { // 21 STATX
    command: ["io_statx"],
    slots: { fd: "dfd", len: "mask", opFlags: "flags" },
    passing: { off: "buffer" },
    paths: { path: "filename" },
  },
  READ_WRITE, // 22 READ
  READ_WRITE, // 23 WRITE
  { // 24 FADVISE
    command: ["io_fadvise"],
    file: true,
    slots: { off: "offset", addr: "len", len: "len", opFlags: "advice" },
  },
  { // 25 MADVISE
    command: ["io_madvise"],
    slots: { addr: "addr", off: "len", len: "len", opFlags: "advice" },
  },
  SEND, // 26 SEND
  { command: ["io_sr_msg"], file: true, more: receive }, // 27 RECV
  OPEN, // 28 OPENAT2
  { // 29 EPOLL_CTL
    command: ["io_epoll"],
    slots: { fd: "epfd", len: "op", off: "fd" },
    more: epollControl,
  },
  { // 30 SPLICE
    command: ["io_splice"],
    file: true,
    slots: { len: "len", opFlags: "flags", fileIndex: "splice_fd_in" }, // splice_fd_in: Linux 5.15
    passing: { off: "off_out", addr: "off_in" },
  },
  { // 31 PROVIDE_BUFFERS
    command: ["io_provide_buf"],
    slots: { fd: "nbufs", addr: "addr", len: "len", bufIndex: "bgid", off: "bid" },
  },
  { // 32 REMOVE_BUFFERS
    command: ["io_provide_buf"],
    slots: { fd: "nbufs", bufIndex: "bgid" },
  },
  { // 33 TEE
    command: ["io_splice"],
    file: true,
    slots: { len: "len", opFlags: "flags", fileIndex: "splice_fd_in" },
  },
  { command: ["io_shutdown"], file: true, slots: { len: "how" } }, // 34 SHUTDOWN
  { // 35 RENAMEAT
    command: ["io_rename"],
    slots: { fd: "old_dfd", len: "new_dfd", opFlags: "flags" },
    paths: { old_path: "oldpath", new_path: "newpath" },
  },
  { // 36 UNLINKAT
    command: ["io_unlink"],
    slots: { fd: "dfd", opFlags: "flags" },
    paths: { path: "filename" },
  },
  { // 37 MKDIRAT
    command: ["io_mkdir"],
    slots: { fd: "dfd", len: "mode" },
    paths: { path: "filename" },
  },
  { // 38 SYMLINKAT
    command: ["io_link", "io_symlink"], // Linux 6.0
    slots: { fd: "new_dfd" },
    paths: { old_path: "oldpath", new_path: "newpath" },
  },
  { // 39 LINKAT
    command: ["io_link", "io_hardlink"], // Linux 6.0
    slots: { fd: "old_dfd", len: "new_dfd", opFlags: "flags" },
    paths: { old_path: "oldpath", new_path: "newpath" },
  },
  { // 40 MSG_RING
    command: ["io_msg"],
    file: true,
    slots: {
      addr: "cmd", // this, src_fd, dst_fd and flags: Linux 6.0
      off: "user_data",
      len: "len",
      opFlags: "flags",
      fileIndex: "dst_fd", // cqe_flags in the same place: Linux 6.3
      addr3: "src_fd",
    },
  },
  FD_ATTRIBUTE, // 41 FSETXATTR
  PATH_ATTRIBUTE, // 42 SETXATTR
  FD_ATTRIBUTE, // 43 FGETXATTR
  PATH_ATTRIBUTE, // 44 GETXATTR
  { // 45 SOCKET
    command: ["io_socket"],
    slots: { fd: "domain", off: "type", len: "protocol", fileIndex: "file_slot" },
  },
  URING_COMMAND, // 46 URING_CMD
  SEND, // 47 SEND_ZC
  SEND_MESSAGE, // 48 SENDMSG_ZC
  READ_WRITE, // 49 READ_MULTISHOT
  { // 50 WAITID
    command: ["io_waitid"],
    slots: { fd: "upid", len: "which", fileIndex: "options" },
  },
  FUTEX, // 51 FUTEX_WAIT
  FUTEX, // 52 FUTEX_WAKE
  { // 53 FUTEX_WAITV
    command: ["io_futex"],
    slots: { addr: ["uwaitv", "uaddr"], len: "futex_nr" },
  },
  { command: ["io_fixed_install"], file: true, more: fixedInstall }, // 54 FIXED_FD_INSTALL
  { command: ["io_ftrunc"], file: true, slots: { off: "len" } }, // 55 FTRUNCATE
  { command: ["io_bind"], file: true, more: connectOrBind }, // 56 BIND
  { command: ["io_listen"], file: true, slots: { len: "backlog" } }, // 57 LISTEN
  { // 58 RECV_ZC
    command: ["io_recvzc"],
    file: true,
    slots: { len: "len", opFlags: "msg_flags", ioprio: "flags" },
  },
  { command: ["io_epoll_wait"], file: true, slots: { len: "maxevents" } }, // 59 EPOLL_WAIT
  READ_WRITE, // 60 READV_FIXED
  READ_WRITE, // 61 WRITEV_FIXED
  { // 62 PIPE
    command: ["io_pipe"],
    slots: { opFlags: "flags", fileIndex: "file_slot" },
    passing: { addr: "fds" },
  },
  NOP, // 63 NOP128
  URING_COMMAND, // 64 URING_CMD128
];
