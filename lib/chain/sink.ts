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
  /** Takes lines in place of their records; only of a sink that writes such lines. */
  readonly lines?: LineBuffer;
  /** Writes out everything taken so far. */
  flush(): void;
  /** Writes out everything and what ends the document. Nothing is written after it. */
  finish(): void;
}

/** Takes bytes; {@linkcode LineBuffer} hands it whole lines only. */
export type WriteBytes = (bytes: Uint8Array) => void;

/** Bytes that are written out at the next end of a line. */
const MAX_WAITING = 64 * 1024;
/** Largest room that is kept for what comes. */
const MAX_ROOM = 1 << 20;
/** A UTF-16 unit takes at most so many bytes. */
const MAX_UNIT_BYTES = 3;
const NEWLINE = 10;
const ENCODER = new TextEncoder();

/** Gathers lines into writes of about 64 KiB that never end inside a line. */
export class LineBuffer {
  readonly #write: WriteBytes;
  #bytes = new Uint8Array(2 * MAX_WAITING);
  #length = 0;

  constructor(write: WriteBytes) {
    this.#write = write;
  }

  /** Adds a line and its newline. */
  add(line: string): void {
    if (line.length * MAX_UNIT_BYTES > MAX_WAITING) {
      const bytes = ENCODER.encode(line);
      this.append(bytes, 0, bytes.length);
    } else {
      this.#reserve(line.length * MAX_UNIT_BYTES);
      this.#length += ENCODER.encodeInto(line, this.#bytes.subarray(this.#length)).written;
    }
    this.#reserve(1);
    this.#bytes[this.#length++] = NEWLINE;
    this.endLine();
  }

  /** Adds the bytes from `start` to `end`, whole lines with their newlines; many are not copied. */
  addLines(bytes: Uint8Array, start: number, end: number): void {
    if (end - start < MAX_WAITING) {
      this.append(bytes, start, end);
      this.endLine();
    } else {
      this.flush();
      this.#write(bytes.subarray(start, end));
    }
  }

  /** Adds the bytes from `start` to `end`, a part of a line; {@linkcode endLine} has to follow. */
  append(bytes: Uint8Array, start: number, end: number): void {
    if (start === end) return;
    this.#reserve(end - start);
    this.#bytes.set(bytes.subarray(start, end), this.#length);
    this.#length += end - start;
  }

  /** A line has ended, so what waits may be written out. */
  endLine(): void {
    if (this.#length >= MAX_WAITING) this.flush();
  }

  flush(): void {
    if (this.#length === 0) return;
    const waiting = this.#bytes.subarray(0, this.#length);
    // Emptied first: a write that failed is not tried again.
    this.#length = 0;
    if (this.#bytes.length > MAX_ROOM) this.#bytes = new Uint8Array(2 * MAX_WAITING);
    this.#write(waiting);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#length + count));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** One JSON object a line. */
export class NdjsonSink implements Sink {
  readonly lines: LineBuffer;

  constructor(write: WriteBytes) {
    this.lines = new LineBuffer(write);
  }

  write(record: StreamRecord, line?: string): void {
    this.lines.add(line ?? ndjsonLine(record));
  }

  flush(): void {
    this.lines.flush();
  }

  finish(): void {
    this.lines.flush();
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
