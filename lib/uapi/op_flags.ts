import type { FlagTable } from "./flags.ts";

// Bits and values of the SQE fields whose meaning depends on the opcode. Where no other source is
// named, they are in include/uapi/linux/io_uring.h.

/** `nop_flags`. */
export const NOP_FLAGS: FlagTable = [
  [1 << 0, "IORING_NOP_INJECT_RESULT"],
  [1 << 1, "IORING_NOP_FILE"],
  [1 << 2, "IORING_NOP_FIXED_FILE"],
  [1 << 3, "IORING_NOP_FIXED_BUFFER"],
  [1 << 4, "IORING_NOP_TW"],
  [1 << 5, "IORING_NOP_CQE32"],
];

/** The result is the one in `len`. */
export const NOP_INJECT_RESULT = 1 << 0;

/** `fd` is looked up. */
export const NOP_FILE = 1 << 1;

/** The registered buffer `buf_index` is looked up. */
export const NOP_FIXED_BUFFER = 1 << 3;

/** `rw_flags`. Source: include/uapi/linux/fs.h. */
export const RW_FLAGS: FlagTable = [
  [0x001, "RWF_HIPRI"],
  [0x002, "RWF_DSYNC"],
  [0x004, "RWF_SYNC"],
  [0x008, "RWF_NOWAIT"],
  [0x010, "RWF_APPEND"],
  [0x020, "RWF_NOAPPEND"],
  [0x040, "RWF_ATOMIC"],
  [0x080, "RWF_DONTCACHE"],
  [0x100, "RWF_NOSIGNAL"],
];

/** `fsync_flags`. */
export const FSYNC_FLAGS: FlagTable = [[1 << 0, "IORING_FSYNC_DATASYNC"]];

/** `sync_range_flags`. Source: include/uapi/linux/fs.h. */
export const SYNC_RANGE_FLAGS: FlagTable = [
  [1 << 0, "SYNC_FILE_RANGE_WAIT_BEFORE"],
  [1 << 1, "SYNC_FILE_RANGE_WRITE"],
  [1 << 2, "SYNC_FILE_RANGE_WAIT_AFTER"],
];

/**
 * `poll32_events`, less the bits that the kernel sets for its own use.
 * Source: include/uapi/asm-generic/poll.h.
 */
export const POLL_EVENTS: FlagTable = [
  [0x0001, "POLLIN"],
  [0x0002, "POLLPRI"],
  [0x0004, "POLLOUT"],
  [0x0008, "POLLERR"],
  [0x0010, "POLLHUP"],
  [0x0020, "POLLNVAL"],
  [0x0040, "POLLRDNORM"],
  [0x0080, "POLLRDBAND"],
  [0x0100, "POLLWRNORM"],
  [0x0200, "POLLWRBAND"],
  [0x0400, "POLLMSG"],
  [0x1000, "POLLREMOVE"],
  [0x2000, "POLLRDHUP"],
  [0x10000000, "EPOLLEXCLUSIVE"],
];

/**
 * EPOLLONESHOT and EPOLLET, which the kernel puts into a request's poll mask to mean "not MULTI"
 * and "not LEVEL".
 */
export const POLL_INTERNAL_EVENTS = 0x40000000 | 0x80000000;

/** `len` of POLL_ADD and POLL_REMOVE. */
export const POLL_FLAGS: FlagTable = [
  [1 << 0, "IORING_POLL_ADD_MULTI"],
  [1 << 1, "IORING_POLL_UPDATE_EVENTS"],
  [1 << 2, "IORING_POLL_UPDATE_USER_DATA"],
  [1 << 3, "IORING_POLL_ADD_LEVEL"],
];

/** It goes on after the first event. */
export const POLL_ADD_MULTI = 1 << 0;

/** Level triggered. */
export const POLL_ADD_LEVEL = 1 << 3;

/** The POLL_REMOVE flag that makes it change the events. */
export const POLL_UPDATE_EVENTS = 1 << 1;

/** The POLL_REMOVE flag that makes it change the user_data. */
export const POLL_UPDATE_USER_DATA = 1 << 2;

