const NEWLINE = 10;

/** Fills the front of a buffer; the number of bytes, or null at the end. */
export type ReadBytes = (buffer: Uint8Array) => Promise<number | null>;

/** How a {@linkcode LineReader} reads. */
export interface LineReaderOptions {
  /**
   * Bytes after which a line that has not ended is given up. Default 64 MiB. A line that ends in
   * the same read in which it passes the limit is still kept.
   */
  readonly limit?: number;
  /** Bytes asked for at once. Default 256 KiB. */
  readonly chunk?: number;
}

/** Some whole lines of a stream. */
export interface LineBlock {
  /** The lines, each with its newline, except a last line that has none. Valid until the next. */
  readonly bytes: Uint8Array;
  /** Number of the first line, from 1. */
  readonly firstLine: number;
  /** True in place of a line that is longer than the limit; `bytes` is empty then. */
  readonly tooLong: boolean;
}

/**
 * Splits a stream of bytes into blocks of whole lines. A block ends where a read ended, so that a
 * slow writer's lines come at once. A byte is searched once, however long its line; memory is at
 * most twice the limit.
 */
export class LineReader {
  readonly #read: ReadBytes;
  readonly #limit: number;
  readonly #chunk: number;
  #buffer: Uint8Array;

  constructor(read: ReadBytes, options: LineReaderOptions = {}) {
    this.#read = read;
    this.#limit = options.limit ?? 64 * 1024 * 1024;
    this.#chunk = options.chunk ?? 256 * 1024;
    this.#buffer = new Uint8Array(this.#chunk);
  }

  /** The blocks, front to back. Call it once. */
  async *blocks(): AsyncGenerator<LineBlock> {
    let used = 0;
    let firstLine = 1;
    let skipping = false;
    for (;;) {
      if (used === this.#buffer.length) this.#grow();
      const count = await this.#read(this.#buffer.subarray(used));
      if (count === null) break;
      const end = used + count;
      let start = 0;
      if (skipping) {
        const newline = this.#buffer.subarray(0, end).indexOf(NEWLINE);
        if (newline < 0) continue;
        skipping = false;
        start = newline + 1;
        firstLine++;
      }
      // Only what was just read is searched: the rest of the buffer has no newline.
      const fresh = Math.max(start, used);
      const last = this.#buffer.subarray(fresh, end).lastIndexOf(NEWLINE);
      let rest = start;
      if (last >= 0) {
        rest = fresh + last + 1;
        const bytes = this.#buffer.subarray(start, rest);
        yield { bytes, firstLine, tooLong: false };
        firstLine += countNewlines(bytes);
      }
      if (rest > 0) this.#keep(rest, end);
      used = end - rest;
      if (used > this.#limit) {
        yield { bytes: new Uint8Array(0), firstLine, tooLong: true };
        this.#keep(0, 0);
        used = 0;
        skipping = true;
      }
    }
    if (used > 0) yield { bytes: this.#buffer.subarray(0, used), firstLine, tooLong: false };
  }

  /** Moves the unfinished line to the front, of a small buffer again where it fits one. */
  #keep(start: number, end: number): void {
    if (this.#buffer.length > this.#chunk && end - start < this.#chunk) {
      const rest = this.#buffer.subarray(start, end);
      this.#buffer = new Uint8Array(this.#chunk);
      this.#buffer.set(rest);
    } else {
      this.#buffer.copyWithin(0, start, end);
    }
  }

  #grow(): void {
    const larger = new Uint8Array(Math.min(this.#buffer.length * 2, this.#limit + this.#chunk));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}

function countNewlines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
