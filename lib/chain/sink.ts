import { ndjsonLine } from "../record/ndjson.ts";
import type { StreamRecord } from "../record/records.ts";

/** Where a chain ends. */
export interface Sink {
  /**
   * Takes a record.
   *
   * @param line The record as it was read or made, without newline; it is written in place of the record.
   */
  write(record: StreamRecord, line?: Uint8Array | string): void;
  /** Writes out everything taken so far. */
  flush(): void;
  /** Writes out everything and what ends the document. Nothing is written after it. */
  finish(): void;
}

/** Takes bytes; {@linkcode LineBuffer} hands it whole lines only. */
export type WriteBytes = (bytes: Uint8Array) => void;

const NEWLINE = 10;
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** Gathers lines into writes of up to 64 KiB that never end inside a line. */
export class LineBuffer {
  readonly #write: WriteBytes;
  readonly #bytes = new Uint8Array(65_536);
  #used = 0;

  constructor(write: WriteBytes) {
    this.#write = write;
  }

  /** Adds a line and its newline. */
  add(line: Uint8Array | string): void {
    const bytes = typeof line === "string" ? ENCODER.encode(line) : line;
    const size = bytes.length + 1;
    if (size > this.#bytes.length - this.#used) this.flush();
    if (size > this.#bytes.length) {
      const whole = new Uint8Array(size);
      whole.set(bytes);
      whole[size - 1] = NEWLINE;
      this.#write(whole);
      return;
    }
    this.#bytes.set(bytes, this.#used);
    this.#used += size;
    this.#bytes[this.#used - 1] = NEWLINE;
  }

  flush(): void {
    const used = this.#used;
    // Emptied first: a write that failed is not tried again.
    this.#used = 0;
    if (used > 0) this.#write(this.#bytes.subarray(0, used));
  }
}

/** One JSON object a line. */
export class NdjsonSink implements Sink {
  readonly #lines: LineBuffer;

  constructor(write: WriteBytes) {
    this.#lines = new LineBuffer(write);
  }

  write(record: StreamRecord, line?: Uint8Array | string): void {
    this.#lines.add(line ?? ndjsonLine(record));
  }

  flush(): void {
    this.#lines.flush();
  }

  finish(): void {
    this.#lines.flush();
  }
}

/** One JSON array, an element a line. */
export class JsonSink implements Sink {
  readonly #lines: LineBuffer;
  #separator = "";

  constructor(write: WriteBytes) {
    this.#lines = new LineBuffer(write);
    this.#lines.add("[");
  }

  write(record: StreamRecord, line?: Uint8Array | string): void {
    const text = line === undefined
      ? ndjsonLine(record)
      : typeof line === "string"
      ? line
      : DECODER.decode(line);
    this.#lines.add(this.#separator + text);
    // Before the next element rather than after this one: nothing is held back.
    this.#separator = ",";
  }

  flush(): void {
    this.#lines.flush();
  }

  finish(): void {
    this.#lines.add("]");
    this.#lines.flush();
  }
}
