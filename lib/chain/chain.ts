import { classificationMember, withClassification } from "../record/line_classification.ts";
import type { Classification, StreamRecord } from "../record/records.ts";
import { UnreadEvent } from "./unread_events.ts";
import type { LineBuffer, Sink } from "./sink.ts";
import type { Tally } from "./tally.ts";

/** The lines of records, as UTF-8. They hold until the next batch is asked for. */
export interface EncodedLines {
  readonly bytes: Uint8Array;
  /** Where the line of each record begins. */
  readonly starts: readonly number[];
  /** Where it ends, behind its newline. */
  readonly ends: readonly number[];
}

/** Records that arrived together. Any array of records is one. */
export interface RecordBatch extends ReadonlyArray<StreamRecord> {
  /** Their lines, where the source has them already. */
  readonly lines?: EncodedLines;
  /** Events that the source left out itself, because the filter would have. */
  readonly skipped?: number;
}

/** The same, from a source that has not read all of them. */
export interface PartlyReadBatch extends ReadonlyArray<StreamRecord | UnreadEvent> {
  readonly lines: EncodedLines;
  readonly skipped: number;
  /**
   * Reads an event after all, where what came before it makes that necessary: to be asked when that
   * has been judged.
   */
  readonly settle: (i: number) => StreamRecord | UnreadEvent;
  /** To be told what became of a record that was read and passes. */
  readonly judged: (i: number, original: StreamRecord, record: StreamRecord) => void;
}

const DECODER = new TextDecoder();
const OBJECT_END = 0x7d;

/**
 * Passes a record on, or leaves it out. It may pass on a copy with another `classification`; any
 * other change would not be written where the record has a line.
 */
export type Transform = (record: StreamRecord) => StreamRecord | undefined;

/** What a source runs through. */
export interface Chain {
  /** In order; a record that one leaves out is not shown to the next. */
  readonly transforms: readonly Transform[];
  /** Opens the sink, once the first batch has come: a source that fails at once leaves no file. */
  readonly openSink: () => Sink;
  /** Counts what passes. */
  readonly tally: Tally;
  /** True for a source that may pause: every batch is written out when it has been judged. */
  readonly live: boolean;
}

/**
 * Runs every record of `source` through the chain. Whatever ends it, the sink is finished, so that
 * what was written is whole.
 */
export function runChain(source: Iterable<RecordBatch>, chain: Chain): void {
  const run = new ChainRun(chain);
  try {
    for (const batch of source) run.push(batch);
    run.end();
  } finally {
    run.finish();
  }
}

/** As {@linkcode runChain}, for a source that is waited for. */
export async function runChainAsync(
  source: AsyncIterable<RecordBatch | PartlyReadBatch>,
  chain: Chain,
): Promise<void> {
  const run = new ChainRun(chain);
  try {
    for await (const batch of source) run.push(batch);
    run.end();
  } finally {
    run.finish();
  }
}

class ChainRun {
  readonly #chain: Chain;
  #sink: Sink | undefined;

  constructor(chain: Chain) {
    this.#chain = chain;
  }

  push(batch: RecordBatch | PartlyReadBatch): void {
    const { tally, live } = this.#chain;
    const sink = this.#sink ??= this.#chain.openSink();
    const { lines, skipped = 0 } = batch;
    const out = lines === undefined ? undefined : sink.lines;
    const pass = lines === undefined || out === undefined
      ? undefined
      : new PassingLines(lines, out);
    const partly = "settle" in batch ? batch : undefined;
    for (let i = 0; i < batch.length; i++) {
      let original = batch[i]!;
      if (original instanceof UnreadEvent) {
        original = partly!.settle(i);
        if (original instanceof UnreadEvent) {
          const { pid, classification } = original;
          tally.addEvent(pid, classification);
          if (classification === undefined) pass!.add(i);
          else pass!.addClassified(i, classification);
          continue;
        }
      }
      const record = this.#transform(original);
      if (record === undefined) {
        tally.leaveOut(original.type, 1);
        continue;
      }
      partly?.judged(i, original, record);
      tally.add(record);
      if (lines === undefined) {
        sink.write(record);
      } else if (pass === undefined) {
        sink.write(record, textOf(lines, i, { original, record }));
      } else if (record === original || record.type === "IOUringStatus") {
        pass.add(i);
      } else if ("classification" in original || record.classification === undefined) {
        pass.end();
        out!.add(textOf(lines, i, { original, record }));
      } else {
        pass.addClassified(i, record.classification);
      }
    }
    pass?.end();
    tally.leaveOut("IOUringEvent", skipped);
    if (live) sink.flush();
  }

  #transform(original: StreamRecord): StreamRecord | undefined {
    let record: StreamRecord | undefined = original;
    for (const transform of this.#chain.transforms) {
      record = transform(record);
      if (record === undefined) break;
    }
    return record;
  }

  /** The source came to its end; an empty stream still makes a valid document. */
  end(): void {
    this.#sink ??= this.#chain.openSink();
  }

  finish(): void {
    this.#sink?.finish();
  }
}

/** Writes lines that pass; those that follow one another are written together. */
class PassingLines {
  readonly #lines: EncodedLines;
  readonly #out: LineBuffer;
  #start = 0;
  #end = 0;

  constructor(lines: EncodedLines, out: LineBuffer) {
    this.#lines = lines;
    this.#out = out;
  }

  /** Adds a line as it is. */
  add(i: number): void {
    this.#begin(i);
    this.#end = this.#lines.ends[i]!;
  }

  /** Adds the line of a record that was not classified before. */
  addClassified(i: number, classification: Classification): void {
    this.#begin(i);
    const { bytes, ends } = this.#lines;
    let last = ends[i]! - 1;
    while (bytes[last] !== OBJECT_END) last--;
    const member = classificationMember(classification);
    this.#out.append(bytes, this.#start, last);
    this.#out.append(member, 0, member.length);
    this.#out.append(bytes, last, ends[i]!);
    this.#out.endLine();
    this.#start = this.#end = 0;
  }

  #begin(i: number): void {
    const start = this.#lines.starts[i]!;
    if (start === this.#end) return;
    this.end();
    this.#start = start;
  }

  /** Writes what was added. */
  end(): void {
    this.#out.addLines(this.#lines.bytes, this.#start, this.#end);
    this.#start = this.#end = 0;
  }
}

/** The line of a record that has passed, without newline. */
function textOf(
  { bytes, starts, ends }: EncodedLines,
  i: number,
  { original, record }: { original: StreamRecord; record: StreamRecord },
): string {
  const line = DECODER.decode(bytes.subarray(starts[i], ends[i]! - 1));
  if (record === original || record.type === "IOUringStatus") return line;
  return withClassification(line, record.classification);
}
