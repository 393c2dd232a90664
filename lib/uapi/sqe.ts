/** Size of `struct io_uring_sqe` without the command bytes of IORING_SETUP_SQE128. */
export const SQE_SIZE = 64;

/** Size of an SQE on a ring with IORING_SETUP_SQE128, and of a 128-byte opcode's on a mixed one. */
const SQE128_SIZE = 128;

/** Where the command bytes start; they end with the SQE. */
const COMMAND_OFFSET = 48;

/**
 * A submission queue entry. Unions have one key each, named after the member that most opcodes use.
 *
 * Source: `struct io_uring_sqe` in include/uapi/linux/io_uring.h.
 */
export interface Sqe {
  /** 0 to 255. */
  readonly opcode: number;
  /** `IOSQE_*` bits. */
  readonly flags: number;
  /** I/O priority; for network opcodes, `IORING_RECVSEND_*` and `IORING_ACCEPT_*` bits. */
  readonly ioprio: number;
  /** Signed. An index into the ring's file table under IOSQE_FIXED_FILE. */
  readonly fd: number;
  /** `off`, `addr2`, and in its lower half `cmd_op`. Unsigned 64 bits. */
  readonly off: bigint;
  /** `addr`, `splice_off_in`; `level` and `optname` of a socket command. Unsigned 64 bits. */
  readonly addr: bigint;
  /** Unsigned 32 bits. */
  readonly len: number;
  /** `rw_flags`, `open_flags` and so on, by opcode. Unsigned 32 bits. */
  readonly opFlags: number;
  /** The submitter's cookie. Unsigned 64 bits. */
  readonly userData: bigint;
  /** `buf_index`, `buf_group`. Unsigned 16 bits. */
  readonly bufIndex: number;
  /** A registered personality's id, 0 for none. */
  readonly personality: number;
  /**
   * `file_index`, `splice_fd_in`, `zcrx_ifq_idx`, `optlen`, in its lower half `addr_len`. Unsigned
   * 32 bits.
   */
  readonly fileIndex: number;
  /** `addr3`, `optval`. Unsigned 64 bits. */
  readonly addr3: bigint;
  /** The 80 command bytes of a 128-byte SQE, as a view of the input. */
  readonly cmd?: Uint8Array;
}

/**
 * Decodes one SQE.
 *
 * @param bytes Memory that holds it, little-endian.
 * @param offset Where it starts.
 * @param options `wide`: it is a 128-byte one.
 * @throws {RangeError} If `bytes` does not hold all of it.
 */
export function readSqe(
  bytes: Uint8Array,
  offset: number,
  options: { wide?: boolean } = {},
): Sqe {
  const size = options.wide === true ? SQE128_SIZE : SQE_SIZE;
  if (offset < 0 || offset + size > bytes.length) {
    throw new RangeError(
      `Cannot read an SQE of ${size} bytes at ${offset}: there are ${bytes.length} bytes`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, size);
  const sqe = {
    opcode: view.getUint8(0),
    flags: view.getUint8(1),
    ioprio: view.getUint16(2, true),
    fd: view.getInt32(4, true),
    off: view.getBigUint64(8, true),
    addr: view.getBigUint64(16, true),
    len: view.getUint32(24, true),
    opFlags: view.getUint32(28, true),
    userData: view.getBigUint64(32, true),
    bufIndex: view.getUint16(40, true),
    personality: view.getUint16(42, true),
    fileIndex: view.getUint32(44, true),
    addr3: view.getBigUint64(48, true),
  };
  if (options.wide !== true) return sqe;
  return { ...sqe, cmd: bytes.subarray(offset + COMMAND_OFFSET, offset + size) };
}
