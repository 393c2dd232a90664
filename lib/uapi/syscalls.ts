/** A system call of x86-64 that requests of io_uring can stand for. */
export interface ReplacedCall {
  readonly name: string;
  /** `include/uapi/asm/unistd_64.h` */
  readonly number: number;
  /** Opcodes that do the same, without the prefix `IORING_OP_`. */
  readonly opcodes: readonly string[];
}

const READ = ["READ", "READ_FIXED", "READ_MULTISHOT"];
const READV = ["READV", "READV_FIXED"];
const WRITE = ["WRITE", "WRITE_FIXED"];
const WRITEV = ["WRITEV", "WRITEV_FIXED"];
const OPEN = ["OPENAT", "OPENAT2"];
const SEND = ["SEND", "SEND_ZC"];
const SENDMSG = ["SENDMSG", "SENDMSG_ZC"];
const RECV = ["RECV", "RECV_ZC"];

/** By number. */
export const REPLACED_CALLS: readonly ReplacedCall[] = ([
  [0, "read", READ],
  [1, "write", WRITE],
  [2, "open", OPEN],
  [3, "close", ["CLOSE"]],
  [4, "stat", ["STATX"]],
  [5, "fstat", ["STATX"]],
  [6, "lstat", ["STATX"]],
  [7, "poll", ["POLL_ADD"]],
  [17, "pread64", READ],
  [18, "pwrite64", WRITE],
  [19, "readv", READV],
  [20, "writev", WRITEV],
  [22, "pipe", ["PIPE"]],
  [28, "madvise", ["MADVISE"]],
  [41, "socket", ["SOCKET"]],
  [42, "connect", ["CONNECT"]],
  [43, "accept", ["ACCEPT"]],
  [44, "sendto", SEND],
  [45, "recvfrom", RECV],
  [46, "sendmsg", SENDMSG],
  [47, "recvmsg", ["RECVMSG"]],
  [48, "shutdown", ["SHUTDOWN"]],
  [49, "bind", ["BIND"]],
  [50, "listen", ["LISTEN"]],
  [54, "setsockopt", ["URING_CMD"]],
  [55, "getsockopt", ["URING_CMD"]],
  [61, "wait4", ["WAITID"]],
  [74, "fsync", ["FSYNC"]],
  [75, "fdatasync", ["FSYNC"]],
  [77, "ftruncate", ["FTRUNCATE"]],
  [82, "rename", ["RENAMEAT"]],
  [83, "mkdir", ["MKDIRAT"]],
  [84, "rmdir", ["UNLINKAT"]],
  [85, "creat", OPEN],
  [86, "link", ["LINKAT"]],
  [87, "unlink", ["UNLINKAT"]],
  [88, "symlink", ["SYMLINKAT"]],
  [188, "setxattr", ["SETXATTR"]],
  [190, "fsetxattr", ["FSETXATTR"]],
  [191, "getxattr", ["GETXATTR"]],
  [193, "fgetxattr", ["FGETXATTR"]],
  [202, "futex", ["FUTEX_WAIT", "FUTEX_WAKE"]],
  [221, "fadvise64", ["FADVISE"]],
  [232, "epoll_wait", ["EPOLL_WAIT"]],
  [233, "epoll_ctl", ["EPOLL_CTL"]],
  [247, "waitid", ["WAITID"]],
  [257, "openat", OPEN],
  [258, "mkdirat", ["MKDIRAT"]],
  [262, "newfstatat", ["STATX"]],
  [263, "unlinkat", ["UNLINKAT"]],
  [264, "renameat", ["RENAMEAT"]],
  [265, "linkat", ["LINKAT"]],
  [266, "symlinkat", ["SYMLINKAT"]],
  [271, "ppoll", ["POLL_ADD"]],
  [275, "splice", ["SPLICE"]],
  [276, "tee", ["TEE"]],
  [277, "sync_file_range", ["SYNC_FILE_RANGE"]],
  [281, "epoll_pwait", ["EPOLL_WAIT"]],
  [285, "fallocate", ["FALLOCATE"]],
  [288, "accept4", ["ACCEPT"]],
  [293, "pipe2", ["PIPE"]],
  [295, "preadv", READV],
  [296, "pwritev", WRITEV],
  [299, "recvmmsg", ["RECVMSG"]],
  [307, "sendmmsg", SENDMSG],
  [316, "renameat2", ["RENAMEAT"]],
  [327, "preadv2", READV],
  [328, "pwritev2", WRITEV],
  [332, "statx", ["STATX"]],
  [437, "openat2", OPEN],
  [449, "futex_waitv", ["FUTEX_WAITV"]],
] as const).map(([number, name, opcodes]) => ({ number, name, opcodes }));

/** `io_uring_setup(2)` and `io_uring_enter(2)` */
export const IO_URING_SETUP = 425;
export const IO_URING_ENTER = 426;
