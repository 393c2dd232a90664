/**
 * What a source knows of a request, in the slots of its SQE: an {@linkcode Sqe} is one, and a
 * prepared request fills the slots from the struct that its opcode keeps (`io_rw.kiocb.ki_pos` →
 * `off`, `io_rename.new_dfd` → `len`, …). A slot that the source does not hold is left out, never
 * zero.
 */
export interface RequestFields {
  /** 0 to 255. */
  readonly opcode: number;
  /** `IOSQE_*` bits; `io_kiocb.flags` will do, its lower bits are the same. */
  readonly flags?: number | undefined;
  /** As in {@linkcode Sqe}. */
  readonly ioprio?: number | undefined;
  /** As in {@linkcode Sqe}. */
  readonly fd?: number | undefined;
  /** As in {@linkcode Sqe}. */
  readonly off?: bigint | undefined;
  /** As in {@linkcode Sqe}. */
  readonly addr?: bigint | undefined;
  /** As in {@linkcode Sqe}. */
  readonly len?: number | undefined;
  /** As in {@linkcode Sqe}. */
  readonly opFlags?: number | undefined;
  /** As in {@linkcode Sqe}. */
  readonly bufIndex?: number | undefined;
  /** As in {@linkcode Sqe}. */
  readonly fileIndex?: number | undefined;
  /** As in {@linkcode Sqe}. */
  readonly addr3?: bigint | undefined;
  /**
   * Bytes that a request over several buffers moves in all, where the kernel keeps it
   * (`iov_iter.count`).
   */
  readonly byteLength?: bigint | undefined;
  /**
   * The ring is a 32-bit process's (`io_ring_ctx.compat`): its msghdr and iovec are the small ones.
   */
  readonly compat?: boolean | undefined;
  /** The request's file is a socket; undefined where that is not known. */
  readonly socket?: boolean | undefined;
}
