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
  /** Bytes asked for at once. Default 1 MiB. */
  readonly chunk?: number;
}

/** Some whole lines of a stream. */
export interface LineBlock {
  /** The lines, each with a newline, which a last line is given that has none. Valid until the next. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** True in place of a line that is longer than the limit; `bytes` is empty then. */
  readonly tooLong: boolean;
}

const NOTHING = new Uint8Array(0);
/** Room before what is read, for the beginning of its first line. */
const HEAD = 64 * 1024;

/**
 * Splits a stream of bytes into blocks of whole lines. A block ends where a read ended, so that a
 * slow writer's lines come at once; the next read is under way while a block is worked on. A byte
 * is searched once, however long its line; memory is at most twice the limit.
 */
export class LineReader {
  readonly #read: ReadBytes;
  readonly #limit: number;
  /** What was read, and what is being read. */
  readonly #buffers: [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>];

  constructor(read: ReadBytes, options: LineReaderOptions = {}) {
    const { limit = 64 * 1024 * 1024, chunk = 1024 * 1024 } = options;
    this.#read = read;
    this.#limit = limit;
    this.#buffers = [new Uint8Array(HEAD + chunk), new Uint8Array(HEAD + chunk)];
  }

  /** The blocks, front to back. Call it once. */
  async *blocks(): AsyncGenerator<LineBlock> {
    /** The beginning of a line that has not ended, in pieces. */
    let parts: Uint8Array[] = [];
    let length = 0;
    let skipping = false;
    let reading = this.#read(this.#buffers[0].subarray(HEAD));
    for (;;) {
      const count = await reading;
      if (count === null) break;
      const [buffer, other] = this.#buffers;
      this.#buffers.reverse();
      reading = this.#read(other.subarray(HEAD));
      // Its error is thrown when its turn comes; until then nobody waits for it.
      reading.catch(() => {});
      let start = HEAD;
      let chunk = buffer.subarray(start, start + count);
      if (skipping) {
        const newline = chunk.indexOf(NEWLINE);
        if (newline < 0) continue;
        skipping = false;
        start += newline + 1;
        chunk = chunk.subarray(newline + 1);
      }
      const end = chunk.lastIndexOf(NEWLINE) + 1;
      if (end > 0) {
        const bytes = length <= HEAD
          ? withHead(buffer, { parts, start: start - length, end: start + end })
          : joined([...parts, chunk.subarray(0, end)]);
        yield { bytes, tooLong: false };
        parts = [];
        length = 0;
      }
      if (end < chunk.length) parts.push(chunk.slice(end));
      length += chunk.length - end;
      if (length > this.#limit) {
        yield { bytes: NOTHING, tooLong: true };
        parts = [];
        length = 0;
        skipping = true;
      }
    }
    if (length > 0) yield { bytes: joined([...parts, Uint8Array.of(NEWLINE)]), tooLong: false };
  }
}

/** The bytes from `start` to `end`, after `parts` were put at their front. */
function withHead(
  buffer: Uint8Array<ArrayBuffer>,
  { parts, start, end }: { parts: readonly Uint8Array[]; start: number; end: number },
): Uint8Array<ArrayBuffer> {
  let at = start;
  for (const part of parts) {
    buffer.set(part, at);
    at += part.length;
  }
  return buffer.subarray(start, end);
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
