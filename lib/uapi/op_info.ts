import type { Argument, ArgumentReader, KnownArguments, MissingReason } from "./argument.ts";
import { viewOf } from "./bytes.ts";
import { FLAG_SEPARATOR, flagText } from "./flags.ts";
import { opcodeName } from "./opcodes.ts";
import * as op from "./op_flags.ts";
import {
  accessFlags,
  createsFile,
  creationFlags,
  modeText,
  openat2How,
  openatHow,
  type OpenHow,
  resolveFlags,
} from "./open_flags.ts";
import { type OpInfo, RequestDescription } from "./request_description.ts";
import type { RequestFields } from "./request_fields.ts";
import { familyName, protocolName, SOCKET_FLAGS, socketTypeName } from "./socket_address.ts";

/** Puts the keys of one opcode, in their order. */
type Renderer = (request: RequestDescription) => void;

/** What a source may know beyond the slots. */
export interface DescribeOptions {
  /** Arguments read already; one that is there wins over user memory. */
  readonly known?: KnownArguments;
  /**
   * The request has completed, so that what the kernel returns through pointers (the peer of ACCEPT
   * and RECVMSG) may be looked for in user memory. Default false.
   */
  readonly completed?: boolean;
}

const NOTHING_KNOWN: KnownArguments = {};

/**
 * Puts a request's arguments into words.
 *
 * @param fields The slots that the source holds.
 * @param reader Reads the requester's memory, for what is not among `options.known`.
 * @returns `op_info` in the order that the record format gives, with what is missing and what is
 * unverified. It never throws, whatever the request holds.
 */
export function describeRequest(
  fields: RequestFields,
  reader: ArgumentReader,
  options: DescribeOptions = {},
): OpInfo {
  const request = new RequestDescription(fields, reader, {
    known: options.known ?? NOTHING_KNOWN,
    completed: options.completed ?? false,
  });
  const render = RENDERERS[fields.opcode] ?? unknown;
  render(request);
  return request.result();
}

// Which slot an opcode keeps what in is in its io_*_prep() function in io_uring/*.c.

function nop(request: RequestDescription): void {
  const { fields } = request;
  const flags = fields.opFlags ?? 0;
  if ((flags & op.NOP_INJECT_RESULT) !== 0) request.value("injected_result", signed(fields.len));
  if ((flags & op.NOP_FILE) !== 0) request.value("fd", fields.fd);
  if ((flags & op.NOP_FIXED_BUFFER) !== 0) request.value("buf_index", fields.bufIndex);
  request.flags("flags", fields.opFlags, op.NOP_FLAGS);
}

function readWrite(request: RequestDescription): void {
  transfer(request, { vector: false, registered: false });
}

function readWriteFixed(request: RequestDescription): void {
  transfer(request, { vector: false, registered: true });
}

function readWriteVector(request: RequestDescription): void {
  transfer(request, { vector: true, registered: false });
}

function readWriteVectorFixed(request: RequestDescription): void {
  transfer(request, { vector: true, registered: true });
}

function transfer(
  request: RequestDescription,
  kind: { vector: boolean; registered: boolean },
): void {
  const { fields } = request;
  request.file();
  request.offset("offset", fields.off);
  if (kind.vector) request.vector();
  else request.value("len", fields.len);
  request.flags("flags", fields.opFlags, op.RW_FLAGS);
  request.buffer(kind.registered);
}

function fsync(request: RequestDescription): void {
  range(request);
  request.flags("flags", request.fields.opFlags, op.FSYNC_FLAGS);
}

function syncFileRange(request: RequestDescription): void {
  range(request);
  request.flags("flags", request.fields.opFlags, op.SYNC_RANGE_FLAGS);
}

function range(request: RequestDescription): void {
  request.size("offset", request.fields.off);
  request.value("len", request.fields.len);
}

function pollAdd(request: RequestDescription): void {
  pollEvents(request);
  request.flags("flags", request.fields.len, op.POLL_FLAGS);
}

function pollRemove(request: RequestDescription): void {
  const { fields } = request;
  const flags = fields.len ?? 0;
  request.hex("target_user_data", fields.addr);
  if ((flags & op.POLL_UPDATE_EVENTS) !== 0) pollEvents(request);
  if ((flags & op.POLL_UPDATE_USER_DATA) !== 0) request.hex("new_user_data", fields.off);
  request.flags("flags", fields.len, op.POLL_FLAGS);
}

