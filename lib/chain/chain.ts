import { classificationMember, withClassification } from "../record/line_classification.ts";
import type { Classification, StreamRecord } from "../record/records.ts";
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
  source: AsyncIterable<RecordBatch>,
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

  push(batch: RecordBatch): void {
    const { tally, live } = this.#chain;
    const sink = this.#sink ??= this.#chain.openSink();
    const { lines, skipped = 0 } = batch;
    const out = lines === undefined ? undefined : sink.lines;
    // Lines that pass as they are and follow one another are written together.
    let start = 0;
    let end = 0;
    for (let i = 0; i < batch.length; i++) {
      const original = batch[i]!;
      const record = this.#transform(original);
      if (record === undefined) {
        tally.leaveOut(original.type, 1);
        continue;
      }
      tally.add(record);
      if (lines === undefined) {
        sink.write(record);
      } else if (out === undefined) {
        sink.write(record, textOf(lines, i, { original, record }));
      } else if (record === original || record.type === "IOUringStatus") {
        if (lines.starts[i] !== end) {
          out.addLines(lines.bytes, start, end);
          start = lines.starts[i]!;
        }
        end = lines.ends[i]!;
      } else {
        out.addLines(lines.bytes, start, end);
        start = end = 0;
        if ("classification" in original || record.classification === undefined) {
          out.add(textOf(lines, i, { original, record }));
        } else {
          addClassified(out, { lines, i, classification: record.classification });
        }
      }
    }
    if (lines !== undefined) out?.addLines(lines.bytes, start, end);
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

/** Adds the line of a record that was not classified before. */
function addClassified(
  out: LineBuffer,
  { lines: { bytes, starts, ends }, i, classification }: {
    lines: EncodedLines;
    i: number;
    classification: Classification;
  },
): void {
  let last = ends[i]! - 1;
  while (bytes[last] !== OBJECT_END) last--;
  const member = classificationMember(classification);
  out.append(bytes, starts[i]!, last);
  out.append(member, 0, member.length);
  out.append(bytes, last, ends[i]!);
  out.endLine();
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
