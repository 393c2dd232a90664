import { withClassification } from "../record/line_classification.ts";
import type { StreamRecord } from "../record/records.ts";
import type { Sink } from "./sink.ts";
import type { Tally } from "./tally.ts";

/** Lines of NDJSON as UTF-8, one behind the other. */
export interface EncodedLines {
  readonly bytes: Uint8Array;
  /** Where each ends, behind its newline. */
  readonly ends: readonly number[];
}

/** Records that arrived together. Any array of records is one. */
export interface RecordBatch extends ReadonlyArray<StreamRecord> {
  /** The line of each record, without its newline, where the source has it already. */
  readonly lines?: readonly string[];
  /**
   * The same where the source makes the lines itself, without a `classification`. They hold until
   * the next batch is asked for.
   */
  readonly encoded?: EncodedLines;
  /** Records that the source left out itself, because the filter would have. */
  readonly skipped?: number;
}

const DECODER = new TextDecoder();

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
    const encoded = sink.writeLines === undefined ? undefined : batch.encoded;
    // Lines from here on have passed as they are, and are written together.
    let start = 0;
    for (let i = 0; i < batch.length; i++) {
      const original = batch[i]!;
      const record = this.#transform(original);
      if (record === undefined) tally.leaveOut(1);
      else tally.add(record);
      if (encoded === undefined) {
        if (record !== undefined) sink.write(record, lineOf(batch.lines?.[i], original, record));
      } else if (record !== original) {
        const { bytes, ends } = encoded;
        const at = i === 0 ? 0 : ends[i - 1]!;
        if (at > start) sink.writeLines!(bytes.subarray(start, at));
        start = ends[i]!;
        if (record !== undefined) {
          const line = DECODER.decode(bytes.subarray(at, start - 1));
          sink.write(record, lineOf(line, original, record));
        }
      }
    }
    if (encoded !== undefined && start < encoded.bytes.length) {
      sink.writeLines!(encoded.bytes.subarray(start));
    }
    tally.leaveOut(batch.skipped ?? 0);
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

/** The line of a record that has passed as `record`; undefined where the source has none. */
function lineOf(
  line: string | undefined,
  original: StreamRecord,
  record: StreamRecord,
): string | undefined {
  if (line === undefined || record === original || record.type === "IOUringStatus") return line;
  return withClassification(line, record.classification);
}
