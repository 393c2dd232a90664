import { flagNames, type FlagTable } from "./flags.ts";

// All of these are in include/uapi/linux/io_uring.h, up to Linux 7.3.

/** The request's fd is an index into the ring's file table. */
export const IOSQE_FIXED_FILE = 1 << 0;

/** `sqe->flags`. */
export const SQE_FLAGS: FlagTable = [
  [IOSQE_FIXED_FILE, "IOSQE_FIXED_FILE"],
  [1 << 1, "IOSQE_IO_DRAIN"],
  [1 << 2, "IOSQE_IO_LINK"],
  [1 << 3, "IOSQE_IO_HARDLINK"],
  [1 << 4, "IOSQE_ASYNC"],
  [1 << 5, "IOSQE_BUFFER_SELECT"],
  [1 << 6, "IOSQE_CQE_SKIP_SUCCESS"],
];

/** `io_uring_params.flags`, and `io_ring_ctx.flags`. */
export const SETUP_FLAGS: FlagTable = [
  [1 << 0, "IORING_SETUP_IOPOLL"],
  [1 << 1, "IORING_SETUP_SQPOLL"],
  [1 << 2, "IORING_SETUP_SQ_AFF"],
  [1 << 3, "IORING_SETUP_CQSIZE"],
  [1 << 4, "IORING_SETUP_CLAMP"],
  [1 << 5, "IORING_SETUP_ATTACH_WQ"],
  [1 << 6, "IORING_SETUP_R_DISABLED"],
  [1 << 7, "IORING_SETUP_SUBMIT_ALL"],
  [1 << 8, "IORING_SETUP_COOP_TASKRUN"],
  [1 << 9, "IORING_SETUP_TASKRUN_FLAG"],
  [1 << 10, "IORING_SETUP_SQE128"],
  [1 << 11, "IORING_SETUP_CQE32"],
  [1 << 12, "IORING_SETUP_SINGLE_ISSUER"],
  [1 << 13, "IORING_SETUP_DEFER_TASKRUN"],
  [1 << 14, "IORING_SETUP_NO_MMAP"],
  [1 << 15, "IORING_SETUP_REGISTERED_FD_ONLY"],
  [1 << 16, "IORING_SETUP_NO_SQARRAY"],
  [1 << 17, "IORING_SETUP_HYBRID_IOPOLL"],
  [1 << 18, "IORING_SETUP_CQE_MIXED"],
  [1 << 19, "IORING_SETUP_SQE_MIXED"],
  [1 << 20, "IORING_SETUP_SQ_REWIND"],
];

/**
 * The names of an SQE's flags; only the lower 8 bits count, as io_kiocb keeps its own above them.
 */
export function sqeFlagNames(flags: number): string[] {
  return flagNames(flags & 0xff, SQE_FLAGS);
}

/** The names of a ring's setup flags. */
export function setupFlagNames(flags: number): string[] {
  return flagNames(flags, SETUP_FLAGS);
}
