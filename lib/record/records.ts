import type { CompletionResult } from "../uapi/errno.ts";
import type { JsonObject } from "../uapi/json_value.ts";

/**
 * The record types of the stream, one JSON object a line. Keys stand in the order in which they
 * are written. 64-bit addresses and `user_data` are lower-case unpadded hex strings.
 *
 * Text that is not UTF-8 has U+FFFD in it, and a key `<key>_hex` with the exact bytes follows it.
 */

/** A 64-bit value as text: `0xffff888100c4a000`. */
export type Hex = string;
/** The id that stands for "could not be read": (u32)-1, as the kernel's own unset login uid. */
export const UNKNOWN_ID = 4294967295;

/** Severity of a classification, weakest first. */
export type Severity = "info" | "low" | "medium" | "high" | "critical";

/** Who: a process as one record knows it. */
export interface ProcessBlock {
  /** Start of the group leader, RFC 3339 UTC with ms, or "" when no clock could be read. */
  start_time: string;
  pid: number;
  tid: number;
  ppid: number;
  uid: number;
  euid: number;
  auid: number;
  cap_inheritable: string;
  cap_permitted: string;
  cap_effective: string;
  secureexec: string;
  filename: string;
  binary_path: string;
  args: string;
  container_id: string;
  binary_deleted?: boolean;
  /** The process's description was lost: only `pid` and `tid` are known. */
  partial?: boolean;
  gid?: number;
  egid?: number;
  comm?: string;
  cgroup?: string;
  exec_id?: string;
  cwd?: string;
  /** Nanoseconds from boot to the start of the group leader, where no wall clock could be read. */
  start_ns?: Hex;
  [key: `${string}_hex`]: string;
}

/** Outcome of a request. */
export interface RequestResult extends CompletionResult {
  latency_ns?: number;
}

/** Where a request of a ring was read from. */
export type RequestSource = "sqe" | "cqe" | "kiocb";

/** One request of a ring in a memory image. */
export interface RingRequest {
  opcode: string;
  opcode_number: number;
  fd?: number;
  user_data: Hex;
  op_info?: JsonObject;
  result?: RequestResult;
  /** Where it was found, joined where several hold the same request: `["sqe", "cqe"]`. */
  source: RequestSource[];
  /** Where a request in flight waits: `poll_armed`, `io_wq_running`, … */
  state?: string;
  sqe_flags?: string[];
  /** Id of the registered personality it runs with, where it is not 0. */
  personality?: number;
  /** All results in the order of completion, where there is more than one (multishot). */
  results?: number[];
  /** More completions of it may follow (multishot). */
  more?: boolean;
  /** The result belongs to it by the order of submissions and completions alone. */
  joined_by_order?: boolean;
}

/** A process that holds a ring. `fd` is -1 when it holds it without a file descriptor. */
export interface RingOwner {
  pid: number;
  comm: string;
  fd: number;
  [key: `${string}_hex`]: string;
}

/** How a ring was found. */
export type FoundBy =
  | "fd"
  | "tctx"
  | "registered"
  | "sqpoll"
  | "create"
  | "vma"
  | "unix"
  | "carved";

/** What a seccomp filter says about a process. */
export interface SeccompBlock {
  /** 0 disabled, 1 strict, 2 filter. */
  mode: number;
  /** Number of filters installed. */
  filters: number;
  /** System calls with an equivalent in io_uring that are denied, whatever their arguments. */
  denies?: string[];
  /** The same that are denied with some arguments and allowed with others. */
  denies_some?: string[];
  /** Whether `io_uring_setup(2)` and `io_uring_enter(2)` are allowed. */
  allows_io_uring?: boolean;
  /** Opcodes of this kernel that do what is denied. */
  bypassed_by?: string[];
}

/** What a ring may do at most (`IORING_REGISTER_RESTRICTIONS`). */
export interface RingRestrictions {
  /** Opcodes that may be submitted; absent where all may. */
  sqe_ops?: string[];
  sqe_flags_allowed?: string[];
  sqe_flags_required?: string[];
  /** Operations of io_uring_register(2) that may be made; absent where all may. */
  register_ops?: string[];
}

/** Something that could not be read or does not fit, and what that hides from the reader. */
export interface Diagnostic {
  /** A short stable identifier, such as `task_list_broken`. */
  code: string;
  message: string;
  /** What may be missing from the record or the stream because of it. */
  hides?: string;
}

/** A finding of one rule. */
export interface RuleHit {
  id: string;
  title: string;
  severity: Severity;
  attack: string[];
}

/** The classifier's verdict on a record; absent when no rule fires. */
export interface Classification {
  suspicious: boolean;
  severity: Severity;
  rules: RuleHit[];
}

