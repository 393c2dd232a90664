/**
 * Where each opcode's `io_*_prep()` puts what the SQE holds: into a struct of its own, which overlays
 * the front of the `struct io_kiocb` (`io_kiocb_to_cmd()`, `include/linux/io_uring_types.h`). Both
 * sources read requests by this table: `capture` a copy of one that was prepared just now, `scan` one
 * that the kernel has worked on since.
 *
 * @module
 */

import type { ArgumentName } from "../uapi/argument.ts";
import {
  CANCEL_FD,
  CANCEL_OP,
  EPOLL_CTL_DEL,
  FIXED_FD_NO_CLOEXEC,
  NOP_FILE,
  NOP_INJECT_RESULT,
  POLL_ADD_LEVEL,
  POLL_ADD_MULTI,
  POLL_INTERNAL_EVENTS,
  POLL_UPDATE_EVENTS,
  POLL_UPDATE_USER_DATA,
} from "../uapi/op_flags.ts";
import type { RequestFields } from "../uapi/request_fields.ts";

/** A slot of an SQE that a command may hold. */
export type Slot = Exclude<keyof RequestFields, "opcode" | "flags" | "compat" | "socket">;

/** A member of a command by its dotted path, or the names that it has had, newest first. */
export type CommandMember = string | readonly string[];

/** Slots by the member that was made from each. */
export type SlotMembers = { readonly [slot in Slot]?: CommandMember };

/** A command as it lies in one request, and what has been taken from it so far. */
export interface Command {
  /** Whether the kernel has a struct of a name. */
  hasStruct(name: string): boolean;
  /** Whether the command has a member. */
  has(path: string): boolean;
  /** An integer or a pointer of the command; undefined where it has none, or cannot be read. */
  member(member: CommandMember): bigint | undefined;
  /** Fills a slot with as many of the value's bits as it has, unless the value is not known. */
  put(slot: Slot, value: bigint | number | undefined): void;
  /** Keeps a struct within the command that is as it was in user memory. */
  copy(name: ArgumentName, path: string): void;
}

/** How an opcode's command is laid out. */
export interface CommandLayout {
  /** The struct; its earlier names follow. */
  readonly struct: readonly string[];
  /** Members that stay as they are when the request runs. */
  readonly kept?: SlotMembers;
  /** Members that are good until it completes: user pointers. */
  readonly passing?: SlotMembers;
  /** Members that the kernel changes while the request runs. */
  readonly moving?: SlotMembers;
  /** Members that are taken from the SQE only where a bit of `opFlags` asks for it. */
  readonly asked?: readonly { readonly bit: number; readonly slots: SlotMembers }[];
  /** Names of files by the member that keeps them. */
  readonly paths?: { readonly [name in ArgumentName]?: string };
  /** Fills what takes more than to copy a member into a slot. */
  readonly convert?: (command: Command) => void;
}

/** What a slot holds of an integer of any size and sign. */
export const NARROWED: { readonly [slot in Slot]: (value: bigint) => number | bigint } = {
  ioprio: (value) => Number(BigInt.asUintN(16, value)),
  fd: (value) => Number(BigInt.asIntN(32, value)),
  off: (value) => BigInt.asUintN(64, value),
  addr: (value) => BigInt.asUintN(64, value),
  len: (value) => Number(BigInt.asUintN(32, value)),
  opFlags: (value) => Number(BigInt.asUintN(32, value)),
  bufIndex: (value) => Number(BigInt.asUintN(16, value)),
  fileIndex: (value) => Number(BigInt.asUintN(32, value)),
  addr3: (value) => BigInt.asUintN(64, value),
  byteLength: (value) => BigInt.asUintN(64, value),
};

/** `io_uring/openclose.c`: both opcodes' flags have become one `struct open_how`. */
function openHow(command: Command): void {
  command.copy("open_how", "how");
}

/** `io_uring/epoll.c`: EPOLL_CTL_DEL takes no event. */
function epollControl(command: Command): void {
  if (command.member("op") !== BigInt(EPOLL_CTL_DEL)) command.copy("epoll_event", "event");
}

const EPOLLONESHOT = 1 << 30;
const EPOLLET = 1 << 31;