function pollEvents(request: RequestDescription): void {
  const { opFlags } = request.fields;
  const events = opFlags === undefined ? undefined : opFlags & ~op.POLL_INTERNAL_EVENTS;
  request.flags("events", events, op.POLL_EVENTS);
}

function sendMessage(request: RequestDescription): void {
  request.messageAddress();
  request.file();
  request.messageLength();
  sendFlags(request, op.SEND_IMPLIED_FLAGS);
}

function sendMessageZeroCopy(request: RequestDescription): void {
  request.messageAddress();
  request.file();
  request.messageLength();
  sendFlags(request, op.SEND_ZC_IMPLIED_FLAGS);
}

function send(request: RequestDescription): void {
  sendTo(request, op.SEND_IMPLIED_FLAGS);
}

function sendZeroCopy(request: RequestDescription): void {
  sendTo(request, op.SEND_ZC_IMPLIED_FLAGS);
}

function sendTo(request: RequestDescription, implied: number): void {
  const { off, fileIndex, ioprio, len } = request.fields;
  const length = fileIndex === undefined ? undefined : fileIndex & 0xffff;
  if (request.has("sockaddr") || (off !== 0n && length !== 0)) {
    request.socketAddress(off, length, { required: false });
  }
  request.file();
  if (((ioprio ?? 0) & op.SEND_VECTORIZED) !== 0) request.vector();
  else request.value("len", len);
  sendFlags(request, implied);
}

function sendFlags(request: RequestDescription, implied: number): void {
  const { opFlags, ioprio } = request.fields;
  const flags = opFlags === undefined ? undefined : opFlags & ~implied;
  request.flags("flags", flags, op.MESSAGE_FLAGS);
  request.flags("uring_flags", ioprio, op.RECVSEND_FLAGS);
  request.buffer(((ioprio ?? 0) & op.RECVSEND_FIXED_BUF) !== 0);
}

function receiveMessage(request: RequestDescription): void {
  // Until the message is there, the name in the header is a buffer that holds nothing yet.
  if (request.completed) request.messageAddress();
  request.file();
  request.messageLength();
  receiveFlags(request);
}

function receive(request: RequestDescription): void {
  request.file();
  request.value("len", request.fields.len);
  receiveFlags(request);
}

function receiveZeroCopy(request: RequestDescription): void {
  request.file();
  request.value("len", request.fields.len);
  request.value("zcrx_ifq", request.fields.fileIndex);
  receiveFlags(request);
}

function receiveFlags(request: RequestDescription): void {
  request.flags("flags", request.fields.opFlags, op.MESSAGE_FLAGS);
  request.flags("uring_flags", request.fields.ioprio, op.RECVSEND_FLAGS);
  request.buffer(false);
}

function timeout(request: RequestDescription): void {
  const { fields } = request;
  time(request, fields.addr);
  request.size("count", fields.off === undefined ? undefined : BigInt.asUintN(32, fields.off));
  request.flags("flags", fields.opFlags, op.TIMEOUT_FLAGS);
}

function linkTimeout(request: RequestDescription): void {
  time(request, request.fields.addr);
  request.flags("flags", request.fields.opFlags, op.TIMEOUT_FLAGS);
}

function timeoutRemove(request: RequestDescription): void {
  const { fields } = request;
  request.hex("target_user_data", fields.addr);
  if (((fields.opFlags ?? 0) & op.TIMEOUT_UPDATE_MASK) !== 0) time(request, fields.off);
  request.flags("flags", fields.opFlags, op.TIMEOUT_FLAGS);
}

/**
 * Puts `sec` and `nsec` from the `struct __kernel_timespec` that `argument` points to, or from
 * `argument` itself.
 */
function time(request: RequestDescription, argument: bigint | undefined): void {
  const immediate = ((request.fields.opFlags ?? 0) & op.TIMEOUT_IMMEDIATE_ARG) !== 0;
  if (immediate && argument !== undefined) {
    request.size("sec", argument / 1_000_000_000n);
    request.size("nsec", argument % 1_000_000_000n);
    return;
  }
  const timespec = request.struct("timespec", argument, 16);
  if (!timespec.ok) {
    request.miss("sec", timespec.reason);
    request.miss("nsec", timespec.reason);
    return;
  }
  const view = viewOf(timespec.bytes);
  request.size("sec", view.getBigUint64(0, true));
  request.size("nsec", view.getBigUint64(8, true));
  request.mark(timespec, "sec", "nsec");
}

