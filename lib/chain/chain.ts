import type { StreamRecord } from "../record/records.ts";
import type { Sink } from "./sink.ts";
import type { Tally } from "./tally.ts";

/** Records that arrived together. Any array of records is one. */
export interface RecordBatch extends ReadonlyArray<StreamRecord> {
  /** The line of each record, without its newline, where the source has it already. */
  readonly lines?: readonly (Uint8Array | string)[];
}

/** Passes a record on, changed or not, or leaves it out. */
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
  const { transforms, tally } = chain;
  let sink: Sink | undefined;
  try {
    for (const batch of source) {
      sink ??= chain.openSink();
      for (let i = 0; i < batch.length; i++) {
        const original = batch[i]!;
        let record: StreamRecord | undefined = original;
        for (const transform of transforms) {
          record = transform(record);
          if (record === undefined) break;
        }
        if (record === undefined) {
          tally.leaveOut();
          continue;
        }
        tally.add(record);
        // A record that a transform made anew is no longer what its line says.
        sink.write(record, record === original ? batch.lines?.[i] : undefined);
      }
      if (chain.live) sink.flush();
    }
    // An empty stream still makes a valid document.
    sink ??= chain.openSink();
  } finally {
    sink?.finish();
  }
}
