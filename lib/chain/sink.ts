import { ndjsonLine } from "../record/ndjson.ts";
import type { StreamRecord } from "../record/records.ts";

/** Where a chain ends. */
export interface Sink {
  /**
   * Takes a record.
   *
   * @param line The record as it was read or made, without newline; it is written in place of the record.
   */
  write(record: StreamRecord, line?: string): void;
  /** Takes whole lines of NDJSON in place of their records; only of a sink that writes such lines. */
  writeLines?(lines: Uint8Array): void;
  /** Writes out everything taken so far. */
  flush(): void;
  /** Writes out everything and what ends the document. Nothing is written after it. */
  finish(): void;
}

/** Takes bytes; {@linkcode LineBuffer} hands it whole lines only. */
export type WriteBytes = (bytes: Uint8Array) => void;

const MAX_WAITING = 65_536;
const ENCODER = new TextEncoder();

/** Gathers lines into writes of about 64 KiB that never end inside a line. */
export class LineBuffer {
  readonly #write: WriteBytes;
  #lines: string[] = [];
  /** UTF-16 units that wait. */
  #length = 0;

  constructor(write: WriteBytes) {
    this.#write = write;
  }

  /** Adds a line and its newline. */
  add(line: string): void {
    this.#lines.push(line);
    this.#length += line.length + 1;
    if (this.#length >= MAX_WAITING) this.flush();
  }

  flush(): void {
    if (this.#lines.length === 0) return;
    this.#lines.push("");
    const text = this.#lines.join("\n");
    // Emptied first: a write that failed is not tried again.
    this.#lines = [];
    this.#length = 0;
    this.#write(ENCODER.encode(text));
  }
}

/** One JSON object a line. */
export class NdjsonSink implements Sink {
  readonly #write: WriteBytes;
  readonly #lines: LineBuffer;

  constructor(write: WriteBytes) {
    this.#write = write;
    this.#lines = new LineBuffer(write);
  }

  write(record: StreamRecord, line?: string): void {
    this.#lines.add(line ?? ndjsonLine(record));
  }

  writeLines(lines: Uint8Array): void {
    this.#lines.flush();
    this.#write(lines);
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

  write(record: StreamRecord, line?: string): void {
    this.#lines.add(this.#separator + (line ?? ndjsonLine(record)));
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
