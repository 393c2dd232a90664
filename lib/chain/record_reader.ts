import { LineReader, type LineReaderOptions, type ReadBytes } from "../record/line_reader.ts";
import type { StreamRecord } from "../record/records.ts";
import type { RecordBatch } from "./chain.ts";

const NEWLINE = 10;
const BLANK = /^[ \t\r]*$/;

/** A line that is no record, where none may be left out; exit code 1. */
export class BadLineError extends Error {
  override readonly name = "BadLineError";
}

/** How a {@linkcode RecordReader} reads. */
export interface RecordReaderOptions extends LineReaderOptions {
  /** Told of every line that is left out: its number from 1, and what is wrong with it. */
  readonly onBadLine: (line: number, problem: string) => void;
}

/**
 * Reads records from NDJSON. Blank lines mean nothing; a line that is no record is reported and
 * left out. A record is any object with a `type`: what else it holds is not checked.
 */
export class RecordReader {
  readonly #lines: LineReader;
  readonly #onBadLine: RecordReaderOptions["onBadLine"];
  // A BOM inside the stream is not JSON, and must not vanish from the offsets.
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(read: ReadBytes, options: RecordReaderOptions) {
    this.#lines = new LineReader(read, options);
    this.#onBadLine = options.onBadLine;
  }

  /** The records, a batch for what one read brought. `lines` of a batch are valid until the next. */
  async *batches(): AsyncGenerator<RecordBatch> {
    for await (const { bytes, firstLine, tooLong } of this.#lines.blocks()) {
      if (tooLong) this.#onBadLine(firstLine, "is too long");
      else yield this.#parse(bytes, firstLine);
    }
  }

  #parse(bytes: Uint8Array, firstLine: number): RecordBatch {
    const records: StreamRecord[] = [];
    const lines: Uint8Array[] = [];
    // Decoding a whole block at once is several times faster than line by line.
    const text = this.#decode(bytes);
    let textStart = 0;
    let number = firstLine;
    for (let start = 0; start < bytes.length; number++) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline < 0 ? bytes.length : newline;
      const line = bytes.subarray(start, end);
      start = end + 1;
      let lineText: string | undefined;
      if (text === undefined) {
        lineText = this.#decode(line);
      } else {
        const textNewline = text.indexOf("\n", textStart);
        const textEnd = textNewline < 0 ? text.length : textNewline;
        lineText = text.slice(textStart, textEnd);
        textStart = textEnd + 1;
      }
      const record = this.#record(lineText, number);
      if (record === undefined) continue;
      records.push(record);
      lines.push(line);
    }
    return Object.assign(records, { lines });
  }

  #record(text: string | undefined, line: number): StreamRecord | undefined {
    let problem = "is not a record";
    if (text === undefined) {
      problem = "is not UTF-8";
    } else {
      try {
        const value = JSON.parse(text);
        if (typeof value?.type === "string") return value;
      } catch {
        if (BLANK.test(text)) return undefined;
        problem = "is not JSON";
      }
    }
    this.#onBadLine(line, problem);
    return undefined;
  }

  #decode(bytes: Uint8Array): string | undefined {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      return undefined;
    }
  }
}
