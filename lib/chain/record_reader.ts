import { LineReader, type LineReaderOptions, type ReadBytes } from "../record/line_reader.ts";
import type { StreamRecord } from "../record/records.ts";
import type { PartlyReadBatch } from "./chain.ts";
import type { QuietEvent, RepeatedEvent, UnreadEvent, UnreadEvents } from "./unread_events.ts";
import {
  EVENT,
  KIND,
  LEFT_OUT,
  type LineSplitter,
  NO_PROCESS,
  NO_REPEAT,
  NOT_TAKEN,
  PLAIN_SPLITTER,
  QUIET,
  REPEAT,
  REPEATED,
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
  /** Which events need not be read; by default none. */
  readonly unreadEvents?: UnreadEvents;
}

/** A process that the splitter has given a number. Many records share it. */
interface KnownProcess {
  readonly process: unknown;
  /** Stands for its quiet events, if it may have any. */
  readonly quiet: QuietEvent | undefined;
  readonly isLeftOut: boolean;
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
  readonly #unreadEvents: UnreadEvents | undefined;
  /** By the numbers that the splitter gives them. */
  #processes: KnownProcess[] = [];
  #generation = 0;
  /** By the numbers of what they say. */
  #repeated: (RepeatedEvent | undefined)[] = [];
  #repeatGeneration = 0;
  /** Lines that were read. */
  #line = 0;

  constructor(read: ReadBytes, options: RecordReaderOptions) {
    const { onBadLine, splitter = PLAIN_SPLITTER, isLeftOut = () => false, unreadEvents } = options;
    this.#lines = new LineReader(read, options);
    this.#onBadLine = onBadLine;
    this.#splitter = splitter;
    this.#isLeftOut = isLeftOut;
    this.#unreadEvents = unreadEvents;
    splitter.begin(unreadEvents?.vocabulary() ?? { words: [], beginnings: [] });
  }

  /** The records, in batches that end where a read ended, or sooner. */
  async *batches(): AsyncGenerator<PartlyReadBatch> {
    for await (const { bytes, tooLong } of this.#lines.blocks()) {
      if (tooLong) this.#onBadLine(++this.#line, "is too long");
      for (let at = 0; at < bytes.length;) {
        const split = this.#splitter.split(bytes, at, this.#unreadEvents?.asksNames ?? false);
        at = split.next;
        yield this.#batchOf(split, bytes);
      }
    }
  }

  #batchOf(
    { lines, rows, skipped, generation, texts, repeatGeneration }: SplitLines,
    bytes: Uint8Array<ArrayBuffer>,
  ): PartlyReadBatch {
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#processes = [];
    }
    if (repeatGeneration !== this.#repeatGeneration) {
      this.#repeatGeneration = repeatGeneration;
      this.#repeated = [];
    }
    if (texts !== 0) this.#meet(JSON.parse(LENIENT.decode(this.#splitter.processes(texts))));
    const leftOut = this.#leaveUnread(rows);
    const json = this.#splitter.join(bytes, rows);
    const objects: StreamRecord[] = json.length === 0 ? [] : JSON.parse(LENIENT.decode(json));
    const records: (StreamRecord | UnreadEvent)[] = [];
    const starts: number[] = [];
    const ends: number[] = [];
    const rowOf: number[] = [];
    let taken = 0;
    for (let row = 0; row < rows.length; row += ROW) {
      const kind = rows[row + KIND]!;
      if (kind === LEFT_OUT) continue;
      const start = rows[row]!;
      const end = rows[row + 1]!;
      const line = this.#line + rows[row + 2]! + 1;
      const process = rows[row + 3]!;
      const record = kind === REPEATED
        ? this.#repeated[rows[row + REPEAT]!]
        : kind >= QUIET
        ? this.#processes[process]!.quiet
        : process === NOT_TAKEN
        ? this.#recordOf(bytes.subarray(start, end - 1), line)
        : this.#recordWith(process, objects[taken++]!, line);
      if (record === undefined) continue;
      records.push(record);
      starts.push(start);
      ends.push(end);
      rowOf.push(row);
    }
    this.#line += lines;
    return Object.assign(records, {
      lines: { bytes, starts, ends },
      skipped: skipped + leftOut,
      settle: (i: number) =>
        this.#stillUnread(rows, rowOf[i]!) ??
          JSON.parse(LENIENT.decode(bytes.subarray(starts[i], ends[i]))),
      judged: (i: number, original: StreamRecord, record: StreamRecord) =>
        this.#learn(rows, rowOf[i]!, original, record),
    });
  }

  #stillUnread(rows: Int32Array, row: number): UnreadEvent | undefined {
    if (rows[row + KIND] === REPEATED) return this.#repeatedEvent(rows[row + REPEAT]!);
    const { quiet } = this.#processes[rows[row + 3]!]!;
    return this.#unreadEvents!.isQuiet(quiet!, rows, row) ? quiet : undefined;
  }

  /** What stands for events that say the same, as long as their verdict is the same. */
  #repeatedEvent(repeat: number): RepeatedEvent | undefined {
    const repeated = repeat === NO_REPEAT ? undefined : this.#repeated[repeat];
    return repeated !== undefined && this.#unreadEvents!.isRepeated(repeated)
      ? repeated
      : undefined;
  }

  /** Remembers the verdict on an event for those that say the same. */
  #learn(rows: Int32Array, row: number, original: StreamRecord, record: StreamRecord): void {
    const repeat = rows[row + REPEAT]!;
    if (repeat === NO_REPEAT || record.type !== "IOUringEvent") return;
    const { quiet } = this.#processes[rows[row + 3]!]!;
    if (quiet === undefined || "classification" in original) return;
    this.#repeated[repeat] = this.#unreadEvents!.repeatOf(quiet.pid, record.classification);
  }

  /** An object of the array, if it is a record, with its process. */
  #recordWith(process: number, record: StreamRecord, line: number): StreamRecord | undefined {
    if (typeof record.type !== "string") {
      this.#onBadLine(line, NO_RECORD);
      return undefined;
    }
    if (process !== NO_PROCESS) {
      // What any record may hold; only some types name it.
      (record as { process?: unknown }).process = this.#processes[process]!.process;
    }
    return record;
  }

  /** Marks which events are not to be read; gives how many of them are left out. */
  #leaveUnread(rows: Int32Array): number {
    let leftOut = 0;
    for (let row = 0; row < rows.length; row += ROW) {
      const kind = rows[row + KIND]!;
      if (kind < EVENT) continue;
      const { quiet, isLeftOut } = this.#processes[rows[row + 3]!]!;
      if (isLeftOut) {
        rows[row + KIND] = LEFT_OUT;
        leftOut++;
      } else if (quiet === undefined) {
        rows[row + KIND] = EVENT;
      } else if (kind === EVENT || !this.#unreadEvents!.mayBeQuiet(rows, row)) {
        rows[row + KIND] = this.#repeatedEvent(rows[row + REPEAT]!) ? REPEATED : EVENT;
      }
    }
    return leftOut;
  }

  /** Processes that come for the first time, in the order of their numbers. */
  #meet(processes: readonly object[]): void {
    for (const process of processes) {
      const isLeftOut = this.#isLeftOut(process);
      if (isLeftOut) this.#splitter.leaveOut(this.#processes.length);
      const quiet = isLeftOut ? undefined : this.#unreadEvents?.of(process);
      this.#processes.push({ process: Object.freeze(process), quiet, isLeftOut });
    }
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
