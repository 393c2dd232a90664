import { OPCODES } from "./opcodes.ts";

const PEER = "addr port scope_id family path";
const BUFFER = "buf_group";
const TRANSFER = `fd fixed_file offset len flags ${BUFFER}`;
const VECTOR = `${TRANSFER} iovecs`;
const FIXED = "fd fixed_file offset len flags buf_index";
const SEND = `${PEER} fd fixed_file iovecs len flags uring_flags buf_index ${BUFFER}`;
const RECEIVE = `fd fixed_file len flags uring_flags ${BUFFER}`;
const BELOW = "path dfd dfd_path";
const OLD_AND_NEW = "old_path new_path old_dfd new_dfd old_dfd_path new_dfd_path flags";
const OPEN = `${BELOW} access_flags creation_flags mode file_slot`;
const ATTRIBUTE = "name size flags";
const FUTEX = "address value mask flags";
const COMMAND = `cmd_op cmd level optname optlen flags buf_index ${BUFFER}`;
const NOP = "injected_result fd buf_index flags";

/** By the name without `IORING_OP_`. */
const KEYS: Readonly<Record<string, string>> = {
  NOP,
  READV: VECTOR,
  WRITEV: VECTOR,
  FSYNC: "offset len flags",
  READ_FIXED: FIXED,
  WRITE_FIXED: FIXED,
  POLL_ADD: "events flags",
  POLL_REMOVE: "target_user_data new_user_data events flags",
  SYNC_FILE_RANGE: "offset len flags",
  SENDMSG: SEND,
  RECVMSG: `${PEER} ${RECEIVE} iovecs`,
  TIMEOUT: "sec nsec count flags",
  TIMEOUT_REMOVE: "target_user_data sec nsec flags",
  ACCEPT: `${PEER} flags uring_flags file_slot`,
  ASYNC_CANCEL: "target_user_data target_fd target_opcode flags",
  LINK_TIMEOUT: "sec nsec flags",
  CONNECT: PEER,
  FALLOCATE: "offset len mode",
  OPENAT: OPEN,
  CLOSE: "fd file_slot",
  FILES_UPDATE: "offset count",
  STATX: `${BELOW} flags mask`,
  READ: TRANSFER,
  WRITE: TRANSFER,
  FADVISE: "offset len advice",
  MADVISE: "address len advice",
  SEND,
  RECV: RECEIVE,
  OPENAT2: `${OPEN} resolve`,
  EPOLL_CTL: "op epfd fd events",
  SPLICE: "fd_in off_in fd_out off_out len flags",
  PROVIDE_BUFFERS: `count address len buf_id ${BUFFER}`,
  REMOVE_BUFFERS: `count ${BUFFER}`,
  TEE: "fd_in fd_out len flags",
  SHUTDOWN: "how",
  RENAMEAT: OLD_AND_NEW,
  UNLINKAT: `${BELOW} flags`,
  MKDIRAT: `${BELOW} mode`,
  SYMLINKAT: "old_path new_path new_dfd new_dfd_path",
  LINKAT: OLD_AND_NEW,
  MSG_RING: "cmd target_user_data target_res target_cqe_flags src_slot file_slot flags",
  FSETXATTR: `fd ${ATTRIBUTE}`,
  SETXATTR: `path ${ATTRIBUTE}`,
  FGETXATTR: `fd ${ATTRIBUTE}`,
  GETXATTR: `path ${ATTRIBUTE}`,
  SOCKET: "domain type protocol file_slot",
  URING_CMD: COMMAND,
  SEND_ZC: SEND,
  SENDMSG_ZC: SEND,
  READ_MULTISHOT: TRANSFER,
  WAITID: "which id options",
  FUTEX_WAIT: FUTEX,
  FUTEX_WAKE: FUTEX,
  FUTEX_WAITV: "address count",
  FIXED_FD_INSTALL: "file_slot flags",
  FTRUNCATE: "len",
  BIND: PEER,
  LISTEN: "backlog",
  RECV_ZC: `${RECEIVE} zcrx_ifq`,
  EPOLL_WAIT: "epfd max_events",
  READV_FIXED: `${FIXED} iovecs`,
  WRITEV_FIXED: `${FIXED} iovecs`,
  PIPE: "flags file_slot",
  NOP128: NOP,
  URING_CMD128: COMMAND,
};

/** Of an opcode without a name. */
const UNNAMED = "ioprio off addr len op_flags buf_index file_index addr3";

/** Keys of text that may not be UTF-8, so that its bytes follow it. */
const TEXT = /^(?:name|(?:old_|new_)?(?:dfd_)?path)$/;

function withBytes(keys: string): readonly string[] {
  return keys.split(" ").flatMap((key) => TEXT.test(key) ? [key, `${key}_hex`] : [key]);
}

const UNNAMED_KEYS = withBytes(UNNAMED);
const BY_NUMBER = OPCODES.map(({ name }) => withBytes(KEYS[name.slice("IORING_OP_".length)]!));

/** What `op_info` of an opcode may hold beside `target` and `target_in`; see {@linkcode describeRequest}. */
export function opInfoKeys(opcode: number): readonly string[] {
  return BY_NUMBER[opcode] ?? UNNAMED_KEYS;
}

/** What `op_info` of any opcode may hold beside `target` and `target_in`. */
export const OP_INFO_KEYS: readonly string[] = [...new Set([...BY_NUMBER.flat(), ...UNNAMED_KEYS])]
  .sort();
