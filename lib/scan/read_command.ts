import type { KernelObject } from "../kernel/program.ts";
import { COMMAND_LAYOUTS } from "../kernel/request_commands.ts";
import type { ArgumentName } from "../uapi/argument.ts";
import {
  NOP_FIXED_BUFFER,
  POLL_INTERNAL_EVENTS,
  RECVSEND_FIXED_BUF,
  TIMEOUT_IMMEDIATE_ARG,
  TIMEOUT_UPDATE_MASK,
  URING_CMD_FIXED,
} from "../uapi/op_flags.ts";
import { OPCODES } from "../uapi/opcodes.ts";
import { readSqe, SQE_SIZE } from "../uapi/sqe.ts";
import { type CommandReader, integerOf, taskOf } from "./command_reader.ts";
import { readable } from "./diagnostics.ts";
import { fdOfFile, fileOfFd } from "./file_target.ts";
import { fixedFile } from "./fixed_files.ts";

/**
 * Fills the slots, and the kernel's copies, of the reader's opcode; none of an unknown one. What the
 * kernel has changed since the request was prepared is taken back where that can be done.
 */
export function readCommand(reader: CommandReader): void {
  const layout = COMMAND_LAYOUTS[reader.opcode];
  if (layout === undefined) return;
  // A command that keeps the number itself has looked the file up by it.
  const worksOnFile = OPCODES[reader.opcode]?.worksOnFile === true;
  if (worksOnFile && layout.kept?.fd === undefined) fileDescriptor(reader);
  if (!reader.overlay(layout.struct)) return;
  if (layout.kept !== undefined) reader.putMembers(layout.kept);
  if (reader.inFlight) {
    if (layout.passing !== undefined) reader.putMembers(layout.passing);
    for (const [name, member] of Object.entries(layout.paths ?? {})) {
      path(reader, name as ArgumentName, member);
    }
  }
  for (const { bit, slots } of layout.asked ?? []) {
    if (((reader.slot("opFlags") ?? 0) & bit) !== 0) reader.putMembers(slots);
  }
  layout.convert?.(reader);
  SINCE[reader.opcode]?.(reader);
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

/** What all messages have. */
function message(reader: CommandReader): void {
  // The kernel marks those of a 32-bit process.
  const ctx = reader.inFlight ? readable(() => reader.kiocb.tryDeref("ctx")) : undefined;
  const flags = reader.slot("opFlags");
  if (ctx !== undefined && flags !== undefined && (integerOf(ctx, "compat") ?? 0n) !== 0n) {
    reader.compat = true;
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

// io_uring/poll.c

/** EPOLLERR, EPOLLHUP, EPOLLNVAL and EPOLLRDHUP: what the kernel adds to every poll it arms. */
const POLL_ALWAYS = 0x8 | 0x10 | 0x20 | 0x2000;

/** Takes off what the kernel has added to the events, unless the SQE has that too. */
function armedPoll(reader: CommandReader): void {
  const events = reader.slot("opFlags");
  if (events === undefined || (events & POLL_ALWAYS) !== POLL_ALWAYS) return;
  const asked = (reader.sqe?.opFlags ?? 0) & ~POLL_INTERNAL_EVENTS;
  reader.put("opFlags", (asked | POLL_ALWAYS) === events ? asked : events & ~POLL_ALWAYS);
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

/** `io_uring/nop.c` */
function nop(reader: CommandReader): void {
  if (((reader.slot("opFlags") ?? 0) & NOP_FIXED_BUFFER) !== 0) bufferIndex(reader);
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
  if (((reader.slot("opFlags") ?? 0) & URING_CMD_FIXED) !== 0) bufferIndex(reader);
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

/** What each opcode's request says of itself beyond its command, or takes back of what was done. */
const SINCE: { readonly [opcode: number]: (reader: CommandReader) => void } = {
  0: nop,
  1: readWrite,
  2: readWrite,
  4: readWrite,
  5: readWrite,
  [POLL_ADD]: armedPoll,
  9: sendMessage,
  10: receiveMessage,
  11: timeout,
  12: timeoutRemove,
  13: accept,
  15: timeout,
  16: connectOrBind,
  22: readWrite,
  23: readWrite,
  26: send,
  27: receive,
  41: attributeName,
  42: attributeName,
  43: attributeName,
  44: attributeName,
  46: uringCommand,
  47: send,
  48: sendMessage,
  49: readWrite,
  56: connectOrBind,
  60: readWrite,
  61: readWrite,
  63: nop,
  64: uringCommand,
};