function accept(request: RequestDescription): void {
  const { fields } = request;
  if (request.completed) peer(request);
  request.flags("flags", fields.opFlags, SOCKET_FLAGS);
  request.flags("uring_flags", fields.ioprio, op.ACCEPT_FLAGS);
  request.slot(fields.fileIndex);
}

/**
 * Puts the address of who connected; accept(2) returns it, and its length, through two pointers, if
 * they are not NULL.
 */
function peer(request: RequestDescription): void {
  const { addr, off } = request.fields;
  if (request.has("sockaddr")) {
    request.socketAddress(undefined, undefined, { required: false });
  } else if (addr !== undefined && addr !== 0n) {
    const length = request.lengthAt(off);
    if (typeof length === "string") request.missSocketAddress(length);
    else request.socketAddress(addr, length, { required: false });
  }
}

function asyncCancel(request: RequestDescription): void {
  const { fields } = request;
  const flags = fields.opFlags ?? 0;
  const otherKey = (flags & (op.CANCEL_FD | op.CANCEL_ANY | op.CANCEL_OP)) !== 0;
  if (!otherKey || (flags & op.CANCEL_USERDATA) !== 0) {
    request.hex("target_user_data", fields.addr);
  }
  if ((flags & op.CANCEL_FD) !== 0) request.value("target_fd", fields.fd);
  if ((flags & op.CANCEL_OP) !== 0) {
    request.value("target_opcode", fields.len === undefined ? undefined : opcodeName(fields.len));
  }
  request.flags("flags", fields.opFlags, op.CANCEL_FLAGS);
}

function connectOrBind(request: RequestDescription): void {
  const { addr, off } = request.fields;
  // The kernel takes the length as an int.
  const length = off === undefined ? undefined : Number(BigInt.asIntN(32, off));
  request.socketAddress(addr, length, { required: true });
}

function fallocate(request: RequestDescription): void {
  const { fields } = request;
  request.size("offset", fields.off);
  request.size("len", fields.addr);
  request.flags("mode", fields.len, op.FALLOCATE_MODES);
}

function openat(request: RequestDescription): void {
  const { addr, opFlags, len, fileIndex } = request.fields;
  request.path("path", addr);
  const struct = request.struct("open_how", undefined, 24);
  if (struct.ok) {
    const view = viewOf(struct.bytes);
    openFlags(request, openatHow(view.getUint32(0, true), view.getUint32(8, true)), struct);
  } else if (opFlags !== undefined && len !== undefined) {
    openFlags(request, openatHow(opFlags, len));
  } else {
    noOpenFlags(request, struct.reason);
  }
  request.slot(fileIndex);
}

function openat2(request: RequestDescription): void {
  const { addr, off, fileIndex } = request.fields;
  request.path("path", addr);
  const struct = request.struct("open_how", off, 24);
  if (struct.ok) {
    const view = viewOf(struct.bytes);
    const how = openat2How(view.getUint32(0, true), view.getBigUint64(8, true));
    openFlags(request, how, struct);
    const resolve = resolveFlags(view.getUint32(16, true));
    if (resolve !== "") {
      request.value("resolve", resolve);
      request.mark(struct, "resolve");
    }
  } else {
    noOpenFlags(request, struct.reason);
    request.miss("resolve", struct.reason);
  }
  request.slot(fileIndex);
}

function openFlags(request: RequestDescription, how: OpenHow, source?: Argument): void {
  request.value("access_flags", accessFlags(how.flags));
  request.value("creation_flags", creationFlags(how.flags));
  request.directory("dfd", request.fields.fd);
  // A mode without a file to make is an error in OPENAT2, worth seeing; in OPENAT it is 0 by now.
  const hasMode = createsFile(how.flags) || how.mode !== 0n;
  if (hasMode) request.value("mode", modeText(how.mode));
  if (source === undefined) return;
  request.mark(source, "access_flags", "creation_flags");
  if (hasMode) request.mark(source, "mode");
}

function noOpenFlags(request: RequestDescription, reason: MissingReason): void {
  request.value("access_flags", "");
  request.value("creation_flags", "");
  request.directory("dfd", request.fields.fd);
  request.miss("access_flags", reason);
  request.miss("creation_flags", reason);
  request.miss("mode", reason);
}

function close(request: RequestDescription): void {
  const { fd, fileIndex } = request.fields;
  if (fileIndex === undefined || fileIndex === 0) request.value("fd", fd);
  else request.value("file_slot", fileIndex - 1);
}

function filesUpdate(request: RequestDescription): void {
  const { off, len } = request.fields;
  const offset = off === undefined ? undefined : Number(BigInt.asUintN(32, off));
  request.value("offset", offset === op.FILE_INDEX_ALLOC ? "alloc" : offset);
  request.value("count", len);
}

function statx(request: RequestDescription): void {
  const { fields } = request;
  const onFile = ((fields.opFlags ?? 0) & op.AT_EMPTY_PATH) !== 0;
  if (onFile && fields.addr === 0n && !request.has("path")) request.value("path", "");
  else request.path("path", fields.addr);
  request.flags("flags", fields.opFlags, op.AT_FLAGS);
  request.flags("mask", fields.len, op.STATX_MASK);
  request.directory("dfd", fields.fd);
}

function unlinkat(request: RequestDescription): void {
  const { fields } = request;
  request.path("path", fields.addr);
  request.flags("flags", fields.opFlags, op.UNLINK_FLAGS);
  request.directory("dfd", fields.fd);
}

function mkdirat(request: RequestDescription): void {
  const { fields } = request;
  request.path("path", fields.addr);
  request.value("mode", fields.len === undefined ? undefined : modeText(fields.len));
  request.directory("dfd", fields.fd);
}

function renameat(request: RequestDescription): void {
  twoPaths(request);
  request.flags("flags", request.fields.opFlags, op.RENAME_FLAGS);
}

function linkat(request: RequestDescription): void {
  twoPaths(request);
  request.flags("flags", request.fields.opFlags, op.AT_FLAGS);
}

function twoPaths(request: RequestDescription): void {
  const { fields } = request;
  request.path("old_path", fields.addr);
  request.path("new_path", fields.off);
  request.directory("old_dfd", fields.fd);
  // The slot is unsigned, the directory in it is not.
  request.directory("new_dfd", signed(fields.len));
}

function symlinkat(request: RequestDescription): void {
  const { fields } = request;
  request.path("old_path", fields.addr);
  request.path("new_path", fields.off);
  request.directory("new_dfd", fields.fd);
}

function fdAttribute(request: RequestDescription): void {
  request.value("fd", request.fields.fd);
  attribute(request);
}

function pathAttribute(request: RequestDescription): void {
  request.path("path", request.fields.addr3);
  attribute(request);
}

function attribute(request: RequestDescription): void {
  const { fields } = request;
  request.attributeName(fields.addr);
  request.value("size", fields.len);
  request.flags("flags", fields.opFlags, op.XATTR_FLAGS);
}

function fadvise(request: RequestDescription): void {
  const { fields } = request;
  request.size("offset", fields.off);
  request.size("len", longOrShort(fields.addr, fields.len));
  request.name("advice", fields.opFlags, op.FADVISE_ADVICE);
}

function madvise(request: RequestDescription): void {
  const { fields } = request;
  request.hex("address", fields.addr);
  request.size("len", longOrShort(fields.off, fields.len));
  request.name("advice", fields.opFlags, op.MADVISE_ADVICE);
}

/** A length of 64 bits where one is given, else the one of 32 bits that older kernels know. */
function longOrShort(long: bigint | undefined, short: number | undefined): bigint | undefined {
  if (long === undefined || long !== 0n) return long;
  return short === undefined ? undefined : BigInt(short);
}

function epollControl(request: RequestDescription): void {
  const { fields } = request;
  request.name("op", fields.len, op.EPOLL_OPS);
  request.value("epfd", fields.fd);
  request.value("fd", fields.off === undefined ? undefined : Number(BigInt.asIntN(32, fields.off)));
  if (fields.len === op.EPOLL_CTL_DEL) return;
  const event = request.struct("epoll_event", fields.addr, 12);
  if (event.ok) {
    request.flags("events", viewOf(event.bytes).getUint32(0, true), op.EPOLL_EVENTS);
    request.mark(event, "events");
  } else {
    request.miss("events", event.reason);
  }
}

function epollWait(request: RequestDescription): void {
  request.value("epfd", request.fields.fd);
  request.value("max_events", request.fields.len);
}

function splice(request: RequestDescription): void {
  const { fields } = request;
  request.value("fd_in", signed(fields.fileIndex));
  request.offset("off_in", fields.addr);
  request.value("fd_out", fields.fd);
  request.offset("off_out", fields.off);
  spliceEnd(request);
}