/** `epoll_event.events`. Source: include/uapi/linux/eventpoll.h. */
export const EPOLL_EVENTS: FlagTable = [
  [0x0001, "EPOLLIN"],
  [0x0002, "EPOLLPRI"],
  [0x0004, "EPOLLOUT"],
  [0x0008, "EPOLLERR"],
  [0x0010, "EPOLLHUP"],
  [0x0020, "EPOLLNVAL"],
  [0x0040, "EPOLLRDNORM"],
  [0x0080, "EPOLLRDBAND"],
  [0x0100, "EPOLLWRNORM"],
  [0x0200, "EPOLLWRBAND"],
  [0x0400, "EPOLLMSG"],
  [0x2000, "EPOLLRDHUP"],
  [0x10000000, "EPOLLEXCLUSIVE"],
  [0x20000000, "EPOLLWAKEUP"],
  [0x40000000, "EPOLLONESHOT"],
  [0x80000000, "EPOLLET"],
];

/** `len` of EPOLL_CTL, epoll_ctl(2)'s op, at the index of its value. */
export const EPOLL_OPS: readonly (string | undefined)[] = [
  undefined,
  "EPOLL_CTL_ADD",
  "EPOLL_CTL_DEL",
  "EPOLL_CTL_MOD",
];

/** The EPOLL_CTL op that takes no event. */
export const EPOLL_CTL_DEL = 2;

/** `msg_flags` of the send and receive opcodes. Source: include/linux/socket.h. */
export const MESSAGE_FLAGS: FlagTable = [
  [0x1, "MSG_OOB"],
  [0x2, "MSG_PEEK"],
  [0x4, "MSG_DONTROUTE"],
  [0x8, "MSG_CTRUNC"],
  [0x10, "MSG_PROBE"],
  [0x20, "MSG_TRUNC"],
  [0x40, "MSG_DONTWAIT"],
  [0x80, "MSG_EOR"],
  [0x100, "MSG_WAITALL"],
  [0x200, "MSG_FIN"],
  [0x400, "MSG_SYN"],
  [0x800, "MSG_CONFIRM"],
  [0x1000, "MSG_RST"],
  [0x2000, "MSG_ERRQUEUE"],
  [0x4000, "MSG_NOSIGNAL"],
  [0x8000, "MSG_MORE"],
  [0x10000, "MSG_WAITFORONE"],
  [0x40000, "MSG_BATCH"],
  [0x2000000, "MSG_SOCK_DEVMEM"],
  [0x4000000, "MSG_ZEROCOPY"],
  [0x20000000, "MSG_FASTOPEN"],
  [0x40000000, "MSG_CMSG_CLOEXEC"],
  [0x80000000, "MSG_CMSG_COMPAT"],
];

/**
 * What io_uring adds to the flags of every send; with it, a prepared request would read otherwise
 * than its SQE.
 */
export const SEND_IMPLIED_FLAGS = 0x4000;

/** What io_uring adds to the flags of every zero-copy send. */
export const SEND_ZC_IMPLIED_FLAGS = SEND_IMPLIED_FLAGS | 0x4000000;

/** `ioprio` of the send and receive opcodes. */
export const RECVSEND_FLAGS: FlagTable = [
  [1 << 0, "IORING_RECVSEND_POLL_FIRST"],
  [1 << 1, "IORING_RECV_MULTISHOT"],
  [1 << 2, "IORING_RECVSEND_FIXED_BUF"],
  [1 << 3, "IORING_SEND_ZC_REPORT_USAGE"],
  [1 << 4, "IORING_RECVSEND_BUNDLE"],
  [1 << 5, "IORING_SEND_VECTORIZED"],
];

/** The `ioprio` bit of a send that takes its data from a registered buffer. */
export const RECVSEND_FIXED_BUF = 1 << 2;

/** The `ioprio` bit of a send that takes an array of iovec. */
export const SEND_VECTORIZED = 1 << 5;

/** `ioprio` of ACCEPT. */
export const ACCEPT_FLAGS: FlagTable = [
  [1 << 0, "IORING_ACCEPT_MULTISHOT"],
  [1 << 1, "IORING_ACCEPT_DONTWAIT"],
  [1 << 2, "IORING_ACCEPT_POLL_FIRST"],
];