/** `io_uring/poll.c`: what MULTI and LEVEL did not ask for is added to the events. */
function pollAdd(command: Command): void {
  const member = command.member("events");
  if (member === undefined) return;
  const events = Number(member);
  // Multishot came with POLL_REMOVE's update, level triggering with the struct's present name.
  const updates = command.hasStruct("io_poll_update") || command.has("update_events");
  const level = command.hasStruct("io_poll");
  if (updates) {
    command.put(
      "len",
      ((events & EPOLLONESHOT) === 0 ? POLL_ADD_MULTI : 0) |
        (level && (events & EPOLLET) === 0 ? POLL_ADD_LEVEL : 0),
    );
  }
  command.put("opFlags", events & ~POLL_INTERNAL_EVENTS);
}

/** `io_uring/poll.c` */
function pollRemove(command: Command): void {
  const updatesEvents = command.member("update_events");
  const updatesData = command.member("update_user_data");
  if (updatesEvents === undefined || updatesData === undefined) return;
  let flags = 0;
  if (updatesData !== 0n) {
    flags |= POLL_UPDATE_USER_DATA;
    command.put("off", command.member("new_user_data"));
  }
  const member = updatesEvents === 0n ? undefined : command.member("events");
  if (member !== undefined) {
    const events = Number(member);
    flags |= POLL_UPDATE_EVENTS | ((events & EPOLLONESHOT) === 0 ? POLL_ADD_MULTI : 0);
    command.put("opFlags", events & ~POLL_INTERNAL_EVENTS);
  }
  command.put("len", flags);
}

const FLAGS_SHARED = 0x10;
const FLAGS_NUMA = 0x80;
const FLAGS_MPOL = 0x200;

/** `io_uring/futex.c`: `futex2_to_flags()` of `kernel/futex/futex.h`, back again. */
function futexFlags(command: Command): void {
  const flags = command.member("futex_flags");
  if (flags === undefined) return;
  const bits = Number(flags);
  command.put(
    "fd",
    bits & 0x3 | ((bits & FLAGS_SHARED) === 0 ? 0x80 : 0) | ((bits & FLAGS_NUMA) === 0 ? 0 : 0x4) |
      ((bits & FLAGS_MPOL) === 0 ? 0 : 0x8),
  );
}

const O_CLOEXEC = 0o2000000n;

/** `io_uring/openclose.c`: IORING_FIXED_FD_NO_CLOEXEC has become an open flag. */
function fixedInstall(command: Command): void {
  const flags = command.member("o_flags");
  if (flags === undefined) return;
  command.put("opFlags", (flags & O_CLOEXEC) === 0n ? FIXED_FD_NO_CLOEXEC : 0);
}

const NOP: CommandLayout = {
  struct: ["io_nop"], // Linux 6.10
  kept: { opFlags: "flags" },
  asked: [
    { bit: NOP_INJECT_RESULT, slots: { len: "result" } },
    { bit: NOP_FILE, slots: { fd: "fd" } },
  ],
};
const READ_WRITE: CommandLayout = {
  struct: ["io_rw"],
  kept: { opFlags: "flags" }, // Linux 5.19; before, merged into ki_flags
  moving: { off: "kiocb.ki_pos", addr: "addr", len: "len" },
};
const SYNC: CommandLayout = {
  struct: ["io_sync"],
  kept: { off: "off", len: "len", opFlags: "flags" },
};
const SEND_OR_RECEIVE: CommandLayout = {
  struct: ["io_sr_msg"],
  kept: { opFlags: "msg_flags", ioprio: "flags" }, // flags: Linux 5.19 (0455d4ccec54)
  moving: { len: "len" },
};
const SEND_MESSAGE: CommandLayout = {
  struct: ["io_sr_msg"],
  kept: { opFlags: "msg_flags", ioprio: "flags" },
  passing: { addr: "umsg" },
};
const TIMEOUT: CommandLayout = { struct: ["io_timeout"], kept: { off: "off" } };
const ATTRIBUTE: CommandLayout = {
  struct: ["io_xattr"],
  kept: { len: "ctx.size", opFlags: "ctx.flags" },
};
const PATH_ATTRIBUTE: CommandLayout = { ...ATTRIBUTE, paths: { path: "filename" } };
const SPLICE: CommandLayout = {
  struct: ["io_splice"],
  kept: { len: "len", opFlags: "flags", fileIndex: "splice_fd_in" }, // splice_fd_in: Linux 5.15
};
const URING_COMMAND: CommandLayout = {
  struct: ["io_uring_cmd"],
  kept: { off: "cmd_op", opFlags: "flags" }, // flags: Linux 6.1
};
const FUTEX: CommandLayout = {
  struct: ["io_futex"],
  kept: { addr: "uaddr", off: "futex_val", addr3: "futex_mask" },
  convert: futexFlags,
};

