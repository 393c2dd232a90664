import { LineReader, type LineReaderOptions, type ReadBytes } from "../record/line_reader.ts";
import type { ProcessBlock, StreamRecord } from "../record/records.ts";
import type { RecordBatch } from "./chain.ts";

const NEWLINE = 10;
/** How an event begins, as this program and the published model write it. */
const EVENT_START = /\{"type":"IOUringEvent","process":\{[^{}]*\},"opcode":/y;
const PROCESS_AT = '{"type":"IOUringEvent","process":'.length;
const OPCODE_KEY = ',"opcode":';
/** Process blocks that are kept, and the characters of the longest. */
const MAX_BLOCKS = 4096;
const MAX_BLOCK_LENGTH = 16_384;
/** In place of an event that was left out without being read. */
const SKIPPED = Symbol("skipped");

const STRING = '"[^"\\\\\\x00-\\x1f]*"';
const SCALAR = `(?:${STRING}|-?(?:0|[1-9][0-9]*)|true|false|null)`;
const LIST = `\\[(?:${SCALAR}(?:,${SCALAR})*)?\\]`;
const FLAT = `\\{(?:${STRING}:${SCALAR}(?:,${STRING}:${SCALAR})*)?\\}`;
const MEMBER = `${STRING}:(?:${SCALAR}|${LIST}|${FLAT})`;
const OBJECT = `\\{(?:${MEMBER}(?:,${MEMBER})*)?\\}`;
/**
 * What follows the process block in the form that this program writes, which is JSON. An event with
 * a `process` or a `type` again, or with `missing`, is not of this form.
 */
const PLAIN_REST = new RegExp(
  `,"opcode":${STRING}(?:,"op_info":${OBJECT})?,"timestamp":${STRING}` +
    `(?:,"(?:io_uring|seccomp|result|classification)":${OBJECT})*(?:,"unverified":${LIST})?\\}$`,
  "y",
);
const BLANK = /^[ \t\r]*$/;

/** A line that is no record, where none may be left out; exit code 1. */
export class BadLineError extends Error {
  override readonly name = "BadLineError";
}

/** A process block as it is written, and what it says. */
interface ProcessText {
  readonly text: string;
  readonly process: ProcessBlock;
  readonly leftOut: boolean;
}

/** How a {@linkcode RecordReader} reads. */
export interface RecordReaderOptions extends LineReaderOptions {
  /** Told of every line that is left out: its number from 1, and what is wrong with it. */
  readonly onBadLine: (line: number, problem: string) => void;
  /**
   * Whether no event of a process that could be read in full will pass, so that the rest of the
   * event need not be read. Such events are only counted.
   */
  readonly isLeftOut?: (process: ProcessBlock) => boolean;
}

/**
 * Reads records from NDJSON. Blank lines mean nothing; a line that is no record is reported and
 * left out. A record is any object with a `type`: what else it holds is not checked.
 */
export class RecordReader {
  readonly #lines: LineReader;
  readonly #onBadLine: RecordReaderOptions["onBadLine"];
  readonly #isLeftOut: (process: ProcessBlock) => boolean;
  readonly #blocks = new Map<string, ProcessText>();
  #last: ProcessText = { text: "", process: {} as ProcessBlock, leftOut: false };
  /** Lines that were read. */
  #line = 0;
  // A BOM inside the stream is not JSON, and must not vanish from the offsets.
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(read: ReadBytes, options: RecordReaderOptions) {
    this.#lines = new LineReader(read, options);
    this.#onBadLine = options.onBadLine;
    this.#isLeftOut = options.isLeftOut ?? (() => false);
  }

  /** The records, a batch for what one read brought. */
  async *batches(): AsyncGenerator<RecordBatch> {
    for await (const { bytes, tooLong } of this.#lines.blocks()) {
      if (tooLong) this.#onBadLine(++this.#line, "is too long");
      else yield this.#parse(bytes);
    }
  }

  #parse(bytes: Uint8Array): RecordBatch {
    // Decoding a whole block at once is several times faster than line by line.
    const text = this.#decode(bytes);
    const found = text === undefined ? this.#decodeLines(bytes) : text.split("\n");
    // What follows the last newline of a block that ends in one.
    if (found.at(-1) === "") found.pop();
    const records: StreamRecord[] = [];
    const lines: string[] = [];
    let skipped = 0;
    for (const line of found) {
      this.#line++;
      const record = this.#record(line);
      if (record === SKIPPED) {
        skipped++;
      } else if (record !== undefined) {
        records.push(record);
        lines.push(line!);
      }
    }
    return Object.assign(records, { lines, skipped });
  }

  #record(text: string | undefined): StreamRecord | typeof SKIPPED | undefined {
    let problem = "is not a record";
    if (text === undefined) {
      problem = "is not UTF-8";
    } else {
      const event = this.#event(text);
      if (event !== undefined) return event;
      try {
        const value = JSON.parse(text);
        if (typeof value?.type === "string") return value;
      } catch {
        if (BLANK.test(text)) return undefined;
        problem = "is not JSON";
      }
    }
    this.#onBadLine(this.#line, problem);
    return undefined;
  }

  /**
   * An event, read in two parts: its process block, which is most of its text and comes again and
   * again, and the rest. Each is JSON by itself, so the whole is. Undefined where the line is of
   * another form.
   */
  #event(text: string): StreamRecord | typeof SKIPPED | undefined {
    EVENT_START.lastIndex = 0;
    if (!EVENT_START.test(text)) return undefined;
    const start = EVENT_START.lastIndex - OPCODE_KEY.length;
    const block = this.#block(text.slice(PROCESS_AT, start));
    if (block === undefined) return undefined;
    if (block.leftOut) {
      PLAIN_REST.lastIndex = start;
      if (PLAIN_REST.test(text)) return SKIPPED;
    }
    try {
      const rest = JSON.parse("{" + text.slice(start + 1));
      // A key that comes twice has its last value.
      if (rest.type !== undefined || rest.process !== undefined) return undefined;
      rest.type = "IOUringEvent";
      rest.process = block.process;
      return rest;
    } catch {
      return undefined;
    }
  }

  /** The process block of this text; undefined where it is no JSON, or too long to keep. */
  #block(text: string): ProcessText | undefined {
    if (text === this.#last.text) return this.#last;
    if (text.length > MAX_BLOCK_LENGTH) return undefined;
    let block = this.#blocks.get(text);
    if (block === undefined) {
      let process: ProcessBlock;
      try {
        process = JSON.parse(text);
      } catch {
        return undefined;
      }
      // A slice would keep the whole block of lines that it is of.
      const copy = ` ${text}`.slice(1);
      block = { text: copy, process, leftOut: this.#isLeftOut(process) };
      if (this.#blocks.size >= MAX_BLOCKS) this.#blocks.clear();
      this.#blocks.set(copy, block);
    }
    return this.#last = block;
  }

  /** The lines of a block that is not UTF-8; undefined for those that are not. */
  #decodeLines(bytes: Uint8Array): (string | undefined)[] {
    const lines: (string | undefined)[] = [];
    for (let start = 0; start < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline < 0 ? bytes.length : newline;
      lines.push(this.#decode(bytes.subarray(start, end)));
      start = end + 1;
    }
    return lines;
  }

  #decode(bytes: Uint8Array): string | undefined {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      return undefined;
    }
  }
}