/** `timeout_flags`. */
export const TIMEOUT_FLAGS: FlagTable = [
  [1 << 0, "IORING_TIMEOUT_ABS"],
  [1 << 1, "IORING_TIMEOUT_UPDATE"],
  [1 << 2, "IORING_TIMEOUT_BOOTTIME"],
  [1 << 3, "IORING_TIMEOUT_REALTIME"],
  [1 << 4, "IORING_LINK_TIMEOUT_UPDATE"],
  [1 << 5, "IORING_TIMEOUT_ETIME_SUCCESS"],
  [1 << 6, "IORING_TIMEOUT_MULTISHOT"],
  [1 << 7, "IORING_TIMEOUT_IMMEDIATE_ARG"],
];

/** The flags that make TIMEOUT_REMOVE change a timeout. */
export const TIMEOUT_UPDATE_MASK = (1 << 1) | (1 << 4);

/** The time is in the SQE, in nanoseconds, in place of a pointer to it. */
export const TIMEOUT_IMMEDIATE_ARG = 1 << 7;

/** `cancel_flags`. */
export const CANCEL_FLAGS: FlagTable = [
  [1 << 0, "IORING_ASYNC_CANCEL_ALL"],
  [1 << 1, "IORING_ASYNC_CANCEL_FD"],
  [1 << 2, "IORING_ASYNC_CANCEL_ANY"],
  [1 << 3, "IORING_ASYNC_CANCEL_FD_FIXED"],
  [1 << 4, "IORING_ASYNC_CANCEL_USERDATA"],
  [1 << 5, "IORING_ASYNC_CANCEL_OP"],
];

/** Cancel by file. */
export const CANCEL_FD = 1 << 1;

/** Cancel anything. */
export const CANCEL_ANY = 1 << 2;

/** Cancel by user_data, also where another key is given. */
export const CANCEL_USERDATA = 1 << 4;

/** Cancel by opcode. */
export const CANCEL_OP = 1 << 5;

/** `len` of FALLOCATE. Source: include/uapi/linux/falloc.h. */
export const FALLOCATE_MODES: FlagTable = [
  [0x01, "FALLOC_FL_KEEP_SIZE"],
  [0x02, "FALLOC_FL_PUNCH_HOLE"],
  [0x04, "FALLOC_FL_NO_HIDE_STALE"],
  [0x08, "FALLOC_FL_COLLAPSE_RANGE"],
  [0x10, "FALLOC_FL_ZERO_RANGE"],
  [0x20, "FALLOC_FL_INSERT_RANGE"],
  [0x40, "FALLOC_FL_UNSHARE_RANGE"],
  [0x80, "FALLOC_FL_WRITE_ZEROES"],
];

/**
 * `statx_flags`, `hardlink_flags`. Source: include/uapi/linux/fcntl.h, include/uapi/linux/stat.h.
 */
export const AT_FLAGS: FlagTable = [
  [0x100, "AT_SYMLINK_NOFOLLOW"],
  [0x400, "AT_SYMLINK_FOLLOW"],
  [0x800, "AT_NO_AUTOMOUNT"],
  [0x1000, "AT_EMPTY_PATH"],
  [0x2000, "AT_STATX_FORCE_SYNC"],
  [0x4000, "AT_STATX_DONT_SYNC"],
  [0x8000, "AT_RECURSIVE"],
];

/** An empty (since Linux 6.11 also a NULL) path means the directory fd itself. */
export const AT_EMPTY_PATH = 0x1000;

/** `unlink_flags`. Source: include/uapi/linux/fcntl.h. */
export const UNLINK_FLAGS: FlagTable = [[0x200, "AT_REMOVEDIR"]];

/** `rename_flags`. Source: include/uapi/linux/fs.h. */
export const RENAME_FLAGS: FlagTable = [
  [1 << 0, "RENAME_NOREPLACE"],
  [1 << 1, "RENAME_EXCHANGE"],
  [1 << 2, "RENAME_WHITEOUT"],
];