function tee(request: RequestDescription): void {
  const { fields } = request;
  request.value("fd_in", signed(fields.fileIndex));
  request.value("fd_out", fields.fd);
  spliceEnd(request);
}

function spliceEnd(request: RequestDescription): void {
  request.value("len", request.fields.len);
  request.flags("flags", request.fields.opFlags, op.SPLICE_FLAGS);
}

function provideBuffers(request: RequestDescription): void {
  const { fields } = request;
  request.value("count", fields.fd);
  request.hex("address", fields.addr);
  request.value("len", fields.len);
  request.value("buf_group", fields.bufIndex);
  request.size("buf_id", fields.off);
}

function removeBuffers(request: RequestDescription): void {
  request.value("count", request.fields.fd);
  request.value("buf_group", request.fields.bufIndex);
}

function shutdown(request: RequestDescription): void {
  request.name("how", request.fields.len, op.SHUTDOWN_HOW);
}

function messageRing(request: RequestDescription): void {
  const { fields } = request;
  request.value("cmd", fields.addr === undefined ? undefined : messageCommand(fields.addr));
  request.hex("target_user_data", fields.off);
  if (fields.addr === op.MSG_SEND_FD) {
    request.size("src_slot", fields.addr3);
    request.slot(fields.fileIndex);
  } else {
    request.value("target_res", signed(fields.len));
    if (((fields.opFlags ?? 0) & op.MSG_RING_FLAGS_PASS) !== 0) {
      request.value("target_cqe_flags", fields.fileIndex);
    }
  }
  request.flags("flags", fields.opFlags, op.MSG_RING_FLAGS);
}

function messageCommand(command: bigint): string {
  return op.MSG_RING_COMMANDS[Number(command)] ?? command.toString();
}

function socket(request: RequestDescription): void {
  const { fd, off, len, fileIndex } = request.fields;
  request.value("domain", fd === undefined ? undefined : familyName(fd));
  const type = off === undefined ? undefined : Number(BigInt.asUintN(32, off));
  request.value("type", type === undefined ? undefined : socketTypeName(type));
  request.value(
    "protocol",
    len === undefined || fd === undefined ? undefined : protocolName(len, fd),
  );
  request.slot(fileIndex);
}

function uringCommand(request: RequestDescription): void {
  const { fields } = request;
  const command = fields.off === undefined ? undefined : Number(BigInt.asUintN(32, fields.off));
  request.value("cmd_op", command);
  if (fields.socket === true && command !== undefined) socketCommand(request, command);
  // The kernel keeps flags of its own in the upper 8 bits.
  const flags = fields.opFlags === undefined ? undefined : fields.opFlags & 0xffffff;
  request.flags("flags", flags, op.URING_CMD_FLAGS);
  request.buffer(((fields.opFlags ?? 0) & op.URING_CMD_FIXED) !== 0);
}

function socketCommand(request: RequestDescription, command: number): void {
  const { addr, fileIndex } = request.fields;
  const name = op.SOCKET_COMMANDS[command];
  if (name !== undefined) request.value("cmd", name);
  if (name !== "SOCKET_URING_OP_GETSOCKOPT" && name !== "SOCKET_URING_OP_SETSOCKOPT") return;
  request.value("level", addr === undefined ? undefined : Number(BigInt.asIntN(32, addr)));
  request.value("optname", addr === undefined ? undefined : Number(BigInt.asIntN(32, addr >> 32n)));
  request.value("optlen", fileIndex);
}

function waitid(request: RequestDescription): void {
  const { fields } = request;
  request.name("which", fields.len, op.WAITID_TYPES);
  request.value("id", fields.fd);
  request.flags("options", fields.fileIndex, op.WAITID_OPTIONS);
}

function futex(request: RequestDescription): void {
  const { fields } = request;
  request.hex("address", fields.addr);
  request.size("value", fields.off);
  request.hex("mask", fields.addr3);
  request.value("flags", fields.fd === undefined ? undefined : futexFlags(fields.fd));
}

/** The size of the futex word is a value, not a set of bits, and is always told. */
function futexFlags(flags: number): string {
  const rest = flagText(flags & ~3, op.FUTEX_FLAGS);
  const size = op.FUTEX_SIZES[flags & 3]!;
  return rest === "" ? size : size + FLAG_SEPARATOR + rest;
}