/** One `io_ring_ctx`. */
export interface IOUringEntry {
  type: "IOUringEntry";
  pid: number;
  comm: string;
  ctx_addr: Hex;
  /** Entries of the submission queue (its capacity). */
  sq_entries: number;
  /** Entries of the completion queue (its capacity). */
  cq_entries: number;
  /** Opcodes in the pending part of the submission queue, in ring order, duplicates kept. */
  pending_opcodes: number[];
  bypasses_seccomp: boolean;
  seccomp_active: boolean;
  process?: ProcessBlock;
  setup_flags?: string[];
  created_at?: string;
  creator_uid?: number;
  /** The process that made the ring, where it is still there. */
  creator_pid?: number;
  owners?: RingOwner[];
  found_by?: FoundBy[];
  /**
   * How sure it is that this is a ring as it stands here: `certain`, tasks lead to it; `high`, only
   * an open file in memory does; `medium`, it no longer exists, and what is left of it fits
   * together; `low`, its queues or its requests alone are left.
   */
  confidence?: "certain" | "high" | "medium" | "low";
  sq_head?: number;
  sq_tail?: number;
  cq_head?: number;
  cq_tail?: number;
  dropped?: number;
  overflow?: number;
  /** The SQPOLL thread, and the processes whose rings it serves. */
  sq_thread?: { pid: number; tid: number; cpu: number; serves?: number[] };
  pending?: RingRequest[];
  in_flight?: RingRequest[];
  history?: RingRequest[];
  seccomp?: SeccompBlock;
  /** Files registered for use by slot, as `slots` and `files`; `more` are not described. */
  registered_files?: JsonObject;
  /** Buffers registered for use by slot, as `slots` and `buffers`. */
  registered_buffers?: JsonObject;
  /** Credentials that a request can run with, by their id. */
  personalities?: JsonObject[];
  restrictions?: RingRestrictions;
  /** Opcodes that a BPF program of the ring judges. */
  bpf_filters?: string[];
  diagnostics?: Diagnostic[];
  classification?: Classification;
  /** Paths of model keys that could not be read. */
  missing?: string[];
  /** Paths of values that had to come from user memory. */
  unverified?: string[];
  [key: `${string}_hex`]: string;
}

/** How a live request was submitted. */
export interface RequestBlock {
  opcode_number: number;
  /** Address of the ring's `io_ring_ctx`. */
  ctx: Hex;
  user_data: Hex;
  /** `sqe->fd`, left out where the kernel does not keep it. */
  fd?: number;
  /** `fd` is an index into the ring's file table. */
  fixed_file: boolean;
  sqe_flags: string[];
  /** Submitted by the ring's own thread. */
  sq_thread: boolean;
  /** Id of the registered personality it runs with, where it is not 0. */
  personality?: number;
  /** What the request runs with, where it differs from the process's. */
  cred?: { uid: number; euid: number };
  /** Refused before it ran. */
  rejected?: boolean;
  cpu: number;
  /** Number among the requests of this CPU, from 1, after the kernel-side filter. */
  seq: number;
  /** Seen by the second program only, as the kernel skipped the first; `seq` counts those apart. */
  recovered?: boolean;
}

/** One submitted request of a live host. */
export interface IOUringEvent {
  type: "IOUringEvent";
  process: ProcessBlock;
  opcode: string;
  op_info?: JsonObject;
  timestamp: string;
  io_uring?: RequestBlock;
  seccomp?: SeccompBlock;
  result?: RequestResult;
  classification?: Classification;
  missing?: string[];
  unverified?: string[];
}

/** A completion that came after its event: late, or one of several. */
export interface IOUringResult extends Omit<IOUringEvent, "type"> {
  type: "IOUringResult";
  /** More completions of the request may follow (multishot). */
  more?: boolean;
}

/** One io_uring_register(2) on a live host. */
export interface IOUringRegister {
  type: "IOUringRegister";
  process: ProcessBlock;
  /** `"IORING_REGISTER_BUFFERS"`; a number without a name is `"UNKNOWN"`. */
  operation: string;
  io_uring: { ctx: Hex };
  /** Buffers or files that the ring has registered by then. */
  count: number;
  result: RequestResult;
  timestamp: string;
  classification?: Classification;
  missing?: string[];
  unverified?: string[];
}

/** The stream's account of itself. */
export interface IOUringStatus {
  type: "IOUringStatus";
  phase: "start" | "lost" | "end";
  timestamp: string;
  host?: JsonObject;
  tool?: { version: string; build: string };
  argv?: string[];
  coverage?: JsonObject;
  lost?: JsonObject;
  totals?: { [key: string]: number };
  complete?: boolean;
  duration_ms?: number;
  diagnostics?: Diagnostic[];
}

/** Any record that a source yields. */
export type StreamRecord =
  | IOUringEntry
  | IOUringEvent
  | IOUringResult
  | IOUringRegister
  | IOUringStatus;