/** `xattr_flags`. Source: include/uapi/linux/xattr.h. */
export const XATTR_FLAGS: FlagTable = [
  [1 << 0, "XATTR_CREATE"],
  [1 << 1, "XATTR_REPLACE"],
];

/** `len` of STATX. Source: include/uapi/linux/stat.h. */
export const STATX_MASK: FlagTable = [
  [0x7ff, "STATX_BASIC_STATS"],
  [0x1, "STATX_TYPE"],
  [0x2, "STATX_MODE"],
  [0x4, "STATX_NLINK"],
  [0x8, "STATX_UID"],
  [0x10, "STATX_GID"],
  [0x20, "STATX_ATIME"],
  [0x40, "STATX_MTIME"],
  [0x80, "STATX_CTIME"],
  [0x100, "STATX_INO"],
  [0x200, "STATX_SIZE"],
  [0x400, "STATX_BLOCKS"],
  [0x800, "STATX_BTIME"],
  [0x1000, "STATX_MNT_ID"],
  [0x2000, "STATX_DIOALIGN"],
  [0x4000, "STATX_MNT_ID_UNIQUE"],
  [0x8000, "STATX_SUBVOL"],
  [0x10000, "STATX_WRITE_ATOMIC"],
  [0x20000, "STATX_DIO_READ_ALIGN"],
];

/** `splice_flags`. Source: include/linux/splice.h and the io_uring header. */
export const SPLICE_FLAGS: FlagTable = [
  [0x1, "SPLICE_F_MOVE"],
  [0x2, "SPLICE_F_NONBLOCK"],
  [0x4, "SPLICE_F_MORE"],
  [0x8, "SPLICE_F_GIFT"],
  [0x80000000, "SPLICE_F_FD_IN_FIXED"],
];

/** `fadvise_advice` of FADVISE, at the index of its value. Source: include/uapi/linux/fadvise.h. */
export const FADVISE_ADVICE: readonly string[] = [
  "POSIX_FADV_NORMAL",
  "POSIX_FADV_RANDOM",
  "POSIX_FADV_SEQUENTIAL",
  "POSIX_FADV_WILLNEED",
  "POSIX_FADV_DONTNEED",
  "POSIX_FADV_NOREUSE",
];

/**
 * `fadvise_advice` of MADVISE, at the index of its value.
 * Source: include/uapi/asm-generic/mman-common.h.
 */
export const MADVISE_ADVICE: readonly (string | undefined)[] = sparse([
  [0, "MADV_NORMAL"],
  [1, "MADV_RANDOM"],
  [2, "MADV_SEQUENTIAL"],
  [3, "MADV_WILLNEED"],
  [4, "MADV_DONTNEED"],
  [8, "MADV_FREE"],
  [9, "MADV_REMOVE"],
  [10, "MADV_DONTFORK"],
  [11, "MADV_DOFORK"],
  [12, "MADV_MERGEABLE"],
  [13, "MADV_UNMERGEABLE"],
  [14, "MADV_HUGEPAGE"],
  [15, "MADV_NOHUGEPAGE"],
  [16, "MADV_DONTDUMP"],
  [17, "MADV_DODUMP"],
  [18, "MADV_WIPEONFORK"],
  [19, "MADV_KEEPONFORK"],
  [20, "MADV_COLD"],
  [21, "MADV_PAGEOUT"],
  [22, "MADV_POPULATE_READ"],
  [23, "MADV_POPULATE_WRITE"],
  [24, "MADV_DONTNEED_LOCKED"],
  [25, "MADV_COLLAPSE"],
  [100, "MADV_HWPOISON"],
  [101, "MADV_SOFT_OFFLINE"],
  [102, "MADV_GUARD_INSTALL"],
  [103, "MADV_GUARD_REMOVE"],
]);

/** `len` of SHUTDOWN, shutdown(2)'s how, at the index of its value. */
export const SHUTDOWN_HOW: readonly string[] = ["SHUT_RD", "SHUT_WR", "SHUT_RDWR"];

/** `addr` of MSG_RING, at the index of its value. */
export const MSG_RING_COMMANDS: readonly string[] = ["IORING_MSG_DATA", "IORING_MSG_SEND_FD"];

