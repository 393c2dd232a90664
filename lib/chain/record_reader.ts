import { LineReader, type LineReaderOptions, type ReadBytes } from "../record/line_reader.ts";
import type { StreamRecord } from "../record/records.ts";
import type { RecordBatch } from "./chain.ts";
import { EventSieve, type ProcessVerdict } from "./event_sieve.ts";

const NEWLINE = 10;
/** Most records of a batch: few enough for the processor's cache while they go through the chain. */
const BATCH = 128;
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
const BLANK = /^[ \t\r]*$/;

/** A line that is no record, where none may be left out; exit code 1. */
export class BadLineError extends Error {
  override readonly name = "BadLineError";
}

/** How a {@linkcode RecordReader} reads. */
export interface RecordReaderOptions extends LineReaderOptions {
  /** Told of every line that is left out: its number from 1, and what is wrong with it. */
  readonly onBadLine: (line: number, problem: string) => void;
  /** Events of these processes are only counted. */
  readonly byProcess?: ProcessVerdict;
}

/**
 * Reads records from NDJSON. Blank lines mean nothing; a line that is no record is reported and
 * left out. A record is any object with a `type`: what else it holds is not checked.
 */
export class RecordReader {
  readonly #lines: LineReader;
  readonly #onBadLine: RecordReaderOptions["onBadLine"];
  readonly #sieve: EventSieve;
  /** Lines that were read. */
  #line = 0;

  constructor(read: ReadBytes, options: RecordReaderOptions) {
    const { onBadLine, byProcess = { keys: [], isLeftOut: () => false } } = options;
    this.#lines = new LineReader(read, options);
    this.#onBadLine = onBadLine;
    this.#sieve = new EventSieve(byProcess);
  }

  /** The records, in batches that end where a read ended, or sooner. */
  async *batches(): AsyncGenerator<RecordBatch> {
    for await (const { bytes, tooLong } of this.#lines.blocks()) {
      if (tooLong) this.#onBadLine(++this.#line, "is too long");
      else yield* this.#parse(bytes);
    }
  }

  *#parse(bytes: Uint8Array<ArrayBuffer>): Generator<RecordBatch> {
    const text = new BlockText(bytes);
    let records: StreamRecord[] = [];
    let lines: string[] = [];
    let skipped = 0;
    for (let at = 0; at < bytes.length;) {
      this.#line++;
      const next = this.#sieve.skip(bytes, at);
      if (next >= 0) {
        skipped++;
        at = next;
        continue;
      }
      const line = text.lineAt(at);
      if (line !== undefined && line.length > LONG && valuesOf(bytes, at, text.next) > MAX_VALUES) {
        this.#onBadLine(this.#line, "has too many values");
        at = text.next;
        continue;
      }
      at = text.next;
      const record = this.#record(line);
      if (record === undefined) continue;
      records.push(record);
      lines.push(line!);
      if (records.length === BATCH) {
        yield Object.assign(records, { lines, skipped });
        [records, lines, skipped] = [[], [], 0];
      }
    }
    yield Object.assign(records, { lines, skipped });
  }

  #record(text: string | undefined): StreamRecord | undefined {
    let problem = "is not a record";
    if (text === undefined) {
      problem = "is not UTF-8";
    } else {
      if (text === "") return undefined;
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
}

/** About how many values are between `start` and `end`: never fewer than there are. */
function valuesOf(bytes: Uint8Array, start: number, end: number): number {
  let values = 1;
  for (let i = start; i < end && i < bytes.length; i++) values += BEFORE_VALUE[bytes[i]!]!;
  return values;
}

/** The text of a block of lines, which is decoded when it is first asked for. */
class BlockText {
  /** Where the line begins that follows the one that was asked for last. */
  next = 0;
  readonly #bytes: Uint8Array;
  /** All of it, where each character is one byte; null where lines are decoded one by one. */
  #text: string | null | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The line that begins at `at`, without its newline; undefined where it is not UTF-8. */
  lineAt(at: number): string | undefined {
    if (this.#text === undefined) {
      // Decoding a whole block at once is several times faster than line by line.
      const text = LENIENT.decode(this.#bytes);
      this.#text = text.length === this.#bytes.length && !text.includes("\ufffd") ? text : null;
    }
    const newline = this.#text === null
      ? this.#bytes.indexOf(NEWLINE, at)
      : this.#text.indexOf("\n", at);
    const end = newline < 0 ? this.#bytes.length : newline;
    this.next = end + 1;
    if (this.#text !== null) return this.#text.slice(at, end);
    try {
      return STRICT.decode(this.#bytes.subarray(at, end));
    } catch {
      return undefined;
    }
  }
}

// A BOM inside the stream is not JSON, and must not vanish.
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Unlike the strict decoder it makes text of a byte a character where all is ASCII. */
const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });
