import { withClassification } from "../record/line_classification.ts";
import type { StreamRecord } from "../record/records.ts";
import type { Sink } from "./sink.ts";
import type { Tally } from "./tally.ts";

/** Records that arrived together. Any array of records is one. */
export interface RecordBatch extends ReadonlyArray<StreamRecord> {
  /** The line of each record, without its newline, where the source has it already. */
  readonly lines?: readonly string[];
  /** Records that the source left out itself, because the filter would have. */
  readonly skipped?: number;
}

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
    const { transforms, tally, live } = this.#chain;
    const sink = this.#sink ??= this.#chain.openSink();
    for (let i = 0; i < batch.length; i++) {
      const original = batch[i]!;
      let record: StreamRecord | undefined = original;
      for (const transform of transforms) {
        record = transform(record);
        if (record === undefined) break;
      }
      if (record === undefined) {
        tally.leaveOut(1);
        continue;
      }
      tally.add(record);
      const line = batch.lines?.[i];
      sink.write(
        record,
        line === undefined || record === original ? line : reclassified(line, record),
      );
    }
    tally.leaveOut(batch.skipped ?? 0);
    if (live) sink.flush();
  }

  /** The source came to its end; an empty stream still makes a valid document. */
  end(): void {
    this.#sink ??= this.#chain.openSink();
  }

  finish(): void {
    this.#sink?.finish();
  }
}

function reclassified(line: string, record: StreamRecord): string {
  return record.type === "IOUringStatus" ? line : withClassification(line, record.classification);
}
