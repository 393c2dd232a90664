import { LineReader, type LineReaderOptions, type ReadBytes } from "../record/line_reader.ts";
import type { StreamRecord } from "../record/records.ts";
import type { RecordBatch } from "./chain.ts";
import {
  type LineSplitter,
  NO_PROCESS,
  NOT_TAKEN,
  PLAIN_SPLITTER,
  ROW,
  type SplitLines,
} from "./line_splitter.ts";

/** Characters from which on a line is looked through before it is parsed. */
const LONG = 1 << 20;
/**
 * Most values in a long line. The largest ring has some two millions of them; 64 MiB of brackets
 * would take JSON.parse 3 GB of memory.
 */
const MAX_VALUES = 4_000_000;
/** What comes before a value, but for those of members that a comma or brace comes before, too. */
const BEFORE_VALUE = Uint8Array.from(
  { length: 256 },
  (_, byte) => Number("[{,".includes(String.fromCharCode(byte))),
);
const NO_RECORD = "is not a record";
const BLANK = /^[ \t\r]*$/;

/** A line that is no record, where none may be left out; exit code 1. */
export class BadLineError extends Error {
  override readonly name = "BadLineError";
}

/** How a {@linkcode RecordReader} reads. */
export interface RecordReaderOptions extends LineReaderOptions {
  /** Told of every line that is left out: its number from 1, and what is wrong with it. */
  readonly onBadLine: (line: number, problem: string) => void;
  /** Splits what is read into lines; by default nothing is known of them. */
  readonly splitter?: LineSplitter;
  /** Which processes' events are left out, whatever else they say; by default none. */
  readonly isLeftOut?: (process: unknown) => boolean;
}

/**
 * Reads records from NDJSON. Blank lines mean nothing; a line that is no record is reported and
 * left out. A record is any object with a `type`: what else it holds is not checked.
 */
export class RecordReader {
  readonly #lines: LineReader;
  readonly #onBadLine: RecordReaderOptions["onBadLine"];
  readonly #splitter: LineSplitter;
  readonly #isLeftOut: (process: unknown) => boolean;
  /** By the numbers that the splitter gives them. Many records share one. */
  #processes: unknown[] = [];
  #generation = 0;
  /** Lines that were read. */
  #line = 0;

  constructor(read: ReadBytes, options: RecordReaderOptions) {
    const { onBadLine, splitter = PLAIN_SPLITTER, isLeftOut = () => false } = options;
    this.#lines = new LineReader(read, options);
    this.#onBadLine = onBadLine;
    this.#splitter = splitter;
    this.#isLeftOut = isLeftOut;
  }

  /** The records, in batches that end where a read ended, or sooner. */
  async *batches(): AsyncGenerator<RecordBatch> {
    for await (const { bytes, tooLong } of this.#lines.blocks()) {
      if (tooLong) this.#onBadLine(++this.#line, "is too long");
      for (let at = 0; at < bytes.length;) {
        const split = this.#splitter.split(bytes, at);
        at = split.next;
        yield this.#batchOf(split, bytes);
      }
    }
  }

  #batchOf(
    { lines, rows, json, skipped, generation }: SplitLines,
    bytes: Uint8Array,
  ): RecordBatch {
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#processes = [];
    }
    const objects: StreamRecord[] = json.length === 0 ? [] : JSON.parse(LENIENT.decode(json));
    const records: StreamRecord[] = [];
    const starts: number[] = [];
    const ends: number[] = [];
    let taken = 0;
    for (let i = 0; i < rows.length; i += ROW) {
      const start = rows[i]!;
      const end = rows[i + 1]!;
      const line = this.#line + rows[i + 2]! + 1;
      const process = rows[i + 3]!;
      let record: StreamRecord | undefined;
      if (process === NOT_TAKEN) {
        record = this.#recordOf(bytes.subarray(start, end - 1), line);
      } else {
        record = objects[taken++]!;
        if (process !== NO_PROCESS) {
          // What any record may hold; only some types name it.
          (record as { process?: unknown }).process = this.#processes[process] ??
            this.#meet(process, bytes.subarray(rows[i + 4], rows[i + 5]));
        }
        if (typeof record.type !== "string") {
          this.#onBadLine(line, NO_RECORD);
          continue;
        }
      }
      if (record === undefined) continue;
      records.push(record);
      starts.push(start);
      ends.push(end);
    }
    this.#line += lines;
    return Object.assign(records, { lines: { bytes, starts, ends }, skipped });
  }

  /** The process that a text describes, whose number was not met yet. */
  #meet(number: number, text: Uint8Array): unknown {
    const process = Object.freeze(JSON.parse(LENIENT.decode(text)));
    this.#processes[number] = process;
    if (this.#isLeftOut(process)) this.#splitter.leaveOut(number);
    return process;
  }

  /** The record of a line; undefined, and it is said why, where there is none. */
  #recordOf(bytes: Uint8Array, line: number): StreamRecord | undefined {
    let problem = NO_RECORD;
    let text = "";
    try {
      text = STRICT.decode(bytes);
      if (bytes.length > LONG && valuesOf(bytes) > MAX_VALUES) {
        problem = "has too many values";
      } else {
        const value = JSON.parse(text);
        if (typeof value?.type === "string") return value;
      }
    } catch (error) {
      if (BLANK.test(text) && !(error instanceof TypeError)) return undefined;
      problem = error instanceof TypeError ? "is not UTF-8" : "is not JSON";
    }
    this.#onBadLine(line, problem);
    return undefined;
  }
}

/** About how many values there are: never fewer. */
function valuesOf(bytes: Uint8Array): number {
  let values = 1;
  for (const byte of bytes) values += BEFORE_VALUE[byte]!;
  return values;
}

// A BOM inside the stream is not JSON, and must not vanish.
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** For what is ASCII; unlike the strict decoder it makes text of a byte a character then. */
const LENIENT = new TextDecoder();
