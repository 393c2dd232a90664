import { LineReader, type LineReaderOptions, type ReadBytes } from "../record/line_reader.ts";
import type { StreamRecord } from "../record/records.ts";
import type { RecordBatch } from "./chain.ts";
import { wordsOf } from "./json_bytes.ts";
import { EventSieve, type KnownMember, type ProcessVerdict } from "./event_sieve.ts";

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
    const block = { bytes, words: wordsOf(bytes) };
    const text = new BlockText(bytes);
    let batch = new BatchInMaking(bytes);
    for (let at = 0; at < bytes.length;) {
      this.#line++;
      const next = this.#sieve.skip(block, at);
      if (next >= 0) {
        batch.skipped++;
        at = next;
        continue;
      }
      const end = text.lineEnd(at);
      const record = this.#recordAt(text, at, end);
      if (record !== undefined) {
        batch.add(record, at, end + 1);
        if (batch.records.length === BATCH) {
          yield batch.finished();
          batch = new BatchInMaking(bytes);
        }
      }
      at = end + 1;
    }
    yield batch.finished();
  }

  /** The record from `start` to `end`; undefined, and it is said why, where there is none. */
  #recordAt(text: BlockText, start: number, end: number): StreamRecord | undefined {
    if (
      end - start > LONG && valuesOf(text.bytes, start, end) > MAX_VALUES &&
      text.line(start, end) !== undefined
    ) {
      this.#onBadLine(this.#line, "has too many values");
      return undefined;
    }
    const { member } = this.#sieve;
    if (member !== undefined && text.ascii !== null) {
      const record = parseAround(text.ascii, { start, end, member });
      if (record !== undefined) return record;
    }
    return this.#parseLine(text.line(start, end));
  }

  #parseLine(line: string | undefined): StreamRecord | undefined {
    let problem = "is not a record";
    if (line === undefined) {
      problem = "is not UTF-8";
    } else {
      if (line === "") return undefined;
      try {
        const value = JSON.parse(line);
        if (typeof value?.type === "string") return value;
      } catch {
        if (BLANK.test(line)) return undefined;
        problem = "is not JSON";
      }
    }
    this.#onBadLine(this.#line, problem);
    return undefined;
  }
}

/** The record of a line whose process is known; undefined where the whole line has to be parsed. */
function parseAround(
  text: string,
  { start, end, member }: { start: number; end: number; member: KnownMember },
): StreamRecord | undefined {
  try {
    const record = JSON.parse(text.slice(start, member.start) + text.slice(member.end, end));
    // Another process may follow, and would count.
    if (typeof record.type !== "string" || "process" in record) return undefined;
    record.process = member.process.value;
    return record;
  } catch {
    return undefined;
  }
}

/** A batch that records are added to. */
class BatchInMaking {
  readonly records: StreamRecord[] = [];
  skipped = 0;
  readonly #bytes: Uint8Array;
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Adds a record and where its line begins and ends, behind its newline. */
  add(record: StreamRecord, start: number, end: number): void {
    this.records.push(record);
    this.#starts.push(start);
    this.#ends.push(end);
  }

  finished(): RecordBatch {
    const lines = { bytes: this.#bytes, starts: this.#starts, ends: this.#ends };
    return Object.assign(this.records, { lines, skipped: this.skipped });
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
  readonly bytes: Uint8Array;
  #ascii: string | null | undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** All of it, where each character is one byte; null where lines are decoded one by one. */
  get ascii(): string | null {
    if (this.#ascii === undefined) {
      // Decoding a whole block at once is several times faster than line by line.
      const text = LENIENT.decode(this.bytes);
      this.#ascii = text.length === this.bytes.length && !text.includes("\ufffd") ? text : null;
    }
    return this.#ascii;
  }

  /** Where the newline of the line is that begins at `start`. */
  lineEnd(start: number): number {
    return this.ascii === null
      ? this.bytes.indexOf(NEWLINE, start)
      : this.ascii.indexOf("\n", start);
  }

  /** The line from `start` to `end`; undefined where it is not UTF-8. */
  line(start: number, end: number): string | undefined {
    if (this.ascii !== null) return this.ascii.slice(start, end);
    try {
      return STRICT.decode(this.bytes.subarray(start, end));
    } catch {
      return undefined;
    }
  }
}

// A BOM inside the stream is not JSON, and must not vanish.
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Unlike the strict decoder it makes text of a byte a character where all is ASCII. */
const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });
