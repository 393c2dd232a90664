import { flagNames, type FlagTable } from "./flags.ts";

// All of these are in include/uapi/linux/io_uring.h, up to Linux 7.3.

/** `sqe->flags`. */
export const SQE_FLAGS: FlagTable = [
  [1 << 0, "IOSQE_FIXED_FILE"],
  [1 << 1, "IOSQE_IO_DRAIN"],
  [1 << 2, "IOSQE_IO_LINK"],
  [1 << 3, "IOSQE_IO_HARDLINK"],
  [1 << 4, "IOSQE_ASYNC"],
  [1 << 5, "IOSQE_BUFFER_SELECT"],
  [1 << 6, "IOSQE_CQE_SKIP_SUCCESS"],
];

/** `cqe->flags`, its lower 16 bits. */
export const CQE_FLAGS: FlagTable = [
  [1 << 0, "IORING_CQE_F_BUFFER"],
  [1 << 1, "IORING_CQE_F_MORE"],
  [1 << 2, "IORING_CQE_F_SOCK_NONEMPTY"],
  [1 << 3, "IORING_CQE_F_NOTIF"],
  [1 << 4, "IORING_CQE_F_BUF_MORE"],
  [1 << 5, "IORING_CQE_F_SKIP"],
  [1 << 15, "IORING_CQE_F_32"],
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

/** `io_uring_params.features`. */
export const FEATURES: FlagTable = [
  [1 << 0, "IORING_FEAT_SINGLE_MMAP"],
  [1 << 1, "IORING_FEAT_NODROP"],
  [1 << 2, "IORING_FEAT_SUBMIT_STABLE"],
  [1 << 3, "IORING_FEAT_RW_CUR_POS"],
  [1 << 4, "IORING_FEAT_CUR_PERSONALITY"],
  [1 << 5, "IORING_FEAT_FAST_POLL"],
  [1 << 6, "IORING_FEAT_POLL_32BITS"],
  [1 << 7, "IORING_FEAT_SQPOLL_NONFIXED"],
  [1 << 8, "IORING_FEAT_EXT_ARG"],
  [1 << 9, "IORING_FEAT_NATIVE_WORKERS"],
  [1 << 10, "IORING_FEAT_RSRC_TAGS"],
  [1 << 11, "IORING_FEAT_CQE_SKIP"],
  [1 << 12, "IORING_FEAT_LINKED_FILE"],
  [1 << 13, "IORING_FEAT_REG_REG_RING"],
  [1 << 14, "IORING_FEAT_RECVSEND_BUNDLE"],
  [1 << 15, "IORING_FEAT_MIN_TIMEOUT"],
  [1 << 16, "IORING_FEAT_RW_ATTR"],
  [1 << 17, "IORING_FEAT_NO_IOWAIT"],
];

/**
 * The names of an SQE's flags; only the lower 8 bits count, as io_kiocb keeps its own above them.
 */
export function sqeFlagNames(flags: number): string[] {
  return flagNames(flags & 0xff, SQE_FLAGS);
}

/** The names of a CQE's flags, without the buffer id in the upper half. */
export function cqeFlagNames(flags: number): string[] {
  return flagNames(flags & 0xffff, CQE_FLAGS);
}

/** The provided buffer that a completion used, undefined where it used none. */
export function cqeBufferId(flags: number): number | undefined {
  return (flags & 1) === 1 ? flags >>> 16 : undefined;
}

/** The names of a ring's setup flags. */
export function setupFlagNames(flags: number): string[] {
  return flagNames(flags, SETUP_FLAGS);
}

/** The names of the features that io_uring_setup(2) reported. */
export function featureNames(features: number): string[] {
  return flagNames(features, FEATURES);
}