/** At the index of the opcode. */
export const COMMAND_LAYOUTS: readonly CommandLayout[] = [
  NOP,
  READ_WRITE, // 1 READV
  READ_WRITE, // 2 WRITEV
  SYNC, // 3 FSYNC
  READ_WRITE, // 4 READ_FIXED
  READ_WRITE, // 5 WRITE_FIXED
  { struct: ["io_poll", "io_poll_iocb"], convert: pollAdd }, // 6 POLL_ADD; Linux 6.0
  { // 7 POLL_REMOVE
    struct: ["io_poll_update", "io_poll_remove", "io_poll_iocb"], // Linux 5.13, 5.11
    kept: { addr: ["old_user_data", "addr"] },
    convert: pollRemove,
  },
  SYNC, // 8 SYNC_FILE_RANGE
  SEND_MESSAGE, // 9 SENDMSG
  { // 10 RECVMSG
    struct: ["io_sr_msg"],
    kept: { opFlags: "msg_flags", ioprio: "flags" },
    moving: { addr: "umsg" }, // A multishot request keeps its buffer in the header's place.
  },
  TIMEOUT, // 11 TIMEOUT
  { // 12 TIMEOUT_REMOVE
    struct: ["io_timeout_rem"],
    kept: { addr: "addr", opFlags: "flags" }, // flags: Linux 5.11
  },
  { // 13 ACCEPT
    struct: ["io_accept"],
    kept: { opFlags: "flags", fileIndex: "file_slot", ioprio: "iou_flags" },
    passing: { addr: "addr", off: "addr_len" },
  },
  { // 14 ASYNC_CANCEL
    struct: ["io_cancel"],
    kept: { addr: "addr", opFlags: "flags" }, // flags: Linux 5.19
    asked: [
      { bit: CANCEL_FD, slots: { fd: "fd" } },
      { bit: CANCEL_OP, slots: { len: "opcode" } },
    ],
  },
  TIMEOUT, // 15 LINK_TIMEOUT
  { // 16 CONNECT
    struct: ["io_connect"],
    kept: { off: "addr_len" },
    passing: { addr: "addr" },
  },
  { // 17 FALLOCATE
    struct: ["io_sync"],
    kept: { off: "off", addr: "len", len: "mode" },
  },
  { // 18 OPENAT
    struct: ["io_open"],
    kept: { fd: "dfd", opFlags: "how.flags", len: "how.mode", fileIndex: "file_slot" },
    paths: { path: "filename" },
    convert: openHow,
  },
  { // 19 CLOSE
    struct: ["io_close"],
    kept: { fd: "fd", fileIndex: "file_slot" }, // file_slot: Linux 5.15
  },
  { // 20 FILES_UPDATE
    struct: ["io_rsrc_update", "io_files_update"], // Linux 5.12
    kept: { off: "offset", len: "nr_args" },
    passing: { addr: "arg" },
  },
  { // 21 STATX
    struct: ["io_statx"],
    kept: { fd: "dfd", len: "mask", opFlags: "flags" },
    paths: { path: "filename" },
  },
  READ_WRITE, // 22 READ
  READ_WRITE, // 23 WRITE
  { // 24 FADVISE
    struct: ["io_fadvise"],
    kept: { off: "offset", addr: "len", len: "len", opFlags: "advice" },
  },
  { // 25 MADVISE
    struct: ["io_madvise"],
    kept: { addr: "addr", off: "len", len: "len", opFlags: "advice" },
  },
  SEND_OR_RECEIVE, // 26 SEND
  SEND_OR_RECEIVE, // 27 RECV
  { // 28 OPENAT2
    struct: ["io_open"],
    kept: { fd: "dfd", fileIndex: "file_slot" }, // file_slot: Linux 5.15
    paths: { path: "filename" },
    convert: openHow,
  },
  { // 29 EPOLL_CTL
    struct: ["io_epoll"],
    kept: { fd: "epfd", len: "op", off: "fd" },
    convert: epollControl,
  },
  { ...SPLICE, passing: { off: "off_out", addr: "off_in" } }, // 30 SPLICE
  { // 31 PROVIDE_BUFFERS
    struct: ["io_provide_buf"],
    kept: { fd: "nbufs", addr: "addr", len: "len", bufIndex: "bgid", off: "bid" },
  },
  { // 32 REMOVE_BUFFERS
    struct: ["io_provide_buf"],
    kept: { fd: "nbufs", bufIndex: "bgid" },
  },
  SPLICE, // 33 TEE
  { struct: ["io_shutdown"], kept: { len: "how" } }, // 34 SHUTDOWN
  { // 35 RENAMEAT
    struct: ["io_rename"],
    kept: { fd: "old_dfd", len: "new_dfd", opFlags: "flags" },
    paths: { old_path: "oldpath", new_path: "newpath" },
  },
  { // 36 UNLINKAT
    struct: ["io_unlink"],
    kept: { fd: "dfd", opFlags: "flags" },
    paths: { path: "filename" },
  },
  { // 37 MKDIRAT
    struct: ["io_mkdir"],
    kept: { fd: "dfd", len: "mode" },
    paths: { path: "filename" },
  },
  { // 38 SYMLINKAT
    struct: ["io_link", "io_symlink"], // Linux 6.0
    kept: { fd: "new_dfd" },
    paths: { old_path: "oldpath", new_path: "newpath" },
  },
  { // 39 LINKAT
    struct: ["io_link", "io_hardlink"], // Linux 6.0
    kept: { fd: "old_dfd", len: "new_dfd", opFlags: "flags" },
    paths: { old_path: "oldpath", new_path: "newpath" },
  },
  { // 40 MSG_RING
    struct: ["io_msg"],
    kept: {
      addr: "cmd", // this, src_fd, dst_fd and flags: Linux 6.0
      off: "user_data",
      len: "len",
      opFlags: "flags",
      fileIndex: "dst_fd", // cqe_flags in the same place: Linux 6.3
      addr3: "src_fd",
    },
  },
  ATTRIBUTE, // 41 FSETXATTR
  PATH_ATTRIBUTE, // 42 SETXATTR
  ATTRIBUTE, // 43 FGETXATTR
  PATH_ATTRIBUTE, // 44 GETXATTR
  { // 45 SOCKET
    struct: ["io_socket"],
    kept: { fd: "domain", off: "type", len: "protocol", fileIndex: "file_slot" },
  },
  URING_COMMAND, // 46 URING_CMD
  SEND_OR_RECEIVE, // 47 SEND_ZC
  SEND_MESSAGE, // 48 SENDMSG_ZC
  READ_WRITE, // 49 READ_MULTISHOT
  { // 50 WAITID
    struct: ["io_waitid"],
    kept: { fd: "upid", len: "which", fileIndex: "options" },
  },
  FUTEX, // 51 FUTEX_WAIT
  FUTEX, // 52 FUTEX_WAKE
  { // 53 FUTEX_WAITV
    struct: ["io_futex"],
    kept: { addr: ["uwaitv", "uaddr"], len: "futex_nr" },
  },
  { struct: ["io_fixed_install"], convert: fixedInstall }, // 54 FIXED_FD_INSTALL
  { struct: ["io_ftrunc"], kept: { off: "len" } }, // 55 FTRUNCATE
  { struct: ["io_bind"], kept: { off: "addr_len" } }, // 56 BIND
  { struct: ["io_listen"], kept: { len: "backlog" } }, // 57 LISTEN
  { // 58 RECV_ZC
    struct: ["io_recvzc"],
    kept: { len: "len", opFlags: "msg_flags", ioprio: "flags" },
  },
  { struct: ["io_epoll_wait"], kept: { len: "maxevents" } }, // 59 EPOLL_WAIT
  READ_WRITE, // 60 READV_FIXED
  READ_WRITE, // 61 WRITEV_FIXED
  { struct: ["io_pipe"], kept: { opFlags: "flags", fileIndex: "file_slot" } }, // 62 PIPE
  NOP, // 63 NOP128
  URING_COMMAND, // 64 URING_CMD128
];
