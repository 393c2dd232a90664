import type { Transform } from "./chain.ts";

/** A stream that has a start record and no end record; exit code 1. */
export class CutStreamError extends Error {
  override readonly name = "CutStreamError";
}

/** Watches a stream for its start and end records. Streams may follow one another. */
export class StreamEnds {
  /** The command that wrote the stream that is open, if one is. */
  #open: string | undefined;
  #cut: string | undefined;

  /** Passes every record on. */
  readonly watch: Transform = (record) => {
    if (record.type === "IOUringStatus") {
      if (record.phase === "start") {
        this.#cut ??= this.#open;
        const command = record.argv?.[0];
        this.#open = command === "scan" ? command : "capture";
      } else if (record.phase === "end") {
        this.#open = undefined;
      }
    }
    return record;
  };

  /**
   * Call it when the input has ended.
   *
   * @throws {CutStreamError} A stream started and did not end.
   */
  check(): void {
    const command = this.#cut ?? this.#open;
    if (command !== undefined) {
      throw new CutStreamError(
        `Stream ended without its end record: ${command} was killed or cut`,
      );
    }
  }
}
