/**
 * SIGINT, SIGTERM, SIGHUP and the end of a given time, over `signals.c`.
 *
 * @module
 */

import { errnoName } from "../lib/uapi/errno.ts";

const SYMBOLS = {
  // void iouring_signals_take(int32_t takes_hangup)
  iouring_signals_take: { parameters: ["i32"], result: "void" },
  // int32_t iouring_signals_stop(void)
  iouring_signals_stop: { parameters: [], result: "i32" },
  // int32_t iouring_signals_ending(void)
  iouring_signals_ending: { parameters: [], result: "i32" },
  // void iouring_signals_end_in(uint32_t seconds)
  iouring_signals_end_in: { parameters: ["u32"], result: "void" },
  // int64_t iouring_signals_write(int32_t fd, const uint8_t *bytes, uint64_t length)
  iouring_signals_write: { parameters: ["i32", "buffer", "u64"], result: "i64" },
} as const satisfies Deno.ForeignLibraryInterface;

/** A system call that failed, as Deno throws it. */
class SystemError extends Error {
  override readonly name = "SystemError";
  readonly code: string;
  constructor(errno: number) {
    const code = errnoName(errno) ?? String(errno);
    super(code);
    this.code = code;
  }
}

/** What asks this process to end. */
export class Signals {
  readonly #symbols: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

  /** Loads the shim from `path`. From here on the first of them only asks. */
  constructor(path: string, { takesHangup }: { readonly takesHangup: boolean }) {
    this.#symbols = Deno.dlopen(path, SYMBOLS).symbols;
    this.#symbols.iouring_signals_take(Number(takesHangup));
  }

  /** The signal that asked the program to stop, or 0. */
  get stop(): number {
    return this.#symbols.iouring_signals_stop();
  }

  /** Whether a write that its reader does not take is to be given up: see `signals.c`. */
  get ending(): boolean {
    return this.#symbols.iouring_signals_ending() !== 0;
  }

  /** Lets writes be given up in `seconds`, as after a signal. */
  endIn(seconds: number): void {
    this.#symbols.iouring_signals_end_in(seconds);
  }

  /**
   * Writes to a standard stream; the bytes written. The runtime's own way tries again by itself
   * when a signal comes.
   */
  write(fd: number, bytes: Uint8Array): number {
    const buffer = bytes as Uint8Array<ArrayBuffer>;
    const written = Number(this.#symbols.iouring_signals_write(fd, buffer, BigInt(bytes.length)));
    if (written < 0) throw new SystemError(-written);
    return written;
  }
}