function futexWaitVector(request: RequestDescription): void {
  request.hex("address", request.fields.addr);
  request.value("count", request.fields.len);
}

function fixedFdInstall(request: RequestDescription): void {
  request.value("file_slot", request.fields.fd);
  request.flags("flags", request.fields.opFlags, op.FIXED_FD_FLAGS);
}

function ftruncate(request: RequestDescription): void {
  request.size("len", request.fields.off);
}

function listen(request: RequestDescription): void {
  request.value("backlog", signed(request.fields.len));
}

function pipe(request: RequestDescription): void {
  request.flags("flags", request.fields.opFlags, op.PIPE_FLAGS);
  request.slot(request.fields.fileIndex);
}

/** An opcode newer than this table: its slots as they are, for whoever knows it. */
function unknown(request: RequestDescription): void {
  const { fields } = request;
  request.value("ioprio", fields.ioprio);
  request.hex("off", fields.off);
  request.hex("addr", fields.addr);
  request.value("len", fields.len);
  request.value("op_flags", fields.opFlags);
  request.value("buf_index", fields.bufIndex);
  request.value("file_index", fields.fileIndex);
  request.hex("addr3", fields.addr3);
}

/** The signed value in an unsigned slot of 32 bits. */
function signed(value: number | undefined): number | undefined {
  return value === undefined ? undefined : value | 0;
}

/** At the index of the opcode. */
const RENDERERS: readonly Renderer[] = [
  nop, // 0 NOP
  readWriteVector, // 1 READV
  readWriteVector, // 2 WRITEV
  fsync, // 3 FSYNC
  readWriteFixed, // 4 READ_FIXED
  readWriteFixed, // 5 WRITE_FIXED
  pollAdd, // 6 POLL_ADD
  pollRemove, // 7 POLL_REMOVE
  syncFileRange, // 8 SYNC_FILE_RANGE
  sendMessage, // 9 SENDMSG
  receiveMessage, // 10 RECVMSG
  timeout, // 11 TIMEOUT
  timeoutRemove, // 12 TIMEOUT_REMOVE
  accept, // 13 ACCEPT
  asyncCancel, // 14 ASYNC_CANCEL
  linkTimeout, // 15 LINK_TIMEOUT
  connectOrBind, // 16 CONNECT
  fallocate, // 17 FALLOCATE
  openat, // 18 OPENAT
  close, // 19 CLOSE
  filesUpdate, // 20 FILES_UPDATE
  statx, // 21 STATX
  readWrite, // 22 READ
  readWrite, // 23 WRITE
  fadvise, // 24 FADVISE
  madvise, // 25 MADVISE
  send, // 26 SEND
  receive, // 27 RECV
  openat2, // 28 OPENAT2
  epollControl, // 29 EPOLL_CTL
  splice, // 30 SPLICE
  provideBuffers, // 31 PROVIDE_BUFFERS
  removeBuffers, // 32 REMOVE_BUFFERS
  tee, // 33 TEE
  shutdown, // 34 SHUTDOWN
  renameat, // 35 RENAMEAT
  unlinkat, // 36 UNLINKAT
  mkdirat, // 37 MKDIRAT
  symlinkat, // 38 SYMLINKAT
  linkat, // 39 LINKAT
  messageRing, // 40 MSG_RING
  fdAttribute, // 41 FSETXATTR
  pathAttribute, // 42 SETXATTR
  fdAttribute, // 43 FGETXATTR
  pathAttribute, // 44 GETXATTR
  socket, // 45 SOCKET
  uringCommand, // 46 URING_CMD
  sendZeroCopy, // 47 SEND_ZC
  sendMessageZeroCopy, // 48 SENDMSG_ZC
  readWrite, // 49 READ_MULTISHOT
  waitid, // 50 WAITID
  futex, // 51 FUTEX_WAIT
  futex, // 52 FUTEX_WAKE
  futexWaitVector, // 53 FUTEX_WAITV
  fixedFdInstall, // 54 FIXED_FD_INSTALL
  ftruncate, // 55 FTRUNCATE
  connectOrBind, // 56 BIND
  listen, // 57 LISTEN
  receiveZeroCopy, // 58 RECV_ZC
  epollWait, // 59 EPOLL_WAIT
  readWriteVectorFixed, // 60 READV_FIXED
  readWriteVectorFixed, // 61 WRITEV_FIXED
  pipe, // 62 PIPE
  nop, // 63 NOP128
  uringCommand, // 64 URING_CMD128
];