/** The MSG_RING command that hands over a file. */
export const MSG_SEND_FD = 1n;

/** `msg_ring_flags`. */
export const MSG_RING_FLAGS: FlagTable = [
  [1 << 0, "IORING_MSG_RING_CQE_SKIP"],
  [1 << 1, "IORING_MSG_RING_FLAGS_PASS"],
];

/** The MSG_RING flag that gives the CQE its flags. */
export const MSG_RING_FLAGS_PASS = 1 << 1;

/** `uring_cmd_flags`, less the kernel's own upper 8 bits. */
export const URING_CMD_FLAGS: FlagTable = [
  [1 << 0, "IORING_URING_CMD_FIXED"],
  [1 << 1, "IORING_URING_CMD_MULTISHOT"],
];

/** It works on the registered buffer `buf_index`. */
export const URING_CMD_FIXED = 1 << 0;

/** `cmd_op` on a socket, at the index of its value: `enum io_uring_socket_op`. */
export const SOCKET_COMMANDS: readonly string[] = [
  "SOCKET_URING_OP_SIOCINQ",
  "SOCKET_URING_OP_SIOCOUTQ",
  "SOCKET_URING_OP_GETSOCKOPT",
  "SOCKET_URING_OP_SETSOCKOPT",
  "SOCKET_URING_OP_TX_TIMESTAMP",
  "SOCKET_URING_OP_GETSOCKNAME",
];

/**
 * `len` of WAITID, waitid(2)'s idtype, at the index of its value. Source:
 * include/uapi/linux/wait.h.
 */
export const WAITID_TYPES: readonly string[] = ["P_ALL", "P_PID", "P_PGID", "P_PIDFD"];

/** `file_index` of WAITID, waitid(2)'s options. Source: include/uapi/linux/wait.h. */
export const WAITID_OPTIONS: FlagTable = [
  [0x1, "WNOHANG"],
  [0x2, "WSTOPPED"],
  [0x4, "WEXITED"],
  [0x8, "WCONTINUED"],
  [0x01000000, "WNOWAIT"],
  [0x20000000, "__WNOTHREAD"],
  [0x40000000, "__WALL"],
  [0x80000000, "__WCLONE"],
];

/**
 * The futex word's size, at the index of the two lowest bits of FUTEX_WAIT's `fd`. Source:
 * include/uapi/linux/futex.h.
 */
export const FUTEX_SIZES: readonly string[] = [
  "FUTEX2_SIZE_U8",
  "FUTEX2_SIZE_U16",
  "FUTEX2_SIZE_U32",
  "FUTEX2_SIZE_U64",
];

/** The bits above the size. */
export const FUTEX_FLAGS: FlagTable = [
  [0x04, "FUTEX2_NUMA"],
  [0x08, "FUTEX2_MPOL"],
  [0x80, "FUTEX2_PRIVATE"],
];

/** `install_fd_flags`. */
export const FIXED_FD_FLAGS: FlagTable = [[1 << 0, "IORING_FIXED_FD_NO_CLOEXEC"]];

/** The descriptor outlives an execve(2). */
export const FIXED_FD_NO_CLOEXEC = 1 << 0;

/** `pipe_flags`: the open flags that pipe2(2) takes. O_NOTIFICATION_PIPE is O_EXCL's bit. */
export const PIPE_FLAGS: FlagTable = [
  [0o200, "O_NOTIFICATION_PIPE"],
  [0o4000, "O_NONBLOCK"],
  [0o40000, "O_DIRECT"],
  [0o2000000, "O_CLOEXEC"],
];

/** `file_index` and FILES_UPDATE's offset: the kernel picks a slot. */
export const FILE_INDEX_ALLOC = 0xffffffff;

/** The directory fd that means the working directory. Source: include/uapi/linux/fcntl.h. */
export const AT_FDCWD = -100;

function sparse(entries: readonly (readonly [number, string])[]): readonly (string | undefined)[] {
  const names: (string | undefined)[] = [];
  for (const [value, name] of entries) names[value] = name;
  return names;
}
