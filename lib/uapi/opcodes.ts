/**
 * What an opcode is about; a filter config may name a category in place of its opcodes.
 *
 * - `network`: makes, names, connects or talks over a socket
 * - `file`: opens, reads, writes, resizes or closes a file. READ and WRITE work on sockets and
 *   devices too: the request's target tells which
 * - `metadata`: names, links, attributes and their removal
 * - `process`: waits for a process
 * - `poll`: waits for files to become ready
 * - `timer`: sets, changes or removes a timeout
 * - `sync`: waits for or wakes a futex
 * - `ring`: the ring's own upkeep: nothing, cancel, its file and buffer tables
 * - `device`: a command to the driver behind the file (NVMe, ublk, FUSE), and socket options
 * - `ipc`: pipes and messages between rings
 * - `memory`: advice about the process's memory
 */
export type OpcodeCategory =
  | "network"
  | "file"
  | "metadata"
  | "process"
  | "poll"
  | "timer"
  | "sync"
  | "ring"
  | "device"
  | "ipc"
  | "memory";

/** One io_uring opcode. */
export interface Opcode {
  /** Its value in `sqe->opcode`. */
  readonly number: number;
  /** Its name in `enum io_uring_op`. */
  readonly name: string;
  /** Its one category. */
  readonly category: OpcodeCategory;
  /** Whether the request's `fd` is the open file that it works on. */
  readonly worksOnFile: boolean;
}

/** The name of an opcode that has none. */
export const UNKNOWN_OPCODE = "UNKNOWN";

/**
 * `needs_file` in `io_uring/opdef.c`; and CLOSE and EPOLL_CTL, which look their file up themselves.
 * The others open, or name a directory, or nothing.
 */
const ON_FILE = true;

type OpcodeRow = readonly [name: string, category: OpcodeCategory, worksOnFile?: boolean];

const ROWS: readonly OpcodeRow[] = [
  ["IORING_OP_NOP", "ring"],
  ["IORING_OP_READV", "file", ON_FILE],
  ["IORING_OP_WRITEV", "file", ON_FILE],
  ["IORING_OP_FSYNC", "file", ON_FILE],
  ["IORING_OP_READ_FIXED", "file", ON_FILE],
  ["IORING_OP_WRITE_FIXED", "file", ON_FILE],
  ["IORING_OP_POLL_ADD", "poll", ON_FILE],
  ["IORING_OP_POLL_REMOVE", "poll"],
  ["IORING_OP_SYNC_FILE_RANGE", "file", ON_FILE],
  ["IORING_OP_SENDMSG", "network", ON_FILE],
  ["IORING_OP_RECVMSG", "network", ON_FILE],
  ["IORING_OP_TIMEOUT", "timer"],
  ["IORING_OP_TIMEOUT_REMOVE", "timer"],
  ["IORING_OP_ACCEPT", "network", ON_FILE],
  ["IORING_OP_ASYNC_CANCEL", "ring"],
  ["IORING_OP_LINK_TIMEOUT", "timer"],
  ["IORING_OP_CONNECT", "network", ON_FILE],
  ["IORING_OP_FALLOCATE", "file", ON_FILE],
  ["IORING_OP_OPENAT", "file"],
  ["IORING_OP_CLOSE", "file", ON_FILE],
  ["IORING_OP_FILES_UPDATE", "ring"],
  ["IORING_OP_STATX", "metadata"],
  ["IORING_OP_READ", "file", ON_FILE],
  ["IORING_OP_WRITE", "file", ON_FILE],
  ["IORING_OP_FADVISE", "file", ON_FILE],
  ["IORING_OP_MADVISE", "memory"],
  ["IORING_OP_SEND", "network", ON_FILE],
  ["IORING_OP_RECV", "network", ON_FILE],
  ["IORING_OP_OPENAT2", "file"],
  ["IORING_OP_EPOLL_CTL", "poll", ON_FILE],
  ["IORING_OP_SPLICE", "file", ON_FILE],
  ["IORING_OP_PROVIDE_BUFFERS", "ring"],
  ["IORING_OP_REMOVE_BUFFERS", "ring"],
  ["IORING_OP_TEE", "ipc", ON_FILE],
  ["IORING_OP_SHUTDOWN", "network", ON_FILE],
  ["IORING_OP_RENAMEAT", "metadata"],
  ["IORING_OP_UNLINKAT", "metadata"],
  ["IORING_OP_MKDIRAT", "metadata"],
  ["IORING_OP_SYMLINKAT", "metadata"],
  ["IORING_OP_LINKAT", "metadata"],
  ["IORING_OP_MSG_RING", "ipc", ON_FILE],
  ["IORING_OP_FSETXATTR", "metadata", ON_FILE],
  ["IORING_OP_SETXATTR", "metadata"],
  ["IORING_OP_FGETXATTR", "metadata", ON_FILE],
  ["IORING_OP_GETXATTR", "metadata"],
  ["IORING_OP_SOCKET", "network"],
  ["IORING_OP_URING_CMD", "device", ON_FILE],
  ["IORING_OP_SEND_ZC", "network", ON_FILE],
  ["IORING_OP_SENDMSG_ZC", "network", ON_FILE],
  ["IORING_OP_READ_MULTISHOT", "file", ON_FILE],
  ["IORING_OP_WAITID", "process"],
  ["IORING_OP_FUTEX_WAIT", "sync"],
  ["IORING_OP_FUTEX_WAKE", "sync"],
  ["IORING_OP_FUTEX_WAITV", "sync"],
  ["IORING_OP_FIXED_FD_INSTALL", "file", ON_FILE],
  ["IORING_OP_FTRUNCATE", "file", ON_FILE],
  ["IORING_OP_BIND", "network", ON_FILE],
  ["IORING_OP_LISTEN", "network", ON_FILE],
  ["IORING_OP_RECV_ZC", "network", ON_FILE],
  ["IORING_OP_EPOLL_WAIT", "poll", ON_FILE],
  ["IORING_OP_READV_FIXED", "file", ON_FILE],
  ["IORING_OP_WRITEV_FIXED", "file", ON_FILE],
  ["IORING_OP_PIPE", "ipc"],
  ["IORING_OP_NOP128", "ring"],
  ["IORING_OP_URING_CMD128", "device", ON_FILE],
];

/**
 * All opcodes, at the index of their number. Numbers are never reused, so this also serves kernels
 * that know fewer.
 *
 * Source: `enum io_uring_op` in include/uapi/linux/io_uring.h, up to Linux 7.3.
 */
export const OPCODES: readonly Opcode[] = ROWS.map(
  ([name, category, worksOnFile = false], number) => ({ number, name, category, worksOnFile }),
);

/** Every category that has an opcode, in the order of its first one. */
export const OPCODE_CATEGORIES: readonly OpcodeCategory[] = [
  ...new Set(OPCODES.map((opcode) => opcode.category)),
];

const NUMBERS: ReadonlyMap<string, number> = new Map(
  OPCODES.map((opcode) => [opcode.name, opcode.number]),
);

/** The name of opcode `number`, `"UNKNOWN"` where it has none. */
export function opcodeName(number: number): string {
  return OPCODES[number]?.name ?? UNKNOWN_OPCODE;
}

/** The number of the opcode called `name` (`"IORING_OP_OPENAT"`), undefined where there is none. */
export function opcodeNumber(name: string): number | undefined {
  return NUMBERS.get(name);
}

/** The numbers of the opcodes in `category`, ascending; none for a category that does not exist. */
export function opcodesOfCategory(category: string): number[] {
  return OPCODES.filter((opcode) => opcode.category === category).map((opcode) => opcode.number);
}
